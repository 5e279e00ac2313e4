"""The sound of a clip, taken out of it before pictures are written beside it.

The packets go, unchanged (or, see `sound_anew`, made anew), into an MP4 of their own: what an MP4 refuses (at its
header, at a packet, at its end) shows here and costs no picture. There they follow each other without a break;
`stretches` say which seconds of the clip they are, as joined recordings set their clock anew.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from inference.video.container import video_stream
from inference.video.frames import VideoLimits
from inference.video.times import LEAP_GAPS, LEAP_S

# A clock that goes back by more was set anew; what goes back by less is a wrong time alone.
_BACK_S = 0.1
# A pause of sound. It may be as long as the pictures go on, and a little longer; what is longer is a wrong time.
_PAUSE_S, _LONGEST_S = 1.0, 10.0
# Decoders of sound need packets before the first that is heard.
PRIMING_S = 0.5
# So many packets of a stream are tried before its sound is given up.
_MOST_REFUSED = 200
_FRAME = 1024
_ID3_HEAD, _ID3V1 = 10, 128
# From this share of its packets on, a stretch of sound is stored beside the pictures of one recording.
_BESIDE = 0.75


@dataclass(frozen=True)
class Span:
    """Which seconds of the clip's clock are asked for, and how long its sound may be."""

    start_s: float = 0.0
    end_s: float | None = None
    limit_s: float = VideoLimits.max_duration_s

    @property
    def last_s(self) -> float:
        """No sound begins from here on."""
        return min(self.limit_s, math.inf if self.end_s is None else self.end_s)


WHOLE = Span()


@dataclass(frozen=True)
class Stretch:
    """From the sample `at` of the soundtrack on, it is the clip's sound from `clip_s` on, by the clip's own clock.

    anew: how often that was set anew before.
    """

    at: int
    clip_s: float
    anew: int


@dataclass
class Soundtrack:
    """`rate` samples a second, `length` samples in all, in `stretches` whose times are to be moved by `shifts`
    (seconds). said: what of the clip's sound is not there, and why."""

    rate: int = 1
    length: int = 0
    stretches: list[Stretch] = field(default_factory=list)
    shifts: list[float] = field(default_factory=list)
    said: str | None = None

    def begins(self, number: int) -> int:
        """Where stretch `number` begins in time, in samples."""
        return round((self.stretches[number].clip_s + self.shifts[number]) * self.rate)


def without_tags(packet: Packet[AudioStream]) -> Packet[AudioStream] | None:
    """The packet, without the ID3 tags before and behind its sound: words of the upload's, which no player needs. None
    where it is a tag alone."""
    data = whole = bytes(packet)
    while data[:3] == b"ID3" and len(data) >= _ID3_HEAD and not any(byte & 0x80 for byte in data[6:10]):
        size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]
        data = data[_ID3_HEAD * (2 if data[5] & 0x10 else 1) + size :]  # ID3v2.4, 3.4: a footer repeats the header
    if data[-_ID3V1 : -_ID3V1 + 3] == b"TAG":
        data = data[:-_ID3V1]
    if not data:
        return None
    if data == whole:
        return packet
    bare: Packet[Any] = Packet(data)
    bare.is_keyframe = packet.is_keyframe
    return bare


class _Steps:
    """Where the clock of a stream is set anew, by the times of its packets in the order of storage."""

    def __init__(self) -> None:
        self.last_s: float | None = None
        self.gap_s = 0.0

    def is_set_anew(self, at_s: float) -> bool:
        last, self.last_s = self.last_s, at_s
        if last is None:
            return False
        if -_BACK_S <= at_s - last <= max(LEAP_S, LEAP_GAPS * self.gap_s):
            self.gap_s = max(at_s - last, 0.0) or self.gap_s
            return False
        return True


class _Pictures:
    """By how much the pictures' times are moved, so that they move on: where their clock is set anew, they follow the
    last one (see `decode`). latest_s: the latest by their own clock."""

    def __init__(self) -> None:
        self._steps = _Steps()
        self._last_s = self.latest_s = 0.0
        self.shifts = [0.0]

    def add(self, decoded_s: float | None, shown_s: float) -> None:
        """Takes a packet. When it is shown does not tell alone: B-frames are stored before pictures that come earlier,
        and Matroska gives the first packets no other time."""
        if decoded_s is not None and self._steps.is_set_anew(decoded_s):
            self.shifts.append(self._last_s + self._steps.gap_s - shown_s)
        self._last_s = max(self._last_s, shown_s + self.shifts[-1])
        self.latest_s = max(self.latest_s, shown_s)


class Copy:
    """Copies one audio stream of a container."""

    done = "copied into an MP4"

    def __init__(self, container: InputContainer, number: int, path: Path, span: Span) -> None:
        self._input, self._path, self._span = container, path, span
        self._audio = container.streams.audio[number]
        self._start_s = (container.start_time or 0) / 1e6
        self._track = Soundtrack(self._audio.codec_context.sample_rate)
        self._steps, self._pictures = _Steps(), _Pictures()
        self._kind: bytes | None = None
        self._first_kind: bytes | None = None
        self._last, self._next_s, self._anew = -1, 0.0, 0
        self._beside: Counter[tuple[int, int]] = Counter()
        self._kept = self._refused = 0
        self._reason, self._early = "", ""
        self._ended = self._is_cut = False

    def made(self) -> Soundtrack:
        """The soundtrack; with `length` 0 where the stream holds nothing that an MP4 takes."""
        try:
            # Without edit lists: they would move its beginning.
            with av.open(str(self._path), "w", format="mp4", options={"use_editlist": "0"}) as output:
                self._copy_all(output)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            why = getattr(error, "strerror", None) or str(error)
            context = self._audio.codec_context
            kind = f"{context.codec.canonical_name}, {context.sample_rate} samples a second"
            return Soundtrack(said=f"its sound ({kind}) cannot be {self.done} ({why})")
        self._track.shifts = self._shifts()
        return replace(self._track, said=self._said())

    def _begin(self, output: OutputContainer) -> None:
        self._output, self._made = output, output.add_stream_from_template(self._audio)
        output.start_encoding()  # apart from the packets: what the header refuses, no packet mends

    def _finish(self) -> None:
        """Nothing is held back."""

    def _copy_all(self, output: OutputContainer) -> None:
        self._begin(output)
        for packet in self._packets():
            if isinstance(packet.stream, VideoStream):
                self._see(packet)
            elif packet.size:
                self._take(packet)
            if self._ended or (not self._track.length and self._refused >= _MOST_REFUSED):
                break
        self._finish()

    def _packets(self) -> Iterator[Packet[Any]]:
        streams: list[Stream] = [self._audio]
        if self._input.streams.video:
            streams.append(video_stream(self._input))
        try:
            yield from self._input.demux(streams)
        except av.FFmpegError as error:
            self._early = error.strerror or type(error).__name__

    def _seconds(self, stamp: int, packet: Packet[Any]) -> float:
        return float(stamp * packet.time_base) - self._start_s

    def _see(self, packet: Packet[VideoStream]) -> None:
        shown = packet.dts if packet.pts is None else packet.pts
        if packet.size and shown is not None:
            decoded_s = None if packet.dts is None else self._seconds(packet.dts, packet)
            self._pictures.add(decoded_s, self._seconds(shown, packet))

    def _begins_stretch(self, at_s: float) -> bool:
        """Whether what comes at that second does not go on from what came before."""
        last_s = self._steps.last_s
        self._anew += self._steps.is_set_anew(at_s)
        self._beside[self._anew, len(self._pictures.shifts) - 1] += 1
        return last_s is None or not -_BACK_S <= at_s - last_s <= _PAUSE_S

    def _take(self, packet: Packet[AudioStream]) -> None:
        track, rate = self._track, self._track.rate
        stamp = packet.dts if packet.pts is None else packet.pts
        at_s = self._next_s if stamp is None else self._seconds(stamp, packet)
        samples = round(packet.duration * packet.time_base * rate) if packet.duration else _FRAME
        self._next_s = at_s + samples / rate
        bare = without_tags(packet)
        if bare is None or (packet.is_discard and not -PRIMING_S <= at_s < 0):  # beside the edit list
            return
        if self._begins_stretch(at_s):
            track.stretches.append(Stretch(track.length, at_s, self._anew))
        if not self._is_asked_for(at_s):
            return
        stretch = track.stretches[-1]
        place = max(stretch.at + round((at_s - stretch.clip_s) * rate), 0)
        if place <= self._last:
            place = track.length
        if self._is_another_kind(packet):
            self._refuse("of another sample rate or layout")
            return
        bare.stream, bare.time_base = self._made, Fraction(1, rate)
        bare.pts = bare.dts = place
        bare.duration = samples
        try:
            self._output.mux_one(bare)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            self._refuse("damaged")
            return
        self._kept, self._last, track.length = self._kept + 1, place, place + samples

    def _refuse(self, reason: str) -> None:
        self._refused, self._reason = self._refused + 1, reason

    def _is_asked_for(self, at_s: float) -> bool:
        """Whether it comes before the span's end; where the clock was set anew, that shows only at last."""
        if self._track.length > self._span.limit_s * self._track.rate:
            self._ended = self._is_cut = True
        elif at_s >= self._span.last_s and not self._anew:
            self._ended, self._is_cut = True, self._span.last_s == self._span.limit_s
        return not self._ended

    def _is_another_kind(self, packet: Packet[AudioStream]) -> bool:
        """Whether its samples a second or channels are others than at the beginning, which an MP4 tells once."""
        kind = self._kind
        if packet.has_sidedata("new_extradata"):
            kind = bytes(packet.get_sidedata("new_extradata"))
        elif (head := bytes(packet)[:4])[:2] in (b"\xff\xf1", b"\xff\xf9"):  # ADTS (ISO/IEC 14496-3, 1.A.3.2)
            kind = bytes([head[2] & 0xFD, head[3] & 0xC0])
        self._kind = kind
        self._first_kind = self._first_kind or kind
        return kind != self._first_kind

    def _shifts(self) -> list[float]:
        """By how much the times of each stretch are moved."""
        track, pictures = self._track, self._pictures
        if with_pictures := self._with_pictures():
            return [pictures.shifts[with_pictures[stretch.anew]] for stretch in track.stretches]
        shifts = [0.0]
        for last, stretch in pairwise(track.stretches):
            end_s = last.clip_s + shifts[-1] + (stretch.at - last.at) / track.rate
            is_own = end_s - _BACK_S <= stretch.clip_s <= pictures.latest_s + _LONGEST_S
            shifts.append(0.0 if is_own else end_s - stretch.clip_s)
        return shifts

    def _with_pictures(self) -> list[int]:
        """For every time that the clock was set anew, how often that of the pictures was then; empty where that cannot
        be told."""
        if self._anew == len(self._pictures.shifts) - 1:  # as often: with them
            return list(range(self._anew + 1))
        # A recording among others that has no sound, or only sound. What is stored beside a recording's pictures is its
        # sound, but for a few packets at its ends.
        found: list[int] = []
        for number in range(self._anew + 1):
            beside = Counter({then: count for (anew, then), count in self._beside.items() if anew == number})
            then, count = max(beside.items(), key=lambda item: item[1], default=(0, 0))
            if not count or count < _BESIDE * beside.total() or (found and then <= found[-1]):
                return []
            found.append(then)
        return found

    def _said(self) -> str | None:
        if not self._track.length and self._refused:
            return f"its sound cannot be {self.done}, since all of it is {self._reason}"
        if self._refused:
            lost = f"{self._refused} of {self._kept + self._refused} packets"
            return f"its sound has gaps: {lost} are {self._reason}"
        if self._is_cut:
            if not self._track.length:
                return f"its sound begins after {self._span.limit_s:g} s, the most that is taken (video.max_duration_s)"
            return f"its sound is cut at {self._span.limit_s:g} s, the most that is taken (video.max_duration_s)"
        return f"its sound ends early ({self._early})" if self._early else None
