"""Containers: opened safely, asked whether they end before they say they do, and which way up their pictures are."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.image.sniff import SNIFF_BYTES, what_it_is
from inference.video.frames import Media

# A playlist (HLS, concat, DASH) names other files and addresses: an upload must not make us open those.
FORMATS = "mov,matroska,avi,mpegts,mpeg,m4v,mpegvideo,h264,hevc,obu,ivf,flv,asf,ogg,mjpeg,mxf"


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
    (a video without index)."""
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"} | ({"export_xmp": "1"} if xmp else {})
    local = isinstance(source, (str, Path))
    with open_binary(source) as file:
        head = file.read(SNIFF_BYTES)
        if not head:
            raise UnsupportedMedia("the file is empty, expected a video; upload it again")
        file.seek(0)
        target = f"file:{Path(str(source)).absolute()}" if local else file
        try:
            container = av.open(target, "r", options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            raise _why_not(head, error) from error
        try:
            yield container
        finally:
            container.close()


def _why_not(head: bytes, error: av.FFmpegError) -> CorruptMedia | UnsupportedMedia:
    known = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free") or head[:4] in (
        b"RIFF",
        b"\x1aE\xdf\xa3",
    )
    if known:
        return CorruptMedia(
            f"a video container whose index cannot be read ({error.strerror}), "
            "as when an upload or a recording was cut short; upload it whole or repair it"
        )
    what, do = what_it_is(head)
    return UnsupportedMedia(
        f"not a video that can be read, but {what}: {do}; "
        "expected MP4, MOV, WebM, MKV, AVI, MPEG-TS, GIF or animated WebP"
    )


def video_stream(container: InputContainer) -> VideoStream:
    """The first real video stream (cover art is none). Raises UnsupportedMedia, saying what is there."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise UnsupportedMedia("no decoder for its video codec; convert it to H.264")
        return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
    raise UnsupportedMedia(f"no video in it (found: {kinds}); expected a file with a video stream")


def truncation(source: Media) -> str | None:
    """Says how a file is shorter than its own container declares, or None.

    Reads only the outermost structure: ISO BMFF boxes (ISO/IEC 14496-12), RIFF, EBML (RFC 8794).
    """
    with open_binary(source) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        declared = _declared_size(file, size)
    if declared is not None and declared > size:
        return f"the file has {size} bytes, its container declares {declared}"
    return None


def _declared_size(file: BinaryIO, size: int) -> int | None:
    head = file.read(16)
    if head[:4] == b"RIFF":
        return 8 + int.from_bytes(head[4:8], "little")
    if head[:4] == b"\x1aE\xdf\xa3":
        return _ebml_size(file)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _boxes_size(file, size)
    return None


def _boxes_size(file: BinaryIO, size: int) -> int:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:
            return size
        if length < 8:
            break
        at += length
    return max(at, size) if at >= size else size


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
