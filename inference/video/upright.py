"""Decoded pictures as they are meant to be seen: upright, in RGB, of the clip's size or of a view's."""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from inference.errors import UnsupportedMedia
from inference.video.frames import Pixels, VideoLimits

# Pictures are mostly scaled down: averaging areas is the fastest way, and as good as any.
SCALING = Interpolation.AREA


class UprightPictures:
    """Converts the pictures of one clip, one after another."""

    def __init__(self, limits: VideoLimits) -> None:
        self._limits = limits
        # Kept, as preparing a conversion takes as long as the conversion itself.
        self._whole, self._smaller = VideoReformatter(), VideoReformatter()
        self._matrix: tuple[int, int, int, int] | None = None

    def whole(self, picture: VideoFrame | Pixels, size: tuple[int, int] | None) -> Pixels:
        """The picture upright; of that size (width, height), or of its own. Raises UnsupportedMedia, LimitExceeded."""
        if isinstance(picture, VideoFrame):
            self._limits.check_size(picture.width, picture.height)
            matrix = self._matrix_of(picture)
            picture = turned(_rgb(self._whole, picture), matrix)
        return picture if size is None else fitted(picture, size)

    def scaled(self, picture: VideoFrame | Pixels, size: tuple[int, int]) -> Pixels:
        """The picture upright and of that size: scaled as it is converted, which costs less than both in turn."""
        if not isinstance(picture, VideoFrame):
            return fitted(picture, size)
        self._limits.check_size(picture.width, picture.height)
        matrix = self._matrix_of(picture)
        width, height = size[::-1] if is_on_its_side(matrix) else size
        return turned(_rgb(self._smaller, picture, width, height), matrix)

    def _matrix_of(self, picture: VideoFrame) -> tuple[int, int, int, int]:
        if self._matrix is None:
            self._matrix = display_matrix(picture)
        return self._matrix


def _rgb(
    reformatter: VideoReformatter, picture: VideoFrame, width: int | None = None, height: int | None = None
) -> Pixels:
    """The picture in RGB, of that size. Raises UnsupportedMedia for colours that FFmpeg cannot convert."""
    try:
        rgb = reformatter.reformat(picture, width, height, format="rgb24", interpolation=SCALING)
    except av.FFmpegError as error:
        raise UnsupportedMedia(
            f"its colours cannot be converted ({picture.format.name}, colour space {picture.colorspace}: "
            f"{error.strerror}); convert the clip to H.264 with BT.709 colours"
        ) from error
    return cast(Pixels, rgb.to_ndarray())


def fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Some recordings change their size on the way; boxes and tracks need a common frame of reference."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return cast(
        Pixels, VideoFrame.from_ndarray(pixels, format="rgb24").reformat(*size, interpolation=SCALING).to_ndarray()
    )


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """The upper left of the display matrix, a b / c d, in 16.16 fixed point (ISO/IEC 14496-12, 6.2.2).

    It is the stream's, so it is read once: PyAV's side data hold on to their frame until the garbage collector
    comes, which of 1080p frames are hundreds of megabytes.
    """
    data = cast(Any, frame.side_data).get("DISPLAYMATRIX")
    if data is None:
        return (1 << 16, 0, 0, 1 << 16)
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    return (a, b, c, d)


def is_on_its_side(matrix: tuple[int, int, int, int]) -> bool:
    """Whether a display matrix swaps width and height."""
    a, b, c, d = matrix
    return abs(a) + abs(d) < abs(b) + abs(c)


def turned(pixels: Pixels, matrix: tuple[int, int, int, int]) -> Pixels:
    """Applies a display matrix: the nearest of its eight right-angled forms."""
    a, b, c, d = matrix
    if is_on_its_side(matrix):
        pixels, flip_x, flip_y = pixels.transpose(1, 0, 2), c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    pixels = pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(pixels)
