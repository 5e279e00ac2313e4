"""Writing and joining: times, sound and colours come through, and any player can start at once."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from inference.errors import CorruptMedia
from inference.video.frames import Sampling, View
from inference.video.join import join
from inference.video.read import VideoReader, probe, scan
from inference.video.write import VideoWriter
from tests.inference.video.clips import make, number_of, picture


def write(
    path: Path, times_s: list[float], sound: Path | None = None, size: tuple[int, int] = (160, 96)
) -> VideoWriter:
    with VideoWriter(path, fps=25, sound=sound) as writer:
        for number, at in enumerate(times_s):
            writer.write(picture(number, size), at)
    return writer


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def boxes_of(path: Path) -> list[bytes]:
    data, at, kinds = path.read_bytes(), 0, []
    while at < len(data):
        kinds.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    return kinds


@pytest.mark.parametrize(
    "times", [[i / 25 for i in range(30)], [0.0, 0.033, 0.066, 0.5, 0.52, 1.7], [0.04, 0.08], [0.0]]
)
def test_times_are_kept(tmp_path: Path, times: list[float]) -> None:
    path = tmp_path / "out.mp4"
    write(path, times)
    frames = list(VideoReader(path))
    # Read back, a clip starts at 0: players show it so, too.
    assert np.allclose([frame.pts_s for frame in frames], np.array(times) - times[0], atol=1.2e-5)
    assert [number_of(frame.pixels) for frame in frames] == list(range(len(times)))


def test_the_file_is_what_browsers_want(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(path, [i / 25 for i in range(30)])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
    kinds = boxes_of(path)
    assert kinds.index(b"moov") < kinds.index(b"mdat")


def test_odd_sizes_are_filled_up(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(path, [0.0, 0.04], size=(161, 97))
    frames = list(VideoReader(path))
    assert frames[0].pixels.shape == (98, 162, 3)
    assert [number_of(frame.pixels[:96, :160]) for frame in frames] == [0, 1]


def test_colours_come_through(tmp_path: Path) -> None:
    colours = np.array([[220, 30, 40], [40, 200, 60], [30, 60, 210], [230, 210, 40]], np.uint8)
    pixels = np.repeat(np.repeat(colours[None], 64, axis=0), 40, axis=1)
    with VideoWriter(tmp_path / "out.mp4", crf=10) as writer:
        writer.write(pixels, 0.0)
    read = next(iter(VideoReader(tmp_path / "out.mp4"))).pixels
    middles = read[32, 20::40].astype(int)
    assert np.abs(middles - colours).max() <= 6


class TestSound:
    def test_it_is_copied_and_not_coded_again(self, tmp_path: Path) -> None:
        times = [i / 25 for i in range(50)]
        source = make(tmp_path / "in.mp4", times, sound=True)
        writer = write(tmp_path / "out.mp4", times, sound=source)
        copied, original = sound_packets(tmp_path / "out.mp4"), sound_packets(source)
        assert writer.dropped_sound is None
        assert len(copied) >= len(original) - 2 and copied == original[: len(copied)]


class TestRefusals:
    def test_an_exception_leaves_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError), VideoWriter(tmp_path / "out.mp4") as writer:
            writer.write(picture(0), 0.0)
            raise RuntimeError
        assert list(tmp_path.iterdir()) == []

    def test_times_must_increase(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="after one at"), VideoWriter(tmp_path / "out.mp4") as writer:
            writer.write(picture(0), 0.5)
            writer.write(picture(1), 0.5)

    def test_no_frames_is_no_video(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no frame"), VideoWriter(tmp_path / "out.mp4"):
            pass
        assert list(tmp_path.iterdir()) == []


class TestJoin:
    def test_parts_join_without_coding_again(self, tmp_path: Path) -> None:
        times = [0.04 + i / 25 + (0.01 if i % 3 else 0.0) for i in range(60)]
        source = make(tmp_path / "in.mp4", times, gop=15, sound=True)
        table = scan(source)
        anchors = [table.anchor(int(index)) for index in np.flatnonzero(table.keyframe)]
        parts = []
        for number, anchor in enumerate(anchors):
            end = anchors[number + 1].pts_s if number + 1 < len(anchors) else None
            parts.append(tmp_path / f"part{number}.mp4")
            with VideoWriter(parts[-1], fps=25) as writer:
                for frame in VideoReader(source, Sampling(end_s=end), anchor=anchor):
                    writer.write(frame.pixels, frame.pts_s)
        assert len(parts) >= 4
        assert join(parts, tmp_path / "joined.mp4", sound=source) is None
        joined, whole = list(VideoReader(tmp_path / "joined.mp4")), list(VideoReader(source))
        assert [number_of(f.pixels) for f in joined] == list(range(60))
        assert np.allclose([f.pts_s for f in joined], [f.pts_s for f in whole], atol=1.2e-5)
        pieces = [f.pixels for part in parts for f in VideoReader(part)]
        assert all(np.array_equal(a.pixels, b) for a, b in zip(joined, pieces, strict=True))
        copied, original = sound_packets(tmp_path / "joined.mp4"), sound_packets(source)
        assert len(copied) >= len(original) - 2 and copied == original[: len(copied)]

    def test_a_part_starts_where_it_starts_to_less_than_a_millisecond(self, tmp_path: Path) -> None:
        times = [0.0, 1 / 15, 8 + 1 / 15 + 1e-4, 8 + 2 / 15]
        write(tmp_path / "a.mp4", times[:2])
        write(tmp_path / "b.mp4", times[2:])
        join([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "joined.mp4")
        times_s = [frame.pts_s for frame in VideoReader(tmp_path / "joined.mp4")]
        assert np.allclose(times_s, times, rtol=0, atol=1.2e-5)

    def test_parts_that_do_not_fit_are_refused_and_leave_nothing(self, tmp_path: Path) -> None:
        write(tmp_path / "a.mp4", [0.0, 0.04])
        write(tmp_path / "b.mp4", [0.08, 0.12], size=(320, 96))
        with pytest.raises(CorruptMedia, match="part 1: "):
            join([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "joined.mp4")
        assert not (tmp_path / "joined.mp4").exists()


def test_a_clip_that_says_it_ends_in_days_is_written(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as out:
        out.write(picture(0), 0.0)
        out.ends_s = 209_715.2
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.duration and stream.time_base
        assert float(stream.duration * stream.time_base) == pytest.approx((2**31 - 1) / 90_000)


def test_of_frames_within_a_tick_of_the_clock_the_first_is_written(tmp_path: Path) -> None:
    """Screen recordings count in 100 ns."""
    times = [0.0, 3e-6, 0.04, 0.040002, 0.08]
    with VideoWriter(tmp_path / "a.mp4", fps=25.0) as writer:
        for number, at in enumerate(times):
            writer.write(picture(number), at)
    frames = list(VideoReader(tmp_path / "a.mp4"))
    assert [(number_of(frame.pixels), round(frame.pts_s, 4)) for frame in frames] == [(0, 0.0), (2, 0.04), (4, 0.08)]


@pytest.mark.parametrize(
    ("size", "coded"), [((16_386, 34), (16_384, 34)), ((34, 20_000), (28, 16_384)), ((1, 1), (2, 2))]
)
def test_pictures_larger_than_encoders_take_are_scaled_down(
    tmp_path: Path, size: tuple[int, int], coded: tuple[int, int]
) -> None:
    """34 of 20,000 pixels: 34 x 16,384 / 20,000 = 27.9, and even."""
    path = tmp_path / "out.mp4"
    write(path, [0.0, 0.04], size=size)
    info = probe(path)
    assert (info.width, info.height) == coded
    assert View(720).size(*size) == (size if max(size) <= 16_384 else coded)
