"""Metadata of pictures: what a model made says so, and nothing of an upload's own metadata reaches an artifact."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from inference.analysis import analyze
from inference.draw.artifacts import image_artifacts
from inference.draw.xmp import packet
from inference.engine.registry import BUILT_IN, Registry
from inference.heads.image import origin_of
from inference.image.media import decode
from inference.manifest import Manifest, Postprocess
from inference.predictions import Classes, Embedding, LabelMap, Masks, Objects, Origin, OutputImage, Predictions
from inference.results.result import ModelFacts, StepResult
from inference.routes import Draw, Route, Step
from inference.version import __version__

TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"
SECRET = b"SECRET"
TRAINED = Origin("brush", "2", "compositeWithTrainedAlgorithmicMedia")
ALTERED = Origin("cutout", "1", "algorithmicallyEnhanced")


def described(xmp: bytes | str) -> dict[str, str]:
    """The attributes of a packet's description."""
    text = xmp.decode() if isinstance(xmp, bytes) else xmp
    (description,) = ElementTree.fromstring(text).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    return dict(description.attrib)


def xmp_of(data: bytes) -> dict[str, str] | None:
    with Pillow.open(io.BytesIO(data)) as image:
        image.load()
        xmp = image.info.get("xmp")
    return described(xmp) if xmp else None


def step(name: str, predictions: Predictions) -> StepResult:
    return StepResult(name, "any", ModelFacts(name, "1", "", ""), predictions)


def every_step() -> list[StepResult]:
    """A step of every kind that writes files, for a picture of 64 x 48."""
    box = np.array([[4, 4, 40, 40]], np.float32)
    masks = Masks((48, 64), np.array([[4, 4, 40, 40]]), (np.ones((36, 36), np.bool_),))
    objects = Objects(box, np.array([0.9], np.float32), np.zeros(1, np.int64), ("dog",), masks=masks)
    rgb, rgba = np.full((48, 64, 3), 99, np.uint8), np.full((48, 64, 4), 99, np.uint8)
    return [
        step("named", Classes(np.zeros(1, np.int64), np.array([0.9], np.float32), ("dog",))),
        step("found", objects),
        step("map", LabelMap(np.zeros((48, 64), np.int64), ("sky",))),
        step("drawn", OutputImage(rgb, TRAINED)),
        step("cut", OutputImage(rgba, ALTERED)),
        step("vector", Embedding(np.ones(4, np.float32))),
    ]


def upload(kind: str) -> bytes:
    """A picture file with SECRET in everything that the format has for words, and a place."""
    image = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    exif = Pillow.Exif()
    exif[0x010F] = exif[0x010E] = "SECRET"  # Make, ImageDescription
    exif.get_ifd(0x8825).update({1: "N", 2: (50.0, 5.0, 0.0), 29: "SECRET"})  # GPS
    exif.get_ifd(0x8769).update({0x927C: b"SECRET maker note"})
    extra: dict[str, object] = {"exif": exif.tobytes(), "icc_profile": b"SECRET" * 30}
    if kind in ("JPEG", "WEBP", "AVIF"):
        extra["xmp"] = b"<x>SECRET</x>"
    if kind in ("JPEG", "GIF"):
        extra["comment"] = b"SECRET comment"
    if kind == "PNG":
        text = PngInfo()
        text.add_text("Comment", "SECRET")
        text.add_text("Copyright", "SECRET", zip=True)
        text.add_itxt("XML:com.adobe.xmp", "<x>SECRET</x>")
        extra["pnginfo"] = text
    buffer = io.BytesIO()
    image.save(buffer, kind, **extra)
    data = buffer.getvalue()
    if kind == "JPEG":  # APP13, as Photoshop writes IPTC's caption
        iptc = b"\x1c\x02\x78\x00\x06SECRET"
        block = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + len(iptc).to_bytes(4, "big") + iptc + b"\x00"
        data = data[:2] + b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]
    assert SECRET in data
    return data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF"])
def test_nothing_of_an_uploads_metadata_reaches_an_artifact(kind: str) -> None:
    picture = decode(upload(kind))
    files, _ = image_artifacts(picture, every_step(), Draw(blur=("dog",)))
    assert {Path(name).name for name in files} >= {"annotated.jpg", "map.png", "drawn.jpg", "cut.png", "found-0.png"}
    compared, _ = image_artifacts(picture, every_step()[3:5], Draw(compare=True))
    for name, data in [*files.items(), ("compared.jpg", compared["annotated.jpg"])]:
        assert SECRET not in data, name
        if not name.endswith(".npy"):
            with Pillow.open(io.BytesIO(data)) as image:
                image.load()
                assert not image.getexif() and not {"comment", "icc_profile"} & set(image.info), name
    assert picture.image.info == {}  # nor what a user of the library saves


@pytest.mark.slow
def test_a_whole_analysis_leaves_it_out_too() -> None:
    """Through the models: what they make is not saved from the file that was opened."""
    route = Route("r", (Step("faces"), Step("colors"), Step("cartoon")))
    artifacts = analyze(upload("JPEG"), route, Registry([BUILT_IN])).artifacts
    assert set(artifacts) == {"annotated.jpg", "colors.png", "cartoon.jpg"}
    assert not [name for name, data in artifacts.items() if isinstance(data, bytes) and SECRET in data]


@pytest.mark.needs_shared
def test_a_heic_keeps_nothing_either(shared: Path) -> None:
    assert decode((shared / "media/nasty/still-dog.heic").read_bytes()).image.info == {}


def test_what_a_model_made_says_so_and_drawings_do_not() -> None:
    files, _ = image_artifacts(decode(upload("JPEG")), every_step(), Draw())
    assert xmp_of(files["drawn.jpg"]) == {
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about": "",
        TOOL: f"Dropsight {__version__}, brush 2",
        f"{EXT}DigitalSourceType": f"{TERMS}compositeWithTrainedAlgorithmicMedia",
        f"{EXT}AISystemUsed": "brush",
        f"{EXT}AISystemVersionUsed": "2",
    }
    cut = xmp_of(files["cut.png"])
    assert cut and cut[f"{EXT}DigitalSourceType"] == f"{TERMS}algorithmicallyEnhanced"
    assert f"{EXT}AISystemUsed" not in cut
    assert xmp_of(files["annotated.jpg"]) is None and xmp_of(files["map.png"]) is None


def test_before_and_after_carries_the_origin_of_its_second_half() -> None:
    picture = decode(upload("PNG"))
    steps = [step("cut", OutputImage(np.full((48, 64, 4), 9, np.uint8), ALTERED)), every_step()[3]]
    files, _ = image_artifacts(picture, steps, Draw(compare=True))
    said = xmp_of(files["annotated.jpg"])
    assert said and said[f"{EXT}DigitalSourceType"] == f"{TERMS}compositeWithTrainedAlgorithmicMedia"


def test_the_same_result_has_the_same_bytes() -> None:
    first, second = (image_artifacts(decode(upload("JPEG")), every_step(), Draw())[0] for _ in range(2))
    assert first == second


def test_any_name_of_a_model_gives_a_packet_that_can_be_read() -> None:
    named = described(packet(replace(TRAINED, model="\"<&>' \x00\né" + "x" * 100_000)))
    assert named[f"{EXT}AISystemUsed"].startswith("\"<&>' é")
    assert len(packet(replace(TRAINED, model="&" * 100_000))) < 5_000  # a JPEG's segment holds 64 KiB


@pytest.mark.parametrize(
    ("params", "source_type"),
    [
        ({}, "compositeWithTrainedAlgorithmicMedia"),
        ({"kind": "ab"}, "compositeWithTrainedAlgorithmicMedia"),
        ({"kind": "y"}, "algorithmicallyEnhanced"),
        ({"kind": "alpha"}, "algorithmicallyEnhanced"),
        ({"source_type": "algorithmicallyEnhanced"}, "algorithmicallyEnhanced"),
    ],
)
def test_the_kind_of_a_model_or_its_manifest_decides(params: dict[str, str], source_type: str) -> None:
    manifest = Manifest("m", "image-to-image", "image", postprocess=Postprocess(params=params))
    assert origin_of(manifest) == Origin("m", "1", source_type)  # type: ignore[arg-type]


def test_what_was_built_without_training_does_not_claim_any() -> None:
    entries = {e.name: e.manifest for e in Registry([BUILT_IN]).list()}
    types = {}
    for name in ("sketch", "cartoon", "style-brush"):
        manifest = entries[name]
        assert manifest
        types[name] = origin_of(manifest).source_type
    assert types == {
        "sketch": "algorithmicallyEnhanced",
        "cartoon": "algorithmicallyEnhanced",
        "style-brush": "compositeWithTrainedAlgorithmicMedia",
    }
