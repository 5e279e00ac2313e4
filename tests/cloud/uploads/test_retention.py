"""What is kept for how long: nothing that was not analysed is lost, and what is over is not made again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud.__main__ import main
from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Storage
from cloud.uploads import retention
from cloud.uploads.events import BlobEvent
from cloud.uploads.replay import Filters, Selection
from cloud.uploads.retention import Retention
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from cloud.web.no_result import no_result
from inference.errors import BadRoute
from inference.routes_file import parse_routes
from tests.cloud.conftest import ROUTES
from tests.cloud.helpers import document, drop, jpeg, names, receipt

pytestmark = pytest.mark.slow

Make = Callable[..., UploadWorker]
SHORT = 1.0  # days


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is three days later."""
    monkeypatch.setattr(retention, "GONE_S", 0.0)
    monkeypatch.setattr(Retention, "_is_older", staticmethod(lambda upload, days: 0 < days < 3))


def artifacts(worker: UploadWorker) -> list[str]:
    return [name for name in names(worker, RESULTS) if not name.endswith("/result.json")]


def test_without_a_setting_nothing_is_listed(worker: UploadWorker, calls: Any) -> None:
    calls.seen.clear()
    assert Retention(worker).run(60) is None and len(calls) == 0


def test_what_came_of_deleted_uploads_goes_and_all_else_stays(make_worker: Make) -> None:
    worker = make_worker(delete_results_with_uploads=True)
    for name in ("a.jpg", "b/odd..", "bad.jpg", "kept.jpg", "a.jpg/b.jpg"):
        drop(worker, name, b"no picture" if "bad" in name else jpeg())
    sweep(worker, 60)
    for name in ("a.jpg", "b/odd..", "bad.jpg"):
        worker.storage.delete(UPLOADS, name)
    before = {name for name in names(worker, RESULTS) if name.startswith(("kept.jpg/", "a.jpg/b.jpg/"))}
    mark = Retention(worker).run(60, page_size=2)
    assert mark and (mark.done, mark.deleted, mark.expired) == (True, 3, 0)
    assert set(names(worker, RESULTS)) == before and names(worker, ERRORS) == []
    left = [name for name in names(worker, STATE) if name.startswith("receipts/")]
    assert left == ["receipts/a.jpg/b.jpg", "receipts/kept.jpg"]
    assert sweep(worker, 60).unfinished == 0


def test_an_upload_that_comes_back_is_analysed_by_the_route_of_its_sidecar(make_worker: Make) -> None:
    worker = make_worker(delete_results_with_uploads=True)
    drop(worker, "a.jpg", jpeg())
    drop(worker, "a.jpg.route.toml", b'route = "classify"')
    sweep(worker, 60)
    worker.storage.delete(UPLOADS, "a.jpg")
    for _ in range(2):
        Retention(worker).run(60, now=True)
        assert names(worker, RESULTS) == []
    worker.handle(drop(worker, "a.jpg", jpeg()))
    assert document(worker, RESULTS, "a.jpg/result.json")["route"] == "classify"


def test_over_its_time_a_result_goes_and_neither_sweep_nor_replay_brings_it_back(
    make_worker: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = make_worker(retention_days=SHORT)
    for name in ("a.jpg", "bad.jpg"):
        drop(worker, name, b"no picture" if "bad" in name else jpeg())
    drop(worker, "night/a.jpg", jpeg())  # waits for its slot
    sweep(worker, 60)
    mark = Retention(worker).run(60)
    assert mark and (mark.done, mark.expired) == (True, 2)
    assert names(worker, RESULTS) == names(worker, ERRORS) == []
    assert names(worker, UPLOADS) == ["a.jpg", "bad.jpg", "night/a.jpg"]
    assert receipt(worker, "night/a.jpg").state == "waiting"
    assert sweep(worker, 60).unfinished == 0 and worker.handle(BlobEvent(UPLOADS, "a.jpg")).attempt == 0
    assert "kept as long as" in no_result(worker.storage, worker.ledger, "a.jpg").message
    # WHEN it is replayed without a filter, only what failed is tried again; with one, what is asked for
    monkeypatch.setattr("cloud.instance.default_worker", lambda: worker)
    taken = {(): ["bad.jpg"], ("--missing",): [], ("--changed",): [], ("--expired",): ["a.jpg", "bad.jpg"]}
    worker.planner.routes = parse_routes(ROUTES.replace('model = "sketch"', 'model = "sketch", name = "x"'), "routes")
    for filters, expected in taken.items():
        capsys.readouterr()
        main(["replay", "--here", "--dry-run", *filters, "*.jpg"])
        assert capsys.readouterr().out.split() == expected, filters
    main(["replay", "--here", "--expired", "a.jpg"])
    assert document(worker, RESULTS, "a.jpg/result.json") and not receipt(worker, "a.jpg").expired


def test_uploads_go_too_where_they_were_analysed(make_worker: Make) -> None:
    worker = make_worker(retention_days=SHORT, retention_deletes_uploads=True)
    for name in ("a.jpg", "bad.jpg"):
        drop(worker, name, b"no picture" if "bad" in name else jpeg())
    drop(worker, "b.jpg", jpeg())
    drop(worker, "b.jpg.route.toml", b'route = "classify"')
    drop(worker, "a.jpg.route.toml", b"")
    sweep(worker, 60)
    worker.storage.service.get_blob_client(UPLOADS, "a.jpg").create_snapshot()
    drop(worker, "new.jpg", jpeg())
    Retention(worker).run(60)
    assert names(worker, UPLOADS) == ["bad.jpg", "new.jpg"]
    receipts = [name for name in names(worker, STATE) if name.startswith("receipts/")]
    assert receipts == ["receipts/bad.jpg"] and receipt(worker, "bad.jpg").state == "failed"


def test_a_route_says_how_long_its_uploads_are_kept(make_worker: Make) -> None:
    worker = make_worker(retention_days=SHORT)
    for name in ("a.jpg", "short.jpg"):
        drop(worker, name, jpeg())
    drop(worker, "for-ever.jpg", jpeg(), dropsight_route="classify")
    drop(worker, "sidecar.jpg", jpeg())
    drop(worker, "sidecar.jpg.route.toml", b'route = "classify"')
    sweep(worker, 60)
    text = ROUTES.replace('name = "classify"', 'name = "classify"\nretention_days = 0')
    digests = [route.digest(worker.registry) for route in worker.planner.routes.routes]
    worker.planner.routes = parse_routes(text.replace('name = "default"', 'name = "default"\nretention_days = 30'), "r")
    assert [route.digest(worker.registry) for route in worker.planner.routes.routes] == digests
    mark = Retention(worker).run(60)
    assert mark and mark.expired == 0
    worker.planner.routes = parse_routes(text, "routes")
    mark = Retention(worker).run(60, now=True)
    assert mark and mark.expired == 2
    assert [name.split("/")[0] for name in names(worker, RESULTS) if name.endswith("/result.json")] == [
        "for-ever.jpg", "sidecar.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize(("setting", "of_route"), [(SHORT, 0), (0.0, SHORT)])
def test_a_route_holds_for_what_its_uploads_leave_when_they_are_deleted(
    make_worker: Make, monkeypatch: pytest.MonkeyPatch, setting: float, of_route: float, edited: bool
) -> None:
    monkeypatch.setattr(retention, "_DAY_S", -1.0)
    worker = make_worker(retention_days=setting)
    drop(worker, "a.jpg", jpeg())
    drop(worker, "b.jpg", jpeg(), dropsight_route="classify")  # which only its result says once it is gone
    sweep(worker, 60)
    for name in ("a.jpg", "b.jpg"):
        worker.storage.delete(UPLOADS, name)
    text = ROUTES.replace('name = "classify"', f'name = "classify"\nretention_days = {of_route}')
    worker.planner.routes = parse_routes(text.replace("threshold = 0 ", "threshold = 0.5 ") if edited else text, "r")
    Retention(worker).run(60)
    left = [name for name in names(worker, RESULTS) if name.endswith("/result.json")]
    assert left == (["b.jpg/result.json"] if setting else ["a.jpg/result.json"])


@pytest.mark.parametrize("days", ["-1", "1e9", "nan"])
def test_a_time_that_is_none_is_refused(days: str) -> None:
    text = ROUTES.replace('name = "default"', f'name = "default"\nretention_days = {days}')
    with pytest.raises(BadRoute, match="retention_days"):
        parse_routes(text, "routes")


def test_an_upload_whose_route_cannot_be_had_and_one_with_a_route_of_its_own(make_worker: Make) -> None:
    worker = make_worker(retention_days=SHORT)
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    kept, info = Retention(worker), BlobInfo("a.jpg", "e", 1, moment, moment)
    own = '[[route]]\nname = "own"\nretention_days = 0\nsteps = [{ model = "sketch" }]'
    assert kept.days_of(info, own) == kept.days_of(info, None) == kept.days_of(None, None) == SHORT
    for broken in ("[", 'route = "nowhere"', "x = " + "[" * 3000):
        assert kept.days_of(info, broken) == 0  # nobody knows what it would say


def test_by_the_storages_clock_it_is_over_only_after_that_many_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    written = datetime(2026, 5, 1, tzinfo=UTC)

    def is_older(days: float, hours: float) -> bool:
        return Retention._is_older(BlobInfo("a", "e", 1, written, written + timedelta(hours=hours)), days)

    assert is_older(30, 720) and not is_older(30, 719) and not is_older(0, 240_000)


@pytest.mark.parametrize("dies_at", ["result", "receipt"])
def test_a_pass_that_dies_is_done_again(make_worker: Make, monkeypatch: pytest.MonkeyPatch, dies_at: str) -> None:
    worker = make_worker(retention_days=SHORT)
    worker.handle(drop(worker, "a.jpg", jpeg()))

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        if dies_at == "receipt":
            patch.setattr(worker.ledger.store, "replace", killed)
        else:  # the artifacts are still there
            patch.setattr("cloud.uploads.pieces._artifacts", killed)
        with pytest.raises(Killed):
            Retention(worker).run(60)
    assert not worker.storage.head(RESULTS, "a.jpg/result.json") and receipt(worker, "a.jpg").expired == ""
    Retention(worker).run(60)
    assert names(worker, RESULTS) == [] and receipt(worker, "a.jpg").expired


def test_what_is_made_anew_meanwhile_is_kept(make_worker: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make_worker(retention_days=SHORT, retention_deletes_uploads=True)
    worker.handle(drop(worker, "a.jpg", jpeg()))
    real, left = Storage.delete, [1]

    def delete(self: Storage, container: str, name: str, *given: Any, **more: Any) -> bool:
        if left and name == "a.jpg/result.json":
            left.pop()
            worker.handle(drop(worker, "a.jpg", jpeg(1)))  # another version, analysed in between
        return real(self, container, name, *given, **more)

    monkeypatch.setattr(Storage, "delete", delete)
    mark = Retention(worker).run(60)
    assert mark and mark.expired == 0
    found = document(worker, RESULTS, "a.jpg/result.json")
    assert found["source"]["etag"] == receipt(worker, "a.jpg").etag
    assert all(worker.storage.head(RESULTS, f"a.jpg/{path}") for path in found["artifacts"].values())


def test_files_of_an_answer_that_is_made_anew_meanwhile_are_kept(
    make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(retention_days=SHORT)
    worker.handle(drop(worker, "a.jpg", jpeg()))
    real, left = Storage.folders, [1]

    def folders(self: Storage, *given: Any) -> list[str]:
        if left:
            left.pop()
            worker.handle(BlobEvent(UPLOADS, "a.jpg", "replay"))
        return real(self, *given)

    monkeypatch.setattr(Storage, "folders", folders)
    mark = Retention(worker).run(60)
    assert mark and mark.expired == 0
    found = document(worker, RESULTS, "a.jpg/result.json")
    assert all(worker.storage.head(RESULTS, f"a.jpg/{path}") for path in found["artifacts"].values())


def test_a_pass_stops_in_time_and_the_next_one_goes_on(make_worker: Make) -> None:
    worker = make_worker(retention_days=SHORT)
    for number in range(5):
        drop(worker, f"{number}.jpg", jpeg())
    sweep(worker, 60)
    marks = [Retention(worker).run(0, page_size=2) for _ in range(3)]
    assert [(mark.done, mark.expired) for mark in marks if mark] == [(False, 2), (False, 4), (True, 5)]
    assert Retention(worker).run(60) is None  # a moment ago


def test_a_mark_that_is_none_begins_anew(make_worker: Make) -> None:
    worker = make_worker(retention_days=SHORT)
    worker.handle(drop(worker, "a.jpg", jpeg()))
    for content in (b"[", b"[]", b'{"done": 7}'):
        worker.storage.write(STATE, f"retention/{worker.ledger.deployment}.json", content)
        mark = Retention(worker).run(60)
        assert mark and mark.done


def test_expired_results_are_not_counted_as_outdated(make_worker: Make) -> None:
    worker = make_worker(retention_days=SHORT)
    worker.handle(drop(worker, "a.jpg", jpeg()))
    Retention(worker).run(60)
    worker.planner.routes = parse_routes(ROUTES.replace('model = "sketch"', 'model = "sketch", name = "x"'), "routes")
    stored = worker.ledger.read("a.jpg")
    assert stored and not Selection(worker, Filters(changed=True, missing=True)).again(stored.receipt, "another")
    sweep(worker, 60)
    [count] = [n for n in names(worker, STATE) if n.startswith("outdated/")]
    assert document(worker, STATE, count)["finished"] == 0
