"""Packets and pictures of a container with their seconds, from the start or from an anchor on (PyAV, FFmpeg)."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from inference.errors import CorruptMedia
from inference.video.frames import Anchor, Damage

FALLBACK_PERIOD_S = 1 / 25
# Timestamps that differ by less are the same: they go through floats, and in a job through JSON.
SAME_S = 5e-7
_TRANSPARENT = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class Clock:
    """Seconds from the container's start, so that pictures and sound share their zero."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        base = stream.time_base or Fraction(1, 90_000)
        self._base = base
        self._start = Fraction(container.start_time or 0, 1_000_000)
        rate = stream.average_rate or stream.guessed_rate
        self.period_s = float(1 / rate) if rate else FALLBACK_PERIOD_S
        # AVI has no presentation times, only the order of storage: sorted, they are those of the display.
        self.sorts = container.format.name == "avi"

    def seconds(self, pts: int) -> float:
        return float(pts * self._base - self._start)

    def of_packet(self, packet: Packet[VideoStream]) -> float:
        stamp = packet.pts if packet.pts is not None else packet.dts
        return self.seconds(stamp or 0)

    def to_pts(self, seconds: float) -> int:
        return round((Fraction(seconds) + self._start) / self._base)


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Demuxes to the end, or to where a cut file stops making sense; `truncation` says that it was cut."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        return


def from_anchor(
    container: InputContainer, stream: VideoStream, clock: Clock, anchor: Anchor
) -> Iterator[Packet[VideoStream]]:
    """Packets from the keyframe that the anchor needs, or from the start where the container cannot seek to it."""
    if not anchor.index:
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


def decoder_of(stream: VideoStream, *, keyframes_only: bool) -> VideoCodecContext:
    """What decodes the stream's packets; of transparent VP8 and VP9, where FFmpeg's own decoders leave the transparency
    out, libvpx. It knows no way to decode keyframes only: those then come without."""
    name = _TRANSPARENT.get(stream.codec_context.name)
    if name and stream.metadata.get("alpha_mode") == "1" and not keyframes_only and name in av.codecs_available:
        return cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    if keyframes_only:
        stream.codec_context.skip_frame = "NONKEY"
    return stream.codec_context


def decode(
    packets: Iterator[Packet[VideoStream]], clock: Clock, damage: Damage, decoder: VideoCodecContext
) -> Iterator[tuple[float, VideoFrame]]:
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
            decoded = decoder.decode(packet)
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
