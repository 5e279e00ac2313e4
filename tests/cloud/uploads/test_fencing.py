"""Whoever lost the lease does not publish: two workers on one upload, in both orders, and what each leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

import inference.analysis as engine
from cloud.settings import ERRORS, RESULTS
from cloud.storage.blobs import BlobHeld
from cloud.uploads import publish
from cloud.uploads.ledger import Claim
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import CorruptMedia, StorageUnavailable
from tests.cloud.helpers import document, drop, jpeg, names, receipt

pytestmark = pytest.mark.slow

Frozen = Callable[..., None]


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Frozen:
    """Makes a worker stand still before its first call of storage of a kind, until `act` has run."""

    def freeze(worker: UploadWorker, method: str, container: str, act: Callable[[], object], ending: str = "") -> None:
        real, left = getattr(worker.storage, method), [act]

        def call(place: str, name: str, *args: Any, **options: Any) -> Any:
            if left and place == container and name.endswith(ending):
                left.pop()()
            return real(place, name, *args, **options)

        monkeypatch.setattr(worker.storage, method, call)

    return freeze


def dies_silently(worker: UploadWorker, name: str) -> None:
    """The lease of whoever has the upload is over, though it is still at it."""
    stored = worker.ledger.read(name)
    assert stored
    worker.ledger.store.replace(replace(stored.receipt, lease_s=0.0), stored.version)


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("same_key", [False, True])
def test_a_worker_that_wakes_after_the_holder_is_done_leaves_its_result(
    make_worker: Callable[..., UploadWorker], frozen: Frozen, earlier: bool, same_key: bool
) -> None:
    slow, holder = make_worker(lease_seconds=60), make_worker()
    if earlier:
        slow.handle(drop(slow, "a.jpg", jpeg(9)))
    event, seen = drop(slow, "a.jpg", jpeg()), []

    def holder_takes_over() -> None:
        dies_silently(slow, "a.jpg")
        if not same_key:
            drop(holder, "a.jpg", jpeg(2))
        assert holder.handle(event).status == "done"
        seen.append({name: holder.storage.head(RESULTS, name) for name in names(holder, RESULTS)})

    frozen(slow, "write", RESULTS, holder_takes_over, "result.json")
    assert slow.handle(event).status == "done"
    [before] = seen
    after = {name: holder.storage.head(RESULTS, name) for name in names(holder, RESULTS)}
    assert set(after) == set(before)
    result = "a.jpg/result.json"
    assert after[result] and after[result].etag == before[result].etag  # type: ignore[union-attr]
    assert receipt(holder, "a.jpg").key == after["a.jpg/result.json"].metadata["key"]  # type: ignore[union-attr]


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("same_key", [False, True])
def test_the_end_is_the_holders_also_where_a_loser_writes_first(
    make_worker: Callable[..., UploadWorker], frozen: Frozen, earlier: bool, same_key: bool
) -> None:
    slow, holder = make_worker(lease_seconds=60), make_worker(lease_seconds=60)
    if earlier:
        slow.handle(drop(slow, "a.jpg", jpeg(9)))
    event = drop(slow, "a.jpg", jpeg())

    def holder_begins() -> None:
        dies_silently(slow, "a.jpg")
        if not same_key:
            drop(holder, "a.jpg", jpeg(2))

        # The holder stands still in its turn, before its document, and the slow one goes on to its end.
        frozen(holder, "write", RESULTS, lambda: None, "result.json")
        claim = holder.ledger.claim("a.jpg", holder.storage.head("uploads", "a.jpg").etag, plan_for(holder))  # type: ignore[union-attr]
        assert isinstance(claim, Claim)
        holding.append(claim)

    holding: list[Claim[Any]] = []
    frozen(slow, "write", RESULTS, holder_begins, "result.json")
    slow.handle(event)
    reading = holder.storage.open("uploads", "a.jpg")
    assert reading
    analysis = holder.analyze(reading.read(10**8), holding[0].plan.route, engine_source(reading), "t", artifacts=True)
    published = publish.publish(
        holder.storage, holding[0].receipt, analysis, partial(holder.ends.check_ours, holding[0])
    )
    assert holder.ends.complete(holding[0], published) == "ok"
    stored = receipt(holder, "a.jpg")
    result = holder.storage.head(RESULTS, "a.jpg/result.json")
    assert result and (stored.state, stored.key) == ("done", result.metadata["key"])
    folders = {name.split("/")[1] for name in names(holder, RESULTS) if name.count("/") > 1}
    assert folders == {stored.folder}
    assert set(document(holder, RESULTS, "a.jpg/result.json")["artifacts"].values()) <= {
        name.removeprefix("a.jpg/") for name in names(holder, RESULTS)
    }


def plan_for(worker: UploadWorker) -> Callable[[str | None], Any]:
    info = worker.storage.head("uploads", "a.jpg")
    assert info
    return lambda override: worker.planner.plan(info, override)


def engine_source(reading: Any) -> Any:
    from inference.results.result import Source

    return Source("uploads", reading.info.name, reading.info.etag, reading.info.size)


def test_a_loser_leaves_the_files_of_a_holder_who_writes_the_same(
    make_worker: Callable[..., UploadWorker], frozen: Frozen
) -> None:
    slow, holder = make_worker(lease_seconds=60), make_worker(lease_seconds=60)
    event = drop(slow, "a.jpg", jpeg())

    def takes_over_and_stops_before_its_document() -> None:
        dies_silently(slow, "a.jpg")
        thread.start()
        assert wrote_files.wait(60)

    def until_the_slow_one_wrote_the_same_files() -> None:
        wrote_files.set()
        assert wrote_same_files.wait(60)

    def holder_goes_on() -> None:
        wrote_same_files.set()
        thread.join()

    wrote_files, wrote_same_files = threading.Event(), threading.Event()
    thread = threading.Thread(target=holder.handle, args=(event,))
    frozen(slow, "write", RESULTS, takes_over_and_stops_before_its_document, ".jpg")
    frozen(holder, "write", RESULTS, until_the_slow_one_wrote_the_same_files, "result.json")
    frozen(slow, "write", RESULTS, holder_goes_on, "result.json")
    slow.handle(event)
    named = document(holder, RESULTS, "a.jpg/result.json")["artifacts"].values()
    assert named and {f"a.jpg/{name}" for name in named} <= set(names(holder, RESULTS))


def test_a_loser_leaves_the_error_record_of_the_holder(
    make_worker: Callable[..., UploadWorker], frozen: Frozen
) -> None:
    slow, holder = make_worker(lease_seconds=60), make_worker()
    event = drop(slow, "a.jpg", b"this is no picture")

    def holder_fails_first() -> None:
        dies_silently(slow, "a.jpg")
        assert holder.handle(event).status == "failed"

    frozen(slow, "write_json", ERRORS, holder_fails_first)
    slow.handle(event)
    assert (receipt(holder, "a.jpg").state, names(holder, ERRORS)) == ("failed", ["a.jpg.json"])


def test_a_death_between_error_record_and_receipt_leaves_no_record_beside_a_result(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(max_attempts=2)
    event = drop(worker, "a.jpg", jpeg())
    with monkeypatch.context() as patch:
        patch.setattr(engine, "analyze", raises(CorruptMedia("not today")))
        patch.setattr(worker.ledger, "finish", lambda *_, **__: "ok")
        worker.handle(event)
    assert (names(worker, ERRORS), receipt(worker, "a.jpg").state) == (["a.jpg.json"], "working")
    dies_silently(worker, "a.jpg")
    assert worker.handle(event).status == "done"
    assert names(worker, ERRORS) == []


def test_a_newer_version_that_fails_takes_the_older_result_away_and_another_route_does_not(
    make_worker: Callable[..., UploadWorker],
) -> None:
    worker = make_worker()
    worker.handle(drop(worker, "a.jpg", jpeg()))
    worker.handle(drop(worker, "a.jpg", b"no picture"))
    assert (names(worker, RESULTS), names(worker, ERRORS)) == ([], ["a.jpg.json"])
    worker.handle(drop(worker, "a.jpg", jpeg()))
    there = names(worker, RESULTS)
    worker.handle(drop(worker, "a.jpg.route.toml", b'route = "there is none of this name"'))
    assert (names(worker, RESULTS), names(worker, ERRORS)) == (there, ["a.jpg.json"])
    worker.handle(drop(worker, "a.jpg.route.toml", b'route = "classify"'))
    assert (len(names(worker, RESULTS)), names(worker, ERRORS)) == (len(there), [])
    assert document(worker, RESULTS, "a.jpg/result.json")["route"] == "classify"


@pytest.mark.parametrize("trouble", ["held", "outage"])
def test_old_files_that_cannot_be_deleted_fail_nobody_and_their_key_is_kept(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg()))
    old, real = receipt(worker, "a.jpg").folder, worker.storage.delete
    error = BlobHeld("a legal hold") if trouble == "held" else StorageUnavailable("503")

    def delete(container: str, name: str, **options: Any) -> bool:
        if f"/{old}/" in name:
            raise error
        return real(container, name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(worker.storage, "delete", delete)
        assert worker.handle(drop(worker, "a.jpg", jpeg(2))).status == "done"
    kept = receipt(worker, "a.jpg")
    assert (kept.state, kept.old_keys, kept.unsettled) == ("done", (old,), trouble == "outage")
    if trouble == "held":
        worker.handle(drop(worker, "a.jpg", jpeg(3)))
    else:
        monkeypatch.setattr("cloud.uploads.receipts._SETTLING_S", 0.0)
        assert sweep(worker, 60).unfinished == 1
        assert sweep(worker, 60).unfinished == 0
    assert not [name for name in names(worker, RESULTS) if f"/{old}/" in name]
    assert (receipt(worker, "a.jpg").old_keys, receipt(worker, "a.jpg").unsettled) == ((), False)


def test_an_error_record_that_is_held_fails_nobody_and_is_not_forgotten(worker: UploadWorker) -> None:
    event = drop(worker, "a.jpg", b"this is no picture")
    worker.handle(event)
    lease = worker.storage.service.get_blob_client(ERRORS, "a.jpg.json").acquire_lease(-1)
    drop(worker, "a.jpg", b"nor is this")
    with pytest.raises(BlobHeld):
        worker.handle(event)
    assert (worker.handle(event).status, receipt(worker, "a.jpg").attempt) == ("waiting", 0)
    assert sweep(worker, 60).unfinished == 0, "its time has not come"
    assert worker.handle(drop(worker, "a.jpg", jpeg())).status == "done"
    assert (names(worker, ERRORS), receipt(worker, "a.jpg").has_error) == (["a.jpg.json"], True)
    lease.release()
    assert worker.handle(drop(worker, "a.jpg", jpeg(2))).status == "done"
    assert (names(worker, ERRORS), receipt(worker, "a.jpg").has_error) == ([], False)


def raises(error: Exception) -> Callable[..., Any]:
    def function(*_: Any, **__: Any) -> Any:
        raise error

    return function
