"""Colours are what the file's profile says, in sRGB, wherever a picture is shown to a model or drawn; and only once."""

from __future__ import annotations

import io
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from inference.draw.artifacts import image_artifacts
from inference.engine.image_to_image import _resized
from inference.heads.colors import segment
from inference.image.align import aligned
from inference.image.colour import _conversion
from inference.image.media import Picture, cropped, decode
from inference.image.preprocess import InputSpec, prepare
from inference.manifest import Manifest, Preprocess, ResizeMode
from inference.predictions import LabelMap
from inference.results.result import ModelFacts, StepResult
from inference.routes import Draw
from inference.timing import NO_TIME
from tests.inference.image.profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    grey_profile,
    ink_profile,
    rgb_profile,
    srgb_curve,
)  # fmt: skip
from tests.inference.image.test_deep import png

P3 = rgb_profile(DISPLAY_P3, srgb_curve)
# sRGB's red is #ea3323 in Display P3 (CSS Color 4), and 219, 0, 0 in Adobe RGB
P3_RED, RED = (234, 51, 35), (255, 0, 0)


def flat(colour: Any, kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (32, 24), **how: Any) -> bytes:
    file = io.BytesIO()
    Pillow.new(mode, size, colour).save(file, kind, **how)
    return file.getvalue()


def first(data: bytes) -> list[int]:
    pixel: list[int] = decode(data).pixels[0, 0].tolist()
    return pixel


def near(found: Any, expected: Any, within: int = 3) -> bool:
    return bool(np.abs(np.asarray(found, int) - expected).max() <= within)


@pytest.mark.parametrize(
    ("profile", "colour", "expected"),
    [
        (P3, P3_RED, RED),
        (P3, (255, 255, 255), (255, 255, 255)),
        (rgb_profile(ADOBE_RGB, lambda v: v**2.2), (219, 0, 0), RED),
        (rgb_profile(ADOBE_RGB, lambda v: v**2.2), (144, 255, 60), (0, 255, 0)),
        (rgb_profile(SRGB, lambda v: v), (128, 128, 128), (188, 188, 188)),  # linear light
        (rgb_profile((SRGB[2], SRGB[0], SRGB[1]), srgb_curve), (10, 220, 40), (220, 40, 10)),  # blue, red, green
    ],
    ids=["Display P3", "white", "Adobe RGB red", "Adobe RGB green", "linear", "other order"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
def test_colours_are_what_the_profile_says(kind: str, profile: bytes, colour: Any, expected: Any) -> None:
    quality: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100},
    }
    data = flat(colour, kind, icc_profile=profile, **quality.get(kind, {}))
    assert near(first(data), expected, 12 if kind == "AVIF" else 6 if kind == "JPEG" else 3)
    assert decode(data).notes == ()


def test_heif_colours() -> None:
    pillow_heif.register_heif_opener(thumbnails=False)
    assert near(first(flat(P3_RED, "HEIF", quality=-1, icc_profile=P3)), RED, 8)
    coded = flat(P3_RED, "HEIF", quality=-1, color_primaries=12, transfer_characteristics=13, save_nclx_profile=True)
    assert near(first(coded), RED, 8)


def test_grey_profiles() -> None:
    # 128 by a gamma of 1.8 is 0.2892 of the light: 146 in sRGB
    profile = grey_profile(lambda v: v**1.8)
    assert near(first(flat(128, mode="L", icc_profile=profile)), (146, 146, 146), 1)
    assert near(first(flat((128, 255), mode="LA", icc_profile=profile)), (146, 146, 146), 1)
    deep = png(np.tile(np.array([[0], [32896], [65535]], np.uint16), (1, 4))[:, :, None])
    image = Pillow.open(io.BytesIO(deep))
    file = io.BytesIO()
    image.save(file, "PNG", icc_profile=profile)
    assert near(decode(file.getvalue()).pixels[:, 0, 0], (0, 146, 255), 1)


def test_grey_that_an_rgb_profile_describes() -> None:
    linear = rgb_profile(SRGB, lambda v: v)
    assert near(first(flat(128, mode="L", icc_profile=linear)), (188, 188, 188), 1)
    assert decode(flat(128, mode="L", icc_profile=rgb_profile(SRGB, srgb_curve))).to_srgb is None


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_inks_are_what_the_profile_says(kind: str) -> None:
    # a press whose cyan is red (sRGB's red is 54, 81, 70 in Lab under D50), and whose black covers everything
    profile = ink_profile(lambda c, m, y, k: (0, 0, 0) if k else (54, 81, 70) if c else (100, 0, 0))
    inks = [((0, 0, 0, 0), (255, 255, 255)), ((255, 0, 0, 0), RED), ((0, 0, 0, 255), (0, 0, 0))]
    for ink, expected in inks:
        assert near(first(flat(ink, kind, "CMYK", icc_profile=profile)), expected, 6)


def test_inks_without_a_profile_are_as_they_were() -> None:
    assert near(first(flat((255, 0, 0, 0), "TIFF", "CMYK")), (0, 255, 255), 0)


def test_lab() -> None:
    assert near(first(flat((138, 81 + 128, 70 + 128), "TIFF", "LAB")), RED, 8)  # 138: L* 54
    assert near(first(flat((255, 128, 128), "TIFF", "LAB")), (255, 255, 255), 1)


@pytest.mark.parametrize("profile", [rgb_profile(SRGB, srgb_curve),
                                     ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()])  # fmt: skip
def test_what_equals_srgb_is_left_alone(profile: bytes) -> None:
    picture = decode(flat((201, 56, 54), icc_profile=profile))
    assert picture.to_srgb is None
    assert first(flat((201, 56, 54), icc_profile=profile)) == [201, 56, 54]


@pytest.mark.parametrize(
    ("profile", "word"),
    [(b"no profile", "damaged"), (P3[:200], "damaged"), (P3[:128] + b"\xff" * 300, "damaged"),
     (grey_profile(lambda v: v), "GRAY"), (P3 + bytes(2**20), "more than"),
     (rgb_profile(DISPLAY_P3, lambda v: 0.5), "damaged")],
    ids=["nonsense", "cut", "broken table", "of grey", "large", "one colour"],
)  # fmt: skip
def test_a_profile_that_cannot_be_used_is_ignored_and_said(profile: bytes, word: str) -> None:
    picture = decode(flat((201, 56, 54), "TIFF", icc_profile=profile))
    assert picture.pixels[0, 0].tolist() == [201, 56, 54]
    assert [word in note and "profile" in note for note in picture.notes] == [True]


def test_a_profile_that_cannot_be_unpacked_is_ignored_and_said() -> None:
    data = png(np.full((2, 2, 3), 99, np.uint8), iCCP=b"P3\0\0nonsense")
    assert first(data) == [99, 99, 99]
    assert ["profile" in note for note in decode(data).notes] == [True]


def app2(part: bytes, number: int, count: int) -> bytes:
    body = b"ICC_PROFILE\0" + bytes((number, count)) + part
    return b"\xff\xe2" + struct.pack(">H", 2 + len(body)) + body


@pytest.mark.parametrize(
    ("parts", "expected", "notes"),
    [
        ([(P3, 1, 1), (P3, 1, 1)], RED, 0),
        ([(P3[:900], 1, 2), (P3[900:], 2, 2), (P3[:900], 1, 2), (P3[900:], 2, 2)], RED, 0),
        ([(P3[900:], 2, 2), (P3[:900], 1, 2), (P3[900:], 2, 2)], RED, 0),
        ([(P3, 1, 1), (rgb_profile(ADOBE_RGB, lambda v: v**2.2), 1, 1)], P3_RED, 1),  # nothing says which
        ([(P3[:900], 1, 2), (P3[:900], 1, 2)], P3_RED, 1),
    ],
    ids=["twice", "parts twice", "one part twice", "two profiles", "a part missing"],
)
def test_a_jpeg_with_its_profile_twice(parts: list[tuple[bytes, int, int]], expected: Any, notes: int) -> None:
    plain = flat(P3_RED, "JPEG", quality=100, subsampling=0)
    picture = decode(plain[:2] + b"".join(app2(*part) for part in parts) + plain[2:])
    assert near(picture.pixels[0, 0], expected, 6) and len(picture.notes) == notes


@pytest.mark.parametrize("method", [2, 3], ids=["restricted", "any"])
def test_jpeg_2000_has_a_profile_in_its_colr_box(method: int) -> None:
    data = flat(P3_RED, "JPEG2000", size=(64, 64))
    header, colour = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    old, length = struct.unpack_from(">I", data, colour)[0], struct.unpack_from(">I", data, header)[0]
    box = struct.pack(">I4sBBB", 11 + len(P3), b"colr", method, 0, 0) + P3
    grown = data[:header] + struct.pack(">I", length - old + len(box)) + data[header + 4 : colour]
    assert near(first(grown + box + data[colour + old :]), RED)


def test_png_says_its_colours_in_chunks_of_its_own() -> None:
    def shown(colour: tuple[int, ...], **chunks: bytes) -> list[int]:
        return first(png(np.full((2, 2, 3), colour, np.uint8), **chunks))

    srgb_points = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    p3_points = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    linear, usual = struct.pack(">I", 100000), struct.pack(">I", 45455)
    assert near(shown((128, 128, 128), gAMA=linear), (188, 188, 188), 1)
    assert shown((128, 128, 128), gAMA=usual, cHRM=srgb_points) == [128, 128, 128]
    assert near(shown(P3_RED, gAMA=usual, cHRM=p3_points), RED)
    assert near(shown(P3_RED, cHRM=p3_points), RED)
    assert shown(P3_RED, sRGB=b"\0", gAMA=linear, cHRM=p3_points) == list(P3_RED)  # sRGB says more
    assert near(shown(P3_RED, cICP=bytes((12, 13, 0, 1)), sRGB=b"\0"), RED)  # and cICP most
    assert shown((128, 128, 128), gAMA=bytes(4), cHRM=bytes(32)) == [128, 128, 128]


@pytest.mark.parametrize(
    ("transfer", "grey", "expected", "note"),
    [
        (16, 148, 240, "PQ, BT.2020: mapped to SDR"),  # 203 cd/m2, the white of SDR: 0.8 + 0.2 / sqrt(2) of 255
        (16, 112, 142, "PQ, BT.2020: mapped to SDR"),  # 50 cd/m2: (50 / 203) ** (1 / 2.4)
        (18, 191, 240, "HLG, BT.2020: mapped to SDR"),  # 203 cd/m2
        (18, 128, 143, "HLG, BT.2020: mapped to SDR"),  # 50.7 cd/m2
    ],
)
def test_high_dynamic_range_is_mapped(transfer: int, grey: int, expected: int, note: str) -> None:
    picture = decode(png(np.full((2, 2, 3), grey, np.uint8), cICP=bytes((9, transfer, 0, 1))))
    assert near(picture.pixels[0, 0], [expected] * 3, 4)  # as much as a step of 8 bits
    assert picture.notes == (note,)
    avif = flat((grey, grey, grey), "AVIF", quality=100)
    at = avif.index(b"colrnclx") + 8
    assert near(first(avif[:at] + struct.pack(">HH", 9, transfer) + avif[at + 4 :]), [expected] * 3, 4)


def test_avif_says_its_colours_by_code() -> None:
    data = flat(P3_RED, "AVIF", quality=100)
    at = data.index(b"colrnclx") + 8
    assert struct.unpack_from(">HH", data, at) == (1, 13)
    assert near(first(data), P3_RED, 4)
    assert near(first(data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :]), RED, 8)


@pytest.fixture(scope="module")
def red() -> bytes:
    """sRGB's red as a photo in Display P3 has it, 320 x 240."""
    return flat(P3_RED, "JPEG", size=(320, 240), quality=100, subsampling=0, icc_profile=P3)


@pytest.mark.parametrize(
    "box", [None, (10.0, 10.0, 90.0, 90.0), (-30.0, -30.0, 60.0, 60.0)], ids=["all", "crop", "over the edge"]
)
@pytest.mark.parametrize("at_least", [None, 64])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("mode", ["letterbox", "stretch"])
def test_a_model_sees_srgb(red: bytes, box: Any, at_least: int | None, antialias: bool, mode: ResizeMode) -> None:
    how = Preprocess(do_rescale=False, do_normalize=False, antialias=antialias, resize_mode=mode, pad_value=(7.0,))
    spec = InputSpec("x", np.dtype(np.uint8), "nhwc", 64, 64)
    tensor, _ = prepare(decode(red, at_least=at_least), how, spec, box)
    colours = {tuple(c) for c in tensor.reshape(-1, 3).tolist()}
    assert all(near(c, RED, 8) or c == (7, 7, 7) for c in colours), colours
    assert any(near(c, RED, 8) for c in colours)


def test_a_model_sees_srgb_at_the_pictures_own_size(red: bytes) -> None:
    how = Preprocess(do_rescale=False, do_normalize=False, do_resize=False)
    tensor, _ = prepare(decode(red), how, InputSpec("x", np.dtype(np.uint8), "nhwc", None, None))
    assert near(tensor[0, 0, 0], RED, 8)


def test_every_other_reader_sees_srgb_once(red: bytes) -> None:
    picture, reduced = decode(red), decode(red, at_least=64)
    landmarks = np.array([[38, 51], [73, 51], [56, 71], [41, 92], [70, 92]], np.float32)
    parts: dict[str, Picture] = {
        "crop": cropped(picture, (5, 5, 50, 50)),
        "crop of a crop": cropped(cropped(picture, (5, 5, 50, 50)), (1, 1, 9, 9)),
        "crop of a reduced picture": cropped(reduced, (5, 5, 50, 50)),
        "resized": _resized(picture, (30, 20)),
    }
    for name, part in parts.items():
        assert near(part.pixels[0, 0], RED, 8), name
        assert near(np.asarray(part.full())[0, 0], RED, 8), name
    assert near(np.asarray(reduced.full())[0, 0], RED, 8)
    assert near(aligned(picture, landmarks).pixels[60, 60], RED, 8)


def test_colours_are_named_in_srgb(red: bytes) -> None:
    manifest = Manifest(name="colors", version="1", file="", task="image-segmentation", head="colors")
    for picture in (decode(red), cropped(decode(red), (5, 5, 50, 50))):
        (name,) = segment(picture, manifest).names
        assert near([int(name[i : i + 2], 16) for i in (1, 3, 5)], RED, 8)


def test_what_is_drawn_is_srgb_without_a_profile(red: bytes) -> None:
    ids = LabelMap(np.zeros((240, 320), np.uint8), ("a",))
    step = StepResult("s", "image-segmentation", ModelFacts("m", "1", "", "cpu", None, 0.0), ids, NO_TIME, "")
    files, _ = image_artifacts(decode(red), [step], Draw(masks=0.0, labels=False))
    drawn = Pillow.open(io.BytesIO(files["annotated.jpg"]))
    assert "icc_profile" not in drawn.info
    assert near(drawn.getpixel((160, 120)), RED, 8)


def test_threads_share_a_conversion() -> None:
    convert, _ = _conversion(P3, "RGB")
    assert convert is not None
    chance = np.random.default_rng(1)
    images = [Pillow.fromarray(chance.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(16)]
    alone = [np.asarray(convert(image)) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: np.asarray(convert(image)), images))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_animations_are_srgb(tmp_path: Any) -> None:
    from inference.video.animation import frames
    from inference.video.frames import Damage, VideoLimits

    stack = [Pillow.new("RGB", (16, 16), colour) for colour in (P3_RED, (255, 255, 255))]
    stack[0].save(tmp_path / "a.png", save_all=True, append_images=stack[1:], icc_profile=P3)
    shown = [np.asarray(frame.picture)[0, 0] for frame in frames(tmp_path / "a.png", VideoLimits(), Damage())]
    assert near(shown, [RED, (255, 255, 255)])
