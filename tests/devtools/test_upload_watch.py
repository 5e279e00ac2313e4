"""What is said of uploads that have no result yet, from receipts in a real Azurite."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.storage.containers import Storage
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt
from cloud.videos.jobs import AT_WORK, DETECTED, RENDERED, STORY, TAKEN_UP, Jobs, VideoJob, work
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
    monkeypatch.setattr(upload_watch, "LONGEST_S", 0.0)
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
    world.put("waiting", "busy.jpg", cause="model:y", reason="route 'x': there is no model 'y'")
    assert world.look() == ["busy.jpg: waits, and is tried again: route 'x': there is no model 'y'"]


def test_of_many_that_wait_for_the_same_one_is_named(world: World) -> None:
    names = [f"{number}.jpg" for number in range(9)]
    world.upload(*names)
    for name in names[:7]:
        world.put("waiting", name, cause="model:y", reason=f"{name}: there is no model 'y'")
    words = "waits, and is tried again: there is no model 'y'"
    assert world.look() == [f"7 uploads, such as 0.jpg: each {words}"]
    for name in names[7:]:
        world.put("waiting", name, cause="model:y", reason="there is no model 'y'")
    assert world.look() == [f"2 more uploads, such as 7.jpg: each {words}"]
    assert world.look() == []
    world.watch.unchanged(["3.jpg"])
    said = world.capsys.readouterr().out
    assert said == "3.jpg: waits, and is tried again; the file has not changed since\n"


def test_what_was_waited_for_before_this_start_may_be_mended_by_now(world: World) -> None:
    world.upload("a.jpg", "b.jpg")
    world.put("waiting", "a.jpg", cause="model:y", reason="there is no model 'y'")
    world.put("waiting", "b.jpg", until=datetime(2030, 5, 4, 2, 0, tzinfo=UTC).isoformat())
    world.watch._began += 60.0  # that is, both are older than this run
    assert world.look() == [
        "a.jpg: is tried again; before this start it waited: there is no model 'y'",
        "b.jpg: waits until 2030-05-04 02:00 UTC, as its route said before this start",
    ]


def test_while_intake_is_paused_nothing_goes_on_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.watch = UploadWatch(world.service, world.report, paused=True)
    world.put("working", "old.jpg")  # its worker was stopped
    world.put("waiting", "model.jpg", cause="model:y", reason="there is no model 'y'")
    world.watch.begin(["old.jpg", "never-begun.jpg", "model.jpg"])
    world.upload("new.jpg")
    assert [*world.look(), *world.look()] == [
        f"{name}.jpg: waits, as INTAKE is paused" for name in ("model", "never-begun", "new", "old")
    ]
    monkeypatch.setattr("devtools.console_report.PATIENCE_S", 0.0)
    assert world.look() == [], "nothing that anybody could work on"


def test_work_that_is_picked_up_again_is_said(world: World) -> None:
    world.upload("clip.mp4")
    world.put("working", lease_s=LEASE_S)
    assert world.look() == [], "the first attempt is nothing to speak of"
    world.put("working")  # its lease is over
    assert world.look() == [], "as all are after a laptop's sleep, until their workers are at it again"
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


def test_no_silence_is_long_while_there_is_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("devtools.console_report.time.monotonic", lambda: now[0])
    report = ConsoleReport()
    report.waits("a.mp4", Pending("e1"))
    for second in range(60):
        now[0] = second
        if second == 20:
            report.say("b.jpg: uploaded")
        report.at_work([f"a.mp4: after {second} s"], 0)
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "a.mp4: after 8 s", "a.mp4: after 16 s", "b.jpg: uploaded", "a.mp4: after 28 s", "a.mp4: after 36 s",
        "a.mp4: after 44 s", "a.mp4: after 52 s",
    ]  # fmt: skip
    report.forget("a.mp4")
    now[0] = 100.0
    report.at_work([], 0, later=1)
    assert capsys.readouterr().out == "", "nothing that anybody could work on"


def test_of_many_uploads_the_numbers_are_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("devtools.console_report.PATIENCE_S", 0.0)
    report = ConsoleReport()
    report.uploaded("old.jpg")
    report.forget("old.jpg")  # of an earlier time, which counts no more
    for number in range(500):
        report.uploaded(f"{number}.jpg")
    for number in range(12):
        report.arrived(f"results/{number}.jpg/result.json", tmp_path / "none.json")
    report.failed("12.jpg", "no picture")
    report.to_upload = 30
    capsys.readouterr()
    with report.transfer("z.mp4: uploading") as moved:
        moved(1, 4)
        report.at_work(["9.mp4: at work for 34 s"], 480, later=6)
    assert capsys.readouterr().out == (
        "12 of 530 analysed, 1 failed, 480 waiting, 6 for later, 30 to upload; 9.mp4: at work for 34 s; "
        "z.mp4: uploading, 25 %\n"
    )


def test_what_has_ended_and_is_still_to_be_fetched_does_not_wait(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("devtools.console_report.PATIENCE_S", 0.0)
    world.upload("a.jpg", "b.jpg", "c.jpg")
    world.put("done", "a.jpg")
    world.put("failed", "b.jpg")
    assert world.look() == ["1 of 3 analysed, 1 failed, 2 to fetch, 1 waiting"]
    world.report.arrived("results/a.jpg/result.json", tmp_path / "none.json")
    world.put("done", "b.jpg", "e2")
    world.put("done", "c.jpg")
    world.capsys.readouterr()
    world.report.uploaded("b.jpg", "e3")  # a newer version, of which the receipt does not speak yet
    world.capsys.readouterr()
    assert world.look() == ["2 of 3 analysed, 1 to fetch, 1 waiting"]


def test_a_terminal_shows_progress_in_a_line_that_is_written_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    report = ConsoleReport()
    report.pending["a.mp4"] = Pending("e1")
    report.at_work(["a.mp4: at work for 1.0 s, or so"], 0)
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


def test_a_part_whose_worker_died_says_so_once(world: World) -> None:
    parts = tuple(Part(number, Anchor(), None, Anchor()) for number in range(4))
    source = Source("uploads", "clip.mp4")
    job = VideoJob(JOB, "clip.mp4", "e1", "k" * 64, "t" * 32, 0.0, parts, 64, 48, 25.0, False, source)
    jobs = Jobs(world.storage)
    jobs.write(job)
    world.upload("clip.mp4")
    world.put("job", job=JOB)
    world.look()
    jobs.put(job, f"{TAKEN_UP}detect-0001", b"", metadata={"silent": "47"})
    assert world.look() == ["clip.mp4: part 2 of 4 is taken up again: its worker was silent for 47 s"]
    assert world.look() == []
    jobs.put(job, f"{TAKEN_UP}detect-0001", b"", metadata={"silent": "75"})  # and the next one, too
    jobs.put(job, f"{TAKEN_UP}render-0003", b"", metadata={"silent": "50"})
    assert world.look() == [
        "clip.mp4: part 2 of 4 is taken up again: its worker was silent for 1:15 min",
        "clip.mp4: the drawing of part 4 of 4 is taken up again: its worker was silent for 50 s",
    ]
    again = UploadWatch(world.service, world.report)
    again._began += 60.0  # the deaths are older than this run
    again.step()
    assert "taken up" not in world.capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "reason"), [("cancelled", "cancelled"), ("dropped", "deleted while it was analysed")]
)
def test_what_ends_without_a_result_says_why(world: World, state: str, reason: str) -> None:
    world.upload("clip.mp4")
    world.put(state, reason=reason)
    assert world.look() == [f"clip.mp4: {reason}; it will have no result"]
    assert world.look() == [] and world.report.pending == {}


def test_the_receipt_of_an_older_version_says_nothing_of_the_new(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtools.console_report.PATIENCE_S", 0.0)
    world.upload("clip.mp4", "other.mp4")
    world.put("failed", etag="e0")
    assert world.look() == ["0 of 2 analysed, 2 waiting"]
    world.put("done", etag="e1")
    world.look()
    world.report.looks += 1  # began before the analysis had ended, for all that is known
    world.look()
    assert list(world.report.pending) == ["clip.mp4", "other.mp4"]
    world.report.looks += 1
    assert world.look() == ["1 of 2 analysed, 1 waiting"]
    assert list(world.report.pending) == ["other.mp4"], "its result is there, and was said when it came"


def test_what_an_earlier_run_left_is_said_and_followed(world: World) -> None:
    world.put("working", lease_s=LEASE_S)
    world.put("done", "done.jpg")
    world.put("retry", "later.jpg", reason="memory ran out")
    meant_for_others = ["new.jpg.route.toml", "Thumbs.db"]
    world.watch.begin(["clip.mp4", "done.jpg", "later.jpg", "new.jpg", *meant_for_others])
    assert world.look() == [
        "clip.mp4: left unfinished by an earlier run; the app goes on with it by itself",
        "new.jpg: left unfinished by an earlier run; the app goes on with it by itself",  # its turn had not come
        "later.jpg: waits, and is tried again: memory ran out",
    ]
    assert sorted(world.report.pending) == ["clip.mp4", "later.jpg", "new.jpg"]


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


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("done", "already analysed"),
        ("failed", "could not be analysed"),
        ("working", "still at work"),
        ("job", "still at work"),
        ("waiting", "waits for the time that its route says"),
        ("retry", "waits, and is tried again"),
        (None, "waits for its turn"),
    ],
)
def test_a_file_that_is_dropped_again_says_what_became_of_it(world: World, state: str | None, words: str) -> None:
    world.upload("clip.mp4")
    if state:
        world.put(state, lease_s=LEASE_S)
    world.watch.unchanged(["clip.mp4"])
    assert world.capsys.readouterr().out == f"clip.mp4: {words}; the file has not changed since\n"


def test_what_an_earlier_run_left_is_said_once(world: World) -> None:
    world.put("working", lease_s=LEASE_S)
    world.watch.begin(["clip.mp4"])
    world.watch.unchanged(["clip.mp4"])  # as it is found in the inbox at the start
    assert world.look() == ["clip.mp4: left unfinished by an earlier run; the app goes on with it by itself"]
    world.watch.unchanged(["clip.mp4"])  # dropped again
    assert world.look() == ["clip.mp4: still at work; the file has not changed since"]


def test_few_receipts_are_asked_for_and_many_are_listed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = Storage.head

    def head(storage: Storage, container: str, name: str) -> Any:
        asked.append(name)
        return real(storage, container, name)

    monkeypatch.setattr(Storage, "head", head)
    names = [f"{number}.jpg" for number in range(9)]
    for name in names:
        world.put("done", name)
    world.watch.unchanged(names[:8])
    assert asked == [f"receipts/{name}" for name in names[:8]]
    world.watch.unchanged(names)
    assert len(asked) == 8
    said = world.capsys.readouterr().out
    assert said.count("files: already analysed") == 2


def test_a_sidecar_is_not_waited_for(world: World) -> None:
    world.upload("a.jpg.route.toml")
    assert world.report.pending == {}


def test_a_video_that_waited_for_a_place_is_not_said_to_have_parts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtools.console_report.PATIENCE_S", 0.0)
    source = Source("uploads", "clip.mp4")
    job = VideoJob(JOB, "clip.mp4", "e1", "k" * 64, "t" * 32, 0.0, (), 0, 0, 0.0, False, source, whole=True)
    Jobs(world.storage).write(job)
    world.upload("clip.mp4")
    world.put("job", job=JOB)
    (line,) = world.look()
    assert re.fullmatch(r"clip\.mp4: at work for [^,]*", line)
    Jobs(world.storage).put(job, f"{AT_WORK}whole-0000", b"", metadata={"attempt": "1", "share": "0.420"})
    (line,) = world.look()
    assert re.fullmatch(r"clip\.mp4: at work for [^,]*, 42 %", line)
