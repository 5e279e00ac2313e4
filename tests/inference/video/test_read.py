"""Reading: true timestamps, upright pictures, sampling by the whole clip's clock, and what broken files give."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from inference.errors import CorruptMedia, LimitExceeded, UnsupportedMedia
from inference.video.decode import decoder_of
from inference.video.frames import Frame, Sampling, VideoLimits
from inference.video.read import VideoReader, probe, scan
from tests.inference.video.clips import make, number_of, picture

ROOT = Path(__file__).resolve().parents[3]
STEADY = [i / 25 for i in range(40)]


def read(
    source: Path | io.BytesIO, sampling: Sampling | None = None, **more: object
) -> tuple[list[Frame], VideoReader]:
    reader = VideoReader(source, sampling, **more)  # type: ignore[arg-type]
    return list(reader), reader


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.ts", "libx264"),
        ("a.mp4", "libx265"),
        ("a.webm", "libvpx-vp9"),
        ("a.mp4", "libsvtav1"),
        ("a.avi", "mpeg4"),
        ("a.avi", "mjpeg"),
        ("a.mov", "libx264"),
        ("a.mpg", "mpeg2video"),
        ("a.flv", "flv"),
        ("a.wmv", "wmv2"),
    ],
)
def test_every_codec_gives_all_frames_in_order_at_their_times(tmp_path: Path, name: str, codec: str) -> None:
    frames, reader = read(make(tmp_path / name, STEADY, codec))
    assert [number_of(frame.pixels) for frame in frames] == list(range(40))
    assert [frame.index for frame in frames] == list(range(40))
    assert np.allclose([frame.pts_s for frame in frames], STEADY, atol=1e-4)
    report = reader.report
    assert report is not None and report.broken is None and report.frames == 40
    assert report.duration_s == pytest.approx(1.6, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(160, 96), (640, 384)])
def test_reading_from_an_anchor_begins_with_its_own_keyframe(tmp_path: Path, size: tuple[int, int]) -> None:
    """In MPEG-PS a keyframe has no packet of its own to seek to: what is reached may be its second half."""
    clip = make(tmp_path / "a.mpg", [i / 25 for i in range(60)], codec="mpeg2video", options={"bf": "2"}, size=size)
    table = scan(clip)
    for index in range(1, 60):
        first = next(iter(VideoReader(clip, anchor=table.anchor(index))))
        assert (first.index, round(first.pts_s, 3), number_of(first.pixels)) == (index, index / 25, index)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_a_cut_animation_gives_what_is_there_or_says_that_it_is_cut(format: str) -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)) for _ in range(3)]
    content = io.BytesIO()
    images[0].save(content, format, save_all=True, append_images=images[1:], duration=50)
    whole = content.getvalue()
    for length in range(20, len(whole) - 20, 211):
        try:
            probe(io.BytesIO(whole[:length]))
            frames, reader = read(io.BytesIO(whole[:length]))
        except CorruptMedia:
            continue
        assert reader.report and (reader.report.broken or len(frames) < 3)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_animations_are_short_videos(tmp_path: Path, format: str) -> None:
    path = tmp_path / "a"
    pages = [Image.fromarray(picture(i)) for i in range(4)]
    pages[0].save(path, format, save_all=True, append_images=pages[1:], duration=[100, 200, 300, 400], loop=0)
    frames, reader = read(path)
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2, 3]
    assert [round(frame.pts_s, 3) for frame in frames] == [0, 0.1, 0.3, 0.6]
    assert probe(path).claimed_frames == 4


def test_variable_frame_rates_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.033, 0.066, 0.5, 0.52, 1.7]
    frames, reader = read(make(tmp_path / "a.mp4", times))
    assert [round(frame.pts_s, 3) for frame in frames] == times
    assert reader.report is not None and reader.report.duration_s == pytest.approx(1.7 + 1.18, abs=1e-3)


def test_a_file_object_reads_as_its_path_does(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", STEADY)
    frames, _ = read(io.BytesIO(path.read_bytes()))
    assert [number_of(frame.pixels) for frame in frames] == list(range(40))


_PEAK = """
import gc, sys
from inference.machine import peak_rss_mb
from inference.video.read import VideoReader
gc.disable()
before = peak_rss_mb()
frames = sum(1 for _ in VideoReader(sys.argv[1]))
print(frames, peak_rss_mb() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process's peak memory this way")
def test_frames_are_let_go_as_soon_as_they_are_used(tmp_path: Path) -> None:
    # 150 such frames are 207 MB as they are decoded and 415 MB as RGB; only a few may live at a time.
    clip = make(tmp_path / "a.mp4", [i / 25 for i in range(150)], size=(1280, 720), options={"preset": "ultrafast"})
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, clip], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    frames, grown = map(int, done.stdout.split())
    assert frames == 150 and grown < 120


class TestSampling:
    TIMES = [i / 30 for i in range(90)]

    def numbers(self, path: Path, sampling: Sampling) -> list[int]:
        return [number_of(frame.pixels) for frame in read(path, sampling)[0]]

    def test_stride_rate_range_and_keyframes(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.mp4", self.TIMES, gop=30, options={"sc_threshold": "0"})
        assert self.numbers(path, Sampling(stride=20)) == [0, 20, 40, 60, 80]
        # The first frame at or after each tick of 1/7 s.
        assert self.numbers(path, Sampling(fps=7))[:5] == [0, 5, 9, 13, 18]
        assert self.numbers(path, Sampling(start_s=1.0, end_s=1.2)) == [30, 31, 32, 33, 34, 35]
        assert self.numbers(path, Sampling(stride=20, start_s=0.5, end_s=2.1)) == [20, 40, 60]
        assert self.numbers(path, Sampling(keyframes_only=True)) == [0, 30, 60]

    @pytest.mark.slow
    @pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "libx264"),
                                                 ("a.avi", "mpeg4"), ("a.avi", "mpeg4 with B"),
                                                 ("a.avi", "libx264"), ("a.mp4", "libx265")])  # fmt: skip
    @pytest.mark.parametrize("sampling", [Sampling(), Sampling(stride=7), Sampling(fps=6.5)])
    @pytest.mark.parametrize("between", [False, True])
    def test_parts_give_the_samples_of_the_whole(
        self, tmp_path: Path, name: str, codec: str, sampling: Sampling, between: bool
    ) -> None:
        # In AVI no time tells the pictures before an open keyframe from those after it, so there it is closed.
        x264 = f"open-gop={0 if name == 'a.avi' else 1}:bframes=3"
        options = {"libx264": {"x264-params": x264}, "mpeg4 with B": {"bf": "2"}}.get(codec, {})
        path = make(tmp_path / name, [i / 25 for i in range(60)], codec.split(" ")[0], options=options)
        whole = {frame.index: frame for frame in read(path, sampling)[0]}
        table = scan(path)
        starts = np.arange(0, 60, 7) if between else np.flatnonzero(table.keyframe)
        anchors = [table.anchor(int(index)) for index in starts]
        assert len(anchors) > 3
        parts: dict[int, Frame] = {}
        for anchor, after in zip(anchors, [*anchors[1:], None], strict=True):
            end = None if after is None else after.pts_s
            part = Sampling(sampling.stride, sampling.fps, end_s=end)
            for frame in read(path, part, anchor=anchor)[0]:
                assert frame.index not in parts
                parts[frame.index] = frame
        assert list(parts) == list(whole)
        for index, frame in parts.items():
            assert frame.pts_s == whole[index].pts_s
            assert np.array_equal(frame.pixels, whole[index].pixels)


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "words"),
        [
            (VideoLimits(max_pixels=1000), "160x96"),
            (VideoLimits(max_frames=10), "more than 10 frames"),
            (VideoLimits(max_duration_s=0.5), "at most"),
        ],
    )
    def test_caps_hold_while_decoding(self, tmp_path: Path, limits: VideoLimits, words: str) -> None:
        path = make(tmp_path / "a.mp4", STEADY)
        with pytest.raises(LimitExceeded, match=words):
            read(path, limits=limits)

    def test_a_playlist_cannot_name_other_files(self, tmp_path: Path) -> None:
        secret = make(tmp_path / "secret.ts", STEADY)
        for text in (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile {secret.name}\n",
        ):
            (tmp_path / "upload.mp4").write_text(text)
            with pytest.raises(UnsupportedMedia):
                read(tmp_path / "upload.mp4")


class TestBroken:
    @pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")])
    def test_a_cut_file_gives_its_frames_and_says_where_it_broke(self, tmp_path: Path, name: str, codec: str) -> None:
        path = make(tmp_path / name, STEADY, codec, gop=5)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 6 // 10])
        frames, reader = read(path)
        assert 5 < len(frames) < 40
        report = reader.report
        assert report is not None and report.broken
        assert report.broken_at_s == pytest.approx(frames[-1].pts_s, abs=0.05)

    def test_after_a_picture_that_is_lost_the_others_keep_their_times(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.avi", [i / 25 for i in range(20)], "mjpeg")
        data = path.read_bytes()
        starts = [match.start() for match in re.finditer(b"00dc....\xff\xd8", data, re.DOTALL)]
        assert len(starts) == 20
        start, end = starts[7] + 8, starts[8]
        path.write_bytes(data[:start] + bytes(end - start) + data[end:])
        frames, reader = read(path)
        assert [number_of(frame.pixels) for frame in frames] == [i for i in range(20) if i != 7]
        assert [frame.pts_s for frame in frames] == pytest.approx([i / 25 for i in range(20) if i != 7])
        assert reader.report is not None and reader.report.damaged_frames == 1

    def test_what_was_not_asked_for_does_not_matter(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.mkv", STEADY, gop=5)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 6 // 10])
        _, reader = read(path, Sampling(end_s=0.3))
        assert reader.report is not None and reader.report.broken is None

    def test_an_mp4_without_index_is_corrupt(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.mp4", STEADY)
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(CorruptMedia, match="index"):
            probe(path)


# What each reference file must give: frames, or the error and a word of its message.
NASTY: dict[str, int | range | tuple[type[Exception], str]] = {
    "good-40frames.mp4": 40, "vfr.mp4": 40, "rotated-90.mp4": 40, "rotated-180.mp4": 40, "vp9.webm": 40,
    "mjpeg.avi": 15, "hevc.mp4": 40, "one-frame.mp4": 1, "yuv444-10bit.mp4": 10, "long-1h-1fps.mp4": 3600,
    "bitflips.mp4": range(1, 41), "faststart-cut.mp4": range(1, 40),
    "animated-dog.gif": 3, "animated-dog.webp": 3, "apng-dog.png": 2,
    "no-moov.mp4": (CorruptMedia, "index"), "zero-bytes.mp4": (UnsupportedMedia, "empty"),
    "text.mp4": (UnsupportedMedia, "not a video"), "audio-only.mp4": (UnsupportedMedia, "no video in it"),
}  # fmt: skip


@pytest.mark.needs_shared
@pytest.mark.slow
class TestReferenceFiles:
    @pytest.mark.parametrize("name", sorted(NASTY))
    def test_every_nasty_video_gives_what_it_should(self, shared: Path, name: str) -> None:
        path, expected = shared / "media" / "nasty" / name, NASTY[name]
        if isinstance(expected, tuple):
            with pytest.raises(expected[0], match=expected[1]):
                probe(path)
            return
        frames, reader = read(path)
        assert len(frames) == expected if isinstance(expected, int) else len(frames) in expected
        assert reader.report is not None
        assert bool(reader.report.broken) == (name in ("bitflips.mp4", "faststart-cut.mp4"))

    def test_true_times_of_a_variable_rate(self, shared: Path) -> None:
        index = json.loads((shared / "media" / "index.json").read_text())
        truth = next(e["ground_truth"] for e in index if e["file"] == "nasty/vfr.mp4")
        frames, reader = read(shared / "media/nasty/vfr.mp4")
        assert [round(frame.pts_s * 1000) for frame in frames] == truth["timestamps_ms"]
        assert reader.report is not None and reader.report.duration_s == pytest.approx(truth["duration_s"], abs=1e-3)

    def test_rotation_is_applied(self, shared: Path) -> None:
        folder = shared / "media/nasty"
        plain = read(folder / "good-40frames.mp4", Sampling(end_s=0.1))[0][0].pixels
        quarter = read(folder / "rotated-90.mp4", Sampling(end_s=0.1))[0][0].pixels
        half = read(folder / "rotated-180.mp4", Sampling(end_s=0.1))[0][0].pixels
        assert quarter.shape == (320, 240, 3)
        assert np.array_equal(quarter, np.rot90(plain, -1))
        assert np.array_equal(half, np.rot90(plain, 2))

    def test_a_lying_header_is_not_believed(self, shared: Path) -> None:
        path = shared / "media/video/crowd-grey-1280x720.avi"
        frames, reader = read(path, Sampling(stride=20))
        assert probe(path).claimed_frames == 682
        assert reader.report is not None and reader.report.frames == 341
        times = scan(path).pts_s
        assert len(times) == 341 and (np.diff(times) > 0).all()


def test_a_frame_before_the_clip_s_zero_takes_no_sample_of_its_first_tick() -> None:
    sampling, tick, taken = Sampling(fps=4.0), -1, []
    for index, pts_s in enumerate([-0.08, -0.04, 0.0, 0.04, 0.25]):
        taken.append(sampling.takes(index, pts_s, tick))
        tick = sampling.tick(pts_s)
    assert taken == [False, False, True, False, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "form", "threads"),
    [((1920, 1080), "yuv420p", 4), ((3840, 2160), "yuv420p", 4), ((3840, 2160), "yuv420p10le", 2)],
)
def test_fewer_threads_decode_larger_frames(
    size: tuple[int, int], form: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds frames of its own: four of 4K with 10 bits took a process past 600 MiB."""
    monkeypatch.setattr("inference.video.decode.os.cpu_count", lambda: 16)
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        made: Any = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        made.width, made.height, made.pix_fmt = *size, form
        output.mux([*made.encode(av.VideoFrame(*size, form)), *made.encode(None)])
    with av.open(str(path)) as container:
        assert decoder_of(container.streams.video[0], keyframes_only=False).thread_count == threads
