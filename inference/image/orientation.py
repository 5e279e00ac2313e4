"""Which way up a file says that its picture is, and turning it so."""

from __future__ import annotations

import struct
from typing import Any

from PIL import Image as Pillow


def orientation_of(image: Pillow.Image) -> int:
    """The EXIF orientation (1..8) that counts; 1 where the file says none.

    Not XMP's: no browser turns by it, and what is turned keeps it too often; Pillow falls back to it, here and when it
    loads a TIFF. The EXIF block of an AVIF is no more than what Pillow makes of irot and imir (MIAF, 7.3.6.7).
    Raises what loading raises for a PNG, whose EXIF may come after its pixels.
    """
    if image.format == "PNG":
        image.load()
    image.info.pop("xmp", None)
    image.info.pop("XML:com.adobe.xmp", None)
    image._exif = None  # Pillow has read a JPEG's already, for its resolution, and has taken XMP's turn with it
    try:
        value: Any = image.getexif().get(0x0112, 1)
    except (SyntaxError, ValueError, struct.error, OSError):  # broken EXIF does not make the pixels bad
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


_UPRIGHT = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}


def upright(image: Pillow.Image, orientation: int) -> Pillow.Image:
    """Turn a picture as its EXIF orientation (1..8) asks."""
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
