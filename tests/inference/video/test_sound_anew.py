"""Sound that some browsers do not play becomes AAC, each click where it was; whatever it is, it costs no picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from inference.video.join import join
from inference.video.read import VideoReader
from inference.video.soundtrack import Span
from inference.video.write import VideoWriter
from tests.inference.video.clips import picture
from tests.inference.video.test_sound import audio_packets, clip, times, written

SYNC_S = 0.02


def clicks(
    path: Path,
    codec: str,
    rate: int,
    at_s: tuple[float, ...] = (0.25, 1.0, 1.75),
    *,
    layout: str = "mono",
    seconds: float = 2.0,
    lost: tuple[float, float] = (0.0, 0.0),
) -> Path:
    """A clip of so many seconds, silent but for clicks of 2 ms; without the packets of sound within `lost` seconds."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        sound: Any = output.add_stream(codec, rate=rate, layout=layout, options={"strict": "-2"})
        channels, length = sound.layout.nb_channels, round(rate * seconds)
        wave = np.zeros((channels, length), np.float32)
        for click in at_s:
            wave[:, round(click * rate) : round((click + 0.002) * rate)] = 0.9
        packets: list[Any] = []
        for number in range(round(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += video.encode(frame)
        for start in range(0, length, 960):
            block = av.AudioFrame.from_ndarray(wave[:, start : start + 960].copy(), format="fltp", layout=layout)
            block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
            packets += sound.encode(block)
        packets += [*video.encode(None), *sound.encode(None)]
        timed = [(float(p.dts * p.time_base), number, p) for number, p in enumerate(packets) if p.dts is not None]
        output.mux([p for at, _, p in sorted(timed) if p.stream is video or not lost[0] <= at < lost[1]])
    return path


def heard(path: Path) -> list[float]:
    """The seconds at which clicks begin in a file's sound, as a player plays it."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate = stream.rate
        alike = av.AudioResampler("fltp", "mono", rate)
        frames = [made for frame in container.decode(stream) for made in alike.resample(frame)]
        pieces = [(float((frame.pts or 0) * (frame.time_base or 0)), frame.to_ndarray()) for frame in frames]
    found: list[float] = []
    for start_s, samples in pieces:
        for at in np.flatnonzero(np.abs(samples).max(axis=0) > 0.3):
            if not found or start_s + at / rate - found[-1] > 0.1:
                found.append(float(start_s + at / rate))
    return found


KINDS = [
    ("a.mov", "pcm_s16le", 48_000, "mono", 48_000),
    ("a.mov", "pcm_s24le", 96_000, "stereo", 48_000),
    ("a.avi", "pcm_mulaw", 8000, "mono", 8000),
    ("a.mkv", "libopus", 48_000, "stereo", 48_000),
    ("a.mkv", "vorbis", 44_100, "stereo", 44_100),
    ("a.mkv", "flac", 88_200, "stereo", 44_100),
    ("a.mp4", "alac", 44_100, "stereo", 44_100),
    ("a.ts", "ac3", 48_000, "5.1", 48_000),
    ("a.avi", "libmp3lame", 8000, "mono", 8000),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codec", "rate", "layout", "becomes"), KINDS)
def test_each_click_is_where_it_was(
    tmp_path: Path, name: str, codec: str, rate: int, layout: str, becomes: int
) -> None:
    source = clicks(tmp_path / name, codec, rate, layout=layout)
    assert written(tmp_path, source) == (50, None)
    with av.open(str(tmp_path / "out.mp4")) as container:
        sound = container.streams.audio[0]
        assert (sound.codec_context.name, sound.rate) == ("aac", becomes)
        assert sound.codec_context.profile == "LC" and sound.layout.name == ("mono" if layout == "mono" else "stereo")
    assert heard(tmp_path / "out.mp4") == pytest.approx(heard(source), abs=SYNC_S)
    assert len(heard(source)) == 3


@pytest.mark.slow
def test_where_packets_are_lost_it_is_silent_and_what_follows_keeps_its_time(tmp_path: Path) -> None:
    for lost in ((0.5, 0.9), (0.3, 1.6)):  # shorter and longer than what counts as one stretch of sound
        source = clicks(tmp_path / "a.mkv", "flac", 48_000, (0.2, 1.0, 1.75), lost=lost)
        assert written(tmp_path, source) == (50, None)
        kept = [click for click in (0.2, 1.0, 1.75) if not lost[0] <= click < lost[1]]
        assert heard(tmp_path / "out.mp4") == pytest.approx(kept, abs=SYNC_S)


@pytest.mark.slow
def test_of_a_part_of_the_clip_there_is_the_sound_of_that_part_and_joined_it_is_the_same(tmp_path: Path) -> None:
    source = clicks(tmp_path / "a.mov", "pcm_s16le", 44_100)
    assert written(tmp_path, source, Span(0.5, 1.5)) == (25, None)
    assert heard(tmp_path / "out.mp4") == pytest.approx([1.0], abs=SYNC_S)
    frames = [frame for frame in VideoReader(source) if 0.5 <= frame.pts_s < 1.5]
    parts = [tmp_path / f"{number}.mp4" for number in range(2)]
    for part, begun in zip(parts, (frames[:12], frames[12:]), strict=True):
        with VideoWriter(part, fps=25) as writer:
            for frame in begun:
                writer.write(frame.pixels, frame.pts_s)
    assert join(parts, tmp_path / "joined.mp4", sound=source, span=Span(0.5, 1.5)) is None
    assert times(tmp_path / "joined.mp4", "audio") == times(tmp_path / "out.mp4", "audio")
    assert heard(tmp_path / "joined.mp4") == heard(tmp_path / "out.mp4")


@pytest.mark.slow
def test_sound_of_joined_recordings_moves_on_with_their_pictures(tmp_path: Path) -> None:
    part, joined = clicks(tmp_path / "a.ts", "ac3", 48_000).read_bytes(), tmp_path / "joined.ts"
    joined.write_bytes(part * 3)
    assert written(tmp_path, joined) == (150, None)
    expected = [round(2 * number + click, 3) for number in range(3) for click in (0.25, 1.0, 1.75)]
    assert heard(tmp_path / "out.mp4") == pytest.approx(expected, abs=0.06)  # MPEG-TS: a picture more or less a joint


@pytest.mark.slow
def test_damaged_sound_has_gaps_which_are_said(tmp_path: Path) -> None:
    data = bytearray(clip(tmp_path / "a.ts", 2.0, 2.0, rate=48_000, codecs=("ac3",)).read_bytes())
    for at in audio_packets(bytes(data))[6:12]:
        data[at + 20 : at + 188] = bytes(168)
    (tmp_path / "damaged.ts").write_bytes(data)
    pictures, said = written(tmp_path, tmp_path / "damaged.ts")
    assert pictures == 50 and times(tmp_path / "out.mp4", "audio")[1] == pytest.approx(2.0, abs=0.1)
    assert said is None or said.startswith("its sound has gaps: ")
    noise = np.random.default_rng(1).integers(0, 255, 100_000, dtype=np.uint8).tobytes()
    for at in audio_packets(bytes(data)):
        data[at + 20 : at + 188] = noise[at % 90_000 :][:168]
    (tmp_path / "noise.ts").write_bytes(data)
    assert written(tmp_path, tmp_path / "noise.ts")[0] == 50
