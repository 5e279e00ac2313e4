"""A step of a job whose worker was killed is done by another within two minutes, once, and it is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud.settings import ERRORS, STATE
from cloud.videos import stages
from cloud.videos.heartbeat import LOOK_S, SILENT_S, Alive, take_up
from cloud.videos.job_worker import Videos
from cloud.videos.jobs import AT_WORK, BEAT, DETECTED, PLAN, RENDERED, TAKEN_UP, VideoJob, path_of
from cloud.videos.messages import Message
from cloud.videos.revive import take_up_silent
from inference.errors import StorageUnavailable
from inference.video import render, split
from tests.cloud.videos.long_videos import NAME, drop, make_videos, names, taken
from tests.cloud.videos.test_long_videos import CHILD, ROOT
from tests.processes import eventually

pytestmark = pytest.mark.slow
# What the host waits at most before it looks into an empty queue (host.json says nothing else).
POLL_S = 60.0
# With a machine under any load.
PATIENCE_S = 300.0


def test_silence_looks_and_the_host_s_own_waiting_are_less_than_two_minutes() -> None:
    assert SILENT_S / 4 % LOOK_S == 0  # else it looks less often
    assert SILENT_S + SILENT_S / 4 + POLL_S < 120


def begun(videos: Videos, clip: Path) -> tuple[VideoJob, list[Message]]:
    job = videos.jobs.read(drop(videos, clip))
    assert job
    return job, sorted(taken(), key=lambda message: message.part)


def sign(videos: Videos, job: VideoJob, message: Message, attempt: int = 1) -> str:
    """As a worker leaves it that is killed at a step."""
    name = f"{AT_WORK}{message.label}"
    videos.jobs.put(job, name, b"", metadata={"attempt": str(attempt)})
    return name


def labels(videos: Videos, job: VideoJob, kind: str) -> list[str]:
    prefix = f"jobs/{job.id}/{kind}"
    return [name.removeprefix(prefix) for name in names(videos, STATE, prefix)]


def test_a_killed_worker_s_segment_is_taken_up_by_another_that_is_at_the_job(
    models: Path, videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    videos = make_videos(models, lease_seconds=2.0)
    job, messages = begun(videos, clip)
    killed, mine, *_ = messages
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(models), job.id, str(killed.part)],
        cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "in the middle"
    child.send_signal(signal.SIGKILL)
    assert child.wait(PATIENCE_S) == -signal.SIGKILL
    child.stdout.close()
    assert labels(videos, job, AT_WORK) == [killed.label]
    go, real, detected = threading.Event(), split.detect_part, list[int]()

    def noted(*args: Any) -> Iterator[str]:
        detected.append(args[1].number)
        yield from real(*args)
        assert go.wait(PATIENCE_S)

    monkeypatch.setattr(stages, "detect_part", noted)
    worker = threading.Thread(target=videos.deliver, args=(mine, 1))
    worker.start()
    again: list[Message] = []

    def is_taken_up() -> bool:
        again.extend(taken())
        return bool(again)

    eventually(is_taken_up, "the killed worker's segment is sent anew", PATIENCE_S)
    go.set()
    worker.join()
    assert [(message, message.attempts) for message in again] == [(killed, 1)]
    assert f"{NAME}: part 1 of {len(messages)} is taken up again: its worker was silent for " in caplog.text
    assert (labels(videos, job, AT_WORK), labels(videos, job, TAKEN_UP)) == ([], [killed.label])
    videos.deliver(again[0], 1)
    videos.deliver(killed, 2)  # its own message comes too, in the end
    assert detected == [mine.part, killed.part]
    assert videos.jobs.progress(job.id).parts(DETECTED) == {mine.part, killed.part}


DRAWING_CHILD = """
import sys, time
from pathlib import Path
from cloud.videos import stages
from cloud.videos.messages import Message
from tests.cloud.videos.long_videos import make_videos

def slow(*args):
    print("in the middle", flush=True)
    time.sleep(600)
stages.draw_part = slow
make_videos(Path(sys.argv[1])).deliver(Message(sys.argv[2], "render", int(sys.argv[3])), 1)
"""


def test_the_drawing_of_a_killed_worker_is_taken_up_by_another_that_draws(
    models: Path, videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    videos = make_videos(models, lease_seconds=2.0)
    job, messages = begun(videos, clip)
    for message in messages:
        videos.deliver(message, 1)
    videos.deliver(taken()[0], 1)
    killed, mine, *_ = sorted(taken(), key=lambda message: message.part)
    child = subprocess.Popen(
        [sys.executable, "-c", DRAWING_CHILD, str(models), job.id, str(killed.part)],
        cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None and child.stdout.readline().strip() == "in the middle"
    child.send_signal(signal.SIGKILL)
    assert child.wait(PATIENCE_S) == -signal.SIGKILL
    child.stdout.close()
    again, real = list[Message](), render.draw_part

    def is_taken_up() -> bool:
        again.extend(taken())
        return bool(again)

    def waiting(*args: Any) -> Any:
        eventually(is_taken_up, "the killed worker's part is sent anew", PATIENCE_S)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "draw_part", waiting)
        videos.deliver(mine, 1)
    assert [(message, message.attempts) for message in again] == [(killed, 1)]
    part = f"the drawing of part {killed.part + 1} of {len(messages)}"
    assert f"{NAME}: {part} is taken up again: its worker was silent for " in caplog.text
    videos.deliver(again[0], 1)
    assert videos.jobs.progress(job.id).parts(RENDERED) == {mine.part, killed.part}
    assert labels(videos, job, AT_WORK) == []


def test_where_nobody_is_at_the_job_a_sweep_sends_what_is_missing_once(videos: Videos, clip: Path) -> None:
    job, (first, second, *_) = begun(videos, clip)
    videos.deliver(first, 1)
    sign(videos, job, first)  # killed between its last two calls: what it did is there
    sign(videos, job, second, attempt=2)
    assert take_up_silent(videos) == 0 and taken() == []  # they may live
    videos.settings = replace(videos.settings, lease_seconds=0.0)
    assert take_up_silent(videos) == 1
    assert [(message, message.attempts) for message in taken()] == [(second, 2)]
    assert labels(videos, job, AT_WORK) == []
    assert take_up_silent(videos) == 0 and taken() == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_who_gives_a_sign_in_that_moment_keeps_its_step(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Its worker, before the step is sent anew; or another, who had the new message at once."""
    job, (first, *_) = begun(videos, clip)
    sign(videos, job, first)
    write, send = videos.storage.write, videos.queues.send

    def late(*args: Any, **options: Any) -> str:
        if moment == "before" and "if_match" in options:
            sign(videos, job, first)
        return write(*args, **options)

    def at_once(messages: list[Message]) -> None:
        send(messages)
        sign(videos, job, first, attempt=2)

    monkeypatch.setattr(videos.storage, "write", late)
    monkeypatch.setattr(videos.queues, "send", at_once)
    count = 0 if moment == "before" else 1
    assert take_up(videos.jobs, videos.queues, job.id, 0.0) == count
    assert taken() == [first] * count and labels(videos, job, AT_WORK) == [first.label]


@pytest.mark.parametrize("trouble", [StorageUnavailable, SystemExit])
def test_a_step_that_cannot_be_sent_anew_stays_to_be_taken_up(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch, trouble: type[BaseException]
) -> None:
    """Whether storage is out of reach, or whoever was about to send it is killed."""
    job, (first, *_) = begun(videos, clip)
    sign(videos, job, first, attempt=3)

    def refused(*_: object) -> None:
        raise trouble("the queue is gone")

    with monkeypatch.context() as patch:
        patch.setattr(videos.queues, "send", refused)
        with pytest.raises(trouble, match="the queue is gone"):
            take_up(videos.jobs, videos.queues, job.id, 0.0)
    assert take_up(videos.jobs, videos.queues, job.id, 0.0) == 1
    assert [message.attempts for message in taken()] == [3]


def test_a_segment_that_kills_each_of_its_workers_is_recorded(videos: Videos, clip: Path) -> None:
    """Each death is seen by its silence: no message comes so often that the host would give it up."""
    job, (first, *_) = begun(videos, clip)
    for attempt in range(1, videos.settings.max_attempts + 1):
        sign(videos, job, first, attempt)
        assert take_up(videos.jobs, videos.queues, job.id, 0.0) == 1
        [again] = taken()
        assert again.attempts == attempt
    videos.deliver(again, 1)
    record = videos.storage.read_json(ERRORS, f"{NAME}.json")
    assert record and "the workers were killed" in record[0]["error"]["message"]
    sign(videos, job, first)
    assert take_up(videos.jobs, videos.queues, job.id, 0.0) == 0 and taken() == []  # the job is over


def test_a_step_that_ends_leaves_no_sign_and_one_that_fails_says_that_somebody_was_there(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, (first, second, *_) = begun(videos, clip)
    seen: list[list[str]] = []
    real = split.detect_part

    def noted(*args: Any) -> Iterator[str]:
        seen.append(labels(videos, job, AT_WORK))
        yield from real(*args)
        if args[1].number == second.part:
            raise OSError("a moment's trouble")

    monkeypatch.setattr(stages, "detect_part", noted)
    videos.deliver(first, 1)
    with pytest.raises(OSError, match="a moment's trouble"):
        videos.deliver(second, 1)
    assert seen == [[first.label], [second.label]] and labels(videos, job, AT_WORK) == []
    assert videos.jobs.progress(job.id).parts(DETECTED) == {first.part}
    assert f"jobs/{job.id}/{BEAT}" in names(videos)


def test_who_was_cut_off_from_storage_lets_others_come_back_first(
    models: Path, videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage silences everybody: whoever is back first would send anew what all others are still at."""
    videos = make_videos(models, lease_seconds=1.0)
    job, (mine, other, *_) = begun(videos, clip)
    sign(videos, job, other)
    cut_off, events, read, put = threading.Event(), list[str](), videos.ledger.read, videos.jobs.put

    def reading(name: str) -> Any:
        if cut_off.is_set():
            raise StorageUnavailable("out of reach")
        return read(name)

    def noted(job: VideoJob, name: str, data: Any, **options: Any) -> str:
        events.append("sign" if name.endswith(mine.label) else "")
        return put(job, name, data, **options)

    monkeypatch.setattr(videos.ledger, "read", reading)
    monkeypatch.setattr(videos.jobs, "put", noted)
    monkeypatch.setattr(videos.queues, "send", lambda _: events.append("sent"))
    cut_off.set()
    with Alive(videos.jobs, videos.queues, videos.ledger, job, mine).signs():
        name = f"{AT_WORK}{mine.label}"
        eventually(lambda: videos.jobs.progress(job.id).blobs[name].age_s > 2, "it is silent itself", PATIENCE_S)
        events.clear()
        cut_off.clear()
        eventually(lambda: "sent" in events, "the other one does not come back", PATIENCE_S)
    assert events[: events.index("sent")].count("sign") >= 2


def test_who_waits_for_a_place_gives_signs_too(videos: Videos, clip: Path) -> None:
    job, (first, *_) = begun(videos, clip)
    worker = threading.Thread(target=videos.deliver, args=(first, 1))
    with videos.worker.places.take("alone"):
        worker.start()
        eventually(lambda: labels(videos, job, AT_WORK) == [first.label], "it gives a sign", PATIENCE_S)
        assert videos.jobs.progress(job.id).parts(DETECTED) == set()
    worker.join()
    assert videos.jobs.progress(job.id).parts(DETECTED) == {first.part}


def test_a_job_whose_plan_cannot_be_read_keeps_no_other_waiting(videos: Videos, clip: Path) -> None:
    jobs = [videos.jobs.read(drop(videos, clip, f"street/{number}.mp4")) for number in range(2)]
    broken, whole = sorted((job for job in jobs if job), key=lambda job: job.id)
    [first, *_] = [message for message in taken() if message.job == whole.id]
    sign(videos, broken, first)
    sign(videos, whole, first)
    videos.storage.write(STATE, path_of(broken.id, PLAN), b"no plan")
    videos.settings = replace(videos.settings, lease_seconds=0.0)
    assert take_up_silent(videos) == 1
    assert taken() == [first]
