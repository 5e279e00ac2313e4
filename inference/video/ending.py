"""How long the last picture of a clip is shown: no other tells it by coming after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from av.container import InputContainer
from av.video.stream import VideoStream

from inference.video.boxes import Box, boxes, has_boxes, movie
from inference.video.container import open_binary, tagged_length_s
from inference.video.frames import Media, Timed

# Durations are the file's own where that of the picture before is right to this (Matroska counts milliseconds);
# elsewhere they are those of a usual rate, or of the order of storage.
_SAME_S = 2e-3
# Of the length of a file that has more in it than its pictures, or a header that nobody checked, this is believed.
_LONGEST_S, _LONGEST_GAPS = 10.0, 10.0
# So much is read of the header of a movie or track.
_HEADER_BYTES = 48


class _Time(NamedTuple):
    pts_s: float
    lasts_s: float | None


class Ending:
    """Feed it every picture in order. ends_s: the second at which the file says that they end; surely: that is known to
    be said of them alone. exact: the file's durations are right (animations)."""

    def __init__(self, ends_s: float | None = None, surely: bool = False, exact: bool = False) -> None:
        self._ends_s, self._surely, self._exact = ends_s, surely, exact
        self._last: _Time | None = None
        self._before: _Time | None = None

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream, tracks_s: Sequence[float]) -> Ending:
        """Of a container that is open; tracks_s: what `track_ends` says of it."""
        kind, start_s = container.format.name, (container.start_time or 0) / 1e6
        if kind.startswith("mov"):
            return cls(tracks_s[stream.index] - start_s) if stream.index < len(tracks_s) else cls()
        if not kind.startswith("matroska"):
            return cls()
        if (tagged_s := tagged_length_s(stream)) is not None:
            return cls(tagged_s - start_s, surely=True)
        if container.duration is None or len(container.streams) > 1:
            return cls()
        return cls(container.duration / 1e6 - start_s)

    def take(self, picture: Timed) -> None:
        """The next picture; only its times are kept."""
        self._before, self._last = self._last, _Time(picture.pts_s, picture.lasts_s)

    def lasts_s(self, gap_s: float, whole: bool) -> float:
        """Of the last picture. gap_s: between the last two. whole: the file is, and was read to its end."""
        if self._last is None:
            return gap_s
        lasts_s, before = self._last.lasts_s, self._before
        if lasts_s is not None:
            right = before is not None and abs((before.lasts_s or 0.0) - gap_s) <= _SAME_S
            if self._exact:
                return lasts_s
            gap_s = lasts_s if right or before is None else gap_s
        if not whole or self._ends_s is None:
            return gap_s
        # An edit may end between two pictures; where it ends a picture later, the last is meant to last.
        end_s = self._ends_s - self._last.pts_s
        believed = self._surely or 2 * gap_s < end_s <= max(_LONGEST_S, _LONGEST_GAPS * gap_s)
        return max(gap_s, end_s) if believed else gap_s


def track_ends(source: Media) -> list[float]:
    """The second at which each track of an MP4 ends, edits and all; nothing for other files.

    FFmpeg tells the sum of its pictures in the order of storage, which is another where that is not the order of
    display.
    """
    with open_binary(source) as file:
        index = movie(file) if has_boxes(file.read(8)) else None
        if index is None:
            return []
        scale, ticks = 0, list[int]()
        for kind, header in _headers(file, index):
            long = header[:1] == b"\1"  # version 1 has times of 8 bytes
            if kind == b"mvhd":
                scale = int.from_bytes(header[20:24] if long else header[12:16], "big")
            else:
                ticks.append(int.from_bytes(header[28:36] if long else header[20:24], "big"))
        return [at / scale for at in ticks] if scale else []


def _headers(file: BinaryIO, index: Box) -> Iterator[tuple[bytes, bytes]]:
    """The headers of a movie and of its tracks: their kinds, and how they begin."""
    for box in boxes(file, index):
        for header in boxes(file, box) if box.kind == b"trak" else (box,):
            if header.kind in (b"mvhd", b"tkhd"):
                file.seek(header.content)
                yield header.kind, file.read(_HEADER_BYTES)
