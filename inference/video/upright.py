"""Decoded pictures as they are meant to be seen: upright, with square pixels, in sRGB; of any size."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from inference.errors import LimitExceeded, UnsupportedMedia
from inference.image.tone_map import HDR
from inference.video.colours import ToRgb, fitted
from inference.video.frames import Damage, Pixels, VideoLimits

# Pixels that are nearly square are left alone; what is further from it than this means no shape that anybody records.
_SQUARE, _OBLONG = Fraction(1, 200), 4
_STRETCHED = 0.02
_DOLBY_VISION = frozenset({"dvh1", "dvhe", "dva1", "dvav", "dav1"})
_DOLBY_DATA = ("DOVI_RPU_BUFFER", "DOVI_METADATA")
_UNTOLD, _IPT = 2, 15  # matrices of ITU-T H.273
# Of FFmpeg's kinds of side data, so many may follow those that PyAV has names for.
_UNNAMED = 12


class UprightPictures:
    """Converts the pictures of one clip, one after another. `notes`: what was assumed. `refusal`: why the first picture
    that could not be converted could not be."""

    def __init__(self, limits: VideoLimits, damage: Damage, stream: VideoStream | None = None) -> None:
        """stream: that the pictures come from; None: they are converted already."""
        self._limits, self._damage = limits, damage
        self._shape = None if stream is None else pixel_shape(stream)
        self._codec = None if stream is None else stream.codec_context
        # Where the container says nothing of its own, the shape may change on the way.
        self._changes = self._codec is not None and self._codec.sample_aspect_ratio == self._shape
        self._said: dict[str, None] = {}
        if self._shape is not None and not is_sensible(self._shape):
            self._said[f"a pixel shape of {self._shape.numerator}:{self._shape.denominator} was ignored"] = None
        self._whole, self._smaller = ToRgb(), ToRgb()
        self._matrix: tuple[int, int, int, int] | None = None
        self.refusal: UnsupportedMedia | LimitExceeded | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, a sentence each."""
        return (*self._said, *self._whole.notes)

    def whole(self, picture: VideoFrame | Pixels, pts_s: float, size: tuple[int, int] | None) -> Pixels | None:
        """The picture upright; of that size (width, height), or of its own. None where it cannot be converted, which
        counts as damage."""
        if not isinstance(picture, VideoFrame):
            return picture if size is None else fitted(picture, size)
        try:
            return self._turned(self._whole, picture, size)
        except (UnsupportedMedia, LimitExceeded) as error:
            self.refusal = self.refusal or error
            self._damage.note(str(error), pts_s)
            return None

    def scaled(self, picture: VideoFrame | Pixels, size: tuple[int, int]) -> Pixels | None:
        """The picture upright and of that size: scaled as it is converted, which costs less than both in turn. None
        where it cannot be converted; only samples count as damaged."""
        if not isinstance(picture, VideoFrame):
            return fitted(picture, size)
        try:
            return self._turned(self._smaller, picture, size)
        except (UnsupportedMedia, LimitExceeded):
            return None

    def _turned(self, to_rgb: ToRgb, picture: VideoFrame, size: tuple[int, int] | None) -> Pixels:
        self._limits.check_size(picture.width, picture.height)
        if self._matrix is None:
            self._matrix = display_matrix(picture)
            if self._codec is not None and is_dolby_vision_5(picture, self._codec.codec_tag):
                self._said["Dolby Vision profile 5 (IPTPQc2): its colours are not converted and are wrong"] = None
        shape = self._codec.sample_aspect_ratio if self._codec and self._changes else self._shape
        own = square(picture.width, picture.height, shape, self._limits)
        if size is None:
            return turned(to_rgb(picture, *own), self._matrix)
        width, height = size[::-1] if is_on_its_side(self._matrix) else size
        if to_rgb is self._whole and abs(own[0] * height / (own[1] * width) - 1) > _STRETCHED:
            self._said["some of its pictures have another shape: stretched to that of the first"] = None
        return turned(to_rgb(picture, width, height), self._matrix)


def pixel_shape(stream: VideoStream) -> Fraction | None:
    """Width by height of the stream's pixels: the container's word, else the codec's; None where neither says it."""
    return stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or None


def is_sensible(shape: Fraction) -> bool:
    """Whether pictures are recorded with pixels of that shape."""
    return Fraction(1, _OBLONG) <= shape <= _OBLONG


def square(width: int, height: int, shape: Fraction | None, limits: VideoLimits) -> tuple[int, int]:
    """Width and height of a picture once its pixels are square: longer on one side, so that no detail is lost; shorter
    on the other where it would be over the limit."""
    if shape is None or not is_sensible(shape) or abs(shape - 1) <= _SQUARE:
        return width, height
    longer = (round(width * shape), height) if shape > 1 else (width, round(height / shape))
    if longer[0] * longer[1] <= limits.max_pixels:
        return longer
    return (width, max(1, round(height / shape))) if shape > 1 else (max(1, round(width * shape)), height)


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """The upper left of the display matrix, a b / c d, in 16.16 fixed point (ISO/IEC 14496-12, 6.2.2).

    It is the stream's, so it is read once: PyAV's side data hold on to their frame until the garbage collector
    comes, which of 1080p frames are hundreds of megabytes.
    """
    data = _side_data(frame).get("DISPLAYMATRIX")
    if data is None:
        return (1 << 16, 0, 0, 1 << 16)
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    return (a, b, c, d)


def is_dolby_vision_5(frame: VideoFrame, tag: str) -> bool:
    """Whether the picture's colours are those of Dolby Vision without a base that other players show: nothing says what
    they are but the tag of its codec or the data for each picture. To be read once, as the display matrix."""
    told = frame.color_trc in HDR or frame.colorspace not in (_UNTOLD, _IPT)
    data = _side_data(frame)
    return not told and (tag in _DOLBY_VISION or any(data.get(kind) is not None for kind in _DOLBY_DATA))


def _side_data(frame: VideoFrame) -> Any:
    """Its side data by name, without the kinds that PyAV has no name for (EXIF, reference displays of 3D): where there
    is one of those, it reads none."""
    try:
        return frame.side_data
    except ValueError:
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
        )
        kinds = range(len(Type), len(Type) + _UNNAMED)
        sieves = [graph.add("sidedata", mode="delete", type=str(kind)) for kind in kinds]
        graph.link_nodes(source, *sieves, graph.add("buffersink")).configure()
        graph.vpush(frame)
        return graph.vpull().side_data


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
