"""The last picture counts for as long as the file says; every length by hand."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.codec.context import Flags
from PIL import Image

from inference.video.frames import ReadReport, Sampling
from inference.video.read import VideoReader
from inference.video.write import VideoWriter
from tests.inference.video.clips import SIZE, make, picture


def read(path: Path, sampling: Sampling | None = None) -> ReadReport:
    reader = VideoReader(path, sampling)
    assert list(reader) and reader.report is not None
    return reader.report


def slides(path: Path, codec: str, times_s: list[int], end_s: int, **options: str) -> Path:
    """Pictures at these seconds, the last to end_s, each with its duration."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.flags |= Flags.frame_duration
        for number, (at, after) in enumerate(zip(times_s, [*times_s[1:], end_s], strict=True)):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.duration, frame.time_base = at * 1000, (after - at) * 1000, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", {"bf": "0"}), ("a.mp4", "libx264", {"bf": "2"}), ("a.mkv", "libx264", {}),
     ("a.webm", "libvpx-vp9", {})],
)  # fmt: skip
def test_slides_last_to_the_end_of_the_last(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    report = read(slides(tmp_path / name, codec, [0, 2, 4], 10, **options))
    assert report.duration_s == pytest.approx(10.0) and report.fps == pytest.approx(0.3)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize(("durations", "expected"), [([200, 200, 200, 5000], 5.6), ([0, 0, 0, 0], 0.4)])
def test_animations_last_to_the_end_of_their_last_frame(
    tmp_path: Path, format: str, durations: list[int], expected: float
) -> None:
    pages = [Image.fromarray(picture(i)) for i in range(4)]
    pages[0].save(tmp_path / "a", format, save_all=True, append_images=pages[1:], duration=durations, loop=3)
    report = read(tmp_path / "a")
    assert report.duration_s == pytest.approx(expected) and report.fps == pytest.approx(4 / expected)


def test_a_header_that_says_an_hour_is_not_believed(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", [i / 25 for i in range(25)])
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 24  # version 0: the duration, in milliseconds here
    data[at : at + 4] = (3_600_000).to_bytes(4, "big")
    path.write_bytes(data)
    assert read(path).duration_s == pytest.approx(1.0, abs=0.01)


def test_the_rate_is_over_the_pictures_own_span(tmp_path: Path) -> None:
    """The first picture comes 1.8 s after the container's start."""
    report = read(make(tmp_path / "a.mkv", [1.8 + i / 25 for i in range(25)], sound=True))
    assert (report.frames, round(report.first_s, 2), round(report.duration_s, 2)) == (25, 1.8, 2.8)
    assert report.fps == pytest.approx(25.0, abs=0.05)


def test_a_video_that_is_written_shows_its_last_frame_to_the_end(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=25.0) as writer:
        for number in range(3):
            writer.write(picture(number), number * 2.0)
        writer.ends_s = 10.0
    assert read(tmp_path / "a.mp4").duration_s == pytest.approx(10.0)
