"""What travels between the stages of a video: frames, and what is known of the clip they come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from inference.errors import LimitExceeded
from inference.ranges import check_range
from inference.video.times import Fault

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Media = str | Path | BinaryIO
# What libx264 takes as width and as height of a picture.
MOST_SIDE = 16384
# Frames of a second that are analysed, by what a route says; no clip that anybody tracks things in has more.
MOST_FPS = 1000
Pixels = NDArray[np.uint8]
# From this many seconds between two pictures on, it is the clock that is said to have run past a limit.
_JUMP_S = 60.0


@dataclass(frozen=True)
class VideoLimits:
    """Caps that hold while decoding, whatever the header says. Seconds of clip, pixels a frame, frames."""

    max_duration_s: float = 4 * 3600.0
    max_pixels: int = 8192 * 4320
    max_frames: int = 1_000_000

    def check_size(self, width: int, height: int) -> None:
        """Raises LimitExceeded when a frame of this size is over the cap."""
        if width * height > self.max_pixels:
            raise LimitExceeded(
                f"frames of {width}x{height} are {width * height} pixels, "
                f"at most {self.max_pixels} are taken; scale the clip down"
            )

    def check_progress(self, frames: int, pts_s: float, last_s: float | None = None) -> None:
        """Raises LimitExceeded when the clip runs past the cap on frames or seconds; last_s: of the picture before."""
        if frames > self.max_frames:
            raise LimitExceeded(f"more than {self.max_frames} frames; cut the clip")
        if pts_s > self.max_duration_s:
            if last_s is not None and pts_s - last_s > _JUMP_S:
                raise LimitExceeded(
                    f"its clock jumps from {last_s:,.1f} s to {pts_s:,.1f} s at picture {frames - 1}, at most "
                    f"{self.max_duration_s:.0f} s are taken; give it the times of its pictures anew, or cut the clip "
                    "before the jump"
                )
            raise LimitExceeded(
                f"it runs to {pts_s:.1f} s, at most {self.max_duration_s:.0f} s are taken; cut the clip"
            )


@dataclass(frozen=True)
class Sampling:
    """Which frames to yield. Its phase is that of the whole video, wherever reading starts.

    `stride` n keeps frames whose index is a multiple of n. `fps` r keeps the first frame at or after every
    tick k / r of the clip's clock. `start_s` (inclusive) and `end_s` (exclusive) are seconds of that clock.
    `keyframes_only` lets the decoder skip all else; the indices it yields then count keyframes.
    """

    stride: int = 1
    fps: float | None = None
    start_s: float = 0.0
    end_s: float | None = None
    keyframes_only: bool = False

    def __post_init__(self) -> None:
        check_range("stride", self.stride, 1, what="1 is for every frame")
        check_range("fps", self.fps, 0, MOST_FPS, "leave it out for all frames of a clip", above=True)

    def tick(self, pts_s: float) -> int:
        """The number of the `fps` tick that a timestamp falls in (half a microsecond of tolerance)."""
        return -1 if self.fps is None else math.floor((pts_s + 5e-7) * self.fps)

    def takes(self, index: int, pts_s: float, previous_tick: int) -> bool:
        """Whether the frame is a sample; `previous_tick` is the tick of the frame before it (-1: none)."""
        if self.fps is not None:
            return self.tick(pts_s) > previous_tick
        return index % self.stride == 0


@dataclass(frozen=True)
class Anchor:
    """Where in the whole video reading starts: the first frame's time, its index, and the time of the frame before it.

    keyframe_s: the keyframe from which that frame has to be decoded, where it is none itself. packet: the number of
    that keyframe's packet, where times do not tell it; None: it is sought by its time. shift_s, gap_s: how the clock
    is set right from that keyframe on (see `Times`).
    """

    pts_s: float = 0.0
    index: int = 0
    previous_pts_s: float | None = None
    keyframe_s: float | None = None
    packet: int | None = None
    shift_s: float = 0.0
    gap_s: float | None = None

    @property
    def decoded_from_s(self) -> float:
        """Where decoding begins."""
        return self.pts_s if self.keyframe_s is None else self.keyframe_s


@dataclass(frozen=True)
class Timed:
    """A decoded picture. `lasts_s`: how long it is shown, by the file; `fault`: of the file's clock, before it."""

    pts_s: float
    picture: VideoFrame | Pixels
    lasts_s: float | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class Frame:
    """One upright picture. `pixels` is (H, W, 3) uint8 RGB; `pts_s` seconds from the clip's start."""

    index: int
    pts_s: float
    pixels: Pixels


def even(width: float, height: float) -> tuple[int, int]:
    """The nearest size that 4:2:0 can halve."""
    return max(2, 2 * round(width / 2)), max(2, 2 * round(height / 2))


@dataclass(frozen=True)
class View:
    """What the annotated video shows of a clip: of which size its pictures are, and which frames between the samples.

    side: the shorter side in pixels, at most. every: each frame whose index is a multiple of it; 0: samples alone.
    fps: about how many frames a second that are. most: how many frames may wait for the next sample. longest: the
    longer side in pixels, at most. bits_s: bits a second that its pictures may take, 0 for as many as they want;
    lasts_s: about how long it is, in seconds.
    """

    side: int
    every: int = 0
    fps: float = 25.0
    most: int = 0
    longest: int = MOST_SIDE
    bits_s: float = 0.0
    lasts_s: float = 0.0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of its pictures, for upright frames of that size."""
        longest = self.longest - self.longest % 2
        scale = min(self.side / min(width, height), longest / max(width, height))
        if scale >= 1:
            return width, height
        return even(width * scale, height * scale)


@dataclass(frozen=True)
class Between:
    """A frame that is shown, but not analysed: `pixels` (h, w, 3) uint8 RGB, upright, of the view's size."""

    index: int
    pts_s: float
    pixels: Pixels


@dataclass(frozen=True)
class VideoInfo:
    """What the container says, decoding nothing. `claimed_*` are the header's words: never trusted.

    `width` and `height` are in square pixels, before the display matrix turns the picture upright. `container`:
    FFmpeg's name of what reads it. `media_type`: as `sniff` tells it. `claimed_bit_rate`: of the pictures, bits a
    second.
    """

    container: str
    codec: str
    width: int
    height: int
    nominal_fps: float | None
    claimed_duration_s: float | None
    claimed_frames: int | None
    has_audio: bool
    truncated: str | None
    media_type: str
    claimed_bit_rate: int | None = None

    def expected_frames(self, sampling: Sampling) -> int | None:
        """About how many frames will be sampled, by the header: for progress bars only."""
        length, rate = self.claimed_duration_s, self.nominal_fps
        by_clock = round(length * rate) if length and rate else None
        total = min((count for count in (self.claimed_frames, by_clock) if count), default=None)
        if total is None or sampling.keyframes_only:
            return None
        if length:
            end = min(sampling.end_s or length, length)
            total = round(total * max(end - sampling.start_s, 0.0) / length)
        if sampling.fps and rate:
            return max(1, round(total * min(1.0, sampling.fps / rate)))
        return max(1, total // sampling.stride)


class Damage:
    """What went wrong while decoding, and when it first did; what was wrong before `since_s` does not count."""

    def __init__(self, since_s: float = 0.0) -> None:
        self._since_s = since_s
        self.truncated: str | None = None
        self.reason: str | None = None
        self.at_s: float | None = None
        self.frames = 0

    def note(self, reason: str, at_s: float) -> None:
        """Counts a damaged frame; the first names the reason and the second where it broke."""
        if at_s < self._since_s:
            return
        self.frames += 1
        if self.reason is None:
            self.reason, self.at_s = reason, at_s

    def report(self, complete: bool) -> str | None:
        """The reason to report; a missing end does not matter to somebody who did not read that far."""
        return self.reason or (self.truncated if complete else None)


@dataclass(frozen=True)
class ReadReport:
    """The clip as decoding shows it, and where it broke (`broken` None: it is sound).

    first_s: the second of the first frame. clock: the first fault of the file's clock; clock_faults: how many. notes:
    what was chosen or assumed while it was read, a sentence each.
    """

    frames: int
    duration_s: float
    width: int
    height: int
    broken: str | None = None
    broken_at_s: float | None = None
    damaged_frames: int = 0
    first_s: float = 0.0
    clock: str | None = None
    clock_faults: int = 0
    notes: Sequence[str] = ()

    @property
    def clock_notes(self) -> tuple[str, ...]:
        """What is said of the file's clock, where it was set right: a sentence, or none."""
        if self.clock is None:
            return ()
        more = f", the first of {self.clock_faults} such places" if self.clock_faults > 1 else ""
        return (f"{self.clock}{more}; this is taken out of the times",)

    @property
    def fps(self) -> float | None:
        """Mean frame rate over the frames decoded, from the first on."""
        shown_s = self.duration_s - self.first_s
        return self.frames / shown_s if shown_s > 0 else None
