"""The sound of a clip never costs its pictures: it is copied on a clock that moves on; what is left out is said."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from inference.video.frames import Sampling
from inference.video.join import join
from inference.video.read import VideoReader
from inference.video.soundtrack import Span
from inference.video.write import VideoWriter
from tests.inference.video.clips import picture

RATE, AUDIO_PID = 16_000, 0x101
FRAME_S = 1024 / RATE  # 0.064


def clip(
    path: Path,
    seconds: float = 1.0,
    sound_s: float = 1.0,
    *,
    late_s: float = 0.0,
    rate: int = RATE,
    codecs: tuple[str, ...] = ("aac",),
    options: dict[str, str] | None = None,
) -> Path:
    """Pictures at 25 a second, and a tone for each of the codecs; interleaved as they are heard and seen."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264" if path.suffix != ".avi" else "mpeg4", rate=25, options=options or {})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        tones: list[Any] = [output.add_stream(codec, rate=rate, layout="mono") for codec in codecs]
        packets: list[Any] = []
        for number in range(round(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        for tone in tones:
            size, form = tone.codec_context.frame_size or 1024, tone.codec_context.format
            wave = (np.sin(np.arange(round(rate * sound_s)) / rate * 2 * np.pi * 440) * 9000).astype(np.int16)
            for start in range(0, len(wave) - size + 1, size):
                block = av.AudioFrame.from_ndarray(wave[None, start : start + size], format="s16", layout="mono")
                block.sample_rate = rate
                (block,) = av.AudioResampler(format=form, layout="mono", rate=rate).resample(block)
                block.pts, block.time_base = start + round(late_s * rate), Fraction(1, rate)
                packets += tone.encode(block)
            packets += tone.encode(None)
        output.mux(sorted((p for p in packets if p.dts is not None), key=lambda p: (p.dts or 0) * (p.time_base or 1)))
    return path


def written(folder: Path, source: Path, span: Span | None = None) -> tuple[int, str | None]:
    """(pictures, what is said of the sound), with the pictures of `source` and its sound in out.mp4."""
    span, out = span or Span(), folder / "out.mp4"
    with VideoWriter(out, fps=25, sound=source, span=span) as writer:
        for frame in VideoReader(source, Sampling(start_s=span.start_s, end_s=span.end_s)):
            writer.write(frame.pixels, frame.pts_s)
    return writer.frames, writer.dropped_sound


def times(path: Path, kind: Any) -> tuple[list[float], float]:
    """(the seconds at which packets begin, the second at which the last ends)."""
    with av.open(str(path)) as container:
        packets: list[Any] = (
            [p for p in container.demux(**{kind: 0}) if p.size] if getattr(container.streams, kind) else []
        )
        starts = [float((p.pts or 0) * p.time_base) for p in packets]
        return starts, starts[-1] + float(packets[-1].duration * packets[-1].time_base) if packets else 0.0


def audio_packets(data: bytes) -> list[int]:
    """Where the transport stream's packets of the sound begin."""
    return [at for at in range(0, len(data), 188) if (data[at + 1] & 0x1F) << 8 | data[at + 2] == AUDIO_PID]


@pytest.mark.parametrize(("suffix", "rate", "header"), [(".ts", RATE, 0), (".flv", 44_100, 13), (".flv", 44_100, 0)])
@pytest.mark.parametrize("joints", [1, 2])
def test_sound_of_joined_recordings_moves_on_with_their_pictures(
    tmp_path: Path, suffix: str, rate: int, header: int, joints: int
) -> None:
    part, joined = clip(tmp_path / f"part{suffix}", rate=rate).read_bytes(), tmp_path / f"joined{suffix}"
    joined.write_bytes(part + part[header:] * joints)
    assert written(tmp_path, joined) == (25 * (1 + joints), None)
    starts, end_s = times(tmp_path / "out.mp4", "audio")
    step = 1024 / rate
    assert all(0 < b - a < 1.9 * step for a, b in zip(starts, starts[1:], strict=False))
    # Parts of a second each: their sound begins where their pictures do, however long it is.
    assert end_s == pytest.approx(1 + joints, abs=2.5 * step)


def test_sound_longer_than_the_pictures_at_every_joint_does_not_add_up(tmp_path: Path) -> None:
    part = clip(tmp_path / "part.ts", sound_s=1.3)
    (tmp_path / "joined.ts").write_bytes(part.read_bytes() * 6)
    assert written(tmp_path, tmp_path / "joined.ts") == (150, None)
    assert times(tmp_path / "out.mp4", "audio")[1] == pytest.approx(6.3, abs=0.2)  # and not 6 times 1.3


def test_sound_stays_beside_its_pictures_when_a_recording_among_others_has_none(tmp_path: Path) -> None:
    part, silent = clip(tmp_path / "part.ts").read_bytes(), clip(tmp_path / "silent.ts", codecs=()).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + silent + part)
    assert written(tmp_path, tmp_path / "joined.ts") == (75, None)
    starts, end_s = times(tmp_path / "out.mp4", "audio")
    assert end_s == pytest.approx(3.0, abs=0.1)
    # Nothing sounds in the second second but what the recordings' last and first packets reach into it.
    assert not [at for at in starts if 1.1 < at < 1.9]


def test_an_announced_stream_without_packets_is_left_out_and_said(tmp_path: Path) -> None:
    data = clip(tmp_path / "a.ts").read_bytes()
    sound = set(audio_packets(data))
    mute = b"".join(data[at : at + 188] for at in range(0, len(data), 188) if at not in sound)
    (tmp_path / "mute.ts").write_bytes(mute)
    pictures, said = written(tmp_path, tmp_path / "mute.ts")
    assert pictures == 25 and said is not None and "tells no sample rate" in said


@pytest.mark.parametrize(
    ("name", "rate", "codec", "becomes"),
    [
        ("a.avi", 8000, "libmp3lame", "aac"),  # at which rate an MP4 takes no MP3
        ("a.avi", 44_100, "libmp3lame", "mp3float"),
        ("a.mp4", 16_000, "aac", "aac"),
        ("a.mov", 16_000, "pcm_s16le", "aac"),
    ],
)
def test_what_players_know_is_copied_and_all_else_made_anew(
    tmp_path: Path, name: str, rate: int, codec: str, becomes: str
) -> None:
    source = clip(tmp_path / name, rate=rate, codecs=(codec,))
    assert written(tmp_path, source) == (25, None)
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        assert after.streams.audio[0].codec_context.name == becomes
        packets = [{bytes(p) for p in container.demux(audio=0) if p.size} for container in (before, after)]
    is_copied = codec in ("aac", "libmp3lame") and rate > 8000
    assert (packets[1] <= packets[0]) == is_copied


def test_the_first_stream_that_can_be_had_is_taken(tmp_path: Path) -> None:
    clip(tmp_path / "a.ts", codecs=("ac3", "aac"), rate=32_000)
    data = (tmp_path / "a.ts").read_bytes()
    first = set(audio_packets(data))
    kept = b"".join(data[at : at + 188] for at in range(0, len(data), 188) if at not in first)
    (tmp_path / "b.ts").write_bytes(kept)  # the first is announced alone
    assert written(tmp_path, tmp_path / "b.ts") == (25, None)
    assert times(tmp_path / "out.mp4", "audio")[0]


def test_of_several_programmes_the_sound_is_of_that_which_is_analysed(tmp_path: Path) -> None:
    """As a broadcast carries them: a radio, listed first, and television."""
    programs = {}
    for number, (rate, first) in {1: (32_000, 0x200), 2: (RATE, 0x100)}.items():
        path = tmp_path / f"{number}.ts"
        names = {"mpegts_service_id": number, "mpegts_pmt_start_pid": 0x1000 + number, "mpegts_start_pid": first}
        options, source = {name: str(value) for name, value in names.items()}, clip(tmp_path / "one.mp4", rate=rate)
        with av.open(str(path), "w", options=options) as output, av.open(str(source)) as made:
            streams = {s.index: output.add_stream_from_template(s) for s in made.streams if number == 2 or s.index}
            for packet in made.demux():
                if packet.size and packet.stream.index in streams:
                    packet.stream = streams[packet.stream.index]
                    output.mux(packet)
        data = path.read_bytes()
        packets = [data[at : at + 188] for at in range(0, len(data), 188)]
        programs[number] = b"".join(p for p in packets if int.from_bytes(p[1:3], "big") & 0x1FFF not in (0, 17))
    # A table of both (ISO/IEC 13818-1, 2.4.4.3): programme 1 at PID 0x1001, programme 2 at 0x1002.
    table = bytes.fromhex("00b011 0001c10000 0001f001 0002f002")
    reversed_ = bytes(int(f"{byte:08b}"[::-1], 2) for byte in table)
    crc = int(f"{zlib.crc32(reversed_) ^ 0xFFFFFFFF:032b}"[::-1], 2).to_bytes(4, "big")
    header = b"\x47\x40\0\x10\0"
    (tmp_path / "both.ts").write_bytes((header + table + crc).ljust(188, b"\xff") + programs[1] + programs[2])
    with av.open(str(tmp_path / "both.ts")) as container:
        assert [stream.rate for stream in container.streams.audio] == [32_000, RATE]
    assert written(tmp_path, tmp_path / "both.ts") == (25, None)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].rate == RATE


def test_damaged_sound_has_gaps_which_are_said(tmp_path: Path) -> None:
    data = bytearray(clip(tmp_path / "a.ts", 2.0, 2.0).read_bytes())
    for at in audio_packets(bytes(data))[6:12]:
        data[at + 20 : at + 188] = bytes(168)
    (tmp_path / "damaged.ts").write_bytes(data)
    pictures, said = written(tmp_path, tmp_path / "damaged.ts")
    assert pictures == 50 and times(tmp_path / "out.mp4", "audio")[1] == pytest.approx(2.0, abs=2 * FRAME_S)
    assert said is None or said.startswith("its sound has gaps: ")


@pytest.mark.parametrize(("codec", "late_s"), [("aac", 0.0), ("aac", 0.5), ("ac3", 0.0)])
def test_sound_stays_in_step_where_the_first_packets_tell_only_when_they_are_shown(
    tmp_path: Path, codec: str, late_s: float
) -> None:
    """As those of Matroska do; with B-frames, the first of them are far apart."""
    options = {"bf": "3", "x264-params": "b-adapt=0"}
    source = clip(tmp_path / "a.mkv", late_s=late_s, rate=48_000, codecs=(codec,), options=options)
    with av.open(str(source)) as container:
        packets: list[Any] = [packet for packet in container.demux(video=0) if packet.size]
    assert packets[1].dts is None and packets[1].pts - packets[2].dts > 100
    assert written(tmp_path, source) == (25, None)
    begins_s = times(tmp_path / "out.mp4", "audio")[0]
    assert min(begin for begin in begins_s if begin >= late_s - 0.015) == pytest.approx(late_s, abs=0.015)
    assert min(begins_s) >= late_s - 0.045  # what the decoder needs before it


def test_sound_that_goes_on_is_kept_and_the_last_picture_held(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", 1.0, 4.0)
    assert written(tmp_path, source) == (25, None)
    sound, pictures = times(tmp_path / "out.mp4", "audio")[1], times(tmp_path / "out.mp4", "video")[1]
    assert sound == pytest.approx(4.0, abs=2 * FRAME_S) and pictures == pytest.approx(sound, abs=0.001)
    parts = [tmp_path / f"{number}.mp4" for number in range(2)]
    frames = list(VideoReader(source))
    for part, begun in zip(parts, (frames[:12], frames[12:]), strict=True):
        with VideoWriter(part, fps=25) as writer:
            for frame in begun:
                writer.write(frame.pixels, frame.pts_s)
    assert join(parts, tmp_path / "joined.mp4", sound=source) is None
    for kind in ("audio", "video"):
        assert times(tmp_path / "joined.mp4", kind) == times(tmp_path / "out.mp4", kind)


def test_of_a_part_of_the_clip_there_is_the_sound_of_that_part(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", 3.0, 3.0)
    assert written(tmp_path, source, Span(1.0, 2.0)) == (25, None)
    starts, end_s = times(tmp_path / "out.mp4", "audio")
    assert 1.0 <= starts[0] < 1.0 + FRAME_S and 2.0 - FRAME_S < end_s <= 2.0


def test_the_limit_on_seconds_is_one_of_sound_too(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", 1.0, 4.0)
    assert written(tmp_path, source, Span(limit_s=2.0)) == (
        25, "its sound is cut at 2 s, the most that is taken (video.max_duration_s)",
    )  # fmt: skip
    assert 2.0 - FRAME_S < times(tmp_path / "out.mp4", "audio")[1] <= 2.0
    late = clip(tmp_path / "late.mp4", 1.0, 1.0, late_s=5.0)
    assert written(tmp_path, late, Span(limit_s=3.0)) == (
        25, "its sound begins after 3 s, the most that is taken (video.max_duration_s)",
    )  # fmt: skip


@pytest.mark.parametrize("same", [False, True])
def test_sound_without_times_of_its_own_goes_on(tmp_path: Path, same: bool) -> None:
    data = bytearray(clip(tmp_path / "a.ts", 2.0, 2.0).read_bytes())
    first = b""
    for at in audio_packets(bytes(data)):
        if not data[at + 1] & 0x40:  # goes on with a PES packet (ISO/IEC 13818-1, 2.4.3.6) of before
            continue
        head = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
        first = first or bytes(data[head + 9 : head + 14])
        if same:
            data[head + 9 : head + 14] = first
        else:
            data[head + 7] &= 0x3F  # no PTS
    (tmp_path / "odd.ts").write_bytes(data)
    assert written(tmp_path, tmp_path / "odd.ts") == (50, None)
    assert times(tmp_path / "out.mp4", "audio")[1] == pytest.approx(2.0, abs=2 * FRAME_S)
