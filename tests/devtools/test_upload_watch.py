"""What is said of uploads that have no result yet, from receipts in a real Azurite."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.storage.containers import Storage
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt
from cloud.videos.jobs import DETECTED, RENDERED, STORY, Jobs, VideoJob, work
from devtools import upload_watch
from devtools.console_report import ConsoleReport, Pending, fitted
from devtools.upload_watch import UploadWatch
from inference.results.result import Source
from inference.video.frames import Anchor
from inference.video.split import Part

LEASE_S = 60.0
JOB = "0123456789abcdef01234567"


class World:
    """Receipts that change, a watch that looks, and what it said at each look."""

    def __init__(self, account: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.service = BlobServiceClient.from_connection_string(account)
        self.storage = Storage(self.service)
        self.store = BlobReceipts(self.storage)
        self.versions: dict[str, str] = {}
        self.report = ConsoleReport()
        self.watch = UploadWatch(self.service, self.report)
        self.capsys = capsys

    def upload(self, *names: str) -> None:
        for name in names:
            self.report.uploaded(name, "e1")
        self.capsys.readouterr()

    def put(self, state: Any, name: str = "clip.mp4", etag: str = "e1", **members: Any) -> None:
        receipt = Receipt(name, etag, "k" * 64, state, **members)
        before = self.versions.get(name)
        self.versions[name] = self.store.replace(receipt, before) if before else self.store.create(receipt)

    def look(self) -> list[str]:
        self.watch.step()
        return self.capsys.readouterr().out.splitlines()


@pytest.fixture
def world(storage_account: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(upload_watch, "LOOK_S", 0.0)
    return World(storage_account, capsys)


def test_what_waits_says_for_what_and_once(world: World) -> None:
    world.upload("night.jpg", "busy.jpg")
    world.put("waiting", "night.jpg", until=datetime(2030, 5, 4, 2, 0, tzinfo=UTC).isoformat())
    world.put("retry", "busy.jpg", reason="busy.jpg: storage did not answer")
    assert world.look() == [
        "night.jpg: waits until 2030-05-04 02:00 UTC, as its route says",
        "busy.jpg: waits, and is tried again: storage did not answer",
    ]
    assert world.look() == []
    world.put("retry", "busy.jpg", reason="route 'x': there is no model 'y'")
    assert world.look() == ["busy.jpg: waits, and is tried again: route 'x': there is no model 'y'"]


def test_work_that_is_picked_up_again_is_said(world: World) -> None:
    world.upload("clip.mp4")
    world.put("working", lease_s=LEASE_S)
    assert world.look() == [], "the first attempt is nothing to speak of"
    world.put("working")  # its lease is over
    assert world.look() == ["clip.mp4: its worker has stopped; the app goes on with it by itself"]
    world.put("working", lease_s=LEASE_S, attempt=2)
    assert world.look() == ["clip.mp4: picked up again, attempt 2"]
    assert world.look() == []


def test_the_share_that_is_done_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtools.console_report.PATIENCE_S", 0.0)
    world.upload("clip.mp4")
    world.put("working", lease_s=LEASE_S, share=0.42)
    (line,) = world.look()
    assert re.fullmatch(r"clip\.mp4: at work for [\d.]+ m?s, 42 %", line)


def test_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    report = ConsoleReport()
    report.pending["a.mp4"] = Pending("e1")
    for seconds, share in ((5, 0.1), (11, 0.2), (20, 0.4), (22, 0.46), (33, 0.5), (60, 0.52), (64, 0.53)):
        report.at_work([("a.mp4", seconds, share, f"after {seconds} s"), ("other.mp4", 99.0, None, "of somebody else")])
    assert capsys.readouterr().out.splitlines() == ["a.mp4: after 11 s", "a.mp4: after 22 s", "a.mp4: after 60 s"]


def test_a_terminal_shows_progress_in_a_line_that_is_written_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    report = ConsoleReport()
    report.pending["a.mp4"] = Pending("e1")
    report.at_work([("a.mp4", 1.0, None, "at work for 1.0 s, or so")])
    assert [fitted(text) for text in ("a" * 19, "a" * 20, "猫" * 10)] == ["a" * 19, "a" * 19, "猫" * 9]
    report.say("b.jpg: 1 cat")
    out, err = capsys.readouterr()
    assert out == "b.jpg: 1 cat\n"
    assert err == "\r\033[Ka.mp4: at work for \r\033[K", "cut to the width, and gone before the next line"


def test_a_long_video_says_its_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtools.console_report.PATIENCE_S", 0.0)
    start = Anchor()
    parts = tuple(Part(number, start, None, start) for number in range(4))
    source = Source("uploads", "clip.mp4")
    job = VideoJob(JOB, "clip.mp4", "e1", "k" * 64, "t" * 32, 0.0, parts, 64, 48, 25.0, False, source)
    jobs = Jobs(world.storage)
    jobs.write(job)
    world.upload("clip.mp4")
    world.put("working", lease_s=LEASE_S)
    world.look()  # while it is planned
    world.put("job", job=JOB)
    first, _ = world.look()
    assert first == "clip.mp4: a long video, analysed in 4 parts"
    for number in range(4):
        jobs.put(job, work(DETECTED, number), b"")
    (line,) = world.look()
    assert re.fullmatch(r"clip\.mp4: at work for .*, 50 %, 4 of 4 parts detected", line)
    jobs.put(job, STORY, b"")
    for number in range(2):
        jobs.put(job, work(RENDERED, number), b"")
    (line,) = world.look()
    assert re.fullmatch(r"clip\.mp4: at work for .*, 75 %, 2 of 4 parts drawn", line)


@pytest.mark.parametrize("reason", ["cancelled", "deleted while it was analysed"])
def test_what_ends_without_a_result_says_why(world: World, reason: str) -> None:
    world.upload("clip.mp4")
    world.put("dropped", reason=reason)
    assert world.look() == [f"clip.mp4: {reason}; it will have no result"]
    assert world.look() == [] and world.report.pending == {}


def test_the_receipt_of_an_older_version_says_nothing_of_the_new(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_watch, "PATIENCE_S", 0.0)
    world.upload("clip.mp4", "other.mp4")
    world.put("failed", etag="e0")
    assert world.look() == ["2 uploads wait for their turn"]
    assert world.look() == []
    world.put("done", etag="e1")
    world.look()
    world.look()
    assert list(world.report.pending) == ["other.mp4"], "its result is there, and was said when it came"


def test_what_an_earlier_run_left_is_said_and_followed(world: World) -> None:
    world.put("working", lease_s=LEASE_S)
    world.put("done", "done.jpg")
    world.put("retry", "later.jpg", reason="memory ran out")
    world.watch.begin(["clip.mp4", "done.jpg", "later.jpg", "new.jpg"])
    assert world.look() == [
        "clip.mp4: left unfinished by an earlier run; the app goes on with it by itself",
        "later.jpg: waits, and is tried again: memory ran out",
    ]
    assert sorted(world.report.pending) == ["clip.mp4", "later.jpg"]


def test_of_many_their_number_is_said(world: World) -> None:
    names = [f"{number}.mp4" for number in range(6)]
    for name in names:
        world.put("working", name, lease_s=LEASE_S)
        world.put("done", f"{name}.jpg")
    world.watch.begin(names)
    world.watch.unchanged([f"{name}.jpg" for name in names])
    assert world.look() == [
        "6 uploads were left unfinished by an earlier run; the app goes on",
        "6 files: already analysed; they have not changed since",
    ]


def test_a_sidecar_is_not_waited_for(world: World) -> None:
    world.upload("a.jpg.route.toml")
    assert world.report.pending == {}
