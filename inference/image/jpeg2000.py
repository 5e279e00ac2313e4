"""JPEG 2000 of more than 8 bits a component, which Pillow gives in 8 bits, with its whites as black."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.errors import UnsupportedMedia
from inference.image.containers import codestream
from inference.image.sniff import EXPECTED

# FFmpeg's names of what such files have without a conversion of colours; sYCC has others.
_FORMATS = ("rgb48le", "rgba64le", "ya16le")


def is_deep(data: bytes) -> bool:
    """Whether any component has more than 8 bits (Ssiz of ISO/IEC 15444-1, A.5.1)."""
    start = codestream(data)
    count = int.from_bytes(data[start + 40 : start + 42], "big")
    return any((bits & 0x7F) >= 8 for bits in data[start + 42 : start + 42 + 3 * count : 3])


def sixteen_bits(data: bytes, size: tuple[int, int]) -> NDArray[np.uint16]:
    """(H, W, 4) R, G, B, alpha in 16 bits, fewer bits scaled to 16, by FFmpeg. size: (width, height).

    Pillow (13.0, Jpeg2KDecode.c) adds half a step before it takes the high bits, so that what lies above the last
    step overflows to 0. Raises UnsupportedMedia where FFmpeg reads other colours, or nothing.
    """
    import av  # lazily: few pictures need it

    codec = av.CodecContext.create("jpeg2000", "r")
    try:
        frames = [*codec.decode(av.Packet(data)), *codec.decode(None)]
        kind = frames[0].format.name if frames else "nothing"
        if kind in _FORMATS and (frames[0].width, frames[0].height) == size:
            return np.asarray(frames[0].to_ndarray(format="rgba64le"), np.uint16)
    except av.FFmpegError as error:
        kind = f"an error: {error}"[:80]
    raise UnsupportedMedia(
        f"this is a JPEG 2000 picture of more than 8 bits a sample whose colours are not read (FFmpeg gives {kind}): "
        f"convert it to 8-bit RGB (JPEG, PNG or TIFF); {EXPECTED}"
    )
