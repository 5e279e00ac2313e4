"""A job of a long video whose plan, summary or part is broken: its upload gets its result, and no other job stops."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from cloud import instance
from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.uploads.events import BlobEvent
from cloud.uploads.sweep import sweep
from cloud.videos.job_worker import Videos
from cloud.videos.jobs import DETECTED, DRAW, FILES, PICTURES, PLAN, RENDERED, STILLS, STORY
from cloud.videos.messages import Message
from cloud.videos.revive import revive
from inference.errors import StorageUnavailable
from tests.cloud.broken_state import READABLE, WAYS, broken
from tests.cloud.helpers import jpeg
from tests.cloud.videos.long_videos import (
    NAME,
    deal,
    document,
    drop,
    job_of,
    names,
    taken,
)
from tests.cloud.web.asking import ask

pytestmark = pytest.mark.slow


@pytest.fixture
def impatient(videos: Videos) -> Videos:
    """For whom every job is silent: nothing has to be waited for."""
    videos.settings = replace(videos.settings, lease_seconds=0.0, max_attempts=2)
    videos.worker.settings = videos.settings
    return videos


def break_plan(videos: Videos, job_id: str, way: str, *, keeps_metadata: bool = False) -> str:
    path = f"jobs/{job_id}/{PLAN}"
    stored = videos.storage.read_json(STATE, path)
    assert stored
    metadata = stored[1].metadata if keeps_metadata else None
    videos.storage.write(STATE, path, broken(stored[0], way, "width", "broad"), metadata=metadata)
    return path


def test_the_upload_of_a_broken_plan_begins_anew_and_the_other_jobs_go_on(
    impatient: Videos, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = {way: drop(impatient, clip, f"{way}.mp4") for way in WAYS}
    messages = taken()
    paths = {
        way: break_plan(impatient, job_id, way, keeps_metadata=number % 2 == 0)
        for number, (way, job_id) in enumerate(jobs.items())
    }
    for message in messages:
        if message.part == 0:  # no attempt is spent on a message that no attempt could mend
            impatient.deliver(message, 1)
    revive(impatient)
    for way, job_id in jobs.items():
        stored = impatient.ledger.read(f"{way}.mp4")
        anew = way not in READABLE
        assert stored and (stored.receipt.job != job_id, stored.receipt.attempt) == (anew, 1 + anew)
        assert (f"of {way}.mp4 ends: {STATE}/{paths[way]} cannot be read" in caplog.text) == anew
    assert {name.split("/")[1] for name in names(impatient)} == {job_of(impatient, f"{way}.mp4") for way in jobs}
    assert names(impatient, ERRORS, "") == []


def test_a_plan_that_breaks_time_and_again_ends_in_an_error_record(impatient: Videos, clip: Path) -> None:
    job_id = drop(impatient, clip)
    break_plan(impatient, job_id, "cut off")
    revive(impatient)
    break_plan(impatient, job_of(impatient), "cut off")
    revive(impatient)
    assert names(impatient, ERRORS, "") == [f"{NAME}.json"]
    record = impatient.storage.read_json(ERRORS, f"{NAME}.json")
    assert record and f"the last: {STATE}/jobs/" in record[0]["error"]["message"]  # nobody was killed
    assert impatient.worker.handle(BlobEvent(UPLOADS, NAME)).status == "failed"


def test_a_job_without_its_plan_gives_its_upload_back(impatient: Videos, clip: Path) -> None:
    job_id = drop(impatient, clip)
    impatient.deliver(taken()[0], 1)
    impatient.storage.delete(STATE, f"jobs/{job_id}/{PLAN}")
    revive(impatient)
    assert job_of(impatient) != job_id
    assert {name.split("/")[1] for name in names(impatient)} == {job_of(impatient)}
    deal([impatient], random.Random(1), copies=1)
    assert document(impatient)["status"] == "ok"


def test_asking_for_a_broken_job_is_answered_with_its_place(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = drop(videos, clip)
    path = break_plan(videos, job_id, "{}", keeps_metadata=False)
    monkeypatch.setattr("cloud.web.jobs_api.default_videos", lambda: videos)
    monkeypatch.setattr(instance, "default_videos", lambda: videos)
    for method in ("GET", "DELETE"):
        answer = ask(method, f"v1/jobs/{job_id}")
        assert answer.status_code == 503 and f"{STATE}/{path} cannot be read" in answer.get_body().decode()
    instance.on_message(taken()[0].text().encode(), 1, lambda: None)


@pytest.mark.parametrize("content", [b"[" * 200_000, b" " * (17 * 2**20), b"{}"], ids=["deep", "large", "of another"])
def test_whatever_a_plan_is_its_upload_begins_anew(impatient: Videos, clip: Path, content: bytes) -> None:
    job_id = drop(impatient, clip)
    if content == b"{}":
        stored = impatient.storage.read_json(STATE, f"jobs/{job_id}/{PLAN}")
        assert stored
        content = json.dumps({**stored[0], "id": "0" * 24}).encode()
    impatient.storage.write(STATE, f"jobs/{job_id}/{PLAN}", content)
    revive(impatient)
    assert job_of(impatient) != job_id
    taken()


@pytest.mark.parametrize("state", ["done", "superseded"])
def test_an_upload_whose_plan_says_that_it_ended_begins_anew(impatient: Videos, clip: Path, state: str) -> None:
    """Its receipt still waits for the job, and no message will come that asks."""
    job_id = drop(impatient, clip)
    taken()
    stored = impatient.storage.read_json(STATE, f"jobs/{job_id}/{PLAN}")
    assert stored
    impatient.storage.write_json(STATE, f"jobs/{job_id}/{PLAN}", {**stored[0], "state": state})
    revive(impatient)
    assert sweep(impatient.worker, 60).unfinished == 1 and job_of(impatient) != job_id
    taken()


def test_what_lies_beside_jobs_and_numbers_that_are_none_stop_nothing(
    impatient: Videos, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = drop(impatient, clip)
    for name in ("jobs/" + "a" * 24, "jobs/x", "jobs//x"):
        impatient.storage.write(STATE, name, b"")
    for renders in ("x", "9" * 5000):
        impatient.storage.write(STATE, f"jobs/{job_id}/{STORY}", b"{}", metadata={"renders": renders})
        progress = impatient.jobs.progress(job_id)
        assert not progress.merged and progress.renders == []
    revive(impatient)
    assert caplog.text.count(" ends: ") == 0
    taken()


def test_an_upload_whose_damaged_receipt_is_listed_as_a_jobs_begins_anew(impatient: Videos) -> None:
    etag = impatient.storage.write(UPLOADS, "a.jpg", jpeg())
    impatient.storage.write(STATE, "receipts/a.jpg", b"{half", metadata={"state": "job", "etag": etag, "job": "0" * 24})
    report = sweep(impatient.worker, 60)
    assert report.handed == {"a.jpg": "0" * 24}
    revive(impatient, report.handed)
    assert document(impatient, "a.jpg")["status"] == "ok"


def stored(videos: Videos, job_id: str, kind: str) -> tuple[str, bytes, dict[str, str]]:
    """A blob of the job's work: its name, what is in it, its metadata."""
    path = next(name for name in names(videos) if name.startswith(f"jobs/{job_id}/{kind}"))
    found = videos.storage.read(STATE, path)
    assert found
    return path, found[0], dict(found[1].metadata)


def before(videos: Videos, stage: str) -> list[Message]:
    """Deliver everything before this stage; its messages."""
    while (messages := taken())[0].stage != stage:
        for message in messages:
            videos.deliver(message, 1)
    return messages


def files_of(videos: Videos, name: str) -> dict[str, int]:
    """The files beside the upload's result, with how long they are; below one name for all uploads."""
    pages = videos.storage.pages(RESULTS, f"{name}/")
    found = {blob.name.split("/")[-1]: blob.size for page in pages for blob in page.blobs}
    return {relative: size for relative, size in found.items() if relative != "result.json"}


@pytest.mark.parametrize(("kind", "stage"), [(DETECTED, "merge"), (DRAW, "render"), (STORY, "join")])
def test_work_that_cannot_be_read_is_done_again(kind: str, stage: str, impatient: Videos, clip: Path) -> None:
    job_id = drop(impatient, clip)
    message = before(impatient, stage)[0]
    path, data, metadata = stored(impatient, job_id, kind)
    half = data[: len(data) // 2]
    impatient.storage.write(STATE, path, half, metadata={**metadata, "bytes": str(len(half))})
    with pytest.raises(StorageUnavailable, match=f"{STATE}/{path} cannot be read .* made again"):
        impatient.deliver(message, 1)
    impatient.deliver(message, 2)
    for _ in range(2):  # sweeps: what followed the lost work had been sent already
        revive(impatient)
        deal([impatient], random.Random(2), copies=1)
    assert document(impatient)["status"] == "ok" and names(impatient, ERRORS, "") == []


def test_a_result_lacks_nothing_of_which_a_part_was_lost_before_it_was_joined(impatient: Videos, clip: Path) -> None:
    drop(impatient, clip, "drawn/whole.mp4")
    deal([impatient], random.Random(1), copies=1)
    job_id = drop(impatient, clip, "drawn/robbed.mp4")
    join = before(impatient, "join")[0]
    for kind, empty in ((PICTURES, False), (FILES, False), (RENDERED, True), (STILLS, True)):
        path, _, metadata = stored(impatient, job_id, kind)
        impatient.storage.delete(STATE, path)
        if empty:
            impatient.storage.write(STATE, path, b"", metadata=metadata)
    impatient.deliver(join, 1)
    for _ in range(4):
        revive(impatient)
        deal([impatient], random.Random(2), copies=1)
    robbed = files_of(impatient, "drawn/robbed.mp4")
    assert robbed == files_of(impatient, "drawn/whole.mp4") and "sketch.mp4" in robbed
    assert names(impatient, ERRORS, "") == []
