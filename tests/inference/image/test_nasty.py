"""Every broken, odd or hostile picture gets the outcome that the ground truth names, in a process of its own."""

from __future__ import annotations

import io
import json
import multiprocessing
import queue
import struct
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference import errors
from inference.image import gif_blocks
from inference.image.limits import Limits
from inference.image.media import decode

pytestmark = pytest.mark.slow
SHARED = Path(__file__).resolve().parents[3].parent / "shared"
DEADLINE_S = 60


def nasty_pictures() -> list[dict[str, object]]:
    index = SHARED / "media" / "index.json"
    if not index.is_file():
        return []
    entries = json.loads(index.read_text("utf-8"))
    return [e for e in entries if e["kind"] in ("nasty-image", "exif-orientation")]


@pytest.mark.needs_shared
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no memory limit for a child process")
@pytest.mark.parametrize("entry", nasty_pictures() or [None], ids=lambda e: e["file"] if e else "absent")
def test_outcome_in_a_process_of_its_own(entry: dict[str, object], shared: Path) -> None:
    from tests.inference.image.child import outcome

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.inference.image.child"])
    answer = context.Queue()
    child = context.Process(target=outcome, args=(shared / "media" / str(entry["file"]), answer))
    child.start()
    try:
        kind, message, size = answer.get(timeout=DEADLINE_S)
    except queue.Empty:
        pytest.fail(f"no answer in {DEADLINE_S} s, exit code {child.exitcode}")
    finally:
        child.kill()
        child.join()
    truth = entry["ground_truth"]
    assert isinstance(truth, dict)
    expected = truth.get("expect", "process")
    if kind == "ok":
        assert "process" in expected or "partial decode" in expected, f"{expected!r}, yet it was analysed"
        if "size" in truth:
            assert list(size) == truth["size"]
    else:
        assert "error" in expected, f"{expected!r}, yet {kind}: {message}"
        assert issubclass(getattr(errors, kind), errors.Permanent)
        assert Path(str(entry["file"])).name in message


@pytest.mark.needs_shared
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process its size this way")
def test_short_memory_is_an_error_that_passes(shared: Path) -> None:
    from tests.inference.image.child import outcome_without_memory

    context = multiprocessing.get_context("forkserver")
    answer = context.Queue()
    child = context.Process(target=outcome_without_memory, args=(shared / "media/nasty/exif/Landscape_0.jpg", answer))
    child.start()
    try:
        assert answer.get(timeout=DEADLINE_S) == ("OutOfMemory", "ok")
    finally:
        child.kill()
        child.join()


def test_the_frames_of_a_large_gif_are_not_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = [Pillow.new("RGB", (8, 8), (50 * i, 0, 0)) for i in range(5)]
    buffer = io.BytesIO()
    stack[0].save(buffer, "GIF", save_all=True, append_images=stack[1:])
    picture = decode(buffer.getvalue())
    assert picture.frames == 5
    assert picture.notes[0].startswith("an animation of 5 frames, of which the first is analysed; animations =")
    monkeypatch.setattr(
        gif_blocks, "MAX_PARTS", 6
    )  # of a picture of so few pixels: its control, itself, a part of each
    picture = decode(buffer.getvalue())
    assert picture.frames == 0 and picture.notes[0].startswith("an animation of at least 2 frames")


@pytest.mark.needs_shared
def test_all_exif_orientations_give_the_same_upright_picture(shared: Path) -> None:
    pictures = [decode(p.read_bytes()) for p in sorted((shared / "media/nasty/exif").glob("*.jpg"))]
    assert len(pictures) == 9
    first = np.asarray(pictures[0].image.resize((90, 60)), np.float32)
    for picture in pictures[1:]:
        assert picture.size == pictures[0].size
        assert np.abs(np.asarray(picture.image.resize((90, 60)), np.float32) - first).mean() < 6


_STORED = {  # how an upright picture is stored so that this orientation turns it upright again
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_90,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", _STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_format_is_turned_upright_exactly_once(kind: str, orientation: int) -> None:
    pillow_heif.register_heif_opener(thumbnails=False)
    photo = Pillow.open(Path(__file__).resolve().parents[3] / "samples/cat.jpg").convert("RGB").resize((128, 80))
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    photo.transpose(_STORED[orientation]).save(file, kind, exif=exif.tobytes())
    picture = decode(file.getvalue())
    assert picture.size == picture.image.size == (128, 80)
    assert picture.orientation == (orientation if kind != "HEIF" else 1)
    assert np.abs(picture.pixels.astype(float) - np.asarray(photo)).mean() < 8


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("cmyk-dog.jpg", 12), ("rgb16-dog.png", 4), ("dog.bmp", 4), ("multipage-dog.tif", 4), ("still-dog.webp", 8),
        ("still-dog.avif", 8), ("still-dog.heic", 8), ("exif6-dog.png", 4), ("exif6-dog.webp", 8), ("apng-dog.png", 4),
        ("animated-dog.gif", 14), ("animated-dog.webp", 12), ("progressive-dog.jpg", 6),
    ],
)  # fmt: skip
def test_every_format_shows_the_same_dog(name: str, tolerance: float, shared: Path) -> None:
    plain, other = (decode((shared / "media/nasty" / n).read_bytes()).pixels for n in ("plain-dog.jpg", name))
    assert other.shape == plain.shape
    assert np.abs(other.astype(float) - plain).mean() < tolerance


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", ["gray-dog.jpg", "gray16-dog.png", "float32-gray-dog.tif"])
def test_grey_pictures_keep_their_tones(name: str, shared: Path) -> None:
    plain = np.asarray(decode((shared / "media/nasty/plain-dog.jpg").read_bytes()).image.convert("L"), float)
    grey = decode((shared / "media/nasty" / name).read_bytes()).pixels
    assert np.abs(grey[:, :, 0] - plain).mean() < 5, "a clipped picture would be white"


def grey_tiff(values: NDArray[Any], order: Literal["<", ">"]) -> bytes:
    """An uncompressed grey TIFF of numbers as they are, in byte order "<" or ">" (Pillow writes only its own)."""
    height, width = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    numbers = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: 1, 273: 8, 277: 1, 278: height,
            279: len(data), 339: numbers}  # fmt: skip
    table = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    return start + data + struct.pack(f"{order}H", len(tags)) + table + bytes(4)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("values", "tones"),
    [
        (np.asarray([[0, 8224, 32896]], np.uint16), [0, 32, 128]),  # a dark picture stays dark, in both byte orders
        (np.asarray([[0, 8224, 65535]], np.int32), [0, 32, 255]),
        (np.asarray([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.asarray([[-3e38, 0.0, 3e38]], np.float32), [0, 128, 255]),
        (np.asarray([[1000.0, 1000.0]], np.float32), [128, 128]),
        (np.asarray([[-7, -7]], np.int32), [128, 128]),
    ],
    ids=["u16", "i32", "f32", "f32 huge", "f32 flat", "i32 flat"],
)
def test_deep_grey_is_scaled_and_never_clipped(
    values: NDArray[Any], tones: list[int], order: Literal["<", ">"]
) -> None:
    assert decode(grey_tiff(values, order)).pixels[0, :, 0].tolist() == tones


@pytest.mark.needs_shared
def test_transparency_lies_over_white(shared: Path) -> None:
    pixels = decode((shared / "media/nasty/rgba-dog.png").read_bytes()).pixels
    assert (pixels[:, :90] == 255).all()


def test_one_transparent_colour_lies_over_white(tmp_path: Path) -> None:
    noise = np.full((4, 4, 3), (10, 200, 30), np.uint8)
    noise[0, 0] = (1, 2, 3)
    Pillow.fromarray(noise).save(tmp_path / "a.png", transparency=(1, 2, 3))
    pixels = decode((tmp_path / "a.png").read_bytes()).pixels
    assert (pixels[0, 0].tolist(), pixels[1, 1].tolist()) == ([255, 255, 255], [10, 200, 30])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xef\xbb\xbfhello,\r\n\tworld", "a text file"),
        (b"x" * 4095 + "ä".encode(), "a text file"),  # cut in its last character
        (b"%PDF-1.4\n", "a PDF document"),
        (b"hello\0world", "an unknown kind that starts with 68 65 6c 6c 6f 00 77 6f"),
        (b"\x93\xfa\x96\x7b", "an unknown kind that starts with 93 fa 96 7b"),
    ],
)
def test_what_is_no_picture_is_called_what_it_is(data: bytes, kind: str) -> None:
    with pytest.raises(errors.UnsupportedMedia, match=kind):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"])
def test_whatever_is_broken_in_a_file_is_an_error_of_the_file(kind: str) -> None:
    pillow_heif.register_heif_opener(thumbnails=False)
    chance = np.random.default_rng(5)
    file = io.BytesIO()
    Pillow.fromarray(chance.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(file, kind)
    refused = 0
    for _ in range(60):
        data = np.frombuffer(file.getvalue(), np.uint8).copy()
        data[chance.integers(12, len(data), 30)] = chance.integers(0, 255, 30)
        try:
            decode(data.tobytes(), Limits(pixels=1_000_000))
        except errors.Permanent:
            refused += 1
    assert refused or kind == "BMP"


@pytest.mark.needs_shared
def test_a_reduced_jpeg_keeps_its_coordinates(shared: Path) -> None:
    data = (shared / "media/nasty/exif/Landscape_6.jpg").read_bytes()
    picture = decode(data, at_least=224)
    assert picture.size == (1800, 1200)
    assert min(picture.image.size) == 300


@pytest.mark.needs_shared
def test_limits_are_checked_before_decoding(shared: Path) -> None:
    data = (shared / "media/nasty/plain-dog.jpg").read_bytes()
    for limits, word in (
        (Limits(bytes=100), "bytes"),
        (Limits(pixels=1000), "megapixels"),
        (Limits(side=300), "pixels a side"),
        (Limits(memory=1000), "MiB"),
    ):
        with pytest.raises(errors.LimitExceeded, match=word):
            decode(data, limits)
