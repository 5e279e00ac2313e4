"""One decoded frame as it is to be seen: turned by the display matrix, at the size of the clip's first frame."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from av.video.frame import VideoFrame

from inference.video.frames import Pixels


def fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Some recordings change their size on the way; boxes and tracks need one frame of reference."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return cast(Pixels, VideoFrame.from_ndarray(pixels, format="rgb24").reformat(*size).to_ndarray())


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """The upper left of the display matrix, a b / c d, in 16.16 fixed point (ISO/IEC 14496-12, 6.2.2).

    It is the stream's, so one frame is asked: PyAV's side data hold on to their frame until the garbage collector
    comes, which of 1080p frames are hundreds of megabytes.
    """
    data = cast(Any, frame.side_data).get("DISPLAYMATRIX")
    if data is None:
        return (1 << 16, 0, 0, 1 << 16)
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    return (a, b, c, d)


def turned(pixels: Pixels, matrix: tuple[int, int, int, int]) -> Pixels:
    """Applies a display matrix: the nearest of its eight right-angled forms."""
    a, b, c, d = matrix
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels, flip_x, flip_y = pixels.transpose(1, 0, 2), c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    pixels = pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(pixels)
