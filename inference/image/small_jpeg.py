"""A picture as a small JPEG file, for pages: upright, in sRGB, and without a word of what its file said beside it."""

from __future__ import annotations

import io

from PIL import Image as Pillow

from inference.image.media import Picture

THUMBNAIL_SIDE, THUMBNAIL_BYTES = 320, 25 * 1024
# From the first down, until the file is small enough; then the picture gets smaller.
_QUALITIES = (82, 70, 55, 40, 25, 12)
_SMALLER = 0.75


def small_jpeg(picture: Picture, longest: int, most_bytes: int | None = None) -> bytes:
    """The picture with at most `longest` pixels on its longer side, never enlarged, in at most so many bytes (None: as
    many as it takes)."""
    small = _scaled(picture, longest)
    data = b""
    for quality in _QUALITIES:
        data = _encoded(small, quality)
        if most_bytes is None or len(data) <= most_bytes:
            return data
    side = int(max(small.size) * _SMALLER)
    return small_jpeg(picture, side, most_bytes) if side else data


def _scaled(picture: Picture, longest: int) -> Pillow.Image:
    width, height = picture.size
    share = min(1.0, longest / max(width, height))
    size = max(1, round(width * share)), max(1, round(height * share))
    native = picture.native
    if native.size != size:
        # In whole steps first, which is quick, and as good for a picture that loses most of its pixels.
        native = native.resize(size, Pillow.Resampling.BICUBIC, reducing_gap=3.0)
    return picture.srgb(native).convert("RGB")


def _encoded(image: Pillow.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
