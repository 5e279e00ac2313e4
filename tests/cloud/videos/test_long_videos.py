"""A long video over the queues: the result of one piece, whatever happens to messages and workers on the way."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import av
import pytest
from av.video.frame import PictureType

from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.uploads.events import BlobEvent
from cloud.videos import stages
from cloud.videos.job_worker import Videos
from cloud.videos.jobs import DETECTED, PLAN, RENDERED, STORY, work
from cloud.videos.messages import Message
from cloud.videos.revive import revive
from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.steps import Analysis
from inference.video import split
from inference.video.read import VideoReader, probe
from inference.video.summary import Summary
from tests.cloud.videos.long_videos import (
    NAME,
    deal,
    document,
    drop,
    lines_of,
    make_videos,
    names,
    taken,
    wait_for_silence,
)
from tests.inference.video.blobs import SIZE, scene
from tests.inference.video.clips import make

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
SAME = ("tracks", "timeline", "zones", "summary", "analysed_frames", "status", "route")


@pytest.fixture(scope="module")
def whole(models: Path, clip: Path) -> Iterator[Analysis]:
    """What one piece gives."""
    from inference.routes_file import parse_routes
    from tests.cloud.videos.long_videos import ROUTES

    route = parse_routes(ROUTES, "r").match(NAME)
    assert route
    yield analyze(clip, route, Registry([models]))


@pytest.fixture
def detected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the segments on which somebody began to detect."""
    begun: list[int] = []
    real = split.detect_part

    def detect_part(media: Any, part: Any, *rest: Any) -> Any:
        begun.append(part.number)
        return real(media, part, *rest)

    monkeypatch.setattr(stages, "detect_part", detect_part)
    return begun


def check_same(videos: Videos, whole: Analysis, folder: Path) -> None:
    """The result in storage is that of one piece: to the track's number, the frame's line, the picture's time."""
    found, said = document(videos), whole.result.to_json()
    assert len(said["tracks"]) >= 2
    assert {key: found[key] for key in SAME} == {key: said[key] for key in SAME}
    assert [step["predictions"] for step in found["steps"]] == [step["predictions"] for step in said["steps"]]
    for key in ("width", "height", "duration_s", "frames", "fps", "media_type"):
        assert found["source"][key] == said["source"][key], key
    assert found["artifacts"].keys() == said["artifacts"].keys()
    assert len(found["thumbnails"]) == len(said["thumbnails"]) > 0
    for kind in ("frames", "mot", "csv", "chapters"):
        stored, mine = videos.storage.read(RESULTS, f"{NAME}/{found['artifacts'][kind]}"), whole.artifacts
        content = mine[said["artifacts"][kind]]
        assert stored and stored[0] == (content.read_bytes() if isinstance(content, Path) else content), kind
    stored = videos.storage.read(RESULTS, f"{NAME}/{found['artifacts']['annotated']}")
    one = whole.artifacts["annotated.mp4"]
    assert stored and isinstance(one, Path)
    joined = folder / "joined.mp4"
    joined.write_bytes(stored[0])
    assert probe(joined).has_audio and probe(one).has_audio
    assert [frame.pts_s for frame in VideoReader(joined)] == [frame.pts_s for frame in VideoReader(one)]
    for still in ("poster.jpg", *said["thumbnails"]):
        content = whole.artifacts[still]
        stored = videos.storage.read(RESULTS, f"{NAME}/{found['artifacts']['frames'].split('/')[0]}/{still}")
        assert stored and stored[0] == content, still


def test_shuffled_and_duplicated_messages_give_what_one_piece_gives(
    videos: Videos, models: Path, clip: Path, whole: Analysis, detected: list[int], tmp_path: Path
) -> None:
    job_id = drop(videos, clip)
    assert taken_parts(videos, job_id) >= 5
    deal([videos, make_videos(models)], random.Random(7))
    check_same(videos, whole, tmp_path)
    assert sorted(detected) == list(range(len(detected)))
    receipt = videos.ledger.read(NAME)
    assert receipt and receipt.receipt.state == "done"
    assert names(videos) == [f"jobs/{job_id}/{PLAN}"] and names(videos, ERRORS, "") == []
    # Messages that come after the end change nothing.
    before = names(videos, RESULTS, "")
    for message in (Message(job_id, "detect", 1), Message(job_id, "merge"), Message(job_id, "join")):
        videos.deliver(message, 1)
    assert names(videos, RESULTS, "") == before and names(videos) == [f"jobs/{job_id}/{PLAN}"]
    # The same upload again: done.
    outcome = videos.worker.handle(BlobEvent(UPLOADS, NAME))
    assert outcome.status == "done"


class Refusing(Registry):
    """Knows its models and loads none."""

    def load(self, name: str) -> NoReturn:
        raise AssertionError(f"{name} was loaded")


def test_merging_loads_no_model_and_an_older_plan_without_the_facts_does(
    videos: Videos, models: Path, clip: Path, whole: Analysis, tmp_path: Path
) -> None:
    job_id = drop(videos, clip)
    for message in taken():
        videos.deliver(message, 1)
    (merge,) = taken()
    job = videos.jobs.read(job_id)
    assert merge.stage == "merge" and job and job.facts
    videos.worker.planner.registry = Refusing([models])
    videos.jobs.write(replace(job, facts=None))
    with pytest.raises(AssertionError, match="fields was loaded"):
        videos.deliver(merge, 1)
    videos.jobs.write(job)
    videos.deliver(merge, 1)
    assert videos.jobs.progress(job_id).merged
    # Merged anew by an older plan, it is the same; then the rest of the way.
    summary = videos.stages.summary(job).to_line()
    videos.worker.planner.registry = Registry([models])
    videos.storage.delete(STATE, f"jobs/{job_id}/{STORY}")
    videos.jobs.write(replace(job, facts=None))
    videos.deliver(merge, 1)
    again = videos.stages.summary(job)
    assert replace(again, cpu_s=0.0).to_line() == replace(Summary.from_line(summary), cpu_s=0.0).to_line()
    deal([videos], random.Random(5))
    check_same(videos, whole, tmp_path)


def test_a_job_of_the_version_before_is_done_anew(
    videos: Videos, models: Path, clip: Path, whole: Analysis, tmp_path: Path
) -> None:
    """Its lines for drawing are of another form, its pictures of another size, its plan knows no thresholds."""
    videos = make_videos(models, lease_seconds=1.0)
    job_id = drop(videos, clip)
    messages = taken()
    for name in (*(f"segments/{m.part:04}.jsonl.gz" for m in messages), "told/0000.jsonl.gz", "renders/0000.mp4"):
        videos.storage.write(STATE, f"jobs/{job_id}/{name}", b"of another form")
    metadata = {"renders": ",".join(str(m.part) for m in messages)}
    videos.storage.write(STATE, f"jobs/{job_id}/story.json", b"{}", metadata=metadata)
    stored = videos.storage.read_json(STATE, f"jobs/{job_id}/{PLAN}")
    assert stored
    plan = stored[0]
    for step in plan["facts"]["steps"]:
        del step["model"]["threshold"]
    videos.storage.write_json(STATE, f"jobs/{job_id}/{PLAN}", plan, metadata={"state": "running"})
    job = videos.jobs.read(job_id)
    assert job and job.facts is None  # by which every label would be a scene
    videos.deliver(Message(job_id, "render", 1), 1)  # which waited in the queue
    wait_for_silence(videos, job_id)
    assert revive(videos) == 1
    deal([videos], random.Random(3), copies=1)
    check_same(videos, whole, tmp_path)
    assert names(videos) == [f"jobs/{job_id}/{PLAN}"] and names(videos, ERRORS, "") == []


def test_a_part_of_which_no_frame_is_shown_is_joined_to_nothing(videos: Videos, tmp_path: Path) -> None:
    """As the last two frames, where only every third is shown."""
    long = tmp_path / "fast.mkv"
    with av.open(str(long), "w") as output:
        stream: Any = output.add_stream("libx264", rate=90, options={"x264-params": "scenecut=0:bframes=0:keyint=200"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for i in range(93):
            frame = av.VideoFrame.from_ndarray(scene(i), format="rgb24")
            frame.pict_type = PictureType.I if i in (45, 91) else PictureType.NONE
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    job_id = drop(videos, long, "fast.mkv")
    job = videos.jobs.read(job_id)
    assert job and job.parts[-1].start.index == 91
    rendered: list[int] = []
    put = videos.jobs.put

    def note(job: Any, name: str, data: Any, **options: Any) -> str:
        if name == work(RENDERED, len(job.parts) - 1):
            rendered.append(len(data) if isinstance(data, bytes) else data.stat().st_size)
        return put(job, name, data, **options)

    videos.jobs.put = note  # type: ignore[method-assign]
    deal([videos], random.Random(4), copies=1)
    assert rendered == [0] and names(videos, ERRORS, "") == []
    assert document(videos, "fast.mkv")["status"] == "ok"


def test_many_workers_at_once_with_every_message_three_times(
    videos: Videos, models: Path, clip: Path, whole: Analysis, tmp_path: Path
) -> None:
    drop(videos, clip)
    workers = [videos, make_videos(models)]
    with ThreadPoolExecutor(4) as pool:
        while messages := taken():
            dealt = [(workers[i % 2], message) for i, message in enumerate(messages * 3)]
            list(pool.map(lambda pair: pair[0].deliver(pair[1], 1), dealt))
    check_same(videos, whole, tmp_path)


def taken_parts(videos: Videos, job_id: str) -> int:
    job = videos.jobs.read(job_id)
    assert job
    return len(job.parts)


CHILD = """
import sys, time
from pathlib import Path
from cloud.videos import stages
from cloud.videos.messages import Message
from tests.cloud.videos.long_videos import make_videos

real = stages.detect_part
def slow(*args):
    for number, line in enumerate(real(*args)):
        yield line
        if number == 1:
            print("in the middle", flush=True)
            time.sleep(600)
stages.detect_part = slow
make_videos(Path(sys.argv[1])).deliver(Message(sys.argv[2], "detect", int(sys.argv[3])), 1)
"""


def test_a_worker_killed_in_the_middle_costs_the_segment_in_flight(
    videos: Videos, models: Path, clip: Path, whole: Analysis, detected: list[int], tmp_path: Path
) -> None:
    job_id = drop(videos, clip)
    messages = sorted(taken(), key=lambda message: message.part)
    for message in messages[:2]:
        videos.deliver(message, 1)
    killed = messages[2]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(models), job_id, str(killed.part)],
        cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "in the middle"
    child.send_signal(signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    child.stdout.close()
    assert videos.jobs.progress(job_id).parts(DETECTED) == {0, 1}
    for message in messages[2:]:  # the queue delivers the killed worker's message again
        videos.deliver(message, 2)
    deal([videos], random.Random(1))
    assert detected == [message.part for message in messages]  # each once here; the third one twice in all
    check_same(videos, whole, tmp_path)


def test_lost_messages_are_sent_again_after_a_silent_lease_and_not_while_some_wait(
    videos: Videos, models: Path, clip: Path, detected: list[int]
) -> None:
    videos = make_videos(models, lease_seconds=1.0)
    job_id = drop(videos, clip)
    assert revive(videos) == 0  # nobody was silent yet
    messages = taken()
    videos.deliver(messages[0], 1)
    lost = messages[1:]
    assert lost
    wait_for_silence(videos, job_id)
    assert revive(videos) == 1
    again = taken()
    assert sorted(message.part for message in again) == sorted(message.part for message in lost)
    videos.queues.send(again)
    wait_for_silence(videos, job_id)
    assert revive(videos) == 0  # they wait, or somebody has them
    deal([videos], random.Random(2), copies=1)
    assert document(videos)["status"] == "ok"
    assert len(detected) == len(messages)


def test_short_ones_are_analysed_in_one_piece(models: Path, videos: Videos, clip: Path) -> None:
    chosen = make_videos(models, video_split_above_seconds=60)
    for name in ("followed/a.mp4", "b.mp4"):
        chosen.storage.write(UPLOADS, name, clip)
        assert chosen.worker.handle(BlobEvent(UPLOADS, name)).status == "done"
        assert lines_of(chosen, document(chosen, name)["artifacts"]["frames"], name)
    assert taken() == [] and names(videos, STATE) == []


def test_what_cannot_be_split_is_refused_when_it_is_long(videos: Videos, clip: Path) -> None:
    name = "followed/a.mp4"
    videos.storage.write(UPLOADS, name, clip)
    assert videos.worker.handle(BlobEvent(UPLOADS, name)).status == "failed"
    record = videos.storage.read_json(ERRORS, f"{name}.json")
    assert record and record[0]["error"]["class"] == "LimitExceeded"
    message = record[0]["error"]["message"]
    assert message.startswith(f"{name}: more than 0.5 s") and "start_s" in message
    assert taken() == [] and names(videos, STATE) == []


def test_a_clip_whose_only_keyframe_is_the_first_is_cut_between_or_refused_by_what_a_part_takes(
    videos: Videos, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make(tmp_path / "rare.mp4", [i / 25 for i in range(90)], gop=1000, options={"sc_threshold": "0"})
    monkeypatch.setattr(split, "trial", lambda *_: (split.Pace(10.0, 200.0), (160, 96)))
    assert len(videos.jobs.read(drop(videos, clip, "rare.mp4")).parts) == 3  # type: ignore[union-attr]
    deal([videos], random.Random(3))
    assert document(videos, "rare.mp4")["source"]["frames"] == 90 and names(videos, ERRORS, "") == []
    # Its last frames cannot be decoded in the time that a part has.
    monkeypatch.setattr(split, "trial", lambda *_: (split.Pace(150.0, 200.0), (160, 96)))
    videos.storage.write(UPLOADS, "refused.mp4", clip)
    assert videos.worker.handle(BlobEvent(UPLOADS, "refused.mp4")).status == "failed"
    record = videos.storage.read_json(ERRORS, "refused.mp4.json")
    assert record and record[0]["error"]["class"] == "LimitExceeded"
    assert "keyframe every 10 s" in record[0]["error"]["message"] and taken() == []


def test_videos_that_a_step_makes_and_pictures_of_tracks_come_of_parts_too(
    videos: Videos, clip: Path, tmp_path: Path
) -> None:
    drop(videos, clip, "drawn/a.mp4")
    deal([videos], random.Random(11))
    found = document(videos, "drawn/a.mp4")
    times = []
    for kind in ("annotated", "sketch"):
        stored = videos.storage.read(RESULTS, f"drawn/a.mp4/{found['artifacts'][kind]}")
        assert stored
        (tmp_path / f"{kind}.mp4").write_bytes(stored[0])
        assert probe(tmp_path / f"{kind}.mp4").has_audio
        times.append([frame.pts_s for frame in VideoReader(tmp_path / f"{kind}.mp4")])
    # Of what a step makes there are the analysed frames, in the annotated video those between them, too.
    assert set(times[1]) < set(times[0]) and len(times[1]) == found["analysed_frames"]
    assert times[0] == [frame.pts_s for frame in VideoReader(clip)]
    folder = found["artifacts"]["annotated"].split("/")[0]
    assert [track["crop"] for track in found["tracks"]] == [
        f"{folder}/crops/track-{track['id']}.jpg" for track in found["tracks"]
    ]
    for track in found["tracks"]:
        stored = videos.storage.read(RESULTS, f"drawn/a.mp4/{track['crop']}")
        assert stored and stored[0].startswith(b"\xff\xd8")


def test_a_header_that_claims_a_short_clip_is_not_believed(videos: Videos, clip: Path, tmp_path: Path) -> None:
    liar = tmp_path / "liar.mkv"
    with av.open(str(clip)) as source, av.open(str(liar), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux_one(packet)
    data = liar.read_bytes()
    # The element Duration (RFC 9559): its id, a size of 8, a double in milliseconds.
    at = data.index(b"\x44\x89\x88") + 3
    liar.write_bytes(data[:at] + struct.pack(">d", 200.0) + data[at + 8 :])
    claimed = probe(liar).claimed_duration_s
    assert claimed is not None and claimed < videos.settings.video_split_above_seconds
    assert len(videos.jobs.read(drop(videos, liar, "liar.mkv")).parts) > 1  # type: ignore[union-attr]
