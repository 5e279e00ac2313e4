"""The sweep counts which finished uploads would be answered otherwise today, at no call per upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cloud import health, instance
from cloud.settings import STATE
from cloud.storage import containers
from cloud.uploads.outdated import HOW, Digests, told
from cloud.uploads.sweep import SweepReport, sweep
from cloud.uploads.sweep_mark import MARK
from cloud.uploads.upload_worker import UploadWorker
from inference.routes_file import parse_routes
from tests.cloud.helpers import Calls, drop, during_analysis, jpeg
from tests.cloud.uploads.test_replay import OTHERWISE, forget_digest

pytestmark = pytest.mark.slow


@pytest.fixture
def shared_of_the_process() -> Iterator[None]:
    """What the health shares with the app, made anew for this test's account."""
    caches = (instance.default_worker, containers.default_storage)
    for made in caches:
        made.cache_clear()
    yield
    for made in caches:
        made.cache_clear()


def counted(worker: UploadWorker) -> dict[str, Any]:
    said = told(worker.storage)
    assert said.pop("counted_at")
    return said


def test_the_deep_health_says_how_many_are_outdated(
    worker: UploadWorker, calls: Calls, shared_of_the_process: None
) -> None:
    assert health.report()["outdated"]["counted_at"] is None
    drop(worker, "bad.jpg", b"not a picture")
    for number in range(4):
        drop(worker, f"{number}.jpg", jpeg(), **({"dropsight_route": "classify"} if number else {}))
    drop(worker, "3.jpg.route.toml", b'route = "default"')
    sweep(worker, 60)
    sweep(worker, 60)
    assert counted(worker) == {"count": 0, "of": 5, "unknown": 1, "how": HOW}  # a listing has no sidecar's text
    worker.planner.routes = parse_routes(OTHERWISE, "test routes")
    calls.seen.clear()
    sweep(worker, 60)
    assert len(calls) == 4
    report = health.report()
    assert (report["outdated"]["count"], report["outdated"]["of"]) == (2, 5)
    assert "changed since" in report["outdated"]["why"]  # the app of this process has other routes
    assert "outdated" not in report["errors"]


def test_a_count_goes_on_over_several_sweeps(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    for number in range(6):
        drop(worker, f"{number}.jpg", jpeg())
    sweep(worker, 60)
    drop(worker, "9.jpg", jpeg())
    worker.planner.routes = parse_routes(OTHERWISE, "test routes")
    monkeypatch.setattr("cloud.uploads.sweep.time.monotonic", lambda: now[0])
    reports: list[SweepReport] = []
    while not reports or not reports[-1].complete:
        # No time: a page a sweep, and the one with something to do twice.
        reports.append(sweep(worker, 0 if len(reports) < 4 else 60, page_size=2))
    assert len(reports) == 5 and reports[3].left == 1
    assert counted(worker) == {"count": 6, "of": 6, "how": HOW}


def test_with_priorities_each_upload_counts_once_over_several_sweeps(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        drop(worker, f"urgent/{number}.jpg", jpeg())
        drop(worker, f"later/{number}.jpg", jpeg())
    sweep(worker, 60)
    urgent = '[[route]]\nname = "urgent"\nmatch = "urgent/**"\npriority = 5\nsteps = [{ model = "sketch" }]\n'
    worker.planner.routes = parse_routes(urgent + OTHERWISE, "test routes")
    monkeypatch.setattr("cloud.uploads.sweep.time.monotonic", lambda: 0.0)
    sweeps = 0
    while not sweep(worker, 0 if sweeps < 3 else 60, page_size=2).complete:
        sweeps += 1  # out of time after a page: within a scan, or before one
        assert sweeps < 9
    assert sweeps >= 3
    assert counted(worker) == {"count": 6, "of": 6, "how": HOW}


def test_what_another_deployment_answered_is_not_outdated_but_said(
    worker: UploadWorker, make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(worker, "a.jpg", jpeg())
    sweep(worker, 60)
    monkeypatch.setenv("WEBSITE_SITE_NAME", "App")
    monkeypatch.setenv("WEBSITE_SLOT_NAME", "staging")
    other = make_worker()
    drop(other, "b.jpg", jpeg())
    drop(other, "c.jpg", jpeg(), dropsight_route="classify")  # which both answer alike
    sweep(other, 60)
    other.planner.routes = parse_routes(OTHERWISE, "test routes")
    sweep(other, 60)
    assert counted(other) == {"count": 1, "of": 3, "by_others": 1, "how": HOW}
    for name in ("WEBSITE_SITE_NAME", "WEBSITE_SLOT_NAME"):
        monkeypatch.delenv(name)
    sweep(worker, 60)
    assert counted(worker) == {"count": 0, "of": 3}


def test_two_deployments_whose_sweeps_take_turns_both_come_to_their_end(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.uploads.sweep.time.monotonic", lambda: 0.0)
    workers = {}
    for by in ("app", "app-staging", "paused"):
        monkeypatch.setenv("WEBSITE_SITE_NAME", by)
        workers[by] = make_worker(intake="paused" if by == "paused" else "on")
    for number in range(6):
        drop(workers["app"], f"{number}.jpg", jpeg())
    sweep(workers["app"], 1)
    for _ in range(3):
        ends = {by: sweep(worker, 0, page_size=2) for by, worker in workers.items()}
    assert ends["app"].complete and ends["app-staging"].complete
    for by in ("app", "app-staging"):
        monkeypatch.setenv("WEBSITE_SITE_NAME", by)
        assert counted(workers[by]) == {"count": 0, "of": 6}


def test_deployments_that_only_their_host_tells_apart_count_apart(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AzureFunctionsWebHost__hostid", "laptop7")
    one = make_worker()
    drop(one, "a.jpg", jpeg())
    sweep(one, 60)
    assert counted(one) == {"count": 0, "of": 0}  # as it was listed
    monkeypatch.setenv("AzureFunctionsWebHost__hostid", "laptop8")
    assert told(one.storage)["counted_at"] is None


@pytest.mark.parametrize("in_the_middle", ["of a sweep", "of a pass"])
def test_a_pass_in_which_routes_or_models_change_is_not_counted(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, in_the_middle: str
) -> None:
    for number in range(4):
        drop(worker, f"{number}.jpg", jpeg())
    sweep(worker, 60)
    before = told(worker.storage)
    drop(worker, "9.jpg", jpeg())
    otherwise = parse_routes(OTHERWISE, "test routes")

    def change() -> None:
        worker.planner.routes = otherwise

    if in_the_middle == "of a sweep":
        during_analysis(monkeypatch, change)
    else:
        sweep(worker, 0, page_size=2)
        assert worker.storage.head(STATE, MARK)
        change()
    assert sweep(worker, 60).complete
    today = Digests(worker.planner).fingerprint()
    assert told(worker.storage) == before and "changed since" in told(worker.storage, today)["why"]
    assert sweep(worker, 60).complete
    assert counted(worker)["count"] == (5 if in_the_middle == "of a sweep" else 4)
    assert "why" not in told(worker.storage, today)


@pytest.mark.parametrize("begun_by", ["an older version", "another deployment"])
def test_a_pass_that_others_have_begun_is_not_counted(worker: UploadWorker, begun_by: str) -> None:
    for number in range(4):
        drop(worker, f"{number}.jpg", jpeg())
    sweep(worker, 60)
    before = told(worker.storage)
    drop(worker, "9.jpg", jpeg())
    sweep(worker, 0, page_size=2)
    stored = worker.storage.read_json(STATE, MARK)
    assert stored and stored[0]["uploads"]
    mark = {key: stored[0][key] for key in ("uploads", "receipts")}
    if begun_by == "another deployment":
        mark = stored[0] | {"outdated": stored[0]["outdated"] | {"by": "app-staging"}}
    worker.storage.write_json(STATE, MARK, mark)
    assert sweep(worker, 60).complete
    assert told(worker.storage) == before
    assert sweep(worker, 60).complete
    assert counted(worker) == {"count": 0, "of": 5}


def test_receipts_without_a_digest_are_unknown(worker: UploadWorker) -> None:
    drop(worker, "a.jpg", jpeg())
    sweep(worker, 60)
    forget_digest(worker, "a.jpg")
    sweep(worker, 60)
    assert counted(worker) == {"count": 0, "of": 1, "unknown": 1, "how": HOW}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"outdated": null, "finished": 1, "unknown": 0}', b"\xff"])
def test_a_damaged_count_is_no_count(worker: UploadWorker, content: bytes) -> None:
    worker.storage.write(STATE, "outdated/local.json", content)
    assert told(worker.storage)["counted_at"] is None
