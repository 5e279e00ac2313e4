"""Which of several video streams is analysed, and what is said of files that are encrypted."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from av.stream import Disposition

from inference.errors import StorageUnavailable, UnsupportedMedia
from inference.image.sniff import sniff
from inference.video.container import open_container, video_stream
from inference.video.join import join
from inference.video.read import VideoReader, probe, scan
from tests.inference.video.clips import make, number_of, picture

KEY = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}


class Stream(NamedTuple):
    """`frames` pictures that show `first` and the numbers after it."""

    size: tuple[int, int]
    first: int
    frames: int = 10
    default: bool = False


def clip(path: Path, *streams: Stream, codec: str = "libx264") -> Path:
    with av.open(str(path), "w") as output:
        made: list[Any] = []
        for one in streams:
            stream: Any = output.add_stream(codec, rate=25)
            stream.width, stream.height = one.size
            stream.pix_fmt = "yuv420p"
            stream.disposition = Disposition.default if one.default else Disposition(0)
            made.append(stream)
        for stream, one in zip(made, streams, strict=True):
            for number in range(one.frames):
                frame = av.VideoFrame.from_ndarray(picture(one.first + number, one.size), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return path


SMALL, LARGE = (160, 96), (640, 384)


CASES = {
    "preview first": ((Stream(SMALL, 100, default=True), Stream(LARGE, 0)), 1),  # which writers call the default
    "preview second": ((Stream(LARGE, 0), Stream(SMALL, 100)), 0),
    "alike": ((Stream(LARGE, 0), Stream(LARGE, 100)), 0),
    "default": ((Stream(LARGE, 100), Stream((480, 288), 0, default=True)), 1),
    "title": ((Stream((960, 576), 100, frames=1, default=True), Stream(LARGE, 0, frames=20)), 1),
}
# MPEG-TS and AVI know neither a default nor how long a stream is.
HELD = {"a.mp4": [*CASES], "a.mov": [*CASES], "a.mkv": [*CASES], "a.ts": [*CASES][:3], "a.avi": [*CASES][:3]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "streams", "taken"),
    [pytest.param(name, *CASES[case], id=f"{name}, {case}") for name, cases in HELD.items() for case in cases],
)
def test_the_best_of_several_streams_is_analysed_and_named(
    tmp_path: Path, name: str, streams: tuple[Stream, ...], taken: int
) -> None:
    path = clip(tmp_path / name, *streams, codec="mpeg4" if name == "a.avi" else "libx264")
    width, height = streams[taken].size
    reader = VideoReader(path)
    frames = list(reader)
    assert [number_of(frame.pixels) for frame in frames] == list(range(streams[taken].frames))
    assert (probe(path).width, len(scan(path).pts_s)) == (width, streams[taken].frames)
    assert reader.report is not None
    (note,) = reader.report.notes
    assert f"it holds 2 video streams: stream {taken} ({width}x{height}, " in note
    assert f"and not stream {1 - taken} (" in note


def test_a_stream_that_is_announced_and_never_comes_is_not_the_one(tmp_path: Path) -> None:
    """Its packets are taken out of the file: the programme still lists it first."""
    data = clip(tmp_path / "a.ts", Stream(LARGE, 100), Stream(SMALL, 0)).read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    pids = sorted({(one[1] & 31) << 8 | one[2] for one in packets} - {0, 0x11, 0x1000, 0x1FFF})
    path = tmp_path / "b.ts"
    path.write_bytes(b"".join(one for one in packets if (one[1] & 31) << 8 | one[2] != pids[0]))
    with open_container(path) as container:
        assert len(container.streams.video) == 2
    assert [number_of(frame.pixels) for frame in VideoReader(path)] == list(range(10))


def test_parts_are_joined_by_the_same_stream(tmp_path: Path) -> None:
    part = clip(tmp_path / "a.mp4", Stream(SMALL, 100, default=True), Stream(LARGE, 0))
    join([part], tmp_path / "b.mp4")
    with open_container(tmp_path / "b.mp4") as container:
        assert (video_stream(container).width, len(container.streams.video)) == (640, 1)


def refusal(content: bytes | Path) -> str:
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    with pytest.raises(UnsupportedMedia) as caught:
        probe(source)
        list(VideoReader(source))
    assert "encrypted" in str(caught.value) and "without copy protection" in str(caught.value)
    assert "upload it again" not in str(caught.value)
    return str(caught.value)


def encrypted_mp4(path: Path, **more: str) -> Path:
    source = make(path.with_suffix(".plain.mp4"), [i / 25 for i in range(10)])
    with av.open(str(source)) as container, av.open(str(path), "w", options={**KEY, **more}) as output:
        stream = output.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                packet.stream = stream
                output.mux_one(packet)
    return path


def test_what_is_encrypted_is_refused_also_where_pictures_come_out_of_it(tmp_path: Path) -> None:
    """As decoders make some of noise: here the packets are the plain clip's, under the name of encrypted ones."""
    encrypted = bytearray(encrypted_mp4(tmp_path / "a.mp4").read_bytes())
    plain, packets = (
        (tmp_path / "a.plain.mp4").read_bytes(),
        slice(encrypted.index(b"mdat"), encrypted.index(b"moov") - 4),
    )
    start = plain.index(b"mdat")
    encrypted[packets] = plain[start : start + packets.stop - packets.start]
    assert "common encryption (CENC)" in refusal(bytes(encrypted))
    disc = bytearray(make(tmp_path / "a.vob", [i / 25 for i in range(10)], "mpeg2video").read_bytes())
    for at in (at for at in range(len(disc) - 9) if disc[at : at + 4] == b"\0\0\x01\xe0" and disc[at + 6] >> 6 == 2):
        disc[at + 6] |= 0x30
    assert "CSS, as on DVDs" in refusal(bytes(disc)) and "CSS, as on DVDs" in refusal(bytes(disc[1000:]))


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_an_encrypted_mp4_says_so(tmp_path: Path, flags: str) -> None:
    path = encrypted_mp4(tmp_path / "a.mp4", movflags=flags)
    assert "common encryption (CENC)" in refusal(path)
    assert "FairPlay" in refusal(path.read_bytes().replace(b"encv", b"drmi"))


def test_scrambled_broadcasts_and_discs_say_so(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    broadcast = bytearray(make(tmp_path / "a.ts", [i / 25 for i in range(10)]).read_bytes())
    for at in range(0, len(broadcast), 188):
        if broadcast[at + 1] & 31 == 1 and broadcast[at + 3] & 0x10:  # the stream, 0x100
            start = at + 4 + (1 + broadcast[at + 4] if broadcast[at + 3] & 0x20 else 0)
            broadcast[at + 3] |= 0x80
            broadcast[start : at + 188] = chance.bytes(at + 188 - start)
    assert sniff(bytes(broadcast)) == "video/mp2t"
    assert "scrambled, as pay TV" in refusal(bytes(broadcast))
    disc = bytearray(make(tmp_path / "a.vob", [i / 25 for i in range(10)], "mpeg2video").read_bytes())
    at = disc.find(b"\0\0\x01\xe0")
    while at >= 0:
        end, start = at + 6 + int.from_bytes(disc[at + 4 : at + 6], "big"), at + 9 + disc[at + 8]
        disc[at + 6] |= 0x10
        disc[start:end] = chance.bytes(end - start).replace(b"\0\0\x01", b"\x01\x01\x01")
        at = disc.find(b"\0\0\x01\xe0", end)
    assert "CSS, as on DVDs" in refusal(bytes(disc))


def element(identifier: str, content: bytes) -> bytes:
    return bytes.fromhex(identifier) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def elements(content: bytes) -> list[tuple[str, bytes]]:
    at, found = 0, []
    while at < len(content):
        ends = at + 9 - content[at].bit_length()
        length = 9 - content[ends].bit_length()
        size = int.from_bytes(content[ends : ends + length], "big") & ((1 << 7 * length) - 1)
        found.append((content[at:ends].hex(), content[ends + length : ends + length + size]))
        at = ends + length + size
    return found


def test_an_encrypted_webm_says_so(tmp_path: Path) -> None:
    """ContentEncodings with ContentEncryption (AES, and a key's name) in the description of its track."""
    scheme = element("5035", element("47e1", b"\x05") + element("47e2", b"0123456789abcdef"))
    coding = element("5031", b"\0") + element("5032", b"\x01") + element("5033", b"\x01") + scheme
    encodings = element("6d80", element("6240", coding))
    plain = make(tmp_path / "a.webm", [i / 25 for i in range(10)], "libvpx").read_bytes()
    (head, body), (segment, members) = elements(plain)[:2]
    changed = b""
    for identifier, content in elements(members):
        if identifier == "1654ae6b":
            content = b"".join(element(name, track + encodings) for name, track in elements(content))
        if identifier in ("1549a966", "1654ae6b", "1f43b675"):
            changed += element(identifier, content)
    assert "content encryption of Matroska" in refusal(element(head, body) + element(segment, changed))


def test_a_cover_is_called_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as output:
        cover: Any = output.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        output.mux(cover.encode(av.VideoFrame.from_ndarray(picture(0, (64, 64)), format="rgb24")))
        output.mux(cover.encode(None))
    with pytest.raises(UnsupportedMedia, match=r"no video in it \(found: cover\)"):
        probe(tmp_path / "song.mp4")


def test_too_many_open_files_are_not_a_broken_video(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    path = clip(tmp_path / "clip.mp4", Stream((64, 64), 0, 2))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)  # the lowest number: one file can be opened, the second cannot
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
    try:
        with pytest.raises(StorageUnavailable, match="Too many open files; close other programs"), open_container(path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_recording_behind_the_first_is_said_to_be_unread(tmp_path: Path) -> None:
    """FFmpeg, as players do, takes the first index of an MP4 for its only one."""
    one = clip(tmp_path / "one.mp4", Stream((64, 64), 0, 4)).read_bytes()
    reader = VideoReader(io.BytesIO(one + one))
    assert len(list(reader)) == 4
    assert reader.report is not None
    (note,) = reader.report.notes
    assert note.startswith(
        f"another recording begins behind the first ({len(one):,} bytes into the file) and is not read"
    )
    alone = VideoReader(io.BytesIO(one))
    assert len(list(alone)) == 4 and alone.report is not None and not alone.report.notes
