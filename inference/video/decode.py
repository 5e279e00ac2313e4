"""Packets and pictures of a container with their seconds, from the start or from an anchor on (PyAV, FFmpeg)."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from inference.errors import CorruptMedia
from inference.video.container import ASSUMED_RATE, is_counted, rate_of
from inference.video.frames import Anchor, Damage

FALLBACK_PERIOD_S = 1 / 25
# Timestamps that differ by less are the same: they go through floats, and in a job through JSON.
SAME_S = 5e-7


class Clock:
    """Seconds from the container's start, so that pictures and sound share their zero."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        base = stream.time_base or Fraction(1, 90_000)
        self._base = base
        self._start = Fraction(container.start_time or 0, 1_000_000)
        rate = rate_of(container, stream)
        self.period_s = float(1 / rate) if rate else FALLBACK_PERIOD_S
        self.counts = is_counted(container)
        # AVI, and MXF of H.264, have no presentation times, only the order of storage: sorted, they are those of the
        # display.
        self.sorts = container.format.name in ("avi", "mxf")

    def seconds(self, pts: int) -> float:
        return float(pts * self._base - self._start)

    def of_packet(self, packet: Packet[VideoStream]) -> float:
        stamp = packet.pts if packet.pts is not None else packet.dts
        return self.seconds(stamp or 0)

    def to_pts(self, seconds: float) -> int:
        return round((Fraction(seconds) + self._start) / self._base)


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Demuxes to the end, or to where a cut file stops making sense; `truncation` says that it was cut.

    Packets of a stream without a container get the times of counting, whatever FFmpeg makes up: as `dts`, since their
    order is not that of display, and where keyframes alone are decoded as `pts`.
    """
    counts, period = is_counted(container), 1 / (rate_of(container, stream) or ASSUMED_RATE)
    keys_only = stream.codec_context.skip_frame == "NONKEY"
    number = 0
    try:
        for packet in container.demux(stream):
            if counts and packet.size:
                packet.dts, number = round(number * period / packet.time_base), number + 1
                packet.pts = packet.dts if keys_only and packet.is_keyframe else None
            yield packet
    except av.FFmpegError:
        return


def from_anchor(
    container: InputContainer, stream: VideoStream, clock: Clock, anchor: Anchor
) -> Iterator[Packet[VideoStream]]:
    """Packets from the keyframe that the anchor needs, or from the start where the container cannot seek to it."""
    if not anchor.index or clock.counts:
        return packets_of(container, stream)
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
            return itertools.chain(skipped, packets)
    raise CorruptMedia(f"cannot be read from {anchor.pts_s:.3f} s on; it changed, or its index is damaged")


def decode(packets: Iterator[Packet[VideoStream]], clock: Clock, damage: Damage) -> Iterator[tuple[float, VideoFrame]]:
    """(seconds, picture) in display order, the seconds strictly increasing."""
    waiting: list[float] = []
    first: float | None = None
    last: float | None = None
    for packet in packets:
        stamp = clock.of_packet(packet) if clock.sorts and packet.size else None
        first = stamp if first is None else first
        # Pictures that are shown before the first that is decoded need others before it: none comes out.
        if stamp is not None and first is not None and stamp >= first:
            heapq.heappush(waiting, stamp)
        try:
            decoded = packet.decode()
        except av.FFmpegError as error:
            damage.note(error.strerror or type(error).__name__, last or 0.0)
            if stamp in waiting:  # its picture does not come, and the next ones keep their own times
                waiting.remove(stamp)
                heapq.heapify(waiting)
            continue
        for frame in decoded:
            pts = heapq.heappop(waiting) if waiting else None
            if pts is None and frame.pts is not None:
                pts = clock.seconds(frame.pts)
            if pts is None or (last is not None and pts <= last):
                pts = 0.0 if last is None else last + clock.period_s
            last = pts
            if frame.is_corrupt:
                damage.note("damaged data", pts)
            yield pts, frame
