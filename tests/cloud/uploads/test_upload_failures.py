"""What fails, waits or is killed: tried again as often as it may be, recorded, and never half published."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import inference.analysis as engine
from cloud import instance
from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.ledger import Claim
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import BadModel, ModelUnavailable, OutOfMemory, RouteUnavailable
from inference.routes_file import Routes
from tests.cloud.helpers import document, drop, jpeg, names, receipt

pytestmark = pytest.mark.slow


def test_what_may_pass_is_raised_until_the_attempts_are_used_up(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(max_attempts=3)
    event = drop(worker, "a.jpg", jpeg())

    def busy(*_: Any, **__: Any) -> Any:
        raise OutOfMemory("the picture does not fit")

    monkeypatch.setattr(engine, "analyze", busy)
    for _ in range(2):
        with pytest.raises(OutOfMemory):
            worker.handle(event)
    assert names(worker, ERRORS) == []
    assert worker.handle(event) == Outcome("failed", 3)
    record = document(worker, ERRORS, "a.jpg.json")
    assert (record["error"]["class"], record["error"]["permanent"]) == ("OutOfMemory", False)


@pytest.mark.parametrize(
    ("when", "error", "cause"),
    [
        ("planned", ModelUnavailable("model m is missing", "model:m"), "model:m"),
        ("planned", RouteUnavailable("route r is refused", "route:r"), "route:r"),
        ("planned", RuntimeError("nobody foresaw this"), "route:"),
        ("analysed", RouteUnavailable("model m is broken", "model:m"), "model:m"),
        ("analysed", ModelUnavailable("its file has just gone"), "route:default"),
    ],
)
def test_an_installation_that_must_be_mended_spends_no_attempt_and_then_it_runs(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch, when: str, error: Exception, cause: str
) -> None:
    worker = make_worker(max_attempts=2)
    event = drop(worker, "a.jpg", jpeg())

    def refused(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        place: tuple[object, str] = (Routes, "match") if when == "planned" else (engine, "analyze")
        patch.setattr(*place, refused)
        for _ in range(3):
            assert worker.handle(event) == Outcome("waiting")
            assert sweep(worker, 60).failed == 0
    waiting = receipt(worker, "a.jpg")
    assert (waiting.state, waiting.attempt, waiting.key, waiting.cause) == ("waiting", 0, "", cause)
    assert str(error) in waiting.reason and waiting.until
    assert names(worker, ERRORS) == names(worker, RESULTS) == []
    assert sweep(worker, 60).processed == 1
    assert receipt(worker, "a.jpg").attempt == 1


def test_a_model_that_fails_on_this_file_alone_is_recorded_after_its_attempts(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(max_attempts=2)
    event = drop(worker, "a.jpg", jpeg())

    def fails(*_: Any, **__: Any) -> Any:
        raise BadModel("the model failed on 1x3x64x64")

    monkeypatch.setattr(engine, "analyze", fails)
    with pytest.raises(BadModel):
        worker.handle(event)
    assert receipt(worker, "a.jpg").state == "retry"
    assert worker.handle(event) == Outcome("failed", 2)
    assert document(worker, ERRORS, "a.jpg.json")["error"]["class"] == "BadModel"


def _deliver(connection_string: str, together: Any, outcomes: Any) -> None:
    # In a child process: a second instance of the app that gets the same event at the same moment.
    os.environ["STORAGE_CONNECTION"] = "THE_ACCOUNT"
    os.environ["THE_ACCOUNT"] = connection_string
    worker = instance.default_worker()
    together.wait(60)
    outcome = worker.handle(BlobEvent(UPLOADS, "a.jpg"))
    outcomes.put((outcome.status, outcome.attempt))


@pytest.mark.slow
def test_delivered_to_two_processes_at_once_it_is_analysed_once(worker: UploadWorker, account: str) -> None:
    drop(worker, "a.jpg", jpeg())
    context = multiprocessing.get_context("spawn")
    together, outcomes = context.Barrier(2), context.Queue()
    children = [context.Process(target=_deliver, args=(account, together, outcomes)) for _ in range(2)]
    for child in children:
        child.start()
    found = sorted(outcomes.get(timeout=60) for _ in children)
    for child in children:
        child.join(60)
    assert found in ([("busy", 0), ("done", 1)], [("done", 0), ("done", 1)])
    assert document(worker, RESULTS, "a.jpg/result.json")["status"] == "ok"


def _die_in_the_middle(connection_string: str) -> None:
    # In a child process: takes the upload and is killed while it analyses it, as by the out-of-memory killer.
    os.environ["STORAGE_CONNECTION"] = "THE_ACCOUNT"
    os.environ["THE_ACCOUNT"] = connection_string
    os.environ["LEASE_SECONDS"] = "2"
    vars(engine)["analyze"] = lambda *_, **__: os.kill(os.getpid(), 9)
    instance.on_blob(UPLOADS, "a.jpg", lambda: None)


def kill_a_worker(account: str) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_die_in_the_middle, args=(account,))
    child.start()
    child.join(60)
    assert child.exitcode == -9


def until_the_lease_is_dead(worker: UploadWorker, name: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        stored = worker.ledger.read(name)
        assert stored
        if stored.age_s >= stored.receipt.lease_s:
            return
        time.sleep(0.2)
    raise AssertionError("the lease did not end")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_the_next_delivery_picks_up_what_a_killed_worker_left(worker: UploadWorker, account: str) -> None:
    event = drop(worker, "a.jpg", jpeg())
    kill_a_worker(account)
    assert receipt(worker, "a.jpg").state == "working"
    assert worker.handle(event).status == "busy"
    until_the_lease_is_dead(worker, "a.jpg")
    assert worker.handle(event) == Outcome("done", 2)
    assert document(worker, RESULTS, "a.jpg/result.json")["status"] == "ok"


@pytest.mark.slow
def test_what_kills_every_worker_is_recorded_after_its_attempts(
    make_worker: Callable[..., UploadWorker], analyses: list[str]
) -> None:
    worker = make_worker(max_attempts=2, lease_seconds=1)
    event = drop(worker, "bomb.jpg", jpeg())
    head = worker.storage.head(UPLOADS, "bomb.jpg")
    assert head
    for _ in range(3):  # workers that took it and were never heard of again, the last two with nothing beside it
        claim = worker.ledger.claim("bomb.jpg", head.etag, lambda override: worker.planner.plan(head, override))
        assert isinstance(claim, Claim)
        assert not claim.receipt.suspect or worker.ledger.runs_alone(claim)
        until_the_lease_is_dead(worker, "bomb.jpg")
    assert worker.handle(event) == Outcome("failed", 3)
    assert "ended without a word" in document(worker, ERRORS, "bomb.jpg.json")["error"]["message"]
    assert analyses == []


@pytest.mark.slow
def test_killed_between_the_last_two_writes_the_work_is_not_done_again(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, analyses: list[str]
) -> None:
    worker.handle(drop(worker, "a.jpg", b"not a picture"))
    event = drop(worker, "a.jpg", jpeg())
    with monkeypatch.context() as patch:
        patch.setattr(worker.ends, "complete", lambda *_: "ok")  # killed before it could note its result
        worker.handle(event)
    assert receipt(worker, "a.jpg").state == "working"
    until_the_lease_is_dead(worker, "a.jpg")
    assert worker.handle(event) == Outcome("done", 2)
    assert analyses == ["a.jpg"]
    assert receipt(worker, "a.jpg").state == "done"
    assert names(worker, ERRORS) == []


@pytest.mark.slow
def test_a_replay_that_was_killed_does_not_end_with_the_result_that_it_was_to_replace(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, analyses: list[str]
) -> None:
    event = drop(worker, "a.jpg", jpeg())
    worker.handle(event)
    old = document(worker, RESULTS, "a.jpg/result.json")["artifacts"]

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(worker, "published", killed)
        worker.handle(replace(event, cause="replay"))
    stored = worker.ledger.read("a.jpg")
    assert stored and stored.receipt.state == "working"
    worker.ledger.store.replace(replace(stored.receipt, lease_s=0.0), stored.version)
    assert worker.handle(event).status == "done"
    assert (analyses, document(worker, RESULTS, "a.jpg/result.json")["artifacts"] == old) == (["a.jpg"] * 2, False)


def test_the_document_is_written_last_and_readers_never_see_a_part(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = worker.storage.write

    def write(container: str, name: str, *args: Any, **options: Any) -> str:
        order.append(f"{container}/{name.rsplit('/', 1)[1]}")
        return real(container, name, *args, **options)

    monkeypatch.setattr(worker.storage, "write", write)
    worker.handle(drop(worker, "a/a.jpg", jpeg(), dropsight_route="classify"))
    assert order == ["uploads/a.jpg", "state/a.jpg", "results/annotated.jpg", "results/result.json", "state/a.jpg"]
