"""What ends the job of a long video before its time: cancelling, another upload, errors."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.uploads.events import BlobEvent
from cloud.videos import stages
from cloud.videos.heartbeat import Gone
from cloud.videos.job_worker import Videos
from cloud.videos.jobs import DETECTED, PLAN
from cloud.videos.messages import Message
from cloud.videos.revive import revive
from inference.errors import BadModel, CorruptMedia, MissingPackage, ModelUnavailable, OutOfMemory, StorageUnavailable
from inference.video import split
from tests.cloud.helpers import jpeg
from tests.cloud.videos.long_videos import (
    NAME,
    deal,
    document,
    drop,
    job_of,
    make_videos,
    names,
    taken,
    wait_for_silence,
)
from tests.cloud.web import asking
from tests.processes import eventually

pytestmark = pytest.mark.slow


def test_cancelled_it_stays_without_result(videos: Videos, clip: Path) -> None:
    job_id = drop(videos, clip)
    messages = taken()
    videos.deliver(messages[0], 1)
    job = videos.jobs.read(job_id)
    assert job
    assert (videos.jobs.describe(job)["detected"], videos.jobs.describe(job)["segments"]) == (1, len(messages))
    videos.cancel(job)
    for message in messages:
        videos.deliver(message, 1)
    ended = videos.jobs.read(job_id)
    assert ended and ended.state == "cancelled"
    assert taken() == [] and names(videos) == [f"jobs/{job_id}/{PLAN}"] and names(videos, RESULTS, "") == []
    assert videos.worker.handle(BlobEvent(UPLOADS, NAME)).status == "done"
    # Asked for by hand, it is done after all.
    assert videos.worker.handle(BlobEvent(UPLOADS, NAME, cause="replay")).status == "job"
    assert job_of(videos) != job_id


def test_progress_and_cancelling_over_http(videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.web.jobs_api.default_videos", lambda: videos)

    def ask(method: str, job_id: str) -> tuple[int, Any]:
        answer = asking.ask(method, f"v1/jobs/{job_id}")
        return answer.status_code, asking.said(answer)

    job_id = drop(videos, clip)
    messages = taken()
    videos.deliver(messages[1], 1)
    status, told = ask("GET", job_id)
    assert (status, told["id"], told["state"], told["detected"], told["merged"]) == (200, job_id, "running", 1, False)
    assert ask("GET", "0" * 24)[0] == ask("GET", "../receipts")[0] == ask("DELETE", "x")[0] == 404
    for _ in range(2):
        status, told = ask("DELETE", job_id)
        assert (status, told["state"], told["reason"]) == (200, "cancelled", "cancelled")


def test_a_worker_in_the_middle_of_a_cancelled_segment_stops(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = drop(videos, clip)
    job, real = videos.jobs.read(job_id), split.detect_part
    assert job
    seen = itertools.count()

    def endless(*args: Any) -> Iterator[str]:
        lines = list(real(*args))
        videos.cancel(job)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            next(seen)
            time.sleep(0.05)
            yield lines[0]

    monkeypatch.setattr(stages, "detect_part", endless)
    videos.deliver(taken()[0], 1)
    assert 0 < next(seen) < 400
    ended = videos.jobs.read(job_id)
    assert ended and ended.state == "cancelled" and names(videos) == [f"jobs/{job_id}/{PLAN}"]


def test_a_worker_that_decodes_up_to_its_first_frame_stops_when_the_job_is_cancelled(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A part between two keyframes that are minutes apart gives no line for long."""
    job_id = drop(videos, clip)
    job, messages = videos.jobs.read(job_id), taken()
    assert job
    stopped: list[bool] = []

    def leading(media: Any, *_: Any) -> Iterator[str]:
        videos.cancel(job)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            time.sleep(0.05)
            media._blocks.clear()  # as of a long clip, of which few are kept
            media.seek(0)
            try:
                media.read(1)
            except Gone:
                stopped.append(True)
                raise
        yield ""

    monkeypatch.setattr(stages, "detect_part", leading)
    with caplog.at_level("INFO"):
        videos.deliver(messages[0], 1)
    assert stopped
    part = messages[0].part + 1
    assert f"{NAME}: part {part} of {len(messages)} was stopped, as the job is cancelled" in caplog.text
    assert names(videos) == [f"jobs/{job_id}/{PLAN}"] and names(videos, ERRORS, "") == []


@pytest.mark.parametrize("when", ["while its segments wait", "while one is detected", "before it is joined"])
def test_an_upload_that_is_overwritten_ends_the_job_and_gets_its_own_result(
    videos: Videos, clip: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = drop(videos, clip)
    messages, real = taken(), split.detect_part

    def overwrite() -> None:
        videos.storage.write(UPLOADS, NAME, jpeg(1))

    def detect_part(*args: Any) -> Iterator[str]:
        overwrite()
        yield from real(*args)

    if when == "while its segments wait":
        overwrite()
    elif when == "while one is detected":
        monkeypatch.setattr(stages, "detect_part", detect_part)
    else:
        while [message.stage for message in messages] != ["join"]:
            for message in messages:
                videos.deliver(message, 1)
            messages = taken()
        overwrite()
    for message in messages:
        videos.deliver(message, 1)
    ended = videos.jobs.read(job_id)
    assert ended and ended.state == "superseded" and names(videos) == [f"jobs/{job_id}/{PLAN}"]
    upload = videos.storage.head(UPLOADS, NAME)
    assert upload and document(videos)["source"]["etag"] == upload.etag
    assert document(videos)["source"]["media_type"] == "image/jpeg"


def test_an_upload_that_is_deleted_ends_the_job(videos: Videos, clip: Path) -> None:
    job_id = drop(videos, clip)
    videos.storage.delete(UPLOADS, NAME)
    deal([videos], random.Random(3))
    receipt, job = videos.ledger.read(NAME), videos.jobs.read(job_id)
    assert receipt and receipt.receipt.state == "dropped"
    assert job and job.state == "superseded"
    assert names(videos) == [f"jobs/{job_id}/{PLAN}"] and names(videos, RESULTS, "") == names(videos, ERRORS, "") == []


def test_an_upload_whose_job_was_taken_for_dead_is_given_back(videos: Videos, clip: Path) -> None:
    job_id = drop(videos, clip)
    job = videos.jobs.read(job_id)
    assert job
    videos.jobs.end(job, "superseded")
    videos.deliver(taken()[0], 1)
    assert videos.worker.handle(BlobEvent(UPLOADS, NAME)).status == "job"
    assert job_of(videos) != job_id


def test_errors_permanent_ones_at_once_others_when_the_attempts_are_used_up(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(error: Exception) -> Any:
        def detect_part(*args: Any) -> Any:
            raise error

        return detect_part

    drop(videos, clip)
    monkeypatch.setattr(stages, "detect_part", failing(CorruptMedia("a segment of noise")))
    videos.deliver(taken()[0], 1)
    check_failed(videos, "CorruptMedia", "a segment of noise")
    drop(videos, clip.read_bytes() + bytes(1))
    monkeypatch.setattr(stages, "detect_part", failing(OutOfMemory("gone fishing")))
    message = taken()[0]
    for attempt in (1, 4):
        with pytest.raises(OutOfMemory):
            videos.deliver(message, attempt)
    videos.deliver(message, 5)
    check_failed(videos, "OutOfMemory", "gone fishing")
    drop(videos, clip.read_bytes() + bytes(2))
    videos.poison(taken()[0])
    check_failed(videos, "Permanent", "the workers were killed")
    drop(videos, clip.read_bytes() + bytes(3))
    monkeypatch.setattr(stages, "detect_part", failing(BadModel("it gives no boxes")))  # though it can be loaded
    message = taken()[0]
    with pytest.raises(BadModel):
        videos.deliver(message, 1)
    videos.deliver(message, 5)
    check_failed(videos, "BadModel", "it gives no boxes")


@pytest.fixture
def delays(videos: Videos, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Message, int]]:
    """Every message that was sent, and for how long it was to wait; it can be taken at once."""
    sent: list[tuple[Message, int]] = []
    real = videos.queues.send

    def send(messages: list[Message], delay_s: int = 0) -> None:
        sent.extend((message, delay_s) for message in messages)
        real(messages)

    monkeypatch.setattr(videos.queues, "send", send)
    return sent


def refusing(error: Exception) -> Any:
    def refused(*_: Any) -> Any:
        raise error

    return refused


@pytest.mark.parametrize("when", ["planned", "detected", "loaded", "poisoned"])
def test_an_installation_that_must_be_mended_costs_a_job_neither_attempts_nor_messages_nor_what_is_done(
    videos: Videos, clip: Path, when: str, delays: list[tuple[Message, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(videos, clip)
    first, *others = sorted(taken(), key=lambda message: message.part)
    videos.deliver(first, 1)
    delays.clear()
    with monkeypatch.context() as patch:
        if when in ("planned", "poisoned"):
            error = ModelUnavailable("model fields is missing")
            patch.setattr(type(videos.worker.planner.routes), "match", refusing(error))
        elif when == "detected":
            patch.setattr(stages, "detect_part", refusing(MissingPackage("needs OpenCV", "package:cv2")))
        else:
            patch.setattr(type(videos.worker.registry), "load", refusing(BadModel("fields.onnx is cut off")))
            patch.setattr(stages, "detect_part", refusing(BadModel("fields.onnx is cut off")))
        for message in others:
            if when == "poisoned":
                videos.poison(message)
            else:
                videos.deliver(message, 9)
        assert videos.worker.handle(BlobEvent(UPLOADS, NAME)).status == "busy"
        assert delays == [(message, 1) for message in others]  # the very same, later, and each once
        assert revive(videos) == 0
    assert names(videos, ERRORS, "") == []
    monkeypatch.setattr(videos, "settings", replace(videos.settings, lease_seconds=0.1))
    assert revive(videos) == 0  # they wait in the queue: none is sent twice
    assert videos.queues.waiting("detect") == len(others)
    if when != "planned":
        taken()
        return
    deal([videos], random.Random(5), copies=1)
    assert document(videos)["status"] == "ok"


def test_a_message_that_cannot_be_put_back_is_delivered_again(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(videos, clip)
    message = taken()[0]
    monkeypatch.setattr(type(videos.worker.planner.routes), "match", refusing(ModelUnavailable("missing")))
    monkeypatch.setattr(videos.queues, "send", refusing(StorageUnavailable("the queue is gone")))
    with pytest.raises(StorageUnavailable, match="the queue is gone"):
        videos.deliver(message, 1)


def test_a_message_that_waits_is_seen_later_and_counted_now(videos: Videos) -> None:
    message = Message("0" * 24, "detect", 3)
    videos.queues.send([message], 1)
    assert videos.queues.waiting("detect") == 1
    eventually(lambda: taken() == [message], "it is delivered")


def test_a_job_whose_plan_cannot_be_read_is_named_and_stops_no_other(
    models: Path, account: str, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    videos = make_videos(models, lease_seconds=1.0)
    broken = "0" * 24  # before all others
    path = f"jobs/{broken}/{PLAN}"
    for content in (b"[1", b"[]", b'{"parts": []}'):
        videos.storage.write(STATE, path, content, metadata={"state": "running"})
        with pytest.raises(StorageUnavailable, match=f"state/{path} cannot be read .* upload anew"):
            videos.jobs.read(broken)
    odd = drop(videos, clip, "odd.mp4")
    videos.storage.write(STATE, f"jobs/{odd}/{DETECTED}first.jsonl.gz", b"")  # not ours: it has no number
    taken()
    job_id = drop(videos, clip)
    messages = taken()
    for waiting in (broken, odd, job_id):
        wait_for_silence(videos, waiting)
    assert revive(videos) == 1 and path in caplog.text
    assert len(taken()) == len(messages)
    assert revive(videos) == 1 and len(taken()) == len(messages)  # messages of the first filled the queue


def test_a_plan_of_a_later_version_is_read(videos: Videos, clip: Path) -> None:
    job_id = drop(videos, clip)
    stored = videos.storage.read_json(STATE, f"jobs/{job_id}/{PLAN}")
    assert stored
    before = videos.jobs.read(job_id)
    videos.storage.write_json(STATE, f"jobs/{job_id}/{PLAN}", {**stored[0], "colour": "blue"})
    assert videos.jobs.read(job_id) == before
    taken()


def test_the_heartbeat_logs_for_the_invocation_that_works_on_the_message(videos: Videos, clip: Path) -> None:
    drop(videos, clip)
    begun: list[str] = []
    videos.deliver(taken()[0], 1, lambda: begun.append(threading.current_thread().name.rpartition("-")[0]))
    assert "dropsight-job" in begun
    taken()


def check_failed(videos: Videos, kind: str, words: str) -> None:
    record, receipt = videos.storage.read_json(ERRORS, f"{NAME}.json"), videos.ledger.read(NAME)
    assert record and receipt and receipt.receipt.state == "failed"
    assert record[0]["error"]["class"] == kind and words in record[0]["error"]["message"]
    job = videos.jobs.read(job_of(videos))
    assert job and job.state == "failed"
    taken()
