"""The pictures that a plan numbers are those that reading shows; so are the parts of any file, sound or odd."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet

from inference.errors import LimitExceeded
from inference.video import table
from inference.video.aggregate import whole_report
from inference.video.frames import ReadReport, VideoLimits
from inference.video.options import VideoOptions
from inference.video.read import VideoReader, runs_past, scan
from inference.video.split import part_frames, plan
from tests.inference.video.clips import SIZE, make, number_of

STEADY = [i / 25 for i in range(75)]


def clip(folder: Path, name: str, codec: str = "libx264", times: list[float] = STEADY, **options: str) -> bytes:
    path = make(folder / name, times, codec, options={key.replace("_", "-"): value for key, value in options.items()})
    return path.read_bytes()


def moved(content: bytes, to: Path, by: Callable[[int], int]) -> bytes:
    """The clip copied, its packet i by so many of its ticks later."""
    with av.open(io.BytesIO(content), "r") as source, av.open(str(to), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            assert isinstance(packet, Packet) and packet.pts is not None
            packet.pts = packet.dts = packet.pts + by(number)
            packet.stream = stream
            output.mux_one(packet)
    return to.read_bytes()


def trimmed(folder: Path) -> bytes:
    """Ten pictures hidden by the edit list, cut between two keyframes as a phone does it."""
    data = bytearray(clip(folder, "a.mp4", x264_params="bframes=2:scenecut=0"))
    at = data.index(b"elst") + 12
    hidden = int.from_bytes(data[at + 4 : at + 8], "big") + 10 * 16_000 // 25
    data[at : at + 8] = (65 * 40).to_bytes(4, "big") + hidden.to_bytes(4, "big")
    return bytes(data)


def ring(folder: Path) -> bytes:
    data = clip(folder, "a.ts")
    return data[len(data) // 3 + 77 :]


def joined(folder: Path) -> bytes:
    data = clip(folder, "a.ts")
    return ring(folder) + data[: len(data) // 2] + data


def joined_flv(folder: Path) -> bytes:
    data = clip(folder, "a.flv")
    return data + data[13:]


def doubled(folder: Path) -> bytes:
    plain = clip(folder, "a.mkv", bf="0")
    return moved(plain, folder / "b.mkv", lambda number: -40 if number in (20, 24, 25, 50) else 0)


def leaping(folder: Path) -> bytes:
    plain = clip(folder, "a.mkv", bf="0")
    return moved(plain, folder / "b.mkv", lambda number: 49_995_900 if number > 50 else 0)


def damaged(folder: Path) -> bytes:
    data = bytearray(clip(folder, "a.avi", "mjpeg"))
    starts = [match.start() for match in re.finditer(b"00dc....\xff\xd8", bytes(data), re.DOTALL)]
    for lost in (7, 31):
        start, end = starts[lost] + 8, starts[lost + 1]
        data[start:end] = bytes(end - start)
    return bytes(data)


def noisy(folder: Path) -> bytes:
    data, noise = bytearray(clip(folder, "a.mkv", x264_params="bframes=3:open-gop=1")), random.Random(3)
    for share in (3, 5, 7):
        at = len(data) * share // 10
        data[at : at + 40] = noise.randbytes(40)
    return bytes(data)


# What each file is, how many pictures it has, and whether packets tell them (None: it depends on the bytes).
FILES: dict[str, tuple[Callable[[Path], bytes], int | None, bool | None]] = {
    "plain": (lambda folder: clip(folder, "a.mp4"), 75, True),
    "edit list": (trimmed, 65, False),
    "ring buffer": (ring, None, None),
    "joined TS": (joined, None, False),
    "joined FLV": (joined_flv, 150, False),
    "two in a tick": (doubled, 75, False),
    "a clock that jumps": (leaping, 75, False),
    "raw H.264": (lambda folder: clip(folder, "a.h264", x264_params="open-gop=1:bframes=3"), 75, False),
    "raw HEVC": (lambda folder: clip(folder, "a.hevc", "libx265"), 75, False),
    "MPEG-PS": (lambda folder: clip(folder, "a.mpg", "mpeg2video", bf="2", times=[i / 25 for i in range(120)]),
                120, True),
    "open GOPs in AVI": (lambda folder: clip(folder, "a.avi", x264_params="bframes=3:open-gop=1"), 75, False),
    "renewed bit by bit": (lambda folder: clip(folder, "a.ts", x264_params="intra-refresh=1:bframes=0"), 75, False),
    "VP8 with hidden pictures": (lambda folder: clip(folder, "a.webm", "libvpx", auto_alt_ref="1", lag_in_frames="16",
                                                     cpu_used="8", deadline="realtime"), 75, True),
    "VP9 with hidden pictures": (lambda folder: clip(folder, "a.webm", "libvpx-vp9", auto_alt_ref="1",
                                                     lag_in_frames="16", cpu_used="8"), 75, True),
    "interlaced": (lambda folder: clip(folder, "a.ts", x264_params="tff=1:bframes=2"), 75, True),
    "lost pictures": (damaged, 73, False),
    "noise": (noisy, None, None),
}  # fmt: skip
SAMPLED: list[VideoOptions] = [
    VideoOptions(),
    VideoOptions(stride=7),
    VideoOptions(fps=6.5),
    VideoOptions(keyframes_only=True),
    VideoOptions(start_s=0.7, end_s=2.1),
]


def whole_of(content: bytes, options: VideoOptions) -> tuple[list[tuple[int, float]], ReadReport]:
    reader = VideoReader(io.BytesIO(content), options.sampling(), options)
    frames = [(frame.index, round(frame.pts_s, 5)) for frame in reader]
    assert reader.report is not None
    return frames, reader.report


def parts_of(content: bytes, options: VideoOptions, most_s: float) -> tuple[list[tuple[int, float]], ReadReport, int]:
    parts = plan(scan(io.BytesIO(content), options, options.keyframes_only), options, 0.4, 0.0, most_s)
    frames, reports = [], []
    for part in parts:
        reader = part_frames(io.BytesIO(content), part, options, SIZE)
        frames += [(frame.index, round(frame.pts_s, 5)) for frame in reader if not part.leads(frame)]
        assert reader.report is not None
        reports.append(replace(reader.report, frames=part.lead.index + reader.report.frames))
    return frames, whole_report(reports), len(parts)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_parts_have_the_pictures_of_the_whole(name: str, tmp_path: Path) -> None:
    made, pictures, plain = FILES[name]
    content = made(tmp_path)
    assert plain in (None, not scan(io.BytesIO(content)).doubt)
    for options in SAMPLED:
        frames, report = whole_of(content, options)
        if options == VideoOptions():
            assert len(frames) == report.frames == (pictures or report.frames)
        for most_s in (1e9, 0.9):
            split, merged, parts = parts_of(content, options, most_s)
            assert split == frames
            assert parts > 1 or name in ("renewed bit by bit", "noise")
            for told in ("frames", "clock", "clock_faults", "duration_s", "fps"):
                assert getattr(merged, told) == pytest.approx(getattr(report, told), abs=1e-5), told


def test_what_is_hidden_or_lost_is_neither_numbered_nor_timed(tmp_path: Path) -> None:
    reader = VideoReader(io.BytesIO(trimmed(tmp_path)))
    frames = [(frame.index, round(frame.pts_s, 4), number_of(frame.pixels)) for frame in reader]
    assert frames == [(i, round(i / 25, 4), i + 10) for i in range(65)]
    assert reader.report is not None and reader.report.fps == pytest.approx(25.0)
    assert reader.report.duration_s == pytest.approx(2.6)


def test_a_jump_is_taken_out_and_named(tmp_path: Path) -> None:
    content = leaping(tmp_path)
    frames, report = whole_of(content, VideoOptions())
    assert frames == [(i, round(i / 25, 5)) for i in range(75)]
    (note,) = report.clock_notes
    assert note.startswith("its clock jumps from 2.0 s to 49,997.9 s at picture 51; this is taken out of the times")
    assert report.duration_s == pytest.approx(3.0) and report.fps == pytest.approx(25.0)


def test_a_pause_is_kept_and_named_where_it_passes_a_limit(tmp_path: Path) -> None:
    """300 s pass before picture 51, as in a recording that waits until something moves."""
    content = moved(clip(tmp_path, "a.mkv", bf="0"), tmp_path / "b.mkv", lambda number: 300_000 if number > 50 else 0)
    frames, report = whole_of(content, VideoOptions())
    assert frames[50:52] == [(50, 2.0), (51, 302.04)] and not report.clock_notes
    for read in (lambda limits: list(VideoReader(io.BytesIO(content), limits=limits)),
                 lambda limits: [scan(io.BytesIO(content), limits)]):  # fmt: skip
        with pytest.raises(LimitExceeded, match=r"jumps from 2\.0 s to 302\.0 s at picture 51, at most 100 s"):
            read(VideoLimits(max_duration_s=100.0))


def test_whether_a_clip_is_long_no_clock_decides_that_jumps(tmp_path: Path) -> None:
    jumps, twice = io.BytesIO(leaping(tmp_path)), io.BytesIO(joined_flv(tmp_path))
    assert [runs_past(jumps, seconds) for seconds in (2.9, 3.1, 1000.0)] == [True, False, False]
    assert [runs_past(twice, seconds) for seconds in (5.9, 6.1)] == [True, False]


def test_a_long_clip_is_believed_where_its_first_pictures_are_as_its_packets_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_LOOKED_AT", 10 * SIZE[0] * SIZE[1])
    decoded = []
    through = table._decoded

    def noted(*given: Any) -> Any:
        for picture in through(*given):
            decoded.append(picture)
            yield picture

    monkeypatch.setattr(table, "_decoded", noted)
    assert scan(io.BytesIO(clip(tmp_path, "a.mp4"))).doubt == "" and len(decoded) == 12
    decoded.clear()
    assert scan(io.BytesIO(trimmed(tmp_path))).doubt == "it hides pictures" and len(decoded) == 65


def test_what_takes_too_long_to_decode_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match=r"it hides pictures, so that all of it.*-c copy"):
        scan(io.BytesIO(trimmed(tmp_path)), patience_s=-1.0)


def test_parts_of_a_transport_stream_whose_clock_begins_again_are_those_of_the_whole(tmp_path: Path) -> None:
    plain, path = make(tmp_path / "plain.ts", [i / 25 for i in range(75)]), tmp_path / "wrapped.ts"
    # One second before the clock of 33 bits is at its end.
    options = {"output_ts_offset": str(2**33 / 90_000 - 1), "mpegts_copyts": "1"}
    with av.open(str(plain)) as source, av.open(str(path), "w", options=options) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    planned, whole = scan(path), [(frame.index, frame.pts_s) for frame in VideoReader(path)]
    assert len(whole) == len(planned.pts_s) == 75
    for key in np.flatnonzero(planned.keyframe)[1:].tolist():
        anchor = planned.anchor(key)
        assert [(f.index, f.pts_s) for f in VideoReader(path, anchor=anchor, start=anchor)] == whole[key:]


def test_the_last_part_says_when_a_clip_ends() -> None:
    # The part before it ends with a picture that came 0.4 s after the one before, and is shown for 0.05 s.
    parts = [ReadReport(10, 2.8, 160, 96, first_s=0.0), ReadReport(13, 2.6, 160, 96, first_s=2.45)]
    assert (whole_report(parts).duration_s, whole_report(parts).frames) == (2.6, 13)
    nothing_left = ReadReport(10, 0.0, 160, 96, broken="damaged data")
    assert whole_report([parts[0], nothing_left]).duration_s == 2.8
