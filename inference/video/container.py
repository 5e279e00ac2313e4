"""Containers: opened safely, asked whether they end before they say they do, and which way up their pictures are."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.image.other_kinds import UNPROTECTED
from inference.image.sniff import head_of, sniff, what_it_is
from inference.image.video_kinds import KINDS, VideoKind, video_kind
from inference.os_errors import trouble_of_ours
from inference.video import encryption
from inference.video.boxes import boxes, has_boxes
from inference.video.frames import Media
from inference.video.joined_flv import JoinedFlv

# A playlist (HLS, concat, DASH) names other files and addresses: an upload must not make us open those.
FORMATS = tuple(sorted({kind.demuxer for kind in KINDS}))
_UNTIMED = frozenset(kind.demuxer for kind in KINDS if not kind.timed)
# Of these, what is encrypted may be decoded to pictures of noise; of others it shows with the stream, or with its end.
_NOISE = frozenset({"mov", "mpeg", "asf", "mxf"})
# FFmpeg's own for streams that do not say how many pictures a second they are of.
ASSUMED_RATE = Fraction(25)
_MOST_RATE = 1000
# What a stream alone tells beyond that is the tick of the clock that its writer had, not a rate.
_MOST_TOLD = 300
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@contextmanager
def open_binary(source: Media) -> Iterator[BinaryIO]:
    """The source as a seekable binary file at its start; a file that was given open stays open."""
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


@contextmanager
def open_container(source: Media, *, xmp: bool = False) -> Iterator[InputContainer]:
    """Opens for reading; xmp: with its packet in the metadata. Raises UnsupportedMedia (empty, no video), CorruptMedia
    (a video without index), StorageUnavailable (this machine has too much open)."""
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    options |= {"export_xmp": "1"} if xmp else {}
    local = isinstance(source, (str, Path))
    with open_binary(source) as file:
        kind = _kind_of(file)
        if kind.demuxer in _NOISE and (how := encryption.encryption(file)):
            raise _encrypted(how)
        file.seek(0)
        target: str | BinaryIO | JoinedFlv = f"file:{Path(str(source)).absolute()}" if local else file
        if kind.demuxer == "flv":
            target = JoinedFlv(file)
        try:
            container = av.open(target, "r", format=kind.demuxer, options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            if isinstance(error, OSError) and local and (trouble := trouble_of_ours(error, Path(str(source)))):
                raise trouble from error  # too much is open here: the file may be whole
            raise _why_not(file, kind, error) from error
        try:
            yield container
        except _NoDecoder as error:
            raise _encrypted(how) if (how := encryption.encryption(file)) else error from None
        finally:
            container.close()


class _NoDecoder(UnsupportedMedia):
    """A codec that is not known: maybe an encrypted one."""


def _kind_of(file: BinaryIO) -> VideoKind:
    """What kind of video the file is, which stands at its start then. Raises UnsupportedMedia."""
    head = head_of(file)
    file.seek(0)
    if not head:
        raise UnsupportedMedia("the file is empty, expected a video; upload it again")
    try:
        media_type = sniff(head)
    except UnsupportedMedia as error:
        what, do = what_it_is(head)
        raise UnsupportedMedia(
            f"not a video that can be read, but {what}: {do}; "
            "expected MP4, MOV, WebM, MKV, AVI, MPEG-TS, GIF or animated WebP"
        ) from error
    kind = video_kind(head)
    if kind is None or media_type.startswith("image/"):
        raise UnsupportedMedia(f"this is a picture ({media_type}); expected a video here")
    return kind


def _why_not(file: BinaryIO, kind: VideoKind, error: av.FFmpegError) -> CorruptMedia | UnsupportedMedia:
    if how := encryption.encryption(file):
        return _encrypted(how)
    if kind.demuxer in ("mov", "avi", "matroska"):
        return CorruptMedia(
            f"a video container whose index cannot be read ({error.strerror}), "
            "as when an upload or a recording was cut short; upload it whole or repair it"
        )
    return CorruptMedia(f"it begins like {kind.media_type}, but cannot be read ({error.strerror}); convert it to MP4")


def _encrypted(how: str) -> UnsupportedMedia:
    return UnsupportedMedia(f"the video is encrypted ({how}), and only players with its key show it; {UNPROTECTED}")


def nothing_decoded(source: Media, reason: str | None) -> CorruptMedia | UnsupportedMedia:
    """Why no picture comes out of a video that could be opened, where decoding says `reason`."""
    with open_binary(source) as file:
        how = encryption.encryption(file)
    if how:
        return _encrypted(how)
    return CorruptMedia(
        f"not one picture could be decoded ({reason or 'no pictures in it'}); play it elsewhere: if it shows pictures, "
        "convert it to MP4 with H.264, else record or upload it again"
    )


def video_stream(container: InputContainer) -> VideoStream:
    """The video itself among all video streams: no cover, no preview, none without packets or decoder.

    Of several the one that the file calls its default, then the largest. Raises UnsupportedMedia, saying what is there.
    """
    streams = list(container.streams.video)
    covers = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    if not any(not stream.disposition & Disposition.attached_pic for stream in streams):
        kinds = ", ".join(sorted({_kind_of_stream(stream) for stream in container.streams})) or "no streams"
        raise UnsupportedMedia(f"no video in it (found: {kinds}); expected a file with a video stream")
    most_frames, longest_s = max(stream.frames for stream in streams), max(map(_length_s, streams))
    sieves: tuple[Callable[[VideoStream], bool], ...] = (
        lambda stream: not stream.disposition & covers,
        lambda stream: stream.codec_context is not None,
        lambda stream: stream.start_time is not None,
        # A title or a thumbnail; where the header says neither of any stream, it decides nothing.
        lambda stream: stream.frames * 10 >= most_frames and _length_s(stream) * 10 >= longest_s,
    )
    for sieve in sieves:
        streams = [stream for stream in streams if sieve(stream)] or streams
    if streams[0].codec_context is None:
        raise _NoDecoder("no decoder for its video codec; convert it to H.264")
    if any("enc_key_id" in stream.metadata for stream in streams):
        raise _encrypted("content encryption of Matroska")
    largest = max(map(_area, streams))
    return max(
        (stream for stream in streams if 4 * _area(stream) >= largest),
        key=lambda stream: (
            bool(stream.disposition & Disposition.default),
            _area(stream),
            stream.frames,
            -stream.index,
        ),
    )


def _kind_of_stream(stream: Stream) -> str:
    """Of a file without a video, in which pictures are covers."""
    return "cover" if stream.type == "video" else stream.type


def _area(stream: VideoStream) -> int:
    return int(stream.width * stream.height)


def _length_s(stream: VideoStream) -> float:
    """By the header; 0 where it does not say. FFmpeg gives Matroska's whole file's for the first stream."""
    tagged_s = tagged_length_s(stream)
    return float((stream.duration or 0) * (stream.time_base or 0)) if tagged_s is None else tagged_s


def tagged_length_s(stream: VideoStream) -> float | None:
    """The length of a stream by its tag, as Matroska has it; None where there is none."""
    if found := _CLOCK.match(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = found.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return None


def rate_of(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Pictures a second as the file says; None where it does not: of a stream alone, FFmpeg's mean is an assumption."""
    if is_counted(container):
        told = stream.codec_context.framerate
        return told if told and told <= _MOST_TOLD else None
    mean = stream.average_rate
    if container.format.name == "avi" and mean and stream.guessed_rate:
        mean = min(mean, stream.guessed_rate)  # its header counts chunks, of which every second may be empty
    return mean if mean and mean <= _MOST_RATE else stream.guessed_rate  # of DV, the mean is the clock's


def is_counted(container: InputContainer) -> bool:
    """Whether the file has no times, so that its pictures are counted; what FFmpeg gives some is made up."""
    return container.format.name in _UNTIMED


def notes_on(container: InputContainer, stream: VideoStream) -> tuple[str, ...]:
    """What was chosen or assumed, a sentence each."""
    notes = []
    others = [other for other in container.streams.video if other.index != stream.index]
    others = [other for other in others if not other.disposition & Disposition.attached_pic]
    if others:
        left = ", ".join(map(_described, others))
        notes.append(
            f"it holds {len(others) + 1} video streams: {_described(stream)} is analysed, and not {left}; "
            "to have another, send a file with that alone"
        )
    if is_counted(container) and rate_of(container, stream) is None:
        notes.append(
            f"it does not say how fast it runs: {ASSUMED_RATE} pictures a second are assumed, from which all times "
            "follow; put it into an MP4 with its true rate to change that"
        )
    return tuple(notes)


def _described(stream: VideoStream) -> str:
    codec = stream.codec_context
    return f"stream {stream.index} ({f'{stream.width}x{stream.height}, {codec.name}' if codec else 'no decoder'})"


def truncation(source: Media) -> str | None:
    """Says how a file is shorter than its own container declares, or None.

    Reads only the outermost structure: ISO BMFF boxes (ISO/IEC 14496-12), RIFF, EBML (RFC 8794).
    """
    with open_binary(source) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        declared = _declared_size(file)
    if declared is not None and declared > size:
        return f"the file has {size} bytes, its container declares {declared}"
    return None


def unread_behind(source: Media) -> tuple[str, ...]:
    """What is said of an MP4 behind the first, whose index no reader looks at; nothing where there is none."""
    with open_binary(source) as file:
        head = file.read(16)
        found = [box for box in boxes(file) if box.kind in (b"ftyp", b"moov")] if has_boxes(head) else []
    later = [box for box in found[1:] if box.kind == b"ftyp"]
    if not later or sum(box.kind == b"moov" for box in found) < 2:
        return ()
    return (
        f"another recording begins behind the first ({later[0].content - 8:,} bytes into the file) and is not read; "
        "send it as a file of its own, or join them with ffmpeg -f concat",
    )


def _declared_size(file: BinaryIO) -> int | None:
    head = file.read(16)
    if head[:4] == b"RIFF":
        return 8 + int.from_bytes(head[4:8], "little")
    if head[:4] == b"\x1aE\xdf\xa3":
        return _ebml_size(file)
    return max((box.end for box in boxes(file)), default=None) if has_boxes(head) else None


def _ebml_size(file: BinaryIO) -> int | None:
    file.seek(4)
    header = _vint(file)
    if header is None:
        return None
    file.seek(header, io.SEEK_CUR)
    if file.read(4) != b"\x18S\x80g":
        return None
    segment = _vint(file)
    return None if segment is None else file.tell() + segment


def _vint(file: BinaryIO) -> int | None:
    """An EBML variable-length size; None where it is absent or says "unknown"."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0xFF >> length)]) + file.read(length - 1), "big")
    return None if value == (1 << 7 * length) - 1 else value
