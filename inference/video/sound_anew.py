"""Sound that not every player plays, made into AAC-LC: mono, or two channels whatever the clip has.

The encoder's first packet holds nothing (its delay is a packet): it is stored before the clip's first sample, where
players leave it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from inference.video.soundtrack import Copy, Stretch

# Samples in a packet of AAC-LC (ISO/IEC 14496-3), and the delay of FFmpeg's encoder.
_FRAME = 1024
# The rates of AAC that players take. More than 48 kHz is for bats.
_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_BITS_A_CHANNEL = 64_000
# Sound is moved where it is further than this from its time; clocks of containers tick in milliseconds.
_OFF_S = 0.015


class SoundAnew(Copy):
    """Decodes one audio stream of a container, and encodes it as AAC."""

    done = "made into AAC"

    def _begin(self, output: OutputContainer) -> None:
        self._output = output
        self._encoder: AudioStream | None = None  # begins with the first sound: headers may say nothing, or lie
        self._resampler: AudioResampler | None = None
        self._kind_heard: tuple[str, str, int] | None = None
        self._encoded = 0  # samples that were given to the encoder
        self._until_s = 0.0  # up to where, by the clip's clock, there is sound

    def _take(self, packet: Packet[AudioStream]) -> None:
        self._hear_all(self._decoded(packet))

    def _finish(self) -> None:
        self._hear_all(self._decoded(None))
        if self._encoder is not None:
            self._resample(None)
            self._mux(self._encoder.encode(None))
            self._track.length = self._encoded + _FRAME

    def _decoded(self, packet: Packet[AudioStream] | None) -> list[AudioFrame]:
        try:
            return self._audio.codec_context.decode(packet)
        except av.FFmpegError:
            self._refuse("damaged")
            return []

    def _hear_all(self, frames: Iterable[AudioFrame]) -> None:
        for frame in frames:
            if not self._ended and frame.samples:
                self._hear(frame)

    def _hear(self, frame: AudioFrame) -> None:
        stamp, base = frame.pts, frame.time_base or self._audio.time_base or Fraction(1, frame.sample_rate)
        at_s = self._next_s if stamp is None else float(stamp * base) - self._start_s
        self._next_s = at_s + frame.samples / frame.sample_rate
        begins = self._begins_stretch(at_s)
        if not self._is_asked_for(at_s):
            return
        encoder = self._encoder or self._start(frame)
        if begins or not self._track.stretches:
            self._begin_stretch(at_s, encoder.rate)
        missing_s = at_s - self._until_s
        if missing_s > _OFF_S:
            self._silence(round(missing_s * encoder.rate))
            self._until_s = at_s
        self._until_s += frame.samples / frame.sample_rate
        self._resample(frame)
        self._kept += 1
        self._track.length = self._encoded + _FRAME

    def _start(self, frame: AudioFrame) -> AudioStream:
        rate = next((rate for rate in _RATES if rate >= frame.sample_rate), _RATES[-1])
        rate = 44_100 if frame.sample_rate > _RATES[-1] and not frame.sample_rate % 44_100 else rate
        layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
        encoder = self._output.add_stream("aac", rate=rate, layout=layout)
        encoder.bit_rate = encoder.layout.nb_channels * min(_BITS_A_CHANNEL, 3 * rate)
        self._encoder, self._track.rate = encoder, rate
        return encoder

    def _begin_stretch(self, at_s: float, rate: int) -> None:
        """From here on packets have other times: what comes begins with a packet of its own."""
        self._resample(None)
        if self._track.stretches:
            self._silence(-self._encoded % _FRAME)
            self._track.stretches.append(Stretch(self._encoded + _FRAME, at_s, self._anew))
        else:
            self._track.stretches.append(Stretch(0, at_s - _FRAME / rate, self._anew))
        self._until_s = at_s

    def _resample(self, frame: AudioFrame | None) -> None:
        """Gives the encoder sound of its own kind; None: what is still on its way."""
        kind = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is not None and kind != self._kind_heard:
            self._encode(self._resampler.resample(None))
            self._resampler = None
        if frame is None:
            return
        if self._resampler is None:
            assert self._encoder is not None
            context = self._encoder.codec_context
            self._resampler = AudioResampler(context.format, context.layout, context.sample_rate)
        self._kind_heard, frame.pts = kind, None
        self._encode(self._resampler.resample(frame))

    def _silence(self, samples: int) -> None:
        assert self._encoder is not None
        self._resample(None)
        layout = self._encoder.layout
        zeros = np.zeros((layout.nb_channels, samples), np.float32)
        if samples:
            frame = AudioFrame.from_ndarray(zeros, format="fltp", layout=layout.name)
            frame.sample_rate = self._encoder.rate
            self._encode([frame])

    def _encode(self, frames: Iterable[AudioFrame]) -> None:
        assert self._encoder is not None
        for frame in frames:
            frame.pts, frame.time_base = self._encoded, Fraction(1, self._encoder.rate)
            self._encoded += frame.samples
            self._mux(self._encoder.encode(frame))

    def _mux(self, packets: Iterable[Packet[AudioStream]]) -> None:
        for packet in packets:
            packet.pts = packet.dts = (packet.pts or 0) + _FRAME
            self._output.mux_one(packet)
