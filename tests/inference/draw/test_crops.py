"""Objects saved as pictures: what they show, how they are called, and what must not be in them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.draw import crops
from inference.draw.artifacts import image_artifacts
from inference.draw.crops import crop_files
from inference.image.media import Picture, decode
from inference.predictions import Classes, Objects, OutputImage
from inference.results.result import Cost, ModelFacts, Result, Source, StepResult
from inference.routes import Draw
from tests.inference.draw.test_xmp import SECRET, upload


def objects(*boxes: tuple[float, float, float, float], label: str = "person", score: float = 0.9) -> Objects:
    count = len(boxes)
    scores, ids = np.full(count, score, np.float32), np.zeros(count, np.int64)
    return Objects(np.asarray(boxes, np.float32).reshape(-1, 4), scores, ids, (label,) * count)


def step(name: str, predictions: Objects) -> StepResult:
    return StepResult(name, "object-detection", ModelFacts(name, "1", "", ""), predictions)


def noise(width: int, height: int, mode: str = "RGB") -> Pillow.Image:
    """Blocks of 4 x 4 pixels, which JPEG keeps."""
    cells = np.random.default_rng(3).integers(0, 256, (-(-height // 4), -(-width // 4), len(mode)), np.uint8)
    return Pillow.fromarray(cells.repeat(4, 0).repeat(4, 1)[:height, :width].squeeze(), mode)


def picture(width: int, height: int) -> Picture:
    return Picture(noise(width, height), (width, height))


def opened(data: bytes) -> Pillow.Image:
    image = Pillow.open(io.BytesIO(data))
    image.load()
    assert image.format == "JPEG" and image.mode == "RGB"
    return image


def apart(one: Pillow.Image, other: Pillow.Image) -> float:
    """How far two pictures of the same size are apart in the mean, 0..255."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def test_a_crop_is_the_box_and_a_tenth_of_it_on_each_side() -> None:
    seen = picture(200, 120)
    found = [step("d", objects((50, 20, 90, 60), (0, 0, 60, 20)))]
    files = crop_files(seen, found, Draw(crops=("person",), quality=95))
    assert files.names == {"d/0": "crops/d-0.jpg", "d/1": "crops/d-1.jpg"} and files.notes == ()
    for name, box in (("crops/d-0.jpg", (46, 16, 94, 64)), ("crops/d-1.jpg", (0, 0, 66, 22))):
        crop, beside = opened(files.files[name]), seen.image.crop((box[0] + 8, box[1] + 8, box[2] + 8, box[3] + 8))
        assert apart(crop, seen.image.crop(box)) < 25 < apart(crop, beside)


def test_only_the_labels_that_are_asked_for_and_what_is_on_their_crops() -> None:
    """The pose of a person is that person again; a face on it is not."""
    pose = replace(objects((10, 10, 50, 90)), attributes=({"faces": objects((20, 10, 40, 30), label="face")},))
    happy = Classes(np.zeros(1, int), np.ones(1), ("happy",))
    people = replace(objects((10, 10, 60, 100)), attributes=({"pose": pose, "mood": happy},))
    steps = [step("car", objects((0, 0, 9, 9), label="car")), step("people", people)]
    files = crop_files(picture(100, 120), steps, Draw(crops=("person", "face")))
    face = "people/0/pose/0/faces/0"
    assert files.names == {"people/0": "crops/people-0.jpg", face: "crops/people-0/pose-0/faces-0.jpg"}
    assert set(files.files) == set(files.names.values())
    result = Result(Source(), "r", tuple(steps), {}, Cost(0, None, 0), crops=files.names).to_json()
    (person,) = result["steps"][1]["predictions"]
    assert person["crop"] == "crops/people-0.jpg"
    (posed,) = person["attributes"]["pose"]
    assert "crop" not in posed and posed["attributes"]["faces"][0]["crop"] == files.names[face]
    assert "crop" not in result["steps"][0]["predictions"][0]


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "..", "人", "C:\\x", "a" * 400, "annotated"])
def test_any_name_of_a_step_gives_a_file_in_the_folder(name: str) -> None:
    files = crop_files(picture(60, 60), [step(name, objects((1, 1, 9, 9)))], Draw(crops=("person",)))
    (file,) = files.files
    assert file.startswith("crops/") and file.count("/") == 1 and file.endswith("-0.jpg") and len(file) < 200
    assert file.isascii() and not set(file) & set('\\:*?"<>|')


def test_what_is_to_be_blurred_is_blurred_in_crops() -> None:
    """A face of one step on the crop of another's person, and that face's own crop."""
    seen = picture(300, 300)
    people = replace(objects((40, 40, 140, 240)), attributes=({"faces": objects((60, 50, 120, 120), label="face")},))
    draw = Draw(crops=("person", "face"), blur=("face",), quality=95, annotated=False)
    files = crop_files(seen, [step("people", people)], draw).files
    person = np.asarray(opened(files["crops/people-0.jpg"]), float)  # from 30, 20
    assert np.abs(np.diff(person[35:95, 35:85], axis=1)).mean() < 4
    assert (
        apart(opened(files["crops/people-0.jpg"]).crop((0, 130, 120, 230)), seen.image.crop((30, 150, 150, 250))) < 25
    )
    face = np.asarray(opened(files["crops/people-0/faces-0.jpg"]), float)
    assert np.abs(np.diff(face[10:-10, 10:-10], axis=1)).mean() < 4
    sharp = crop_files(seen, [step("people", people)], replace(draw, blur=())).files
    assert np.abs(np.diff(np.asarray(opened(sharp["crops/people-0/faces-0.jpg"]), float), axis=1)).mean() > 12


def test_the_best_are_saved_where_there_are_too_many() -> None:
    many = objects(*[(i, 0, i + 4, 4) for i in range(230)])
    many = replace(many, scores=np.linspace(0.1, 0.9, 230, dtype=np.float32))
    files = crop_files(picture(240, 8), [step("d", many)], Draw(crops=("person",)))
    assert set(files.names) == {f"d/{i}" for i in range(30, 230)} and len(files.files) == 200
    assert files.notes == ("draw.crops: of 230 objects the 200 with the highest scores are saved as pictures",)


def test_their_pixels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "_MOST_PIXELS", 25_000)  # the picture has 10,000
    whole = objects(*[(0, 0, 100, 100)] * 4)
    files = crop_files(picture(100, 100), [step("d", whole)], Draw(crops=("person",)))
    assert set(files.names) == {"d/0", "d/1"} and files.notes
    small = crop_files(picture(100, 100), [step("d", whole)], Draw(crops=("person",), longest_side=40))
    assert len(small.names) == 4 and all(opened(data).size == (40, 40) for data in small.files.values())


def test_quality_and_longest_side_hold_for_everything_drawn() -> None:
    seen, found = picture(400, 300), step("d", objects((0, 0, 400, 300)))
    made = StepResult("s", "image-to-image", found.model, OutputImage(np.asarray(seen.image)))
    sizes = {}
    for draw in (Draw(), Draw(quality=20, longest_side=250, crops=("person",))):
        files, _ = image_artifacts(seen, [found, made], draw)
        sizes[draw.quality] = len(files["s.jpg"])
        assert opened(files["s.jpg"]).size == (400, 300)  # what a step gives is not scaled
    assert sizes[20] < sizes[90] / 2
    assert opened(files["annotated.jpg"]).size == (250, 188)
    assert opened(crop_files(seen, [found], draw).files["crops/d-0.jpg"]).size == (250, 188)
    assert "annotated.jpg" not in image_artifacts(seen, [found], Draw(annotated=False))[0]
    compared, _ = image_artifacts(seen, [made], Draw(compare=True, longest_side=333))
    assert 325 <= max(opened(compared["annotated.jpg"]).size) <= 333


@pytest.mark.parametrize("side", [32, 100, 639])
@pytest.mark.parametrize("size", [(24, 24), (640, 8), (1000, 700)])
def test_no_annotated_picture_is_longer_than_was_asked_for(side: int, size: tuple[int, int]) -> None:
    files, _ = image_artifacts(picture(*size), [step("d", objects((1, 1, 9, 8)))], Draw(longest_side=side))
    assert max(opened(files["annotated.jpg"]).size) == min(side, 240 if max(size) < 240 else max(size))


def test_labels_are_drawn_after_scaling() -> None:
    """On a large picture scaled down to 400 pixels, the tag is as high as on one of 400 pixels."""
    heights = []
    for width, box in ((4000, (1000, 1000, 3000, 2000)), (400, (100, 100, 300, 200))):
        seen = Picture(Pillow.new("RGB", (width, width * 3 // 4), "white"), (width, width * 3 // 4))
        files, _ = image_artifacts(seen, [step("d", objects(box))], Draw(longest_side=400, quality=95))
        drawn = np.asarray(opened(files["annotated.jpg"]), int)
        rows = np.flatnonzero((np.ptp(drawn[:96, 104:150], axis=2) > 60).any(axis=1))
        heights.append(len(rows))
    assert heights[0] == heights[1] >= 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_nothing_of_an_uploads_metadata_reaches_a_crop(kind: str) -> None:
    seen = decode(upload(kind))
    for blur in ((), ("person",)):
        draw = Draw(crops=("person",), blur=blur)
        (data,) = crop_files(seen, [step("d", objects((4, 4, 40, 40)))], draw).files.values()
        image = opened(data)
        assert SECRET not in data and not image.getexif()
        assert not {"comment", "icc_profile", "xmp", "exif"} & set(image.info)


def encoded(image: Pillow.Image, kind: str, **options: object) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return decode(buffer.getvalue())


def test_crops_are_upright_opaque_and_of_8_bits() -> None:
    """Boxes are in pixels of the upright picture; transparency lies over white; the highest of 16 bits is white."""
    found = [step("d", objects((10, 0, 20, 10)))]
    draw = Draw(crops=("person",), quality=95)
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turned by 90 degrees to the right: the left column is the top row
    sideways = Pillow.new("RGB", (40, 80), "blue")
    sideways.paste("red", (0, 50, 20, 80))
    (data,) = crop_files(encoded(sideways, "PNG", exif=exif), found, draw).files.values()
    assert opened(data).size == (12, 11) and opened(data).getpixel((5, 5)) == pytest.approx((255, 0, 0), abs=6)
    clear = Pillow.new("RGBA", (40, 80), (0, 0, 0, 0))
    clear.putpixel((39, 79), (0, 0, 0, 255))
    (data,) = crop_files(encoded(clear, "PNG"), found, draw).files.values()
    assert opened(data).getpixel((5, 5)) == (255, 255, 255)
    deep = Pillow.fromarray(np.tile(np.linspace(0, 65535, 40, dtype=np.uint16), (80, 1)))
    (data,) = crop_files(encoded(deep, "PNG"), found, draw).files.values()
    assert opened(data).getpixel((5, 5)) == pytest.approx((94, 94, 94), abs=6)  # column 14 of 39: 14 / 39 * 255 = 92


@pytest.mark.parametrize(
    "box", [(-50, -50, -10, -10), (5, 5, 5, 5), (90, 90, 80, 80), (-1e5, 0, 1e5, 1e5), (200, 0, 300, 9)]
)
def test_boxes_outside_the_picture_or_without_extent_do_no_harm(box: tuple[float, float, float, float]) -> None:
    (data,) = crop_files(picture(100, 100), [step("d", objects(box))], Draw(crops=("person",))).files.values()
    assert min(opened(data).size) >= 1
