"""Packets and pictures of a container with their seconds, from the start or from an anchor on (PyAV, FFmpeg)."""

from __future__ import annotations

import heapq
import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, TypeAlias, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from inference.errors import CorruptMedia, LimitExceeded
from inference.image.jpeg_structure import check_scans
from inference.video.container import ASSUMED_RATE, is_counted, rate_of
from inference.video.frames import Anchor, Damage, Timed
from inference.video.times import SAME_S, Times, Told

FALLBACK_PERIOD_S = 1 / 25
# Each decoding thread holds frames of its own; more than four cost memory and gain nothing at our sizes. Where frames
# are larger than those of 4K with 8 bits, fewer threads: as many as have room for theirs here.
DECODE_THREADS, _THREADS_BYTES = 4, 64 << 20
# Frames of AV1 that are larger are not decoded ahead: it keeps eight as references in any case.
_AHEAD_BYTES = 8 << 20
_TRANSPARENT = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# More packets than any decoder keeps before it gives their pictures.
_MOST_WAITING = 1000
_SOUGHT = frozenset({"mov", "matroska", "avi", "mpegts", "flv", "asf", "mxf"})
# The clock of MPEG-TS is one of 33 bits (ISO/IEC 13818-1, 2.4.3.7): it begins again after 26.5 hours.
_WRAP = Fraction(1 << 33, 90_000)


class Clock:
    """Seconds from the container's start, so that pictures and sound share their zero."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        base = stream.time_base or Fraction(1, 90_000)
        self._base = base
        self._start = Fraction(container.start_time or 0, 1_000_000)
        rate = rate_of(container, stream)
        self.period_s = float(1 / rate) if rate else FALLBACK_PERIOD_S
        kind = container.format.name.split(",")[0]
        # AVI, MXF of H.264 and streams without a container have no presentation times, only the order of storage:
        # sorted, they are those of the display.
        self.sorts = kind in ("avi", "mxf") or is_counted(container)
        # Up to that second a seek finds its place. Elsewhere it goes by the bytes, and ends somewhere near.
        self.sought_s = math.inf if kind in _SOUGHT else -math.inf
        if kind == "mpegts":  # where its clock begins again within a file, a seek takes later places for earlier ones
            self.sought_s = float(_WRAP - self._start) if self._start >= 0 else -math.inf
        self.hides = False  # whether a packet so far has a picture that an edit list hides

    def seconds(self, pts: int) -> float:
        return float(pts * self._base - self._start)

    def of_packet(self, packet: Packet[VideoStream]) -> float:
        stamp = packet.pts if packet.pts is not None else packet.dts
        return self.seconds(stamp or 0)

    def lasts_s(self, frame: VideoFrame) -> float | None:
        """How long a picture is shown, by the file."""
        return float(frame.duration * self._base) if frame.duration else None

    def to_pts(self, seconds: float) -> int:
        return round((Fraction(seconds) + self._start) / self._base)


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Demuxes to the end, or to where a cut file stops making sense; `truncation` says that it was cut.

    Packets of a stream without a container get the times of counting, whatever FFmpeg makes up: as `dts`, since their
    order is not that of display.
    """
    counts, period = is_counted(container), 1 / (rate_of(container, stream) or ASSUMED_RATE)
    number = 0
    try:
        for packet in container.demux(stream):
            if counts and packet.size:
                packet.dts, number = round(number * period / packet.time_base), number + 1
                packet.pts = None
            yield packet
    except av.FFmpegError:
        return


Numbered: TypeAlias = "tuple[int, Packet[VideoStream]]"


def from_anchor(container: InputContainer, stream: VideoStream, clock: Clock, anchor: Anchor) -> Iterator[Numbered]:
    """Packets from the keyframe that the anchor needs, with their numbers in the order of storage.

    From the start where the anchor tells the keyframe's number, or the container cannot seek to it.
    """
    if not anchor.index:
        return numbered(packets_of(container, stream), clock)
    if anchor.packet is not None:
        first = anchor.packet
        return itertools.dropwhile(lambda item: item[0] < first, numbered(packets_of(container, stream), clock))
    for offset in (clock.to_pts(anchor.decoded_from_s), 0):
        try:
            container.seek(offset, stream=stream, backward=True)
        except av.FFmpegError:
            continue
        packets = packets_of(container, stream)
        # In MPEG-PS a seek may end in the middle of the keyframe: what comes then begins with the pictures after it.
        skipped: list[Packet[VideoStream]] = []
        for packet in packets:
            skipped.append(packet)
            if packet.size and packet.is_keyframe:
                break
        if skipped and skipped[-1].is_keyframe and clock.of_packet(skipped[-1]) <= anchor.decoded_from_s + SAME_S:
            return numbered(itertools.chain(skipped, packets), clock)
    raise changed(anchor)


def numbered(packets: Iterator[Packet[VideoStream]], clock: Clock) -> Iterator[Numbered]:
    """Packets with how many came before that have something in them."""
    number = 0
    for packet in packets:
        clock.hides |= packet.is_discard
        yield number, packet
        number += bool(packet.size)


def changed(anchor: Anchor) -> CorruptMedia:
    """The clip has no such picture (any more)."""
    return CorruptMedia(f"cannot be read from {anchor.pts_s:.3f} s on; it changed, or its index is damaged")


def decoder_of(stream: VideoStream, *, keyframes_only: bool) -> VideoCodecContext:
    """What decodes the stream's packets; of transparent VP8 and VP9, where FFmpeg's own decoders leave the transparency
    out, libvpx."""
    decoder, name = stream.codec_context, _TRANSPARENT.get(stream.codec_context.name)
    if name and stream.metadata.get("alpha_mode") == "1" and name in av.codecs_available:
        decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    elif keyframes_only:
        decoder.skip_frame = "NONKEY"
    if decoder.codec.name == "libdav1d" and _frame_bytes(stream) > _AHEAD_BYTES:
        decoder.options = {"max_frame_delay": "1"}
    decoder.thread_type = "AUTO"
    decoder.thread_count = min(DECODE_THREADS, os.cpu_count() or 1, max(1, _THREADS_BYTES // _frame_bytes(stream)))
    return decoder


def _frame_bytes(stream: VideoStream) -> int:
    """What a decoded picture takes, by the header."""
    form = stream.format
    bits = form.padded_bits_per_pixel if form else 0
    return max(1, stream.width * stream.height * (bits or 12) // 8)


class Picture(NamedTuple):
    """A decoded picture, and the number of its packet; timed: the file tells when it is shown."""

    frame: VideoFrame
    number: int
    timed: bool


@dataclass
class Decoding:
    """Pictures from packets, in display order, with the seconds by the file; None where it tells none.

    keys_only: keyframes alone are decoded (not every decoder leaves out the others by itself).
    """

    decoder: VideoCodecContext
    clock: Clock
    damage: Damage
    keys_only: bool = False
    last_s: float = 0.0
    _waiting: list[float] = field(default_factory=list)
    _first: float | None = None
    _stamps: dict[int, int | None] = field(default_factory=dict)

    def pictures(self, packets: Iterator[Numbered]) -> Iterator[tuple[float | None, Picture]]:
        """The decoder hands through the packet's number in the place of its time: `opaque`, which is there for such
        things, can lock up PyAV where a decoder of several threads is closed early."""
        for number, packet in packets:
            if self.keys_only and packet.size and not packet.is_keyframe:
                continue
            stamp = self._expect(packet)
            if packet.size:
                self._keep(number, packet.pts)
                packet.pts = number
            try:
                if self.decoder.name == "mjpeg":
                    check_scans(bytes(packet))
                decoded = self.decoder.decode(packet)
            except (av.FFmpegError, LimitExceeded) as error:
                self.damage.note(getattr(error, "strerror", None) or str(error) or type(error).__name__, self.last_s)
                if stamp in self._waiting:  # its picture does not come, and the next ones keep their own times
                    self._waiting.remove(stamp)
                    heapq.heapify(self._waiting)
                continue
            for frame in decoded:
                number = -1 if frame.pts is None else frame.pts
                pts = self._stamps.pop(number, None)
                at = None if pts is None else self.clock.seconds(pts)
                if at is None and self.keys_only:  # of the pictures that are left out there are about so many
                    at = number * self.clock.period_s
                yield (heapq.heappop(self._waiting) if self._waiting else at), Picture(frame, number, pts is not None)

    def _keep(self, number: int, pts: int | None) -> None:
        self._stamps[number] = pts
        if len(self._stamps) > _MOST_WAITING:  # not every packet gives a picture
            del self._stamps[next(iter(self._stamps))]

    def begin(self, raw_s: float) -> None:
        """The picture that just came is shown at that second, by the file; those before it were not wanted."""
        if self.clock.sorts:
            self._first = raw_s + SAME_S
            self._waiting = sorted(stamp for stamp in self._waiting if stamp > self._first)

    def _expect(self, packet: Packet[VideoStream]) -> float | None:
        """The time of a packet whose picture has none of its own: sorted, these are the times of the pictures."""
        if not (self.clock.sorts and packet.size):
            return None
        stamp = self.clock.of_packet(packet)
        self._first = stamp if self._first is None else self._first
        # Pictures that are shown before the first that is decoded need others before it: none comes out.
        if stamp >= self._first:
            heapq.heappush(self._waiting, stamp)
        return stamp


def decode(packets: Iterator[Numbered], decoding: Decoding, anchor: Anchor | None = None) -> Iterator[Told[Picture]]:
    """Pictures in display order with seconds that strictly increase, as they are in the whole clip.

    `anchor`: where the packets begin. Raises CorruptMedia where its keyframe does not come.
    """
    anchor = anchor or Anchor()
    times: Times[Picture] = Times(decoding.clock.period_s, anchor.shift_s, anchor.gap_s)
    # What is shown before the keyframe that decoding begins with belongs to the pictures before.
    awaited = (anchor.packet or None) if anchor.index else None
    for raw_s, picture in decoding.pictures(packets):
        if awaited is not None:
            if picture.number != awaited:
                continue
            awaited, begins_s = None, anchor.decoded_from_s - anchor.shift_s
            decoding.begin(begins_s)
            raw_s = begins_s if raw_s is None or decoding.clock.sorts else raw_s
        yield from times.add(raw_s, picture)
        decoding.last_s = times.last_s
    if awaited is not None:
        raise changed(anchor)
    yield from times.rest()


def timed(told: Iterator[Told[Picture]], clock: Clock, damage: Damage) -> Iterator[Timed]:
    """The pictures for the reader; notes those that are damaged."""
    for picture in told:
        frame = picture.item.frame
        if frame.is_corrupt:
            damage.note("damaged data", picture.at_s)
        yield Timed(picture.at_s, frame, clock.lasts_s(frame), picture.fault)
