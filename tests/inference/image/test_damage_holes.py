"""Zeroed ranges in the pixels of WebP, HEIC, AVIF and TIFF are refused; flat pictures are not."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image as Pillow

from inference import errors
from inference.image import line_ends
from inference.image.media import decode
from inference.video import animation
from inference.video.frames import Damage, VideoLimits

pytestmark = pytest.mark.slow

PHOTO = Pillow.open(Path(__file__).resolve().parents[3] / "samples/cat.jpg").convert("RGB")
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lossy WebP": ("WEBP", {"quality": 70}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "animated WebP": ("WEBP", {}),  # a black second frame
    "AVIF": ("AVIF", {"speed": 10}),
    "HEIC": ("HEIF", {}),
    "deflated TIFF": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "LZW TIFF": ("TIFF", {"compression": "tiff_lzw"}),
    "JPEG in TIFF": ("TIFF", {"compression": "jpeg"}),
    "GIF": ("GIF", {}),
}


def written(image: Pillow.Image, kind: str, **more: Any) -> bytes:
    pillow_heif.register_heif_opener(thumbnails=False)
    format, options = KINDS[kind]
    if kind == "animated WebP":
        options = {"save_all": True, "append_images": [Pillow.new("RGB", image.size)]}
    file = io.BytesIO()
    image.save(file, format, **options, **more)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_zeroed_range_is_refused(kind: str, share: float) -> None:
    data = written(PHOTO, kind)
    assert all("animation" in note for note in decode(data).notes)
    start = data.index(b"mdat") + 64 if b"mdat" in data[:2000] else 64
    for size in (1024, (len(data) - start) // 10):
        at = start + int((len(data) - start) * share)
        with pytest.raises(errors.CorruptMedia):
            decode(data[:at] + bytes(size) + data[at + size :])


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_in_place_of_the_last_part_are_refused(kind: str) -> None:
    if kind == "animated WebP":
        return  # whose first frame is there
    data = written(PHOTO, kind)
    for share in (0.6, 0.95):
        kept = int(len(data) * share)
        with pytest.raises((errors.CorruptMedia, errors.UnsupportedMedia)):
            decode(data[:kept] + bytes(len(data) - kept))


@pytest.mark.parametrize("kind", ["lossy WebP", "lossless WebP"])
def test_zeros_that_fill_a_webp_behind_its_pixels_are_no_damage(kind: str) -> None:
    data = written(PHOTO, kind)
    (size,) = struct.unpack_from("<I", data, 16)
    filled = (
        struct.pack("<4sI4s4sI", b"RIFF", len(data) + 492, b"WEBP", data[12:16], size + 500) + data[20:] + bytes(500)
    )
    assert decode(filled).native.tobytes() == decode(data).native.tobytes()


@pytest.mark.parametrize("kind", ["lossy WebP", "AVIF"])
def test_a_hole_in_transparency_or_beside_it_is_refused(kind: str) -> None:
    cut_out = PHOTO.copy()
    cut_out.putalpha(Pillow.effect_noise(PHOTO.size, 90))
    data = written(cut_out, kind)
    assert decode(data).size == PHOTO.size
    start = data.index(b"mdat") if kind == "AVIF" else 80
    for share in (0.2, 0.85):
        at = start + int((len(data) - start) * share)
        with pytest.raises(errors.CorruptMedia):
            decode(data[:at] + bytes(1024) + data[at + 1024 :])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", ["white", "black"])
def test_flat_pictures_are_no_damage(kind: str, colour: str) -> None:
    band = PHOTO.resize((900, 600))
    band.paste(colour, (0, 200, 900, 400))
    for image in (Pillow.new("RGB", (1, 1), colour), Pillow.new("RGB", (1200, 1200), colour), band):
        decode(written(image, kind))


def test_zeros_of_flat_webps_are_no_damage() -> None:
    flat = written(Pillow.new("RGB", (1200, 1200), "white"), "lossy WebP")
    assert bytes(64) in flat
    frame = Pillow.new("RGB", (600, 600))
    frame.paste(PHOTO.resize((300, 200)), (100, 100))
    quick = written(frame, "lossless WebP", method=0, quality=0)  # no repetitions: each flat pixel has its code
    assert bytes(4096) in quick
    transparent = Pillow.new("RGBA", (800, 800))
    for data in (flat, quick, written(transparent, "lossy WebP")):
        decode(data)


@pytest.mark.parametrize("kind", ["lossy WebP", "AVIF", "HEIC", "JPEG in TIFF"])
@pytest.mark.parametrize("change", [(b"\n", b"\r\n"), (b"\r", b"\n")])
def test_a_picture_that_was_sent_as_text_is_refused(kind: str, change: tuple[bytes, bytes]) -> None:
    """Decoders of HEVC, AV1 and VP8 give other pixels, and are content."""
    with pytest.raises((errors.CorruptMedia, errors.UnsupportedMedia)):
        decode(written(PHOTO.resize((1200, 800)), kind).replace(*change))


def test_bytes_of_few_values_say_nothing_of_line_ends() -> None:
    by_chance = bytes(np.random.default_rng(3).integers(0, 256, 40_000, dtype=np.uint8))
    for data in (b"\n\0\1" * 9000, b"\r\n\r" * 9000, by_chance, by_chance[:4000].replace(b"\r", b"")):
        line_ends.check(data, "image/webp")
    for changed in (by_chance.replace(b"\n", b"\r\n"), by_chance.replace(b"\r", b"\n")):
        with pytest.raises(errors.CorruptMedia, match="image/webp file's line ends were changed on the way: send it"):
            line_ends.check(changed, "image/webp")


def test_an_animation_whose_first_frame_has_a_hole_says_so(tmp_path: Path) -> None:
    data = written(PHOTO, "animated WebP")
    for broken in (False, True):
        (tmp_path / "a.webp").write_bytes(data[:3000] + bytes(2000) + data[5000:] if broken else data)
        damage = Damage()
        frames = list(animation.frames(tmp_path / "a.webp", VideoLimits(), damage))
        assert (len(frames), damage.reason is None) == ((0, False) if broken else (2, True))
        assert not broken or "holes of zeros" in str(damage.reason)


def test_pixels_that_end_too_early_are_refused() -> None:
    file = io.BytesIO()
    PHOTO.save(file, "BMP")
    for data in (file.getvalue(), *(written(PHOTO, kind) for kind in KINDS)):
        with pytest.raises(errors.CorruptMedia):
            decode(data[: len(data) * 3 // 4])


def test_noise_gradients_and_few_pixels_are_no_damage() -> None:
    noise = Pillow.fromarray(np.random.default_rng(2).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    for image in (noise, Pillow.linear_gradient("L").convert("RGB"), PHOTO.resize((3, 2))):
        for kind in KINDS:
            decode(written(image, kind))


@pytest.mark.parametrize("kind", ["jp2", "j2k"])
def test_a_jpeg_2000_that_lacks_a_tile_is_damaged(kind: str) -> None:
    file = io.BytesIO()
    file.name = f"a.{kind}"  # with boxes or without
    Pillow.linear_gradient("L").save(file, "JPEG2000", tile_size=(64, 64))
    data = file.getvalue()
    assert decode(data).size == (256, 256)
    first = data.index(b"\xff\x90")
    length = int.from_bytes(data[first + 6 : first + 10], "big")
    last = data.rindex(b"\xff\x90")
    for damaged in (data[:first] + data[first + length :], data[:last] + b"\xff\xd9"):
        with pytest.raises(errors.CorruptMedia, match="has 15 of the 16 tiles"):
            decode(damaged)
