"""Reading: probe without decoding; upright frames as a stream, with their true timestamps (PyAV, FFmpeg)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from inference.image.sniff import head_of, sniff
from inference.machine import return_freed_memory
from inference.video import animation
from inference.video.container import (
    notes_on,
    nothing_decoded,
    open_binary,
    open_container,
    rate_of,
    truncation,
    video_stream,
)
from inference.video.decode import FALLBACK_PERIOD_S, SAME_S, Clock, decode, from_anchor, packets_of
from inference.video.frames import (
    Anchor,
    Between,
    Damage,
    Frame,
    Media,
    Pixels,
    ReadReport,
    Sampling,
    VideoInfo,
    VideoLimits,
    View,
)
from inference.video.upright import UprightPictures

# Each decoding thread holds frames of its own; more than four cost memory and gain nothing at our sizes.
DECODE_THREADS = 4


def probe(source: Media, limits: VideoLimits | None = None) -> VideoInfo:
    """What the container says, decoding nothing.

    Raises UnsupportedMedia (not a video, audio only, empty), CorruptMedia (no index), LimitExceeded (size).
    """
    limits = limits or VideoLimits()
    if animation.is_animation(source):
        return animation.probe(source, limits)
    with open_container(source) as container:
        stream = video_stream(container)
        limits.check_size(stream.width, stream.height)
        duration, rate = container.duration, rate_of(container, stream)
        return VideoInfo(
            container=container.format.name.split(",")[0],
            codec=stream.codec_context.name,
            width=stream.width,
            height=stream.height,
            nominal_fps=float(rate) if rate else None,
            claimed_duration_s=duration / 1e6 if duration is not None else None,
            claimed_frames=stream.frames or None,
            has_audio=bool(container.streams.audio),
            truncated=truncation(source),
            media_type=_media_type(source),
        )


def _media_type(source: Media) -> str:
    with open_binary(source) as file:
        return sniff(head_of(file))


@dataclass(frozen=True)
class PacketTable:
    """Every coded picture of a clip, by presentation time: `pts_s` (M,) seconds, `keyframe` (M,) bool."""

    pts_s: NDArray[np.float64]
    keyframe: NDArray[np.bool_]

    def anchor(self, index: int) -> Anchor:
        """To read from this picture on; from the first keyframe on, whose predecessors cannot be decoded."""
        before = np.flatnonzero(self.keyframe[: index + 1])
        start_s, keyframe_s = float(self.pts_s[index]), float(self.pts_s[before[-1]])
        if len(before) == 1 and before[0] == index:
            return Anchor(start_s)
        return Anchor(start_s, index, float(self.pts_s[index - 1]), None if self.keyframe[index] else keyframe_s)

    def widest_gap_s(self) -> float:
        """The longest time from a keyframe to the next, or to the last picture."""
        return float(np.diff(np.append(self.pts_s[self.keyframe], self.pts_s[-1])).max())


def scan(source: Media, limits: VideoLimits | None = None) -> PacketTable:
    """Reads all packets, decodes none. What a cut file still has is listed; raises as `probe` does."""
    limits = limits or VideoLimits()
    times: list[float] = []
    keys: list[bool] = []
    for pts_s, is_keyframe in _coded(source):
        times.append(pts_s)
        keys.append(is_keyframe)
        limits.check_progress(len(times), pts_s)
    order = np.argsort(np.array(times), kind="stable")
    return PacketTable(np.array(times, np.float64)[order], np.array(keys, np.bool_)[order])


def runs_past(source: Media, seconds: float) -> bool:
    """Whether a picture is shown after this second of the clip, whatever its header says; raises as `probe` does.

    Reads packets up to the first such picture, so all of a shorter clip, and decodes none.
    """
    with contextlib.closing(_coded(source)) as coded:
        return any(pts_s > seconds for pts_s, _ in coded)


def _coded(source: Media) -> Generator[tuple[float, bool]]:
    """(seconds, is it a keyframe) of every coded picture, in the order of storage."""
    with open_container(source) as container:
        stream = video_stream(container)
        clock = Clock(container, stream)
        for packet in packets_of(container, stream):
            if packet.size:
                yield clock.of_packet(packet), packet.is_keyframe


class VideoReader:
    """Iterates the sampled frames of a clip once; afterwards `report` describes it.

    Damage ends nothing by itself: a frame that cannot be decoded is left out and counted, a file that stops
    early yields what is there. Raises UnsupportedMedia, CorruptMedia (no frame at all) and LimitExceeded.
    """

    def __init__(
        self,
        source: Media,
        sampling: Sampling | None = None,
        limits: VideoLimits | None = None,
        anchor: Anchor | None = None,
        start: Anchor | None = None,
        view: View | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """`anchor`: where reading begins. `start`: a frame from there on, whose index is known and before which damage
        does not count. `view`: which frames between the samples are wanted, and of which size. `size`: width and height
        of the clip's first frame upright, to which all are scaled; by default those of the first that is read."""
        return_freed_memory()
        self._pictures = UprightPictures(limits or VideoLimits())
        self._view, self._size = view or View(0), size
        self._source = source
        self._start = start
        self._sampling = sampling or Sampling()
        self._limits = limits or VideoLimits()
        self._anchor = anchor or Anchor()
        self._notes: tuple[str, ...] = ()
        self.report: ReadReport | None = None

    def __iter__(self) -> Iterator[Frame]:
        return cast(Iterator[Frame], self.shown())  # without a view there is nothing between the samples

    def shown(self) -> Iterator[Frame | Between]:
        """The sampled frames, and in order with them those that the view shows between them."""
        damage = Damage(self._start.pts_s - SAME_S if self._start and self._start.index else 0.0)
        if animation.is_animation(self._source):
            yield from self._sampled(animation.frames(self._source, self._limits, damage), damage)
            return
        # Before it is opened: of a file that was given open, this moves the position that decoding goes on from.
        damage.truncated = truncation(self._source)
        with open_container(self._source) as container:
            stream = video_stream(container)
            self._limits.check_size(stream.width, stream.height)
            self._notes = notes_on(container, stream)
            if self._sampling.keyframes_only:
                stream.codec_context.skip_frame = "NONKEY"
            stream.thread_type = "AUTO"
            stream.thread_count = min(DECODE_THREADS, os.cpu_count() or 1)
            clock = Clock(container, stream)
            packets = from_anchor(container, stream, clock, self._anchor)
            yield from self._sampled(decode(packets, clock, damage), damage)

    def _sampled(
        self, decoded: Iterator[tuple[float, VideoFrame | Pixels]], damage: Damage
    ) -> Iterator[Frame | Between]:
        sampling, anchor, start, every = self._sampling, self._anchor, self._start, self._view.every
        tick = -1 if anchor.previous_pts_s is None else sampling.tick(anchor.previous_pts_s)
        size, complete = self._size, True
        count, last, gap = 0, anchor.previous_pts_s or 0.0, FALLBACK_PERIOD_S
        for pts_s, picture in decoded:
            if anchor.index and pts_s < anchor.pts_s - SAME_S:
                continue
            if sampling.end_s is not None and pts_s >= sampling.end_s - SAME_S:
                complete = False
                break
            if start is not None and pts_s >= start.pts_s - SAME_S:
                count, start = start.index - anchor.index, None
            index = anchor.index + count
            gap, last, count = (pts_s - last if index else gap), pts_s, count + 1
            self._limits.check_progress(index + 1, pts_s)
            begun = pts_s >= sampling.start_s - SAME_S
            taken = sampling.takes(index, pts_s, tick) and begun
            tick = sampling.tick(pts_s)
            # The first frame is converted even if nobody takes it: its size is the clip's.
            if taken or size is None:
                pixels = self._pictures.whole(picture, size)
                size = pixels.shape[1], pixels.shape[0]
                if taken:
                    yield Frame(index, pts_s, pixels)
            if every and begun and not taken and index % every == 0:
                yield Between(index, pts_s, self._pictures.scaled(picture, self._view.size(*size)))
        if count == 0 and complete and not anchor.index:
            raise nothing_decoded(self._source, damage.reason)
        self.report = _report(count, last, gap, size or (0, 0), damage, complete, self._notes)


def _report(
    count: int, last: float, gap: float, size: tuple[int, int], damage: Damage, complete: bool, notes: tuple[str, ...]
) -> ReadReport:
    broken = damage.report(complete)
    return ReadReport(
        frames=count,
        duration_s=last + gap if count else 0.0,
        width=size[0],
        height=size[1],
        broken=broken,
        broken_at_s=None if broken is None else last if damage.at_s is None else damage.at_s,
        damaged_frames=damage.frames,
        notes=notes,
    )
