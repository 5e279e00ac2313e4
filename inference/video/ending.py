"""How long the last picture of a clip is shown: no other tells it by coming after it."""

from __future__ import annotations

import re
from typing import NamedTuple

from av.container import InputContainer
from av.video.stream import VideoStream

from inference.video.frames import Timed

# Durations are the file's own where that of the picture before is right to this (Matroska counts milliseconds);
# elsewhere they are those of a usual rate, or of the order of storage.
_SAME_S = 2e-3
# Of the length of a file that has more in it than its pictures, or a header that nobody checked, this is believed.
_LONGEST_S, _LONGEST_GAPS = 10.0, 10.0
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


class _Time(NamedTuple):
    pts_s: float
    lasts_s: float | None


class Ending:
    """Feed it every picture in order. `exact`: the file's durations are right (animations)."""

    def __init__(self, container: InputContainer | None = None, stream: VideoStream | None = None) -> None:
        self._exact = container is None
        self._ends_s, self._surely = _told_end(container, stream) if container and stream else (None, False)
        self._last: _Time | None = None
        self._before: _Time | None = None

    def take(self, picture: Timed) -> None:
        """The next picture; only its times are kept."""
        self._before, self._last = self._last, _Time(picture.pts_s, picture.lasts_s)

    def lasts_s(self, gap_s: float, whole: bool) -> float:
        """Of the last picture. gap_s: between the last two. whole: the file is, and was read to its end."""
        if self._last is None:
            return gap_s
        lasts_s, before = self._last.lasts_s, self._before
        told = before is not None and before.lasts_s is not None and abs(before.lasts_s - gap_s) <= _SAME_S
        if lasts_s is not None and (told or self._exact):
            return lasts_s
        if before is None and lasts_s is not None:
            gap_s = lasts_s
        if not whole or self._ends_s is None:
            return gap_s
        end_s = self._ends_s - self._last.pts_s
        believed = self._surely or end_s <= max(_LONGEST_S, _LONGEST_GAPS * gap_s)
        return max(gap_s, end_s) if believed else gap_s


def _told_end(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    """The second at which a Matroska file says that its pictures end, and whether it says so of them alone."""
    if not container.format.name.startswith("matroska"):
        return None, False
    start_s = (container.start_time or 0) / 1e6
    if found := _CLOCK.match(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = found.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - start_s, True
    if container.duration is None or len(container.streams) > 1:
        return None, False
    return container.duration / 1e6 - start_s, False
