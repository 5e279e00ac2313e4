"""COCO files of label maps and masks that lie beside the results, read back with pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pycocotools.coco import COCO

from inference.__main__ import main
from inference.results.export_rows import Found
from inference.results.formats import write

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
IDS = np.zeros((6, 8), np.uint8)
IDS[1:3, 2:7] = 1  # a road of 10 pixels
IDS[4, 0] = IDS[5, 7] = 2  # a sky of two, in two corners


def result(folder: Path, name: str = "a.png", **step: Any) -> Path:
    """A result with a map of road and sky beside it."""
    place = folder / name
    place.mkdir(parents=True)
    Pillow.fromarray(IDS).save(place / "street.png")
    rows = [{"id": f"street/{i}", "label": label, "label_id": i + 1, "area": area} for i, (label, area) in
            enumerate((("road", 10), ("sky", 2)))]  # fmt: skip
    model = {"name": "m", "version": "1", "sha256": "0"}
    made = {"name": "street", "task": "image-segmentation", "model": model, "threshold": 0, "predictions": rows,
            "map": "street.png", **step}  # fmt: skip
    source = {"name": name, "etag": "", "width": 8, "height": 6, "duration_s": None}
    document = {"schema": "dropsight/1", "source": source, "route": "r", "trace": "t", "steps": [made]}
    (place / "result.json").write_text(json.dumps(document), "utf-8")
    return place


def export(folder: Path, *options: str) -> tuple[int, Path]:
    out = folder.parent / "out.json"
    return main(["export", str(folder), "--out", str(out), *options]), out


def test_a_map_is_an_annotation_for_each_label(tmp_path: Path) -> None:
    result(tmp_path / "results")
    status, out = export(tmp_path / "results")
    assert status == 0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(out))
    road, sky = coco.loadAnns(coco.getAnnIds())
    assert (road["bbox"], road["area"], road["iscrowd"]) == ([2, 1, 5, 2], 10, 0)
    assert (sky["bbox"], sky["area"]) == ([0, 4, 8, 2], 2)
    assert np.array_equal(coco.annToMask(road), IDS == 1) and np.array_equal(coco.annToMask(sky), IDS == 2)
    assert [c["name"] for c in coco.loadCats([road["category_id"], sky["category_id"]])] == ["road", "sky"]


def test_a_document_whose_files_are_nowhere_is_named(tmp_path: Path) -> None:
    document = json.loads((result(tmp_path / "results") / "result.json").read_text("utf-8"))
    report = write([Found(document, "a.png")], "coco", tmp_path / "out.json")
    assert report.count == 0 and not (tmp_path / "out.json").exists()
    assert "a.png: 'street.png' is not there" in report.notes[-2]


def test_a_mask_that_is_a_file_is_a_segmentation(tmp_path: Path) -> None:
    rows = [{"id": "s/0", "label": "cell", "label_id": 0, "box": [2, 1, 7, 3], "mask": "masks/s-0.png"}]
    place = result(tmp_path / "results", predictions=rows)
    (place / "masks").mkdir()
    Pillow.fromarray(IDS == 1).save(place / "masks/s-0.png")
    status, out = export(tmp_path / "results")
    [annotation] = json.loads(out.read_text())["annotations"]
    assert status == 0 and annotation["segmentation"]["size"] == [6, 8]
    with contextlib.redirect_stdout(io.StringIO()):
        assert np.array_equal(COCO(str(out)).annToMask(annotation), IDS == 1)


@pytest.mark.parametrize("wrong", ["gone", "no picture", "another size", "in colour", "elsewhere", "link"])
def test_a_map_that_cannot_be_used_is_named_and_left_out(
    wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = {"map": "../../secret.png"} if wrong == "elsewhere" else {}
    result(tmp_path / "results", "good.png")
    file = result(tmp_path / "results", "bad.png", **step) / "street.png"
    Pillow.fromarray(IDS).save(tmp_path / "secret.png")
    if wrong in ("gone", "link"):
        file.unlink()
    if wrong == "link":
        file.symlink_to(tmp_path / "secret.png")
    if wrong == "no picture":
        file.write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    if wrong == "another size":
        Pillow.fromarray(IDS[:3]).save(file)
    if wrong == "in colour":
        Pillow.fromarray(IDS).convert("RGB").save(file)
    status, out = export(tmp_path / "results")
    assert status == 0 and {a["image_id"] for a in json.loads(out.read_text())["annotations"]} == {2}
    said = capsys.readouterr().err
    assert "left out: maps and masks that cannot be used" in said and "bad.png" in said


def test_without_any_map_that_can_be_used_there_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (result(tmp_path / "results") / "street.png").unlink()
    status, out = export(tmp_path / "results")
    said = capsys.readouterr()
    assert (status, out.exists(), said.out) == (1, False, "")
    assert "street.png" in said.err and "nothing to export as coco" in said.err


@pytest.mark.parametrize(("options", "expected"), [((), []), (("--boxes-as-polygons",), [[2, 1, 7, 1, 7, 3, 2, 3]])])
def test_a_box_is_a_polygon_only_where_that_is_asked_for(
    options: tuple[str, ...], expected: list[list[int]], tmp_path: Path
) -> None:
    rows = [{"id": "s/0", "label": "cell", "label_id": 0, "score": 0.5, "box": [2, 1, 7, 3]}]
    result(tmp_path / "results", task="object-detection", predictions=rows)
    _, out = export(tmp_path / "results", *options)
    [annotation] = json.loads(out.read_text())["annotations"]
    assert (annotation["segmentation"], annotation["area"], annotation["bbox"]) == (expected, 10, [2, 1, 5, 2])


def test_an_oriented_box_has_its_own_area(tmp_path: Path) -> None:
    corners = [[4, 0], [8, 3], [4, 6], [0, 3]]
    rows = [{"id": "s/0", "label": "ship", "label_id": 0, "box": [0, 0, 8, 6], "corners": corners}]
    result(tmp_path / "results", task="object-detection", predictions=rows)
    _, out = export(tmp_path / "results")
    [annotation] = json.loads(out.read_text())["annotations"]
    assert annotation["segmentation"] == [[4, 0, 8, 3, 4, 6, 0, 3]] and annotation["area"] == 24
