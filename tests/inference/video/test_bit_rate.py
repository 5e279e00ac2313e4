"""The annotated video takes at most 1.5 times the bits of the clip, whole or in parts; but never so few that nothing of
it could be read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.results.result import Source
from inference.routes import Route, Step
from inference.video.frames import Pixels
from inference.video.join import join
from inference.video.options import VideoOptions
from inference.video.read import VideoReader, probe
from inference.video.render import draw_part
from inference.video.split import detect_part, merge, prepare
from inference.video.view import view_of
from inference.video.write import Most, VideoWriter
from tests.inference.video.blobs import blob_detector

FPS, MOST = 25, 1.5
SIZE = (320, 180)


def restless(number: int) -> Pixels:
    """A field of grains that moves a little: hard to code well, and easy badly."""
    grains = np.random.default_rng(7).integers(40, 216, (SIZE[1] + 60, SIZE[0] + 60), dtype=np.uint8)
    dx, dy = (number * 3) % 60, (number * 2) % 60
    field = grains[dy : dy + SIZE[1], dx : dx + SIZE[0]].astype(np.int16)
    flicker = np.random.default_rng(number).integers(-12, 12, field.shape)
    return np.repeat(np.clip(field + flicker, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def coded(path: Path, seconds: float, bit_rate: int) -> Path:
    """A clip as others make it: slowly, with few bits."""
    with av.open(str(path), "w") as output:
        options = {"preset": "medium", "maxrate": str(bit_rate), "bufsize": str(bit_rate), "g": "12"}
        stream: Any = output.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", bit_rate
        for number in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(restless(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def bits_s(path: Path) -> float:
    with av.open(str(path)) as container:
        packets: list[Any] = [packet for packet in container.demux(video=0) if packet.size]
        return float(8 * sum(packet.size for packet in packets) * FPS / len(packets))


@pytest.fixture
def route(tmp_path: Path) -> Route:
    (tmp_path / "models").mkdir()
    blob_detector(tmp_path / "models" / "fields")
    return Route("street", (Step("fields"),), video=VideoOptions(thumbnails=0, fps=5.0))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.4, 2.0])
def test_a_clip_of_few_bits_gives_a_video_of_few_bits(tmp_path: Path, route: Route, seconds: float) -> None:
    clip, registry = coded(tmp_path / "a.mp4", seconds, 150_000), Registry([tmp_path / "models"])
    analysis = analyze(clip, route, registry)
    whole = analysis.artifacts["annotated.mp4"]
    assert isinstance(whole, Path)
    assert bits_s(whole) <= MOST * bits_s(clip)
    with VideoWriter(tmp_path / "free.mp4", fps=FPS) as writer:
        for number in range(round(seconds * FPS)):
            writer.write(restless(number), number / FPS)
    assert bits_s(tmp_path / "free.mp4") > 3 * bits_s(clip)  # as it would be without a bound


@pytest.mark.slow
def test_a_clip_of_few_bits_in_parts_gives_parts_of_few_bits(tmp_path: Path, route: Route) -> None:
    clip, registry = coded(tmp_path / "a.mp4", 2.0, 150_000), Registry([tmp_path / "models"])
    plan = prepare(clip, probe(clip), route, registry, 1e-6)
    assert len(plan.parts) >= 3
    size, folders = (plan.width, plan.height), {part.number: tmp_path / f"part{part.number}" for part in plan.parts}
    lines = []
    for part in plan.parts:
        (folder := folders[part.number]).mkdir()
        lines.append((part, list(detect_part(clip, part, route, registry, folder, plan.fps, size))))
    drawn: dict[int, list[str]] = {}
    (files := tmp_path / "files").mkdir()
    summary = merge(
        lines, route, plan.facts, size, Source("uploads", "a.mp4"), files,
        lambda number, line: drawn.setdefault(number, []).append(line),
    )  # fmt: skip
    videos: list[Any] = []
    for part in plan.parts:
        made = draw_part(clip, part, drawn[part.number], route, summary, folders[part.number], plan.fps)
        videos.append(made["annotated.mp4"])
    join(videos, tmp_path / "joined.mp4")
    apart = [frame.pixels for video in videos for frame in VideoReader(video)]
    together = [frame.pixels for frame in VideoReader(tmp_path / "joined.mp4")]
    assert len(together) == 50 and all(np.array_equal(a, b) for a, b in zip(apart, together, strict=True))
    assert bits_s(tmp_path / "joined.mp4") <= MOST * bits_s(clip)


@pytest.mark.slow
def test_at_least_so_many_bits_that_it_can_be_read(tmp_path: Path, route: Route) -> None:
    info = probe(coded(tmp_path / "a.mp4", 0.4, 150_000))
    assert info.claimed_bit_rate and view_of(route, info).bits_s == pytest.approx(1.2 * info.claimed_bit_rate)
    lying = type(info)(**{**vars(info), "claimed_bit_rate": 1})
    assert view_of(route, lying).bits_s == pytest.approx(0.015 * SIZE[0] * SIZE[1] * FPS)
    silent = type(info)(**{**vars(info), "claimed_bit_rate": None})
    assert view_of(route, silent).bits_s == 0 and Most(0.0, 4.0).options() == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["live.mkv", "stream.ts", "raw.h264"])
def test_where_the_header_says_nothing_the_first_pictures_tell(tmp_path: Path, name: str) -> None:
    """A live recording has no length, a stream of pictures no header at all, and sound may be most of a file."""
    clip = coded(tmp_path / "a.mp4", 2.0, 150_000)
    options = {"live": "1"} if name == "live.mkv" else {}
    with av.open(str(clip)) as whole, av.open(str(tmp_path / name), "w", options=options) as output:
        pictures: Any = output.add_stream_from_template(whole.streams.video[0])
        sound: Any = None if name == "raw.h264" else output.add_stream("ac3", rate=48_000, layout="stereo")
        for number in range(0 if sound is None else 62):
            noise = np.random.default_rng(number).uniform(-0.5, 0.5, (2, 1536)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
            frame.rate, frame.pts, frame.time_base = 48_000, number * 1536, Fraction(1, 48_000)
            output.mux(sound.encode(frame))
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = pictures
                output.mux(packet)
    assert probe(tmp_path / name).claimed_bit_rate == pytest.approx(bits_s(clip), rel=0.05)


@pytest.mark.parametrize(("bits_s", "keyframes"), [(0.0, 2), (20_000.0, 1)])
def test_few_bits_are_not_spent_on_pictures_to_jump_to(tmp_path: Path, bits_s: float, keyframes: int) -> None:
    """On a screen that stands still nearly all bits are theirs."""
    with VideoWriter(tmp_path / "a.mp4", fps=FPS, most=Most(bits_s, 3.0)) as writer:
        for number in range(3 * FPS):
            writer.write(restless(0), number / FPS)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size) == keyframes
