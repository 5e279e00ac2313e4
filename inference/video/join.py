"""Joining the parts of a video: packets are copied, nothing is encoded again."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from inference.draw.xmp import append_to_mp4
from inference.errors import CorruptMedia
from inference.video.container import open_container, video_stream
from inference.video.frames import Media
from inference.video.sound import SoundCopy
from inference.video.soundtrack import WHOLE, Span
from inference.video.write import MP4_OPTIONS, held_for


def join(parts: Iterable[Media], path: Path, sound: Media | None = None, span: Span = WHOLE) -> str | None:
    """Joins parts that `VideoWriter` wrote with the times of a clip, in order, into an MP4; one is open at a time.

    The sound of `sound`, of which `span` is asked for, is copied beside them, and the XMP of the first part. Returns
    what of the sound is left out (as `VideoWriter.dropped_sound`). Raises CorruptMedia when parts differ in size or
    codec, ValueError when there are none.
    """
    output = av.open(str(path), "w", format="mp4", options=MP4_OPTIONS)
    try:
        with _Joined(output, sound, span) as joined:
            for number, part in enumerate(parts):
                joined.append(number, part)
            joined.finish()
        output.close()
    except BaseException:
        with contextlib.suppress(av.FFmpegError):
            output.close()
        path.unlink(missing_ok=True)
        raise
    if joined.xmp:
        append_to_mp4(path, joined.xmp)
    return joined.dropped_sound


class _Joined(contextlib.ExitStack):
    """The file that parts are joined into; `xmp`: of the first part."""

    def __init__(self, output: OutputContainer, sound: Media | None, span: Span) -> None:
        super().__init__()
        self._output, self._source, self._span = output, sound, span
        self._stream: VideoStream | None = None
        self._sound: SoundCopy | None = None
        self._kind: tuple[int, int, str] | None = None
        self._held: Packet[VideoStream] | None = None
        self.xmp = b""

    @property
    def dropped_sound(self) -> str | None:
        return None if self._sound is None else self._sound.dropped

    def append(self, number: int, part: Media) -> None:
        """Copies a part. Raises CorruptMedia."""
        with open_container(part, xmp=True) as container:
            source = video_stream(container)
            kind = (source.width, source.height, source.codec_context.name)
            if self._stream is None:
                self._kind, self._stream = kind, self._output.add_stream_from_template(source)
                self.xmp = container.metadata.get("xmp", "").encode()
                if self._source is not None:
                    self._sound = self.enter_context(SoundCopy(self._source, self._output, self._span))
            elif kind != self._kind:
                raise CorruptMedia(f"part {number}: {kind}, the parts before it are {self._kind}; render it again")
            for packet in container.demux(source):
                if packet.size and packet.pts is not None:
                    self._put()
                    packet.stream, self._held = self._stream, packet

    def _put(self) -> None:
        """Writes the packet that waits: of the last, the duration depends on the sound."""
        held, self._held = self._held, None
        if held is None or held.pts is None:
            return
        if self._sound is not None:
            self._sound.copy_until(float(held.pts * held.time_base))
        self._output.mux_one(held)

    def finish(self) -> None:
        """Writes what waits, and the rest of the sound. Raises ValueError where there was no part."""
        if self._stream is None:
            raise ValueError("no parts to join")
        if self._sound is not None and self._held is not None and self._held.pts is not None:
            sound = round(self._sound.end_s / self._held.time_base) - self._held.pts
            self._held.duration = held_for(self._held.duration or 1, sound)
        self._put()
        if self._sound is not None:
            self._sound.copy_until(math.inf)
