"""The pictures of a clip before it is analysed: what a plan numbers, and where reading can begin (PyAV, FFmpeg).

Packets are not pictures: some are hidden, lost, halves of a picture or two of them. Where anything says so, and in the
first pictures of every clip, what comes out of the decoder is the truth.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from math import inf, nan

import numpy as np
from numpy.typing import NDArray

from inference.errors import LimitExceeded
from inference.video.container import open_container, video_stream
from inference.video.decode import Clock, Decoding, Picture, decode, decoder_of, numbered, packets_of
from inference.video.frames import Anchor, Damage, Media, VideoLimits
from inference.video.times import LEAP_S, SAME_S, Times, Told

# So many pixels are decoded in any case, which takes a few seconds: all of a short clip, the beginning of a long one.
_LOOKED_AT = 1_500_000_000
# Pictures that are stored this far from their place are in no order that a codec makes.
_FURTHEST = 32


@dataclass(frozen=True)
class PacketTable:
    """Every picture of a clip as it is read from its start, (M,) each: `pts_s` seconds, `keyframe` bool.

    Where reading cannot begin by a time, `packet` has the numbers of the pictures' packets, `shift_s` and `gap_s` how
    the clock is set right after them (NaN: no gap yet); `doubt` says why all was decoded. keys_only: all are keyframes,
    and `keyframe` says where reading can begin.
    """

    pts_s: NDArray[np.float64]
    keyframe: NDArray[np.bool_]
    packet: NDArray[np.int64] | None = None
    shift_s: NDArray[np.float64] | None = None
    gap_s: NDArray[np.float64] | None = None
    doubt: str = ""
    keys_only: bool = False

    def anchor(self, index: int) -> Anchor:
        """To read from this picture on; from the first keyframe on, whose predecessors cannot be decoded."""
        before = np.flatnonzero(self.keyframe[: index + 1])
        start_s, key = float(self.pts_s[index]), int(before[-1])
        if len(before) == 1 and key == index:
            return Anchor(start_s)
        keyframe_s = None if key == index else float(self.pts_s[key])
        anchor = Anchor(start_s, index, float(self.pts_s[index - 1]), keyframe_s)
        if self.packet is None or self.shift_s is None or self.gap_s is None:
            return anchor
        if len(before) == 1:
            return replace(anchor, packet=0)
        gap_s = float(self.gap_s[key])
        return replace(
            anchor,
            packet=int(self.packet[key]),
            shift_s=float(self.shift_s[key]),
            gap_s=None if np.isnan(gap_s) else gap_s,
        )

    def widest_gap_s(self) -> float:
        """The longest time from a keyframe to the next, or to the last picture."""
        return float(np.diff(np.append(self.pts_s[self.keyframe], self.pts_s[-1])).max())

    def keyframes(self) -> PacketTable:
        """The keyframes alone."""
        if self.keys_only:
            return self
        key = self.keyframe
        packet = None if self.packet is None else self.packet[key]
        shift_s, gap_s = (None if column is None else column[key] for column in (self.shift_s, self.gap_s))
        return PacketTable(self.pts_s[key], key[key], packet, shift_s, gap_s, self.doubt, keys_only=True)


def scan(
    source: Media, limits: VideoLimits | None = None, keys_only: bool = False, patience_s: float = inf
) -> PacketTable:
    """The pictures of a clip, as `VideoReader` numbers and times them; of a cut file those that it still has.

    Reads all packets; decodes the first pictures, and all where packets turn out not to tell them. keys_only: of the
    keyframes alone. Raises as `probe` does, and LimitExceeded where decoding takes longer than `patience_s` seconds.
    """
    limits = limits or VideoLimits()
    coded = _Coded(_sought_s(source))
    for pts_s, dts_s, is_keyframe, doubt in _stamped(source):
        coded.add(pts_s, dts_s, is_keyframe, doubt)
        limits.check_progress(len(coded.pts_s), 0.0)
    told, doubt = coded.table(keys_only), coded.doubt()
    deadline = time.monotonic() + patience_s
    shown, last_s = _Shown(np.array(coded.keyframe, np.bool_)), None
    with contextlib.closing(_decoded(source, keys_only)) as pictures:
        for picture in pictures:
            frame = picture.item.frame
            if not doubt and len(shown.pts_s) * frame.width * frame.height > _LOOKED_AT:
                doubt = shown.differs(told)
                if not doubt:
                    break
            if time.monotonic() > deadline:
                raise LimitExceeded(
                    f"{doubt or 'its pictures are large'}, so that all of it has to be decoded before it is split, and "
                    f"that takes longer than the {patience_s:.0f} s that there are; copy it into a new container "
                    "(ffmpeg -i IN -c copy OUT.mkv), encode it again, or cut it"
                )
            shown.add(picture)
            limits.check_progress(len(shown.pts_s), picture.at_s, last_s)
            last_s = picture.at_s
        else:
            wrong = shown.differs(told, whole=True)
            return shown.table(doubt or wrong, keys_only) if wrong and shown.pts_s else told
    _check_length(told, limits)
    return told


def _sought_s(source: Media) -> float:
    with open_container(source) as container:
        return Clock(container, video_stream(container)).sought_s


def _check_length(table: PacketTable, limits: VideoLimits) -> None:
    """Raises LimitExceeded where the last picture is past the cap on seconds, naming a jump of the clock to there."""
    past = np.flatnonzero(table.pts_s > limits.max_duration_s)
    if len(past):
        first = int(past[0])
        limits.check_progress(first + 1, float(table.pts_s[first]), float(table.pts_s[first - 1]) if first else None)


def runs_past(source: Media, seconds: float) -> bool:
    """Whether a picture is shown after this second of the clip, whatever its header says; raises as `probe` does.

    Reads packets up to the first such picture, so all of a shorter clip, and decodes none. Where the file's clock is
    set anew on the way, pictures go on from there, as in reading.
    """
    with open_container(source) as container:
        times: Times[float] = Times(Clock(container, video_stream(container)).period_s)
    with contextlib.closing(_stamped(source)) as stamped:
        for pts_s, dts_s, _, _ in stamped:
            # In the order of storage, which is that of decoding; the picture is shown a little later.
            late = 0.0 if pts_s is None or dts_s is None else pts_s - dts_s
            for told in times.add(pts_s if dts_s is None else dts_s, late if 0 <= late < 1.0 else 0.0):
                if told.at_s + told.item > seconds:
                    return True
    return any(told.at_s + told.item > seconds for told in times.rest())


def _stamped(source: Media) -> Generator[tuple[float | None, float | None, bool, str]]:
    """(seconds to show it, seconds to decode it, is it a keyframe, why it may be no picture) of every packet."""
    with open_container(source) as container:
        stream = video_stream(container)
        clock = Clock(container, stream)
        for packet in packets_of(container, stream):
            if packet.size:
                pts, dts = packet.pts, packet.dts
                doubt = "it hides pictures" if packet.is_discard else "it is damaged" if packet.is_corrupt else ""
                if clock.sorts and pts is None:
                    pts, doubt = dts, doubt or "its pictures have no times of their own"
                yield (
                    None if pts is None else clock.seconds(pts),
                    None if dts is None else clock.seconds(dts),
                    packet.is_keyframe,
                    doubt,
                )


def _decoded(source: Media, keys_only: bool) -> Generator[Told[Picture]]:
    with open_container(source) as container:
        stream = video_stream(container)
        decoder = decoder_of(stream, keyframes_only=keys_only)
        clock = Clock(container, stream)
        decoding = Decoding(decoder, clock, Damage(), keys_only)
        yield from decode(numbered(packets_of(container, stream), clock), decoding)


@dataclass
class _Coded:
    """What the packets say, in the order of storage. sought_s: before which second the container can be sought in."""

    sought_s: float
    pts_s: list[float | None] = field(default_factory=list)
    dts_s: list[float | None] = field(default_factory=list)
    keyframe: list[bool] = field(default_factory=list)
    said: str = ""

    def add(self, pts_s: float | None, dts_s: float | None, is_keyframe: bool, doubt: str) -> None:
        self.pts_s.append(pts_s)
        self.dts_s.append(dts_s)
        self.keyframe.append(is_keyframe)
        self.said = self.said or doubt

    def table(self, keys_only: bool) -> PacketTable:
        """A picture a packet, by presentation time."""
        pts_s = np.array([0.0 if at is None else at for at in self.pts_s], np.float64)
        order = np.argsort(pts_s, kind="stable")
        seeks = not len(pts_s) or pts_s.max() < self.sought_s
        columns = () if seeks else (order.astype(np.int64), np.zeros(len(order)), np.full(len(order), nan))
        table = PacketTable(pts_s[order], np.array(self.keyframe, np.bool_)[order], *columns)
        return table.keyframes() if keys_only else table

    def doubt(self) -> str:
        """Why a packet may be no picture, or no time be told by it; "" where nothing says so."""
        if self.said or not self.pts_s:
            return self.said
        if not self.keyframe[0]:
            return "it begins between two keyframes"
        if any(at is None for at in self.pts_s):
            return "its pictures have no times"
        pts_s = np.array(self.pts_s, np.float64)
        dts_s = np.array([at for at in self.dts_s if at is not None], np.float64)
        order = np.argsort(pts_s, kind="stable")
        gaps = np.diff(pts_s[order])
        if (np.diff(dts_s) < -SAME_S).any() or (np.abs(order - np.arange(len(order))) > _FURTHEST).any():
            return "its clock steps back"
        if (gaps <= SAME_S).any():
            return "it has pictures of the same time"
        return "its clock jumps" if (gaps > LEAP_S).any() else ""


@dataclass
class _Shown:
    """The pictures that came out of the decoder. coded: (N,) whether each packet is a keyframe."""

    coded: NDArray[np.bool_]
    pts_s: list[float] = field(default_factory=list)
    keyframe: list[bool] = field(default_factory=list)
    packet: list[int] = field(default_factory=list)
    shift_s: list[float] = field(default_factory=list)
    gap_s: list[float] = field(default_factory=list)

    def add(self, picture: Told[Picture]) -> None:
        frame, number, timed = picture.item
        # A stream that is renewed bit by bit has packets to begin at whose own picture is not whole yet.
        key = number >= 0 and bool(self.coded[number]) and frame.key_frame and (picture.own or not timed)
        self.pts_s.append(picture.at_s)
        self.keyframe.append(key)
        self.packet.append(number)
        self.shift_s.append(picture.shift_s)
        self.gap_s.append(nan if picture.gap_s is None else picture.gap_s)

    def differs(self, told: PacketTable, whole: bool = False) -> str:
        """How the pictures so far differ from those that the packets told, if they do."""
        count = len(self.pts_s)
        if count > len(told.pts_s) or (whole and count < len(told.pts_s)):
            return "its packets are not its pictures"
        if (np.abs(told.pts_s[:count] - self.pts_s) > SAME_S).any():
            return "its pictures are not shown when its packets say"
        return "its keyframes are not where its packets say" if (told.keyframe[:count] != self.keyframe).any() else ""

    def table(self, doubt: str, keys_only: bool) -> PacketTable:
        """Them as a table to read by numbers."""
        keyframe = np.array(self.keyframe, np.bool_)
        keyframe[:1] = True  # from the start everything can be read
        return PacketTable(
            np.array(self.pts_s, np.float64),
            keyframe,
            np.array(self.packet, np.int64),
            np.array(self.shift_s, np.float64),
            np.array(self.gap_s, np.float64),
            doubt,
            keys_only,
        )
