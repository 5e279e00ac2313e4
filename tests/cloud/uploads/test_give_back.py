"""A stopped ledger gives back what it holds: no attempt is spent, nothing is published, and the next one has it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.uploads import publish
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.ledger import Claim, Ledger, Stopping
from cloud.uploads.receipts import Receipt
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import StorageUnavailable
from inference.routes_file import SIDECAR
from tests.cloud.helpers import document, drop, during_analysis, jpeg, names, receipt
from tests.cloud.uploads.memory_receipts import MemoryReceipts
from tests.cloud.uploads.test_ledger import Todo, claimed, plan
from tests.processes import eventually


@pytest.fixture
def store() -> MemoryReceipts:
    return MemoryReceipts()


def claim_of(ledger: Ledger, name: str = "a.jpg") -> Claim[Todo]:
    return claimed(ledger.claim(name, "e1", plan("e1")))


def kept(ledger: Ledger, name: str = "a.jpg") -> Receipt:
    stored = ledger.read(name)
    assert stored
    return stored.receipt


def test_what_is_held_is_given_back_and_the_next_one_has_it_at_once(store: MemoryReceipts) -> None:
    stopped, other = Ledger(store, lease_s=60), Ledger(store, lease_s=60)
    stopped.finish(claim_of(stopped), "retry", reason="storage was away")
    claim = claim_of(stopped)
    assert claim.receipt.attempt == 2
    with stopped.hold(claim):
        stopped.stop()
        found = kept(stopped)
        assert (found.state, found.attempt, found.reason) == ("retry", 1, "storage was away")
        assert stopped.claim("a.jpg", "e1", plan("e1")) == "busy"
        again = claim_of(other)
        assert (again.receipt.attempt, again.receipt.reason) == (2, "storage was away")
        # The first worker goes on, and notices nothing until its end.
        assert stopped.complete(claim, "x") == "lost"
        stopped.renew(claim)
        assert kept(other).owner == again.receipt.owner
    assert other.complete(again, "y") == "ok"


def test_a_claim_that_was_given_back_is_lost_although_nobody_has_it_yet(store: MemoryReceipts) -> None:
    ledger = Ledger(store, lease_s=60)
    claim = claim_of(ledger)
    with ledger.hold(claim):
        ledger.stop()
        assert [ledger.complete(claim, "e1"), ledger.wait(claim, "disk", "full", None)] == ["lost", "lost"]
    assert kept(ledger).state == "retry"


def test_what_ended_before_stays_ended_and_is_said_once(store: MemoryReceipts) -> None:
    ledger = Ledger(store, lease_s=60)
    claim = claim_of(ledger)
    with ledger.hold(claim):
        assert ledger.complete(claim, "x") == "ok"
        ledger.stop()
        ledger.stop()
        assert (kept(ledger).state, claim.given_back) == ("done", False)


def test_a_claim_that_was_granted_in_the_moment_of_the_stop_is_given_back_too(store: MemoryReceipts) -> None:
    ledger = Ledger(store, lease_s=60)
    claim = claim_of(ledger)
    ledger.stop()  # which does not know of the claim yet
    assert kept(ledger).state == "working"
    with ledger.hold(claim):
        assert (kept(ledger).state, kept(ledger).attempt, claim.given_back) == ("retry", 0, True)


def test_a_sidecar_that_came_meanwhile_is_kept(store: MemoryReceipts) -> None:
    ledger = Ledger(store, lease_s=60)
    with ledger.hold(claim_of(ledger)):
        ledger.override("a.jpg", "steps = []")
        ledger.stop()
    assert (kept(ledger).state, kept(ledger).attempt, kept(ledger).override) == ("retry", 0, "steps = []")


def test_one_whose_storage_does_not_answer_keeps_nobody_else_waiting(
    store: MemoryReceipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(store, lease_s=60)
    released, real = threading.Event(), store.replace

    def replace(receipt: Receipt, version: str) -> str:
        if receipt.name == "a.jpg":
            released.wait(30)
            raise StorageUnavailable("no answer")
        return real(receipt, version)

    monkeypatch.setattr(store, "replace", replace)
    silent, other = claim_of(ledger), claim_of(ledger, "b.jpg")
    with ledger.hold(silent), ledger.hold(other):
        stop = threading.Thread(target=ledger.stop)
        stop.start()
        while kept(ledger, "b.jpg").state != "retry":
            assert stop.is_alive()
        assert silent.given_back  # it is known at once that nothing of it is to be published
        released.set()
        stop.join(30)
    assert kept(ledger).state == "working"  # its lease ends by itself


def test_a_receipt_that_is_held_keeps_none_from_being_given_back(
    store: MemoryReceipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, real = Ledger(store, lease_s=0.04), store.replace
    held, other = claim_of(ledger, "held.jpg"), claim_of(ledger)
    outage = {"held.jpg", "a.jpg"}

    def replace(receipt: Receipt, version: str) -> str:
        if receipt.name in outage:
            raise StorageUnavailable("a lease")
        return real(receipt, version)

    monkeypatch.setattr(store, "replace", replace)
    for claim in (held, other):
        ledger.give_back_later(claim, "an outage")
    outage.remove("a.jpg")
    eventually(lambda: kept(ledger).state == "retry", "the other to be given back")
    assert kept(ledger, "held.jpg").state == "working"
    outage.clear()
    eventually(lambda: kept(ledger, "held.jpg").state == "retry", "the held one to be given back")


def test_a_sweep_that_is_stopped_leaves_the_rest_to_the_next_one(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.jpg"):
        drop(worker, name, jpeg())
    during_analysis(monkeypatch, worker.ledger.stop)
    report = sweep(worker, 60)
    assert (report.failed, report.left + report.processed, report.complete) == (0, 2, False)
    assert names(worker, ERRORS) == [] and report.left


@pytest.mark.slow
def test_an_upload_in_work_is_raised_so_that_the_host_delivers_it_again(
    make_worker: Callable[..., UploadWorker], analyses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, other = make_worker(max_attempts=1), make_worker(max_attempts=1)
    event = drop(stopped, "a.jpg", jpeg())
    during_analysis(monkeypatch, stopped.ledger.stop)
    with pytest.raises(Stopping):
        stopped.handle(event)
    assert (names(stopped, RESULTS), names(stopped, ERRORS)) == ([], [])
    assert (receipt(stopped, "a.jpg").state, receipt(stopped, "a.jpg").attempt) == ("retry", 0)
    with pytest.raises(Stopping):  # and what comes now is not taken, and its message not deleted
        stopped.handle(event)
    assert sweep(stopped, 60).left == 1
    assert other.handle(event) == Outcome("done", 1)
    assert document(other, RESULTS, "a.jpg/result.json")["status"] == "ok"
    assert analyses == ["a.jpg", "a.jpg"]


@pytest.mark.slow
def test_a_failure_after_the_stop_is_recorded_by_nobody(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = make_worker(max_attempts=1)
    event = drop(stopped, "a.jpg", jpeg())

    def fails() -> None:
        stopped.ledger.stop()
        raise MemoryError

    during_analysis(monkeypatch, fails)
    with pytest.raises(Stopping):
        stopped.handle(event)
    assert names(stopped, ERRORS) == [] and receipt(stopped, "a.jpg").attempt == 0


@pytest.mark.slow
def test_a_result_that_was_published_in_the_moment_of_the_stop_is_done(
    worker: UploadWorker, analyses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    event, real = drop(worker, "a.jpg", jpeg()), publish.publish

    def published(*args: Any, **options: Any) -> publish.Published:
        result = real(*args, **options)
        for claim, _ in worker.ledger.leases.held.values():
            claim.given_back = True  # marked, and the receipt not yet written
        return result

    monkeypatch.setattr(publish, "publish", published)
    with pytest.raises(Stopping):
        worker.handle(event)
    assert receipt(worker, "a.jpg").state == "done" and analyses == ["a.jpg"]


@pytest.mark.slow
def test_the_upload_of_a_sidecar_in_work_is_given_back_with_it(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, other = make_worker(), make_worker()
    drop(stopped, "a.jpg", jpeg())
    sidecar = f"a.jpg{SIDECAR}"
    drop(stopped, sidecar, b'route = "default"')
    during_analysis(monkeypatch, stopped.ledger.stop)
    with pytest.raises(Stopping):
        stopped.handle(BlobEvent(UPLOADS, sidecar))
    assert {receipt(stopped, name).state for name in ("a.jpg", sidecar)} == {"retry"}
    assert other.handle(BlobEvent(UPLOADS, sidecar)).status == "done"
    assert {receipt(other, name).state for name in ("a.jpg", sidecar)} == {"done"}
