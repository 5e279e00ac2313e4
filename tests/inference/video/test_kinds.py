"""One list of what is a video: what the reader opens is what a file is taken for, and nothing else is."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from inference.__main__ import main
from inference.analysis import media_type_of
from inference.errors import UnsupportedMedia
from inference.image.media import decode
from inference.image.sniff import sniff
from inference.image.video_kinds import KINDS
from inference.video.container import FORMATS, open_container
from inference.video.frames import Sampling
from inference.video.read import VideoReader, probe, scan
from tests.inference.video.clips import number_of, picture

COUNT = 26
# Name, codec, FFmpeg's muxer, and what it is: a file for each demuxer that the reader may use, and more.
MADE = {
    "a.mp4": ("libx264", "mp4", "video/mp4", "mov"),
    "a.3gp": ("libx264", "3gp", "video/mp4", "mov"),
    "a.mov": ("libx264", "mov", "video/quicktime", "mov"),
    "a.webm": ("libvpx", "webm", "video/webm", "matroska"),
    "a.mkv": ("libx264", "matroska", "video/x-matroska", "matroska"),
    "a.avi": ("mpeg4", "avi", "video/x-msvideo", "avi"),
    "a.flv": ("flv", "flv", "video/x-flv", "flv"),
    "a.wmv": ("wmv2", "asf", "video/x-ms-wmv", "asf"),
    "a.ogv": ("libvpx", "ogg", "video/ogg", "ogg"),
    "a.mxf": ("mpeg2video", "mxf", "video/x-mxf", "mxf"),
    "h264.mxf": ("libx264", "mxf", "video/x-mxf", "mxf"),
    "a.ivf": ("libvpx", "ivf", "video/x-ivf", "ivf"),
    "a.y4m": ("rawvideo", "yuv4mpegpipe", "video/x-yuv4mpeg", "yuv4mpegpipe"),
    "a.dv": ("dvvideo", "dv", "video/dv", "dv"),
    "a.mpg": ("mpeg2video", "mpeg", "video/mpeg", "mpeg"),
    "a.vob": ("mpeg2video", "vob", "video/mpeg", "mpeg"),
    "a.ts": ("libx264", "mpegts", "video/mp2t", "mpegts"),
    "a.m2v": ("mpeg2video", "mpeg2video", "video/mpeg", "mpegvideo"),
    "a.m4v": ("mpeg4", "m4v", "video/mp4v-es", "m4v"),
    "a.h264": ("libx264", "h264", "video/h264", "h264"),
    "a.hevc": ("libx265", "hevc", "video/h265", "hevc"),
    "a.obu": ("libsvtav1", "obu", "video/av1", "obu"),
    "a.mjpeg": ("mjpeg", "mjpeg", "video/x-mjpeg", "mjpeg"),
    "multipart.mjpeg": ("mjpeg", "mpjpeg", "video/x-mjpeg", "mjpeg"),
}
OPTIONS = {
    **{name: {"deadline": "realtime", "cpu-used": "8"} for name, made in MADE.items() if made[0] == "libvpx"},
    "a.h264": {"x264-params": "aud=1:bframes=2"},
    "a.hevc": {"x265-params": "log-level=0:aud=1"},
    "a.obu": {"preset": "13"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("kinds")

    def of(name: str) -> Path:
        path = folder / name
        return path if path.exists() else clip(path, *MADE[name][:2], OPTIONS.get(name))

    return of


def clip(path: Path, codec: str, muxer: str, options: dict[str, str] | None = None, **more: Any) -> Path:
    """COUNT frames at 25 a second, which tell their numbers."""
    size = (720, 576) if codec == "dvvideo" else (160, 96)
    with av.open(str(path), "w", format=muxer, options=more.get("muxing") or {}) as output:
        stream: Any = output.add_stream(codec, rate=more.get("rate", 25), options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 12
        for number in range(more.get("count", COUNT)):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, more.get("rate", 25))
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def test_every_demuxer_that_is_allowed_has_a_file_here() -> None:
    assert {demuxer for *_, demuxer in MADE.values()} == set(FORMATS)
    assert {media_type for *_, media_type, _ in MADE.values()} == {kind.media_type for kind in KINDS}


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_what_a_file_is_taken_for_is_what_the_reader_reads(made: Callable[[str], Path], name: str) -> None:
    path, (*_, media_type, demuxer) = made(name), MADE[name]
    assert media_type_of(path) == media_type_of(path.read_bytes()) == probe(path).media_type == media_type
    with open_container(path) as container:
        assert demuxer in container.format.name.split(",")
    reader = VideoReader(path)
    frames = list(reader)
    assert [number_of(frame.pixels) for frame in frames] == list(range(COUNT))
    assert [frame.pts_s for frame in frames] == pytest.approx([i / 25 for i in range(COUNT)], abs=1e-3)
    assert reader.report is not None and reader.report.broken is None
    # Parts of it are the same frames at the same times, also where the file has no times to seek to.
    table, content = scan(path), io.BytesIO(path.read_bytes())
    for index in (5, 12, 20):
        frame = next(iter(VideoReader(content, anchor=table.anchor(index))))
        assert frame.index == index and abs(frame.pts_s - frames[index].pts_s) < 1e-6
        assert np.array_equal(frame.pixels, frames[index].pixels)


@pytest.mark.parametrize("name", ["a.h264", "a.m2v", "a.m4v", "a.mjpeg"])
def test_keyframes_of_a_stream_alone_have_their_own_times(made: Callable[[str], Path], name: str) -> None:
    frames = list(VideoReader(made(name), Sampling(keyframes_only=True)))
    assert len(frames) >= 3
    assert [frame.pts_s for frame in frames] == pytest.approx([number_of(frame.pixels) / 25 for frame in frames])


def test_a_rate_that_is_assumed_is_said_and_one_that_the_stream_tells_is_used(tmp_path: Path) -> None:
    ends = {}
    for name in ("a.h264", "a.m2v", "a.m4v", "a.mjpeg"):
        codec, muxer, *_ = MADE[name]
        reader = VideoReader(clip(tmp_path / name, codec, muxer, rate=30, count=6))
        *_, last = reader
        assert reader.report is not None
        ends[name] = round(last.pts_s, 3), "25 pictures a second are assumed" in " ".join(reader.report.notes)
    told = (round(5 / 30, 3), False)
    assert ends == {"a.h264": told, "a.m2v": told, "a.m4v": told, "a.mjpeg": (0.2, True)}


@pytest.mark.slow
def test_the_command_line_takes_them_for_videos(
    made: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camcorder = clip(tmp_path / "00001.MTS", "libx264", "mpegts", muxing={"mpegts_m2ts_mode": "1"})
    names = [str(path) for path in (camcorder, made("a.h264"), made("a.mjpeg"), made("a.ogv"))]
    assert main(["analyze", *names, "--model", "colors", "--out", str(tmp_path / "out"), "--json"]) == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    types = ["video/mp2t", "video/h264", "video/x-mjpeg", "video/ogg"]
    assert [document["source"]["media_type"] for document in documents] == types
    assert [document["source"]["frames"] for document in documents] == [COUNT] * 4
    assert ["notes" in document for document in documents] == [False, False, True, False]


class TestTransportStreams:
    def test_packets_with_a_clock_or_with_parity_and_files_that_begin_within_one(self, tmp_path: Path) -> None:
        data = clip(tmp_path / "a.ts", "libx264", "mpegts").read_bytes()
        packets = [data[at : at + 188] for at in range(0, len(data), 188)]
        clock = clip(tmp_path / "a.m2ts", "libx264", "mpegts", muxing={"mpegts_m2ts_mode": "1"}).read_bytes()
        parity = b"".join(packet + bytes(range(16)) for packet in packets)
        for content in (clock, parity):
            assert sniff(content) == "video/mp2t"
            assert len(list(VideoReader(io.BytesIO(content)))) == COUNT
        for content, cut in ((data, 1), (data, 100), (data, 187), (clock, 3), (clock, 191), (parity, 150)):
            assert sniff(content[cut:]) == "video/mp2t"
        assert len(list(VideoReader(io.BytesIO(data[100:])))) > 10

    def test_a_programme_stream_that_begins_within_a_pack(self, made: Callable[[str], Path]) -> None:
        for name in ("a.mpg", "a.vob"):
            content = made(name).read_bytes()[1000:]
            assert sniff(content) == "video/mpeg"
            assert len(list(VideoReader(io.BytesIO(content)))) > 0

    def test_a_programme_stream_whose_packs_are_far_apart(self, made: Callable[[str], Path]) -> None:
        def packet(kind: int, length: int) -> bytes:
            return b"\0\0\x01" + bytes([kind]) + length.to_bytes(2, "big") + b"\x80" * length

        begins = b"\0\0\x01\0\x0f\xff" + b"\x80" * 30  # within a packet, with a picture: not a Windows icon
        assert sniff(begins + packet(0xE0, 2000) + packet(0xC0, 2000)) == "video/mpeg"
        for content in (begins + packet(0xE0, 2000), begins + packet(0xE0, 2000)[:-1] + packet(0xC0, 1999)):
            with pytest.raises(UnsupportedMedia):
                sniff(content)

    @pytest.mark.parametrize("width", [188, 192, 204])
    def test_tables_texts_and_archives_are_none(self, made: Callable[[str], Path], width: int) -> None:
        rows = np.tile(np.arange(width, dtype=np.uint8), (40, 1))
        text = (b"G" + b"et 10 of them. " * 20)[:width]
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.write(made("a.ts"), "a.ts")
            file.write(made("a.mpg"), "a.mpg")
        tar = b"a.ts".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0") + made("a.ts").read_bytes()
        for content in (
            rows.tobytes(),
            (rows + np.arange(40, dtype=np.uint8)[:, None]).tobytes(),
            text * 40,
            b"\x01" + text * 40,
            b"G" * 4096,
            archive.getvalue(),
            tar,
        ):
            with pytest.raises(UnsupportedMedia):
                sniff(content)


@pytest.mark.parametrize(
    ("name", "delimiter", "slice_"), [("a.h264", b"\x09", b"\x41"), ("a.hevc", b"\x46\x01", b"\x02\x01")]
)
def test_a_stream_that_begins_between_two_keyframes(
    made: Callable[[str], Path], name: str, delimiter: bytes, slice_: bytes
) -> None:
    start = b"\0\0\0\x01"
    third = start + delimiter + made(name).read_bytes().split(start + delimiter, 3)[3]
    for content in (third, b"\0" + third[third.index(start[1:] + slice_) :]):  # with a delimiter, and with a slice
        assert sniff(content) == MADE[name][2]
        numbers = [number_of(frame.pixels) for frame in VideoReader(io.BytesIO(content))]
        assert numbers[-14:] == list(range(12, COUNT))
    for word in (b"\x41\x05", b"\x01\x9a", b"\x02\x01\x10", b"Bud1"):
        with pytest.raises(UnsupportedMedia):
            sniff(start + word + bytes(200))


def ogg(*streams: bytes) -> bytes:
    """The first pages of an Ogg file, one for each stream, and the beginning of the second (RFC 3533)."""
    first = b"".join(b"OggS\0\x02" + bytes(20) + bytes([1, len(one)]) + one for one in streams)
    return first + b"OggS\0\0" + bytes(20) + b"\x01\x05comme"


def test_sound_in_ogg_is_called_so() -> None:
    opus, vorbis, theora = b"OpusHead\x01\x02", b"\x01vorbis\0\0", b"\x80theora\x03\x02\x01"
    for streams, name in (((opus,), "Opus"), ((b"fishead\0", vorbis), "Vorbis"), ((b"\x7fFLAC\x01",), "FLAC")):
        with pytest.raises(UnsupportedMedia, match=rf"an Ogg file \({name}\): it holds sound and no pictures"):
            sniff(ogg(*streams))
    for both in (ogg(theora, vorbis), ogg(b"fishead\0", opus, theora)):
        assert sniff(both) == "video/ogg"
    with pytest.raises(UnsupportedMedia, match="an Ogg file without a video that is read"):
        sniff(ogg(b"\x80kate\0\0"))


def jpeg(number: int, size: tuple[int, int] = (160, 96), **more: Any) -> bytes:
    content = io.BytesIO()
    Pillow.fromarray(picture(number, size)).save(content, "JPEG", **more)
    return content.getvalue()


class TestPhotos:
    """What phones put behind a photo makes no video of it."""

    def test_further_pictures_behind_a_photo(self, made: Callable[[str], Path]) -> None:
        small = Pillow.fromarray(picture(2, (80, 48)))
        several, exif = io.BytesIO(), Pillow.Exif()
        exif[0x0112] = 1
        images = [Pillow.fromarray(picture(number)) for number in range(4)]
        images[0].save(several, "MPO", save_all=True, append_images=images[1:])
        thumbnail = jpeg(0, exif=exif.tobytes() + jpeg(1) * 3)
        gain = io.BytesIO()
        small.save(gain, "JPEG")
        photos = {
            "MPF": several.getvalue(),
            "motion": jpeg(0) + made("a.mp4").read_bytes(),
            "motion of JPEGs": jpeg(0) + made("a.mjpeg").read_bytes()[3:],
            "junk": jpeg(0) + bytes(5000),
            "thumbnails": thumbnail + gain.getvalue(),
            "depth and gain": jpeg(0) + gain.getvalue() * 3,
            "the same without effects": jpeg(0) + jpeg(1),
            "grey depth": jpeg(0) + jpeg(1) + jpeg(2)[:150] + gain.getvalue(),
            "with something between": jpeg(0) + b"SEFH" + jpeg(1) + b"SEFH" + jpeg(2),
            "progressive": jpeg(0, progressive=True) + gain.getvalue(),
            "cut": jpeg(0)[:400],
        }
        assert {name: sniff(photo) for name, photo in photos.items()} == dict.fromkeys(photos, "image/jpeg")
        assert decode(photos["MPF"]).size == (160, 96)

    def test_jpegs_in_a_row_are_a_video_also_of_a_camera_s_answer(self) -> None:
        frames = [jpeg(number, progressive=number % 2 == 0) for number in range(5)]
        parts = [
            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(one) + one + b"\r\n"
            for one in frames
        ]
        for content in (
            b"".join(frames),
            b"".join(one + bytes(3) for one in frames),
            b"".join(parts),
            b"\r\n" + b"".join(parts).replace(b"Content-Type: image/jpeg", b"X-Time: 1.5\r\ncontent-type: image/jpg"),
            b"".join(parts)[len(parts[0]) - len(frames[0]) - 2 :],
        ):
            assert sniff(content) == "video/x-mjpeg"
            assert [number_of(frame.pixels) for frame in VideoReader(io.BytesIO(content))] == list(range(5))
        with pytest.raises(UnsupportedMedia, match="this is a video"):
            decode(b"".join(frames))
