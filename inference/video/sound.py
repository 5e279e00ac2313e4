"""The sound of a clip in the videos made of it, in step with their pictures: copied, or made anew if it must be."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from inference.video.container import open_container, video_stream
from inference.video.frames import Media
from inference.video.sound_anew import SoundAnew
from inference.video.soundtrack import PRIMING_S, WHOLE, Copy, Soundtrack, Span

# What every browser plays in an MP4. Safari and others lack some of Opus, FLAC, ALAC and AC-3, whatever MP4 may hold.
_COPIED = frozenset({"aac", "mp3"})
# So many streams are tried before there is no sound.
_MOST_STREAMS = 16


def take_sound(source: Media, path: Path, span: Span) -> Soundtrack:
    """The first audio stream that can be had, in an MP4 at `path`; `length` 0 where there is none. That which players
    choose comes first: of several programmes, it is of that whose pictures are analysed.

    Raises what `open_container` raises, and OSError where `path` cannot be written.
    """
    with open_container(source) as container:
        streams = container.streams.audio
        own = container.streams.best("audio", video_stream(container))
        order = sorted(range(len(streams)), key=lambda number: streams[number] is not own)[:_MOST_STREAMS]
        ways = [(number, way) for number in order for way in _ways(streams[number])]
        refused = [reason for number in order if (reason := _refusal(streams[number]))]
    for number, way in ways:
        with open_container(source) as container:
            track = way(container, number, path, span).made()
        if track.length:
            return track
        refused.append(track.said or "its sound stream holds no sound")
    return Soundtrack(said=refused[0] if refused else None)


def _ways(stream: AudioStream) -> list[type[Copy]]:
    """How the stream's sound may be had, the best way first."""
    context = stream.codec_context
    if not context:
        return []
    copied = context.codec.canonical_name in _COPIED and context.sample_rate
    return [Copy, SoundAnew] if copied else [SoundAnew]


def _refusal(stream: AudioStream) -> str | None:
    """Why there may be no sound of the stream, as far as that shows before its packets do."""
    context = stream.codec_context
    if not context:
        return "its sound is of a kind that is not known here"
    if not context.sample_rate:
        name = context.codec.canonical_name
        return f"its sound stream ({name}) tells no sample rate at its beginning, as when a microphone is off"
    return None


class SoundCopy(contextlib.ExitStack):
    """Copies the packets of a clip's sound, those that were taken out of it, up to the time that the pictures reached.

    Copying in step keeps the muxer from holding the sound of a long clip in memory. `dropped` says what of the sound
    is left out, and why; `end_s` when it ends, by the clock of the pictures. Raises as `open_container`.
    """

    def __init__(self, source: Media, output: OutputContainer, span: Span = WHOLE) -> None:
        super().__init__()
        self._output, self._span = output, span
        self._waiting: Packet[AudioStream] | None = None
        self._placed: Iterator[Packet[AudioStream]] = iter(())
        self.end_s = 0.0
        try:
            path = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="dropsight-"))) / "sound.mp4"
            self._track = take_sound(source, path, span)
            self.dropped = self._track.said
            if self._track.length:
                self._start(path)
        except BaseException:
            self.close()
            raise

    def _start(self, path: Path) -> None:
        container = self.enter_context(av.open(str(path)))
        audio = container.streams.audio[0]
        self._stream = self._output.add_stream_from_template(audio)
        self._placed = self._moved(container.demux(audio))
        number = len(self._track.stretches) - 1
        end = self._track.begins(number) + self._track.length - self._track.stretches[number].at
        self.end_s = min(end / self._track.rate, self._span.last_s)

    def copy_until(self, seconds: float) -> None:
        """Copies every packet that starts before this time, in seconds of the pictures' clock."""
        while (packet := self._waiting or next(self._placed, None)) is not None:
            self._waiting = packet
            if float((packet.pts or 0) * packet.time_base) >= seconds:
                return
            self._waiting = None
            try:
                self._output.mux_one(packet)
            except av.FFmpegError as error:
                if isinstance(error, OSError):
                    raise
                self._placed, self.dropped = iter(()), f"its sound ends early ({error.strerror})"

    def _moved(self, packets: Iterator[Packet[AudioStream]]) -> Iterator[Packet[AudioStream]]:
        """The packets that were asked for, with the times that they have beside the pictures."""
        track, span = self._track, self._span
        first = round((span.start_s if span.start_s > 0 else -PRIMING_S) * track.rate)
        last = span.last_s * track.rate
        number, end = 0, first
        for packet in packets:
            if not packet.size or packet.pts is None:
                continue
            at = round(packet.pts * packet.time_base * track.rate)
            samples = round((packet.duration or 0) * packet.time_base * track.rate)
            while number + 1 < len(track.stretches) and at >= track.stretches[number + 1].at:
                number += 1
            place = track.begins(number) + at - track.stretches[number].at
            # Where the clock was set anew, the sound of one stretch may run into the next.
            if place + samples / 2 < end or place < first or place + samples > last:
                continue
            place = max(place, end) if number else place
            packet.stream, packet.time_base = self._stream, Fraction(1, track.rate)
            packet.pts = packet.dts = place
            packet.duration = samples
            end = place + samples
            yield packet
