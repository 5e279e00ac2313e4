"""Reading: probe without decoding; upright frames as a stream, with their true timestamps (PyAV, FFmpeg)."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from inference.image.sniff import head_of, sniff
from inference.machine import returning_freed_memory
from inference.video import animation
from inference.video.container import (
    notes_on,
    nothing_decoded,
    open_binary,
    open_container,
    rate_of,
    truncation,
    unread_behind,
    video_stream,
)
from inference.video.decode import FALLBACK_PERIOD_S, Clock, Decoding, decode, decoder_of, from_anchor, timed
from inference.video.ending import Ending, track_ends
from inference.video.frames import (
    Anchor,
    Between,
    Damage,
    Frame,
    Media,
    ReadReport,
    Sampling,
    Timed,
    VideoInfo,
    VideoLimits,
    View,
)
from inference.video.table import runs_past as runs_past
from inference.video.table import scan as scan
from inference.video.times import SAME_S
from inference.video.upright import UprightPictures, pixel_shape, square

# So much of a clip tells its bit rate where the header does not.
_MEASURED_S, _MEASURED_BYTES = 30.0, 2 << 20


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
        width, height = square(stream.width, stream.height, pixel_shape(stream), limits)
        duration, rate = container.duration, rate_of(container, stream)
        return VideoInfo(
            container=container.format.name.split(",")[0],
            codec=stream.codec_context.name,
            width=width,
            height=height,
            nominal_fps=float(rate) if rate else None,
            claimed_duration_s=duration / 1e6 if duration is not None else None,
            claimed_frames=stream.frames or None,
            has_audio=bool(container.streams.audio),
            truncated=truncation(source),
            media_type=_media_type(source),
            claimed_bit_rate=_bit_rate(container, stream),
        )


def _bit_rate(container: InputContainer, stream: VideoStream) -> int | None:
    """Bits a second of the pictures, by the header or by how long the file is; by its first pictures, where the header
    says nothing of the stream: then its sound is of an unknown rate, too, and a live recording has no length."""
    sound = sum(audio.bit_rate or 0 for audio in container.streams.audio)
    own = stream.bit_rate or _measured_bit_rate(container, stream)
    return min((rate for rate in (own, (container.bit_rate or 0) - sound) if rate > 0), default=None)


def _measured_bit_rate(container: InputContainer, stream: VideoStream) -> int:
    """Bits a second of the first pictures; 0 where that cannot be told."""
    period_s = float(1 / (rate_of(container, stream) or 10))
    count, size, shown = 0, 0, list[float]()
    with suppress(av.FFmpegError):
        for packet in container.demux(stream):
            count, size = count + bool(packet.size), size + packet.size
            if packet.size and packet.pts is not None:
                shown.append(float(packet.pts * packet.time_base))
            if size >= _MEASURED_BYTES or count * period_s >= _MEASURED_S:
                break
    lasts_s = max(shown, default=0.0) - min(shown, default=0.0)
    lasts_s = lasts_s * count / (count - 1) if lasts_s > 0 else count * period_s
    return round(8 * size / lasts_s) if count else 0


def _media_type(source: Media) -> str:
    with open_binary(source) as file:
        return sniff(head_of(file))


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

    def shown(self) -> Generator[Frame | Between]:
        """The sampled frames, and in order with them those that the view shows between them."""
        with returning_freed_memory():
            yield from self._shown()

    def _shown(self) -> Iterator[Frame | Between]:
        damage = Damage(self._start.pts_s - SAME_S if self._start and self._start.index else 0.0)
        self._pictures = UprightPictures(self._limits, damage)
        if animation.is_animation(self._source):
            pictures = animation.frames(self._source, self._limits, damage)
            yield from self._sampled(pictures, damage, Ending(exact=True))
            return
        # Before it is opened: of a file that was given open, this moves the position that decoding goes on from.
        damage.truncated, tracks_s = truncation(self._source), track_ends(self._source)
        behind = unread_behind(self._source)
        with open_container(self._source) as container:
            stream = video_stream(container)
            self._limits.check_size(stream.width, stream.height)
            self._notes = (*notes_on(container, stream), *behind)
            self._pictures = UprightPictures(self._limits, damage, stream)
            decoder = decoder_of(stream, keyframes_only=self._sampling.keyframes_only)
            clock = Clock(container, stream)
            packets = from_anchor(container, stream, clock, self._anchor)
            decoding = Decoding(decoder, clock, damage, self._sampling.keyframes_only)
            told = decode(packets, decoding, self._anchor)
            ending = Ending.of(container, stream, tracks_s)
            yield from self._sampled(timed(told, clock, damage), damage, ending, clock)

    def _sampled(
        self, decoded: Iterator[Timed], damage: Damage, ending: Ending, clock: Clock | None = None
    ) -> Iterator[Frame | Between]:
        sampling, anchor, start, every = self._sampling, self._anchor, self._start, self._view.every
        tick = -1 if anchor.previous_pts_s is None else sampling.tick(anchor.previous_pts_s)
        size, complete, seen = self._size, True, _Seen(anchor, start)
        for shown in decoded:
            pts_s = shown.pts_s
            if anchor.index and pts_s < anchor.pts_s - SAME_S:
                continue
            if sampling.end_s is not None and pts_s >= sampling.end_s - SAME_S:
                seen.note(shown)
                complete = False
                break
            index, last_s = seen.take(shown)
            ending.take(shown)
            self._limits.check_progress(index + 1, pts_s, last_s)
            begun = pts_s >= sampling.start_s - SAME_S
            taken = sampling.takes(index, pts_s, tick) and begun
            tick = sampling.tick(pts_s)
            # The first frame is converted even if nobody takes it: its size is the clip's.
            if taken or size is None:
                pixels = self._pictures.whole(shown.picture, pts_s, size)
                if pixels is None:
                    continue
                size = pixels.shape[1], pixels.shape[0]
                if taken:
                    yield Frame(index, pts_s, pixels)
                del pixels  # the next frame is made while others still work on this one, or none does
            if every and begun and not taken and index % every == 0:
                pixels = self._pictures.scaled(shown.picture, self._view.size(*size))
                if pixels is not None:
                    yield Between(index, pts_s, pixels)
        if seen.count == 0 and complete and not anchor.index:
            raise nothing_decoded(self._source, damage.reason)
        if size is None and self._pictures.refusal is not None:
            raise self._pictures.refusal
        # Where a file has more than its pictures, or is shorter, its length is not theirs.
        whole = damage.truncated is None and not seen.shifted and not (clock and clock.hides)
        lasts_s = ending.lasts_s(seen.gap_s, whole) if complete else seen.gap_s
        notes = (*self._notes, *self._pictures.notes)
        self.report = replace(seen.report(lasts_s, size or (0, 0), damage, complete), notes=notes)


class _Seen:
    """The pictures that were read: how many, when, and where the file's clock was set anew."""

    def __init__(self, anchor: Anchor, start: Anchor | None) -> None:
        self._anchor, self._start = anchor, start
        # A fault before the first picture of a part is told by the part before it.
        self._faults_from_s = -math.inf if start is None or not start.index else start.pts_s + SAME_S
        self.count, self.gap_s = 0, FALLBACK_PERIOD_S
        self.shifted = anchor.shift_s != 0.0  # whether the clip's times are not the file's
        self._first_s: float | None = None
        self._last_s = anchor.previous_pts_s
        self._clock: str | None = None
        self._faults = 0

    def take(self, shown: Timed) -> tuple[int, float | None]:
        """The picture's index in the clip, and the time of the picture before."""
        anchor, start, last_s, pts_s = self._anchor, self._start, self._last_s, shown.pts_s
        if start is not None and pts_s >= start.pts_s - SAME_S:
            self.count, self._start = start.index - anchor.index, None
        index = anchor.index + self.count
        if last_s is not None and index:
            self.gap_s = pts_s - last_s
        self.note(shown)
        self._first_s = pts_s if self._first_s is None else self._first_s
        self._last_s, self.count = pts_s, self.count + 1
        return index, last_s

    def note(self, shown: Timed) -> None:
        """Keeps a fault of the clock before the next picture."""
        self.shifted |= shown.fault is not None
        if shown.fault is not None and shown.pts_s > self._faults_from_s:
            self._clock = self._clock or shown.fault.words(self._anchor.index + self.count)
            self._faults += 1

    def report(self, lasts_s: float, size: tuple[int, int], damage: Damage, complete: bool) -> ReadReport:
        """The clip as far as it was read; lasts_s: its last picture."""
        broken, last_s = damage.report(complete), self._last_s or 0.0
        return ReadReport(
            frames=self.count,
            duration_s=last_s + lasts_s if self.count else 0.0,
            width=size[0],
            height=size[1],
            broken=broken,
            broken_at_s=None if broken is None else last_s if damage.at_s is None else damage.at_s,
            damaged_frames=damage.frames,
            first_s=self._first_s or 0.0,
            clock=self._clock,
            clock_faults=self._faults,
        )
