"""Videos that find no place, or are found by a sweep, are left to the queue: the same result, and nobody waits."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from cloud.settings import RESULTS, UPLOADS
from cloud.storage.containers import Reading
from cloud.uploads import upload_worker
from cloud.uploads.events import BlobEvent
from cloud.uploads.ledger import Claim
from cloud.uploads.plans import UploadPlan
from cloud.uploads.publish import Published
from cloud.uploads.sweep import sweep
from cloud.videos import job_worker
from cloud.videos.heartbeat import Gone
from cloud.videos.job_worker import Videos
from cloud.videos.jobs import VideoJob
from cloud.videos.messages import Message
from cloud.videos.revive import revive
from inference.engine.folders import InstalledModel
from inference.engine.model import Loaded
from inference.errors import DiskFull
from inference.steps import OnProgress
from tests.cloud.helpers import jpeg
from tests.cloud.videos.long_videos import document, job_of, make_models, make_videos, taken
from tests.inference.video.clips import make
from tests.processes import eventually

pytestmark = pytest.mark.slow

Answer = TypeVar("Answer")
NAME = "street/short.mp4"
SAME = ("tracks", "timeline", "zones", "summary", "analysed_frames", "status")


@pytest.fixture
def short(tmp_path: Path) -> bytes:
    return make(tmp_path / "short.mp4", [i / 25 for i in range(10)]).read_bytes()


@pytest.fixture
def videos(account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Videos:
    for module in (upload_worker, job_worker):
        monkeypatch.setattr(module, "VIDEO_PATIENCE_S", 0.01)
    (models := tmp_path / "models").mkdir()
    made = make_videos(make_models(models), video_segment_seconds=60.0)
    made.worker.leave = made.leave
    send = made.queues.send
    monkeypatch.setattr(made.queues, "send", lambda messages, delay_s=0: send(messages))  # at once
    return made


@contextmanager
def occupied(videos: Videos) -> Iterator[None]:
    """Other threads have all places for videos."""
    places, go, inside = videos.worker.places, threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        with places.take("video"):
            inside.release()
            go.wait(60)

    threads = [threading.Thread(target=hold) for _ in range(places.videos)]
    for thread in threads:
        thread.start()
        inside.acquire(timeout=20)
    try:
        yield
    finally:
        go.set()
        for thread in threads:
            thread.join()


def had_to_wait(videos: Videos, clip: bytes) -> Message:
    """The message of a video that came in while all places were taken, and has none of them now."""
    videos.storage.write(UPLOADS, NAME, clip)
    with occupied(videos):
        videos.worker.handle(BlobEvent(UPLOADS, NAME))
    [message] = taken()
    return message


def elsewhere(call: Callable[[], Answer]) -> Answer:
    """What `call` returns, in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def status(videos: Videos, name: str) -> str:
    stored = videos.ledger.read(name)
    return stored.receipt.state if stored else ""


def test_a_video_without_a_place_is_left_to_the_queue_and_ends_as_one_that_had_one(
    videos: Videos, short: bytes
) -> None:
    videos.storage.write(UPLOADS, "street/first.mp4", short)
    assert videos.worker.handle(BlobEvent(UPLOADS, "street/first.mp4")).status == "done"
    videos.storage.write(UPLOADS, NAME, short)
    videos.storage.write(UPLOADS, "a.jpg", jpeg())
    with occupied(videos):
        assert videos.worker.handle(BlobEvent(UPLOADS, NAME)).status == "job"
        assert videos.worker.handle(BlobEvent(UPLOADS, "a.jpg")).status == "done"
        [message] = taken()
        assert message == Message(job_of(videos, NAME), "whole")
        videos.deliver(message, 1)  # still none: the message is sent anew, and no attempt is spent
    assert status(videos, NAME) == "job"
    job = videos.jobs.read(message.job)
    assert job and videos.jobs.describe(job)["state"] == "running"
    for _ in range(2):  # a message that comes twice changes nothing
        videos.deliver(message, 1)
    ours, first = document(videos, NAME), document(videos, "street/first.mp4")
    assert {key: ours[key] for key in SAME} == {key: first[key] for key in SAME}
    assert ours["artifacts"].keys() == first["artifacts"].keys()
    job = videos.jobs.read(message.job)
    assert (status(videos, NAME), job and job.state) == ("done", "done")


def test_what_killed_a_worker_and_finds_it_busy_is_sent_anew_and_its_deaths_are_remembered(
    videos: Videos, short: bytes
) -> None:
    videos.storage.write(UPLOADS, NAME, short)
    with occupied(videos):
        videos.worker.handle(BlobEvent(UPLOADS, NAME))
        [message] = taken()
        videos.deliver(message, 2)
        [again] = taken()
        assert (again, again.attempts) == (message, 1)
        videos.deliver(again, 1)
        [again] = taken()
        assert again.attempts == 1
    with videos.worker.places.take("picture"):  # a video would have its place
        elsewhere(lambda: videos.deliver(again, 1))
    assert status(videos, NAME) == "job"
    [again] = taken()
    videos.deliver(again, videos.settings.max_attempts)
    assert status(videos, NAME) == "failed"


def test_a_video_that_killed_a_worker_has_it_for_itself_and_the_sweep_does_not_wait_for_that(
    videos: Videos, short: bytes
) -> None:
    info = videos.storage.write(UPLOADS, NAME, short)
    claim = videos.ledger.claim(NAME, info, lambda override: UploadPlan("a key"))
    assert isinstance(claim, Claim)
    videos.ledger.finish(claim, "retry", suspect=True)
    with videos.worker.places.take("picture"):
        report = elsewhere(lambda: sweep(videos.worker, 60))
        assert report.others["job"] == 1
        [message] = taken()
        elsewhere(lambda: videos.deliver(message, 1))
        assert status(videos, NAME) == "job"
    [message] = taken()
    videos.deliver(message, 1)
    assert status(videos, NAME) == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_a_video_loads_its_models_with_the_priority_of_pictures_which_use_them_too(
    videos: Videos, short: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, found = videos.worker.registry, list[int]()
    load = registry._load

    def noted(entry: InstalledModel) -> tuple[Loaded, int]:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return load(entry)

    monkeypatch.setattr(registry, "_load", noted)
    videos.storage.write(UPLOADS, NAME, short)
    assert videos.worker.handle(BlobEvent(UPLOADS, NAME)).status == "done"
    registry._loaded.make_room()
    videos.storage.write(UPLOADS, NAME, short)
    sweep(videos.worker, 60)
    [message] = taken()
    videos.deliver(message, 1)
    assert status(videos, NAME) == "done"
    assert found == [os.getpriority(os.PRIO_PROCESS, 0)] * 2


def test_a_sweep_leaves_videos_to_the_queue(videos: Videos, short: bytes) -> None:
    videos.storage.write(UPLOADS, NAME, short)
    videos.storage.write(UPLOADS, "a.jpg", jpeg())
    report = sweep(videos.worker, 60)
    assert (report.processed, report.others["job"]) == (1, 1)
    again = sweep(videos.worker, 60)
    assert (again.processed, again.unfinished) == (0, 0)
    assert [message.stage for message in taken()] == ["whole"]  # and it is lost
    videos.settings = videos.settings.__class__(lease_seconds=0.0)
    assert revive(videos, again.handed) == 1
    [message] = taken()
    videos.deliver(message, 2)
    assert videos.storage.head(RESULTS, f"{NAME}/result.json")


def test_a_long_video_that_had_to_wait_is_split_then(
    videos: Videos, short: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = had_to_wait(videos, short)

    def split(*video: object) -> object:
        def start() -> object:
            return videos.ledger.hand_over(video[0], "f" * 24)  # type: ignore[arg-type]

        return start

    monkeypatch.setattr(videos, "split", split)
    videos.deliver(message, 1)
    job = videos.jobs.read(message.job)
    assert (job_of(videos, NAME), job and job.state) == ("f" * 24, "superseded")
    videos.deliver(message, 1)
    assert job_of(videos, NAME) == "f" * 24


def test_a_video_that_waited_says_how_far_it_is_and_stops_when_it_is_cancelled(
    videos: Videos, short: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = had_to_wait(videos, short)
    job, real, shares = videos.jobs.read(message.job), videos.worker.published, list[object]()
    assert job and videos.jobs.describe(job)["share"] is None

    def share() -> object:
        return videos.jobs.describe(job)["share"]

    def published(claim: Claim[UploadPlan], reading: Reading, trace: str, progress: OnProgress) -> Published:

        def noted(done: int, expected: int | None) -> None:
            progress(done, expected)
            if done == 2:
                eventually(lambda: share() is not None, "its sign of life says how far it is")
                shares.append(share())
                videos.cancel(job)
                eventually(lambda: is_stopped(partial(progress, done, expected)), "the step stops")
                progress(done, expected)

        return real(claim, reading, trace, noted)

    monkeypatch.setattr(videos.worker, "published", published)
    videos.deliver(message, 1)
    assert shares == [0.5] and status(videos, NAME) == "cancelled"
    assert videos.storage.head(RESULTS, f"{NAME}/result.json") is None


def is_stopped(check: Callable[[], None]) -> bool:
    try:
        check()
    except Gone:
        return True
    return False


def test_a_full_disk_spends_no_attempt_of_a_job(videos: Videos, short: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    message = had_to_wait(videos, short)

    def full(*_: object) -> object:
        raise DiskFull("nothing is left")

    with monkeypatch.context() as patch:
        patch.setattr(videos.worker, "published", full)
        videos.deliver(message, videos.settings.max_attempts)
    assert status(videos, NAME) == "job"
    videos.deliver(message, 1)
    assert status(videos, NAME) == "done"


def test_a_plan_says_whether_it_is_of_a_whole(videos: Videos, short: bytes) -> None:
    videos.storage.write(UPLOADS, NAME, short)
    with occupied(videos):
        videos.worker.handle(BlobEvent(UPLOADS, NAME))
    job = videos.jobs.read(job_of(videos, NAME))
    assert job and job.whole
    with pytest.raises(ValueError, match="no parts"):
        VideoJob.from_json(job.to_json() | {"whole": False})
