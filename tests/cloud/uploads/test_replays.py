"""Replays in the app: marked by whoever asks, done by queue with the app's own models, once each, whatever dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud import instance
from cloud.__main__ import main
from cloud.settings import ERRORS, RESULTS, STATE
from cloud.uploads.ledger import Stopping
from cloud.uploads.receipts import Receipt
from cloud.uploads.replay import Filters, Selection
from cloud.uploads.replays import ReplayMessage, Replays
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from devtools import azurite
from inference.errors import StorageUnavailable
from inference.routes_file import parse_routes
from tests.cloud.conftest import ROOT, ROUTES
from tests.cloud.helpers import document, drop, jpeg, names, receipt
from tests.cloud.uploads.replaying import app, finished, to_the_end

pytestmark = pytest.mark.slow

OTHERWISE = ROUTES.replace('model = "sketch"', 'model = "sketch", name = "drawn"')
Make = Callable[..., UploadWorker]


class Killed(BaseException):
    """As where the process is killed."""


def test_the_app_answers_with_its_own_routes_what_another_has_marked(
    worker: UploadWorker, replays: Replays, make_worker: Make, analyses: list[str]
) -> None:
    # GIVEN eleven finished uploads over three pages, and an app that would answer three of them otherwise
    finished(worker, *(f"x/{number:02}.jpg" for number in range(8)))
    for name in ("y/0.jpg", "y/1.jpg", "y/2.jpg"):
        drop(worker, name, jpeg(), dropsight_route="classify")
    sweep(worker, 60)
    deployed = make_worker()
    deployed.planner.routes = parse_routes(OTHERWISE.replace('"**"', '"x/0[0-2]*"').replace("[0-2]", ""), "routes")
    analyses.clear()
    # WHEN it is marked, nothing happens to any upload
    replay = replays.begin(Filters(changed=True))
    assert analyses == [] and replays.queue and replays.queue.waiting() == 1
    # THEN the app does the work, and says what it did
    ended = to_the_end(app(deployed, replays), replay)
    assert (ended.counts.seen, ended.counts.marked, ended.counts.done, ended.counts.left) == (11, 8, 8, 0)
    assert sorted(analyses) == [f"x/{number:02}.jpg" for number in range(8)]
    assert document(worker, RESULTS, "x/00.jpg/result.json")["steps"][0]["name"] == "drawn"


def test_what_a_dead_worker_had_finished_is_counted_and_not_done_again(
    worker: UploadWorker, replays: Replays, monkeypatch: pytest.MonkeyPatch, analyses: list[str]
) -> None:
    finished(worker, *(f"{number}.jpg" for number in range(6)))
    analyses.clear()
    at_work, replay = app(worker, replays, page=10), replays.begin(Filters(everything=True))
    at_work.deliver(ReplayMessage(replay.id, 0))  # marks
    real, calls = replays.save, []

    def killed(stored: Any, wanted: Any) -> Any:
        calls.append(wanted)
        raise Killed

    monkeypatch.setattr(replays, "save", killed)
    with pytest.raises(Killed):
        at_work.deliver(ReplayMessage(replay.id, 1))
    assert len(analyses) == 6 and calls[0].counts.done == 6
    monkeypatch.setattr(replays, "save", real)
    ended = to_the_end(at_work, replay)
    assert len(analyses) == 6
    assert (ended.counts.marked, ended.counts.done, ended.counts.left) == (6, 6, 0)


def test_a_batch_that_was_written_twice_counts_once(
    worker: UploadWorker, replays: Replays, monkeypatch: pytest.MonkeyPatch, analyses: list[str]
) -> None:
    finished(worker, "a.jpg", "b.jpg")
    analyses.clear()
    at_work, replay = app(worker, replays), replays.begin(Filters(everything=True))
    real = replays.put_batch

    def killed(*given: Any) -> None:
        real(*given)
        raise Killed

    monkeypatch.setattr(replays, "put_batch", killed)
    with pytest.raises(Killed):
        at_work.deliver(ReplayMessage(replay.id, 0))
    monkeypatch.setattr(replays, "put_batch", real)
    ended = to_the_end(at_work, replay)
    assert (ended.batches, ended.counts.marked, ended.counts.done) == (1, 2, 2)
    assert sorted(analyses) == ["a.jpg", "b.jpg"]


def test_an_upload_that_kills_its_worker_uses_up_its_attempts_in_a_replay_too(
    make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(max_attempts=2, lease_seconds=1.0)
    replays = Replays(worker.storage, None)
    finished(worker, "a.jpg")
    at_work, replay = app(worker, replays), replays.begin(Filters(everything=True))
    at_work.deliver(ReplayMessage(replay.id, 0))
    worker.planner.routes = parse_routes(OTHERWISE, "routes")  # or its result would do

    def deadly(*_: Any, **__: Any) -> Any:
        raise Killed

    monkeypatch.setattr(worker, "analyze", deadly)
    for attempt in (1, 1, 2):  # beside others nobody can tell whose fault a death is: the first does not count
        with pytest.raises(Killed):
            at_work.deliver(ReplayMessage(replay.id, 1))
        assert (receipt(worker, "a.jpg").state, receipt(worker, "a.jpg").attempt) == ("working", attempt)
        old = worker.ledger.read("a.jpg")
        assert old
        monkeypatch.setattr("cloud.uploads.receipts.LONGEST_LEASE_S", 0.0)  # its lease is over
    ended = to_the_end(at_work, replay)
    assert (ended.counts.failed, receipt(worker, "a.jpg").state) == (1, "failed")


def test_whoever_cancels_is_heard_and_what_was_not_begun_stays_as_it_was(
    worker: UploadWorker, replays: Replays, analyses: list[str]
) -> None:
    finished(worker, "a.jpg", "b.jpg")
    analyses.clear()
    at_work, replay = app(worker, replays), replays.begin(Filters(everything=True))
    at_work.deliver(ReplayMessage(replay.id, 0))
    cancelled = replays.cancel(replay.id)
    assert cancelled and cancelled.state == "cancelled"
    assert at_work.deliver(ReplayMessage(replay.id, 1)) is None
    assert analyses == [] and receipt(worker, "a.jpg").state == "done"
    again = replays.cancel(replay.id)
    assert again and again.state == "cancelled" and replays.cancel("20260101-000000-00000000") is None


def test_what_was_done_when_somebody_cancelled_is_counted(
    worker: UploadWorker, replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(worker, "a.jpg", "b.jpg")
    at_work, replay, real = app(worker, replays), replays.begin(Filters(everything=True)), worker.handle
    at_work.deliver(ReplayMessage(replay.id, 0))

    def handle(event: Any) -> Any:
        replays.cancel(replay.id)
        return real(event)

    monkeypatch.setattr(worker, "handle", handle)
    assert at_work.deliver(ReplayMessage(replay.id, 1)) is None
    stored = replays.read(replay.id)
    assert stored and (stored.replay.state, stored.replay.counts.done, stored.replay.counts.left) == ("cancelled", 2, 0)


def test_a_command_that_works_itself_hears_that_it_was_cancelled(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(worker, "a.jpg")
    monkeypatch.setattr("cloud.instance.default_worker", lambda: worker)
    replays, real = Replays(worker.storage, None), worker.handle

    def handle(event: Any) -> Any:
        for replay_id, _, _ in replays.listed():
            replays.cancel(replay_id)
        return real(event)

    monkeypatch.setattr(worker, "handle", handle)
    assert main(["replay", "--here", "--all"]) == 1
    assert "cancelled: replayed 1 of 1 uploads" in capsys.readouterr().err


def test_an_instance_that_is_being_stopped_leaves_the_rest_to_another(
    worker: UploadWorker, replays: Replays, make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(worker, "a.jpg", "b.jpg", "c.jpg")
    at_work, replay, real = app(worker, replays), replays.begin(Filters(everything=True)), worker.handle
    at_work.deliver(ReplayMessage(replay.id, 0))

    def handle(event: Any) -> Any:
        worker.ledger.stop()
        return real(event)

    monkeypatch.setattr(worker, "handle", handle)
    following = at_work.deliver(ReplayMessage(replay.id, 1))
    assert following and (following.step, following.open, following.counts.done) == (2, (), 0)
    with pytest.raises(Stopping):  # so that its message is another's
        at_work.deliver(ReplayMessage(replay.id, 2))
    assert to_the_end(app(make_worker(), replays), replay).counts.done == 3


def test_where_priorities_change_while_it_is_marked_none_is_forgotten(worker: UploadWorker, replays: Replays) -> None:
    finished(worker, *(f"{folder}/{number}.jpg" for folder in "ab" for number in range(3)))
    low = ROUTES.replace('name = "classify"\nmatch = "nothing/**"', 'name = "low"\npriority = -5\nmatch = "a/**"')
    worker.planner.routes = parse_routes(low, "routes")
    at_work, replay = app(worker, replays, step_s=0.0), replays.begin(Filters(everything=True), dry_run=True)
    for step in range(2):  # all but a/ is marked
        at_work.deliver(ReplayMessage(replay.id, step))
    worker.planner.routes = parse_routes(ROUTES, "routes")
    ended = to_the_end(at_work, replay)
    taken = [name for number in range(ended.batches) for name in replays.batch(ended, number)]
    assert taken == [f"{folder}/{number}.jpg" for folder in "ab" for number in range(3)]
    assert (ended.counts.seen, ended.counts.marked) == (6, 6)


def test_what_a_job_has_is_left_to_it(worker: UploadWorker) -> None:
    selection = Selection(worker, Filters(everything=True))
    assert not selection.again(Receipt("a.mp4", "e", "k", "job", job="0" * 24), "another")
    assert selection.again(Receipt("a.mp4", "e", "k", "cancelled"), "k")


def test_old_messages_and_those_of_another_deployment_change_nothing(
    worker: UploadWorker, replays: Replays, analyses: list[str]
) -> None:
    finished(worker, "a.jpg")
    analyses.clear()
    at_work, replay = app(worker, replays), replays.begin(Filters(everything=True), deployment="blue")
    assert at_work.deliver(ReplayMessage(replay.id, 0)) is None
    assert replays.queue and replays.queue.waiting() == 2  # put back for the other
    ours = replays.begin(Filters(everything=True))
    assert to_the_end(at_work, ours).counts.done == 1
    assert at_work.deliver(ReplayMessage(ours.id, 1)) is None
    assert analyses == ["a.jpg"]


def test_what_storage_did_not_give_is_taken_once_more(
    worker: UploadWorker, replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(worker, "a.jpg", "b.jpg")
    at_work, replay = app(worker, replays), replays.begin(Filters(everything=True))
    real, left = worker.handle, [1, 1]

    def handle(event: Any) -> Any:
        if event.name == "a.jpg" and left:
            left.pop()
            raise StorageUnavailable("storage did not answer")
        return real(event)

    monkeypatch.setattr(worker, "handle", handle)
    ended = to_the_end(at_work, replay)
    assert (ended.counts.done, ended.counts.left, ended.open) == (2, 0, ())


def test_a_replay_takes_half_of_the_places_at_most(make_worker: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make_worker(max_concurrent=4)
    replays = Replays(worker.storage, None)
    finished(worker, *(f"{number}.jpg" for number in range(6)))
    busy, most, lock, real = [0], [0], threading.Lock(), worker.handle

    def handle(event: Any) -> Any:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        try:
            return real(event)
        finally:
            with lock:
                busy[0] -= 1

    monkeypatch.setattr(worker, "handle", handle)
    to_the_end(app(worker, replays, page=10), replays.begin(Filters(everything=True)))
    assert most[0] <= 2


def test_only_what_has_the_label_the_model_and_the_date_is_taken(worker: UploadWorker, replays: Replays) -> None:
    finished(worker, "a.jpg", "b.jpg", "c.jpg")
    for name, objects, model in (("a.jpg", {"dog": 2}, "yolo"), ("b.jpg", {"cat": 1}, "yolo"), ("c.jpg", {}, "old")):
        found = document(worker, RESULTS, f"{name}/result.json")
        found["summary"]["objects"] = objects
        found["steps"][0]["model"] |= {"name": model, "version": "2"}
        worker.storage.write_json(RESULTS, f"{name}/result.json", found)
    worker.storage.write(RESULTS, "c.jpg/result.json", b"[" * 5000)  # no document at all

    def taken(**filters: Any) -> list[str]:
        replay = replays.begin(Filters(**filters), dry_run=True)
        ended = to_the_end(app(worker, replays), replay)
        return [name for number in range(ended.batches) for name in replays.batch(ended, number)]

    assert taken(label="dog") == ["a.jpg"]
    assert taken(model="yolo") == taken(model="yolo@2") == ["a.jpg", "b.jpg"]
    assert taken(model="yolo@1") == taken(label="dog", failed=True) == []
    assert taken(everything=True, since="2020-01-01") == ["a.jpg", "b.jpg", "c.jpg"]
    assert taken(everything=True, until="2020-01-01") == taken(everything=True, since="2999-01-01T00:00Z") == []


def test_silent_replays_are_sent_on_and_old_ones_forgotten(
    worker: UploadWorker, replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(worker, "a.jpg")
    lost = replays.begin(Filters(everything=True))
    other = replays.begin(Filters(everything=True), deployment="blue")
    assert replays.queue
    replays.queue._client.clear_messages()
    replays.revive("local")
    assert replays.queue.waiting() == 0  # somebody may be at it
    monkeypatch.setattr("cloud.uploads.replays.QUIET_S", 0.0)
    replays.revive("local")
    assert [ReplayMessage.parse(text).replay for text in replays.queue.peek()] == [lost.id] != [other.id]
    assert to_the_end(app(worker, replays), lost).state == "done"
    monkeypatch.setattr("cloud.uploads.replays.REMEMBERED_S", -1.0)
    replays.revive("local")
    assert [replay_id for (replay_id, _, _) in replays.listed()] == [other.id]


def test_one_that_could_not_be_sent_is_not_left_behind(
    worker: UploadWorker, replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(*_: Any) -> None:
        raise StorageUnavailable("the queue does not answer")

    monkeypatch.setattr(replays, "send", send)
    with pytest.raises(StorageUnavailable):
        replays.begin(Filters())
    assert names(worker, STATE) == []


@pytest.mark.parametrize("content", [b"\xff", b"[]", b"[" * 3000, b'{"replay": "../x", "step": 0}', b'{"replay": 1}'])
def test_a_message_that_is_none_is_dropped(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    instance.on_replay(content, lambda: None)
    instance.on_replay_poison(content)
    assert caplog.text.count("dropped") == 2


def test_three_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """On an Azurite of its own, which searches all that it has at each call."""
    from benchmarks.replays import prove

    with azurite.start(ROOT, log=tmp_path / "azurite.log") as server:
        found = prove(server.connection_string(), tmp_path, uploads=300, kills=3, answered_every=5)
    assert (found.kills, found.lost, found.doubled) == (3, 0, 0)
    assert {name: found.said[name] for name in ("state", "marked", "done", "left")} == {
        "state": "done", "marked": 300, "done": 300, "left": 0,
    }  # fmt: skip


def test_a_failed_upload_is_brought_back_by_the_app(worker: UploadWorker, replays: Replays) -> None:
    drop(worker, "bad.jpg", b"no picture")
    sweep(worker, 60)
    assert names(worker, ERRORS) == ["bad.jpg.json"]
    ended = to_the_end(app(worker, replays), replays.begin(Filters()))
    assert (ended.reasons, ended.counts.failed) == ({"failed": 1}, 1)
