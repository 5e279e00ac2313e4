"""What the numbers of a decoded picture mean as colours, by its tags (ITU-T H.273), and its conversion to RGB."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from inference.errors import UnsupportedMedia
from inference.image.tone_map import HDR, HLG, ICTCP, PQ, WIDE, YCGCO, Coding, table
from inference.video.frames import Pixels

# Pictures are mostly scaled down: averaging areas is the fastest way, and as good as any.
SCALING = Interpolation.AREA

_RGB, _UNKNOWN, _BT709, _BT601, _BT2020 = 0, 2, 1, 5, 9
# The matrices that FFmpeg's scaler converts by; without one it takes BT.601.
_MATRICES = frozenset({_BT709, _UNKNOWN, 4, _BT601, 6, 7, _BT2020})
_NAMES = {3: "reserved", 10: "BT.2020 constant luminance", 11: "ST 2085", 12: "chromaticity-derived",
          13: "chromaticity-derived constant luminance", 14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-Re",
          17: "YCgCo-Ro"}  # fmt: skip
# Of these the scaler ends the process.
_FATAL = frozenset({"yaf32be", "yaf32le"})


class _Tags(NamedTuple):
    """What a picture says of its colours. width, height: of the picture as it is coded."""

    format: str
    matrix: int
    full_range: bool
    transfer: int
    primaries: int
    width: int
    height: int


class _Meaning(NamedTuple):
    """matrix: for the scaler, None as it is tagged. table: by which its colours are converted, if so."""

    matrix: int | None
    table: Coding | None
    alpha: bool
    notes: tuple[str, ...]


class ToRgb:
    """Converts pictures, one after another; `notes` says of them what was assumed."""

    def __init__(self) -> None:
        # Kept, as preparing a conversion takes as long as the conversion itself.
        self._reformatter, self._mapped = VideoReformatter(), VideoReformatter()
        self._meanings: dict[_Tags, _Meaning] = {}
        self._maps: dict[tuple[Any, ...], Callable[[VideoFrame], Pixels]] = {}
        self.notes: dict[str, None] = {}

    def __call__(self, picture: VideoFrame, width: int, height: int) -> Pixels:
        """The picture in RGB (sRGB, over white), of that size. Raises UnsupportedMedia for colours that FFmpeg cannot
        convert."""
        try:
            return self._converted(picture, width, height)
        except av.FFmpegError as error:
            raise UnsupportedMedia(
                f"its colours cannot be converted ({picture.format.name}, colour matrix {picture.colorspace}: "
                f"{error.strerror}); convert the clip to H.264 with BT.709 colours"
            ) from error

    def _converted(self, picture: VideoFrame, width: int, height: int) -> Pixels:
        meaning = self._meaning(picture)
        if meaning.matrix is not None:
            picture.colorspace = meaning.matrix
        if picture.color_range > 2:
            picture.color_range = 0
        if meaning.alpha:  # laid over white before it is scaled, or hidden colours would show at its edges
            return fitted(self._over_white(picture, meaning), (width, height))
        if meaning.table is not None:
            return self._by_table(picture, width, height, meaning.table)
        rgb = self._reformatter.reformat(picture, width, height, format="rgb24", interpolation=SCALING)
        return cast(Pixels, rgb.to_ndarray())

    def _meaning(self, picture: VideoFrame) -> _Meaning:
        tags = _Tags(
            picture.format.name, picture.colorspace, picture.color_range == 2, picture.color_trc,
            picture.color_primaries, picture.width, picture.height,
        )  # fmt: skip
        if tags not in self._meanings:
            self._meanings = {tags: _meaning_of(picture, tags)}  # one at a time: a damaged stream may have any number
            self.notes.update(dict.fromkeys(self._meanings[tags].notes))
        return self._meanings[tags]

    def _over_white(self, picture: VideoFrame, meaning: _Meaning) -> Pixels:
        size = picture.width, picture.height
        rgba = cast(Pixels, self._reformatter.reformat(picture, format="rgba", interpolation=SCALING).to_ndarray())
        alpha = np.ascontiguousarray(rgba[..., 3])
        colours = rgba[..., :3] if meaning.table is None else self._by_table(picture, *size, meaning.table)
        colours = np.ascontiguousarray(colours)
        if alpha.min() == 255 or (picture.format.name == "bgra" and not alpha.any()):
            return colours  # BGRA without any alpha: of AVI, where nobody filled it
        white = Image.new("RGB", size, "white")
        white.paste(Image.fromarray(colours), mask=Image.fromarray(alpha))
        return np.array(white)

    def _by_table(self, picture: VideoFrame, width: int, height: int, coding: Coding) -> Pixels:
        """Converted by a table of colours, from 16 bits a channel."""
        if coding.matrix:  # the components as they are, under the names of colours
            components = self._mapped.reformat(picture, width, height, format="yuv444p16le", interpolation=SCALING)
            planes = VideoFrame(width, height, "gbrp16le")
            for plane, component in zip(planes.planes, components.planes, strict=True):
                plane.update(cast(Any, component))
        else:
            planes = self._mapped.reformat(picture, width, height, format="gbrp16le", interpolation=SCALING)
        planes.colorspace, planes.color_range = _RGB, 2
        if (width, height, coding) not in self._maps:
            self._maps = {(width, height, coding): _Map(width, height, coding)}
        return self._maps[width, height, coding](planes)


def _meaning_of(picture: VideoFrame, tags: _Tags) -> _Meaning:
    if tags.format in _FATAL:
        raise UnsupportedMedia(f"its colours cannot be converted ({tags.format}); convert the clip to H.264")
    components = picture.format.components
    alpha = any(component.is_alpha for component in components) or tags.format == "pal8"
    hdr, wide = tags.transfer in HDR, tags.primaries in WIDE
    primaries = 9 if hdr and tags.primaries in (0, _UNKNOWN) else tags.primaries
    without = picture.format.is_rgb or len(components) - alpha < 3 or tags.format.startswith("xyz")
    matrix, coded, notes = _matrix_of(tags, without)
    # The scaler fills samples of few bits up with zeros; YUV it converts as with 8.
    bits = components[0].bits if picture.format.is_rgb else 8
    coding = Coding(
        tags.transfer if hdr else 0, primaries if primaries in WIDE else 0, coded, tags.full_range,
        white=(1 << 16) - (1 << (16 - min(bits, 16))),
    )  # fmt: skip
    if hdr or wide:
        notes.append(coding.words())
    return _Meaning(matrix, coding if hdr or wide or coded else None, alpha, tuple(notes))


def _matrix_of(tags: _Tags, without: bool) -> tuple[int | None, int, list[str]]:
    """(matrix for the scaler, matrix for the table or 0, notes). without: whether the format has no use for one."""
    if tags.matrix in _MATRICES:
        return None, 0, []
    if without:
        return (_UNKNOWN if tags.matrix != _RGB else None), 0, []
    if tags.matrix == YCGCO or (tags.matrix == ICTCP and tags.transfer in (PQ, HLG)):
        return _BT709, tags.matrix, []
    nearest = _nearest(tags)
    name = "RGB" if tags.matrix == _RGB else _NAMES.get(tags.matrix, str(tags.matrix))
    read_as = {_BT709: "BT.709", _BT601: "BT.601", _BT2020: "BT.2020"}[nearest]
    return nearest, 0, [f"colour matrix {name}: read as {read_as}; colours may be off"]


def _nearest(tags: _Tags) -> int:
    if tags.matrix == 10 or (tags.matrix in (12, 13) and tags.primaries == _BT2020):
        return _BT2020
    return _BT709 if tags.width >= 1280 or tags.height > 576 else _BT601


@lru_cache(maxsize=4)
def _cube(coding: Coding) -> str:
    """A table of colours as a file of Adobe's (Cube LUT 1.0), red changing fastest.

    The high byte of its 16 bits is the rounded value of 8 bits.
    """
    colours = table(coding)
    values = ((colours * 255 + 0.5) / 256).transpose(2, 1, 0, 3).reshape(-1, 3)
    lines = map("%.6f %.6f %.6f".__mod__, map(tuple, values.tolist()))
    return "\n".join([f"LUT_3D_SIZE {len(colours)}", *lines, ""])


class _Map:
    """A table of colours as a filter, for pictures of one size."""

    def __init__(self, width: int, height: int, coding: Coding) -> None:
        self._graph = Graph()
        form = VideoFormat("gbrp16le")
        source = self._graph.add_buffer(width=width, height=height, format=form, time_base=Fraction(1, 1000))
        with tempfile.TemporaryDirectory(prefix="dropsight-") as folder:
            path = Path(folder, "colours.cube")
            path.write_text(_cube(coding), encoding="ascii")
            mapping = self._graph.add("lut3d", file=str(path), interp="tetrahedral")
            sink = self._graph.add("buffersink")
            source.link_to(mapping)
            mapping.link_to(sink)
            self._graph.configure()

    def __call__(self, planes: VideoFrame) -> Pixels:
        self._graph.vpush(planes)
        mapped = self._graph.vpull()
        assert isinstance(mapped, VideoFrame)
        pixels = np.empty((mapped.height, mapped.width, 3), np.uint8)
        for channel, plane in zip((1, 2, 0), mapped.planes, strict=True):
            rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(mapped.height, plane.line_size)
            pixels[..., channel] = rows[:, 1 : 2 * mapped.width : 2]
        return pixels


def fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Some recordings change their size on the way; boxes and tracks need a common frame of reference."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return cast(
        Pixels, VideoFrame.from_ndarray(pixels, format="rgb24").reformat(*size, interpolation=SCALING).to_ndarray()
    )
