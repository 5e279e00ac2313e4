"""Joining the parts of a video: packets are copied, nothing is encoded again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from inference.draw.xmp import append_to_mp4
from inference.errors import CorruptMedia
from inference.video.container import open_container, video_stream
from inference.video.frames import Media
from inference.video.write import MP4_OPTIONS, SoundCopy


def join(parts: Iterable[Media], path: Path, sound: Media | None = None) -> str | None:
    """Joins parts that `VideoWriter` wrote with the times of a clip, in order, into an MP4; one is open at a time.

    The sound of `sound` is copied beside them, and the XMP of the first part. Returns why there is no sound (as
    `VideoWriter.dropped_sound`). Raises CorruptMedia when parts differ in size or codec, ValueError when there are
    none.
    """
    output = av.open(str(path), "w", format="mp4", options=MP4_OPTIONS)
    try:
        dropped, xmp = _copy_all(parts, output, sound)
        output.close()
    except BaseException:
        with contextlib.suppress(av.FFmpegError):
            output.close()
        path.unlink(missing_ok=True)
        raise
    if xmp:
        append_to_mp4(path, xmp)
    return dropped


def _copy_all(parts: Iterable[Media], output: OutputContainer, sound: Media | None) -> tuple[str | None, bytes]:
    """(why there is no sound, the XMP of the first part)."""
    xmp = b""
    stream: VideoStream | None = None
    sounds: SoundCopy | None = None
    first: tuple[int, int, str] | None = None
    end_s = 0.0
    with contextlib.ExitStack() as stack:
        for number, part in enumerate(parts):
            with open_container(part, xmp=True) as container:
                source = video_stream(container)
                kind = (source.width, source.height, source.codec_context.name)
                if stream is None:
                    first, stream = kind, output.add_stream_from_template(source)
                    xmp = container.metadata.get("xmp", "").encode()
                    if sound is not None:
                        sounds = stack.enter_context(SoundCopy(sound, output))
                elif kind != first:
                    raise CorruptMedia(f"part {number}: {kind}, the parts before it are {first}; render it again")
                end_s = _append(container.demux(source), stream, output, sounds)
        if stream is None:
            raise ValueError("no parts to join")
        if sounds is None:
            return None, xmp
        sounds.copy_until(end_s)
        return sounds.dropped, xmp


def _append(
    packets: Iterator[Packet[VideoStream]],
    stream: VideoStream,
    output: OutputContainer,
    sounds: SoundCopy | None,
) -> float:
    """Copies a part; returns the second at which its last picture ends."""
    end_s = 0.0
    for packet in packets:
        if packet.size == 0 or packet.pts is None:
            continue
        at_s = float(packet.pts * packet.time_base)
        end_s = at_s + float((packet.duration or 0) * packet.time_base)
        if sounds is not None:
            sounds.copy_until(at_s)
        packet.stream = stream
        output.mux_one(packet)
    return end_s
