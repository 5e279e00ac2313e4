"""What it costs to tell damaged pictures from whole ones: decoding with the checks, against decoding without.

The photos of ../shared, and the sample photo in every format that is written here.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from unittest.mock import patch

from PIL import Image as Pillow

from benchmarks import ROOT, SHARED, Row, interleaved
from inference.image import damage
from inference.image.media import Picture, decode

BAR = 1.05
ROUNDS = 9
FOLDERS = ("coco", "faces", "imagenet", "ocr")
FORMATS: dict[str, dict[str, object]] = {
    "JPEG": {}, "JPEG, progressive": {"progressive": True}, "PNG": {}, "WEBP": {}, "AVIF": {"speed": 9}, "GIF": {},
    "TIFF, deflated": {"compression": "tiff_adobe_deflate"}, "BMP": {},
}  # fmt: skip


@dataclass(frozen=True)
class _Unchecked:
    """A file that is taken as it is."""

    data: bytes
    media_type: str
    notes: tuple[str, ...] = ()
    at_once: bool = False

    def check(self, image: Pillow.Image) -> None:
        pass

    def without_metadata(self) -> _Unchecked:
        return self


def unchecked() -> AbstractContextManager[Callable[..., object]]:
    return patch.object(damage, "prepared", _Unchecked)


def _plain(data: bytes, at_least: int | None) -> Picture:
    with unchecked():
        return decode(data, at_least=at_least)


def ratio(data: bytes, at_least: int | None = None) -> float:
    """The best time with the checks over the best without."""
    calls = {"checked": partial(decode, data, at_least=at_least), "unchecked": partial(_plain, data, at_least)}
    times = interleaved(ROUNDS, calls)
    return min(times["checked"]) / min(times["unchecked"])


def run() -> list[Row]:
    photos = [p.read_bytes() for folder in FOLDERS for p in sorted((SHARED / "media" / folder).rglob("*.jp*g"))]
    rows = (
        [_row("photos of ../shared", photos, None), _row("the same, at a reduced scale", photos, 224)] if photos else []
    )
    photo = Pillow.open(ROOT / "samples/coffee.jpg").convert("RGB")
    for name, options in FORMATS.items():
        file = io.BytesIO()
        photo.save(file, name.partition(",")[0], **options)
        value = ratio(file.getvalue())
        rows.append(Row(f"decoding with checks / without: {name}", f"{value:.3f}", note="600 x 400"))
    return rows


def _row(what: str, photos: list[bytes], at_least: int | None) -> Row:
    ratios = [ratio(photo, at_least) for photo in photos]
    most = quantiles(ratios, n=10)[-1]
    note = f"{len(ratios)} photos; 9 of 10 below {most:.2f}; most {max(ratios):.2f}"
    return Row(
        f"decoding with checks / without: {what}", f"{median(ratios):.3f}", f"<= {BAR}", median(ratios) <= BAR, note
    )
