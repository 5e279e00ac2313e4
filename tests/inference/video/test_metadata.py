"""Metadata of videos: what a model made says so, and nothing of an upload's own metadata reaches a file."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from inference.analysis import analyze
from inference.draw.xmp import packet
from inference.engine.registry import BUILT_IN, Registry
from inference.predictions import Origin
from inference.routes import Route, Step
from inference.video.join import join
from inference.video.options import VideoOptions
from inference.video.soundtrack import without_tags
from inference.video.write import VideoWriter
from tests.inference.video.clips import make, picture

pytestmark = pytest.mark.slow
SECRET = b"SECRET"
# The latitude as QuickTime writes it, its box, and the box of 3GPP that MP4 takes.
PLACES = (b"+50.0875", b"\xa9xyz", b"loci")
TAGS = {"title": "SECRET", "comment": "SECRET", "make": "SECRET", "location": "+50.0875+014.4213/"}


def tagged(path: Path, source: Path) -> Path:
    """The clip with words and a place in the container and in both streams."""
    with av.open(str(source)) as clip, av.open(str(path), "w") as output:
        output.metadata.update(TAGS)
        streams = {s.index: output.add_stream_from_template(s) for s in (*clip.streams.video, *clip.streams.audio)}
        for stream in streams.values():
            stream.metadata["handler_name"] = "SECRET"
        for packet_ in clip.demux():
            if packet_.dts is not None:
                packet_.stream = streams[packet_.stream.index]
                output.mux(packet_)
    data = path.read_bytes()
    assert SECRET in data and any(place in data for place in PLACES)
    return path


def xmp_of(path: Path) -> str:
    """The packet as FFmpeg reads it."""
    with av.open(str(path), options={"export_xmp": "1"}) as container:
        return container.metadata.get("xmp", "")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_place_and_words_in_a_clip_reach_no_file(suffix: str, tmp_path: Path) -> None:
    plain = make(tmp_path / "plain.mp4", [i / 10 for i in range(6)], sound=True)
    clip = tagged(tmp_path / f"upload{suffix}", plain)
    video = VideoOptions(heat_map=True)
    analysis = analyze(clip, Route("r", (Step("faces"), Step("style-brush")), video=video), Registry([BUILT_IN]))
    files = dict(analysis.artifacts)
    assert set(files) >= {"annotated.mp4", "style-brush.mp4", "poster.jpg", "heat.jpg", "thumbnails/000.jpg"}
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        assert not [secret for secret in (SECRET, *PLACES) if secret in data], name
    annotated, made = files["annotated.mp4"], files["style-brush.mp4"]
    assert isinstance(annotated, Path) and isinstance(made, Path)
    assert xmp_of(annotated) == ""
    assert "digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in xmp_of(made)
    with av.open(str(made)) as container:
        assert len(list(container.decode(video=0))) == 6 and container.streams.audio


@pytest.mark.parametrize("codec", ["aac", "flac", "libopus"])
def test_chapters_attachments_and_the_words_of_sound_reach_no_file(codec: str, tmp_path: Path) -> None:
    """In a Matroska file, whose streams all have titles; the sound itself is copied."""
    clip = tmp_path / "clip.mkv"
    with av.open(str(clip), "w") as output:
        video: Any = output.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        sound: Any = output.add_stream(codec, rate=16_000, layout="mono")
        output.metadata.update(TAGS)
        video.metadata["title"] = sound.metadata["title"] = sound.metadata["comment"] = "SECRET"
        chapter = {"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "SECRET"}}
        output.set_chapters([chapter])  # type: ignore[list-item]
        output.add_attachment("SECRET.txt", "text/plain", b"SECRET")
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        size = sound.codec_context.frame_size or 1024
        for start in range(0, 8000 - size, size):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, size), np.int16), format="s16", layout="mono")
            silence.sample_rate = 16_000
            (block,) = av.AudioResampler(format=sound.codec_context.format, layout="mono", rate=16_000).resample(
                silence
            )
            block.pts, block.time_base = start, Fraction(1, 16_000)
            output.mux(sound.encode(block))
        output.mux(sound.encode(None))
    assert clip.read_bytes().count(SECRET) >= 8
    analysis = analyze(clip, Route("r", (Step("faces"),)), Registry([BUILT_IN]))
    for name, content in analysis.artifacts.items():
        assert SECRET not in (content if isinstance(content, bytes) else content.read_bytes()), name
    assert "SECRET" not in json.dumps(analysis.result.to_json())
    with av.open(str(analysis.artifacts["annotated.mp4"])) as container:
        assert container.streams.audio and not container.chapters()


def test_parts_that_are_joined_keep_it(tmp_path: Path) -> None:
    xmp = packet(Origin("brush", "1", "compositeWithTrainedAlgorithmicMedia"))
    parts = [tmp_path / f"{number}.mp4" for number in range(2)]
    for number, path in enumerate(parts):
        with VideoWriter(path, fps=10, xmp=xmp) as writer:
            for i in range(3):
                writer.write(np.full((48, 64, 3), 40 * i, np.uint8), number * 0.3 + i / 10)
    join(parts, tmp_path / "whole.mp4")
    assert xmp_of(tmp_path / "whole.mp4") == xmp.decode()
    with av.open(str(tmp_path / "whole.mp4")) as container:
        assert len(list(container.decode(video=0))) == 6


def sound_packet(data: bytes) -> av.Packet[av.AudioStream]:
    return cast("av.Packet[av.AudioStream]", av.Packet(data))


def test_id3_tags_within_the_sound_reach_no_file() -> None:
    """As streams and old recorders have them: before, behind, in place of the sound, one after the other."""
    sound = b"\xff\xfb\x90\x00" + bytes(range(200))
    tag = b"ID3\x04\x00\x00\x00\x00\x01\x02" + b"S" * 130  # 1 * 128 + 2 bytes
    footed = b"ID3\x04\x00\x10\x00\x00\x00\x06SECRET3DI\x04\x00\x10\x00\x00\x00\x06"
    old = b"TAG" + b"SECRET".ljust(125, b"\0")
    for data in (sound, tag + sound, footed + tag + sound + old, sound + old):
        bare = without_tags(sound_packet(data))
        assert bare is not None and bytes(bare) == sound
    assert without_tags(sound_packet(tag)) is None
    broken = b"ID3\x04\x00\x00\xff\xff\xff\xff" + sound  # no size of a tag
    assert bytes(without_tags(sound_packet(broken)) or b"") == broken
