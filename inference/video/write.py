"""Writing: H.264 that every browser plays, with the clip's own timestamps and its sound copied."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from inference.draw.xmp import append_to_mp4
from inference.video.frames import MOST_SIDE, Media, Pixels, even
from inference.video.sound import SoundCopy
from inference.video.soundtrack import WHOLE, Span

# 90 kHz (the clock of MPEG) holds every usual frame rate and any variable rate to 11 microseconds.
TIME_BASE = Fraction(1, 90_000)
# The second: where a clip starts after 0, MP4 says so in units of the movie's own clock, milliseconds by default.
MP4_OPTIONS = {"movflags": "+faststart", "movie_timescale": str(TIME_BASE.denominator)}
# What MP4 takes as the duration of one picture.
_LONGEST = (1 << 31) - 1
_BT709 = 1
# Seconds between two pictures that need no other, to which players jump; and where bits are few, as those take most.
_JUMP_S, _FAR_JUMP_S, _FEW_BITS_A_PIXEL = 2, 8, 0.05
# Of what a video of a few seconds may take, so much may go into its first frames; of longer ones so many seconds' bits.
_IN_HAND, _IN_HAND_S = 0.25, 8.0


@dataclass(frozen=True)
class Most:
    """How many bits a second a video may have, 0 for as many as it wants; and about how long it is, in seconds."""

    bits_s: float = 0.0
    lasts_s: float = 0.0

    def options(self) -> dict[str, str]:
        """As FFmpeg's libx264 takes it: a bucket that is nine tenths full at first."""
        if self.bits_s <= 0:
            return {}
        in_hand_s = min(_IN_HAND_S, max(_IN_HAND * self.lasts_s, 0.1))
        return {"maxrate": str(round(self.bits_s)), "bufsize": str(round(self.bits_s * in_hand_s))}


NO_BOUND = Most()


class VideoWriter:
    """Writes upright frames to an MP4: `with VideoWriter(path, fps=25) as out: out.write(pixels, pts_s)`.

    `fps` is the usual rate (the length of the last frame, rate control); the times are those given, variable or not,
    and must increase; of frames within a tick of the file's clock the first is written. `sound` is the clip whose audio
    is copied, of which `span` is asked for; the last picture is held as long as that goes on. `dropped_sound` says what
    of it is left out, and why. `xmp`: a packet that says how the pictures came about. `most`: the bound
    on the bits that `crf` asks for.
    Raises ValueError for times that do not increase, a changed size, or no frame at all. An exception inside
    `with` leaves no file.
    """

    def __init__(
        self,
        path: Path,
        fps: float = 25.0,
        sound: Media | None = None,
        crf: int = 24,
        preset: str = "ultrafast",
        xmp: bytes = b"",
        span: Span = WHOLE,
        most: Most = NO_BOUND,
    ) -> None:
        self._path, self._xmp, self._most = path, xmp, most
        self._gap = max(1, round(1 / (fps * TIME_BASE)))
        self._fps = Fraction(fps).limit_denominator(1001)
        self._options = {
            # No B-frames: decoding order is display order, so that parts join by copying packets.
            # No lookahead and two threads: every frame held there costs megabytes, on many cores more.
            "crf": str(crf), "preset": preset, "bf": "0", "rc-lookahead": "0", "threads": "2",
            # What of the fastest preset costs quality and gains little time is taken back: subme alone is a sixth of
            # the bits, for a tenth of the encoder's time.
            "x264-params": "open-gop=0:scenecut=40:mbtree=0:sync-lookahead=0:cabac=1:no-deblock=0:subme=1",
        } | most.options()  # fmt: skip
        self._container: OutputContainer = av.open(str(path), "w", format="mp4", options=MP4_OPTIONS)
        self._stream: VideoStream | None = None
        self._sound_source, self._span = sound, span
        self._sound: SoundCopy | None = None
        self._held: Packet[VideoStream] | None = None
        self._last: int | None = None
        self._last_s: float | None = None
        self._shape: tuple[int, ...] = ()
        self.frames = 0
        self.ends_s: float | None = None  # the second to which the last frame is shown, where the clip tells
        self._reformatter = VideoReformatter()  # kept, as preparing a conversion takes as long as the conversion itself

    @property
    def dropped_sound(self) -> str | None:
        """What of the clip's sound is not in the file, and why; None where all is."""
        return self._sound.dropped if self._sound is not None else None

    def write(self, pixels: Pixels, pts_s: float) -> None:
        """Appends a (H, W, 3) uint8 RGB frame shown from `pts_s` seconds on."""
        if self._stream is None:
            self._stream = self._start(pixels)
        if pixels.shape != self._shape:
            raise ValueError(f"frame of shape {pixels.shape} in a video of shape {self._shape}")
        if self._last_s is not None and pts_s <= self._last_s:
            raise ValueError(f"frame at {pts_s} s, after one at {self._last_s} s")
        pts, self._last_s = round(Fraction(pts_s) / TIME_BASE), pts_s
        if pts == self._last:
            return
        self._gap = self._gap if self._last is None else pts - self._last
        self._last = pts
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:  # 4:2:0 halves both sides
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = self._reformatter.reformat(
            frame, self._stream.width, self._stream.height, format="yuv420p",
            dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG,
        )  # fmt: skip
        frame.pts, frame.time_base = pts, TIME_BASE
        self.frames += 1
        for packet in self._stream.encode(frame):
            self._mux(packet)

    def _start(self, pixels: Pixels) -> VideoStream:
        self._shape = pixels.shape
        height, width = pixels.shape[:2]
        stream = self._container.add_stream("libx264", rate=self._fps, options=self._options)
        stream.width, stream.height = encoded_size(width, height)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = TIME_BASE
        few = 0 < self._most.bits_s < _FEW_BITS_A_PIXEL * width * height * self._fps
        context.gop_size = max(1, round((_FAR_JUMP_S if few else _JUMP_S) * self._fps))
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1  # limited, as players expect of H.264
        if self._sound_source is not None:
            self._sound = SoundCopy(self._sound_source, self._container, self._span)
        return stream

    def _mux(self, packet: Packet[VideoStream]) -> None:
        """Holds every packet until the next, whose time says how long it is shown."""
        held, self._held = self._held, packet
        if held is not None and held.pts is not None and packet.pts is not None:
            held.duration = packet.pts - held.pts
            self._put(held)

    def _put(self, packet: Packet[VideoStream]) -> None:
        if self._sound is not None and packet.pts is not None:
            self._sound.copy_until(float(packet.pts * TIME_BASE))
        self._container.mux_one(packet)

    def close(self) -> None:
        """Writes what is held, the rest of the sound, and the index."""
        if self._stream is None:
            self._end()
            self._path.unlink(missing_ok=True)
            raise ValueError(f"{self._path.name}: no frame was written")
        for packet in self._stream.encode(None):
            self._mux(packet)
        if self._held is not None and self._last is not None:
            if self.ends_s is not None:
                self._gap = max(1, round(Fraction(self.ends_s) / TIME_BASE) - self._last)
            sound_end = 0 if self._sound is None else round(self._sound.end_s / TIME_BASE)
            self._held.duration = held_for(self._gap, sound_end - self._last)
            self._put(self._held)
            if self._sound is not None:
                self._sound.copy_until(math.inf)
        self._end()
        if self._xmp:
            append_to_mp4(self._path, self._xmp)

    def _end(self) -> None:
        if self._sound is not None:
            self._sound.close()
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        self._end()
        self._path.unlink(missing_ok=True)


def held_for(gap: int, sound: int) -> int:
    """How long the last picture is shown, usually `gap`, where the sound goes on for `sound` after it began; six hours
    at most, whatever a clip says of its end."""
    return min(sound if sound > 2 * gap else gap, _LONGEST)


def encoded_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of a picture in the file: even, and scaled down where an encoder does not take them."""
    scale = min(1.0, MOST_SIDE / max(width, height))
    if scale == 1:
        return width + width % 2, height + height % 2
    return even(width * scale, height * scale)
