"""The catalog's data: what it says of the models, and by which figure."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from benchmarks.accuracy import pictures
from inference.__main__ import main
from inference.engine.catalog import CATALOG, CatalogEntry, load_catalog
from inference.engine.model import Model
from inference.engine.session import Session
from inference.engine.weights import Weights
from inference.errors import BadManifest
from inference.image.media import Picture, decode
from inference.image.nms import iou
from inference.manifest import read_manifest
from inference.predictions import Objects
from tests.conftest import ROOT

MANIFESTS = ROOT / "tests/models"


def test_the_catalog_holds_fifty_models_that_are_whole() -> None:
    catalog = load_catalog()
    assert len(catalog.model) >= 50
    for model in catalog.model:
        manifest = model.full_manifest()
        assert len(model.sha256) == 64 and model.size > 1000 and manifest.licence and manifest.description
        assert model.page.startswith("https://")
    runnable = [m for m in catalog.model if not m.obstacle()]
    assert len(runnable) >= 48


def test_the_pack_has_a_model_for_each_purpose_of_the_default_route_and_its_licences_allow_everything() -> None:
    pack = load_catalog().recommended()
    assert {m.name: m.purpose for m in pack} == {
        "mobilenetv2-int8": "image-classification",
        "picodet-s-416": "object-detection",
        "yunet-2023mar": "face-detection",
        "mp-pose-2023mar": "pose-estimation",
    }
    assert all(m.manifest["licence"] in ("Apache-2.0", "MIT") for m in pack)
    assert sum(m.size for m in pack) < 15e6


@pytest.mark.needs_shared
def test_every_reference_model_of_plain_git_under_a_free_licence_is_in_the_catalog(shared: Path) -> None:
    """With the address, the size and the sha256 that ../shared states, fed as in tests/models."""
    catalog = load_catalog()
    sources = {m["sha256"]: m for m in json.loads((shared / "models/index.json").read_text("utf-8"))}
    free = 0
    for declared in sorted(MANIFESTS.glob("*/model.toml")):
        ours = read_manifest(declared)
        model = sources[ours.sha256]
        unchanged = model["source"]["sha256_of_source_blob"] == ours.sha256 and model["source"]["conversion"] is None
        if not unchanged or ours.licence not in ("Apache-2.0", "MIT"):
            continue
        free += 1
        entries = [m for m in catalog.model if m.sha256 == ours.sha256 and m.manifest["task"] == ours.task]
        assert len(entries) == 1, declared
        (entry,) = entries
        source = model["source"]
        assert entry.url == f"https://raw.githubusercontent.com/{source['repo']}/{source['commit']}/{source['path']}"
        assert entry.size == model["bytes"] and entry.verified and entry.figure
        theirs = entry.full_manifest()
        for part in ("head", "labels", "label_offset", "licence", "preprocess"):
            assert getattr(theirs, part) == getattr(ours, part), f"{entry.name}: {part}"
        threshold = theirs.postprocess.confidence_threshold  # what is sure is measured elsewhere
        assert theirs.postprocess == replace(ours.postprocess, confidence_threshold=threshold), entry.name
    assert free >= 16


# Model of the catalog -> the row of docs/accuracy.md with its figure, and how both are written.
ROWS = {
    "mobilenetv2-int8": ("cls-mobilenetv2-int8", "ImageNet top-1"),
    "yolox-nano": ("det-yolox-nano", "COCO mAP"),
    "nanodet-m-320": ("det-nanodet-m-320", "COCO mAP"),
    "nanodet-m-416": ("det-nanodet-m-416", "COCO mAP"),
    "picodet-s-320": ("det-picodet-s-320", "COCO mAP"),
    "picodet-s-416": ("det-picodet-s-416", "COCO mAP"),
    "deeplabv3-mnv2-257": ("seg-deeplabv3-mnv2-257", "pixel accuracy"),
    "deeplabv3-cutout": ("seg-deeplabv3-mnv2-257", "pixel accuracy"),
    "ultraface-rfb-320": ("face-ultraface-rfb320", "faces on 4 group photos"),
    "ultraface-rfb-640": ("face-ultraface-rfb640", "faces on 4 group photos"),
    "yunet-2023mar": ("face-yunet-2023mar", "faces on 4 group photos"),
    "reid-person-0248": ("reid-person-0248", "rank-1 re-identification"),
    "reid-person-0287": ("reid-person-0287", "rank-1 re-identification"),
}
MEASURED_HERE = {"yunet-n-dynamic", "person-192", "mnist-8"}


def test_the_figures_of_verified_models_are_those_of_the_measured_table() -> None:
    table = [line.split("|")[1:5] for line in (ROOT / "docs/accuracy.md").read_text("utf-8").splitlines()]
    measured, name = {}, ""
    for cells in (list(map(str.strip, row)) for row in table if len(row) == 4):
        name = cells[0] or name
        measured[name, cells[1]] = cells[2]
    verified = {m.name: m for m in load_catalog().model if m.verified}
    assert set(verified) == set(ROWS) | MEASURED_HERE
    for name, row in ROWS.items():
        for number in measured[row].replace(" of ", ", ").split(", "):
            assert number in re.findall(r"[\d.]+", verified[name].figure), f"{name}: {measured[row]}"


@pytest.mark.slow
@pytest.mark.needs_shared
def test_the_figures_that_no_table_has(shared: Path) -> None:
    """Group photos for the small YuNet, large people for the detector of people, digits in a typeface for MNIST's."""
    weights = Weights([shared / "models"])
    catalog = load_catalog()
    faces = _loaded(catalog.named("yunet-n-dynamic"), weights)
    for path, picture in pictures(shared / "media/faces"):
        if path.name.startswith("group_"):
            assert len(faces.run(picture)[0]) == int(path.name.split("_")[1])  # type: ignore[arg-type]
    digits = _loaded(catalog.named("mnist-8"), weights)
    read = sum(digits.run(digit(text))[0].names[0] == text for text in "0123456789")  # type: ignore[union-attr]
    assert catalog.named("mnist-8").figure.startswith(f"{read} of 10 ")
    detected, there = large_people(_loaded(catalog.named("person-192"), weights), shared / "media/coco")
    assert catalog.named("person-192").figure.startswith(f"{detected} of {there} ")


def digit(text: str) -> Picture:
    """A white digit on black, 80 pixels high."""
    image, stream = Image.new("RGB", (112, 112)), io.BytesIO()
    ImageDraw.Draw(image).text((56, 56), text, fill="white", anchor="mm", font=ImageFont.load_default(80))
    image.save(stream, "PNG")
    return decode(stream.getvalue())


def large_people(model: Model, coco: Path) -> tuple[int, int]:
    """How many people of more than 3 % of their photo are detected at 0.3 and an IoU of 0.5, and how many there are."""
    truth = json.loads((coco / "instances.json").read_text("utf-8"))
    frames = {i["file_name"]: i for i in truth["images"]}
    detected = there = 0
    for path, picture in pictures(coco / "val2017"):
        frame = frames[path.name]
        boxes = [
            (x, y, x + w, y + h)
            for a in truth["annotations"]
            for x, y, w, h in [a["bbox"]]
            if a["image_id"] == frame["id"] and a["category_id"] == 1 and not a["iscrowd"]
            if a["area"] > 0.03 * frame["width"] * frame["height"]
        ]
        there += len(boxes)
        if boxes:
            people = model.run(picture)[0]
            assert isinstance(people, Objects)
            overlaps = iou(np.array(boxes, np.float32), people.boxes[people.scores >= 0.3])
            detected += int((overlaps.max(axis=1, initial=0) >= 0.5).sum())
    return detected, there


def _loaded(model: CatalogEntry, weights: Weights) -> Model:
    path = weights.find(model.sha256)
    assert path is not None
    return Model(model.full_manifest(), Session(path), model.sha256)


@pytest.mark.slow
def test_the_command_line_lists_and_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    for word in ("yolox-s", "Apache-2.0", "35.9 MB", "not run by us", "classify"):
        assert word in listed
    (row,) = [line for line in listed.splitlines() if line.startswith("picodet-s-416 ")]
    assert (
        " no " in row
        and " 41 of 50 " in row
        and row.endswith("mAP 0.395 on 85 COCO val2017 photos (recommended, ran here)")
    )
    assert main(["models", "pull", "yolox-z", "--to", str(tmp_path)]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main(["models", "pull", "lama-2025jan", "--to", str(tmp_path)]) == 2
    assert "mask" in capsys.readouterr().err
    assert main(["models", "pull", "yolox-s", "--from", str(tmp_path), "--to", str(tmp_path / "m")]) == 1


def test_a_catalog_with_a_bad_address_is_refused(tmp_path: Path) -> None:
    text = CATALOG.read_text("utf-8").replace("https://media", "file:///media", 1)
    (tmp_path / "catalog.toml").write_text(text, "utf-8")
    with pytest.raises(BadManifest, match="expected https"):
        load_catalog(tmp_path / "catalog.toml")


def test_a_misspelt_manifest_in_the_catalog_is_found_when_it_is_read(tmp_path: Path) -> None:
    text = CATALOG.read_text("utf-8").replace("do_normalize", "do_normalise", 1)
    (tmp_path / "catalog.toml").write_text(text, "utf-8")
    with pytest.raises(BadManifest, match="preprocess: unknown key 'do_normalise'; did you mean 'do_normalize'"):
        load_catalog(tmp_path / "catalog.toml")
