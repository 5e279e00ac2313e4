"""Uploads of a higher priority come first, over the whole listing; each is reached, and no listing is read in vain."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cloud.__main__ import main
from cloud.settings import STATE, UPLOADS
from cloud.storage.blobs import BlobInfo
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.priority import Order, Scan
from cloud.uploads.sweep import sweep
from cloud.uploads.sweep_mark import MARK
from cloud.uploads.upload_worker import UploadWorker
from inference.engine.registry import Registry
from inference.errors import BadRoute
from inference.routes_file import Routes, parse_routes, read_routes
from tests.cloud.helpers import Calls


def routes(*entries: tuple[str, str, int]) -> Routes:
    """Routes of (name, match, priority)."""
    text = "".join(
        f'[[route]]\nname = "{name}"\nmatch = "{match}"\npriority = {priority}\nsteps = [{{ model = "sketch" }}]\n'
        for name, match, priority in entries
    )
    return parse_routes(text, "routes.toml")


ROUTES = routes(
    ("urgent", "z/urgent/**", 10), ("soon", "y/*.jpg", 5), ("bulk", "a/**", -5), ("rest", "**", 0)
)  # fmt: skip


def upload(name: str, **metadata: str) -> BlobInfo:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    return BlobInfo(name, "e", 1, now, now, metadata)


@pytest.mark.parametrize("priority", [-1000, 0, 1000])
def test_a_priority_changes_no_digest(registry: Registry, priority: int) -> None:
    [route] = routes(("r", "**", priority)).routes
    [without] = parse_routes('[[route]]\nname = "r"\nsteps = [{ model = "sketch" }]', "routes.toml").routes
    assert route.priority == priority
    assert route.digest(registry) == without.digest(registry)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1001", "priority is 1001, expected -1000 to 1000"),
        ("-1001", "priority is -1001"),
        ("1.5", "expected a whole number"),
        ('"high"', "found 'high', expected a whole number"),
        ("true", "expected a whole number"),
    ],
)
def test_a_priority_is_a_whole_number_within_bounds(value: str, said: str) -> None:
    with pytest.raises(BadRoute, match=said):
        parse_routes(f'[[route]]\nname = "r"\npriority = {value}\nsteps = [{{ model = "sketch" }}]', "routes.toml")


@pytest.mark.parametrize(
    ("name", "metadata", "scan"),
    [
        ("z/urgent/1.jpg", {}, Scan(10, "z/urgent/")),
        ("z/urgent/1.jpg.route.toml", {}, Scan(10, "z/urgent/")),
        ("y/1.jpg", {}, Scan(5, "y/")),
        ("y/1.jpg.route.toml", {}, Scan(5, "y/")),  # of an upload that fits, though its own name does not
        ("y/deep/1.jpg", {}, Scan(0, "")),
        ("a/1.jpg", {}, Scan(-5, "a/")),
        ("a/1.jpg", {"dropsight_route": "rest"}, Scan(0, "")),
        ("z/urgent/1.jpg", {"dropsight_route": "unknown"}, Scan(0, "")),
        ("q.jpg", {"dropsight_route": "urgent"}, Scan(0, "")),  # the scan of `urgent` does not come by here
        ("q.jpg", {"dropsight_route": "bulk"}, Scan(0, "")),
    ],
)
def test_each_upload_belongs_to_one_scan_that_lists_it(name: str, metadata: dict[str, str], scan: Scan) -> None:
    assert Order(ROUTES).scan_of(upload(name, **metadata)) == scan
    assert name.startswith(scan.prefix)


def test_what_metadata_say_counts_within_a_page() -> None:
    listed = [upload("a.jpg"), upload("b.jpg", dropsight_route="bulk"), upload("c.jpg", dropsight_route="urgent")]
    listed += [upload("d.jpg"), upload("d.jpg.route.toml")]
    names = [each.name for each in Order(ROUTES).arranged(listed)]
    assert names == ["c.jpg", "d.jpg.route.toml", "a.jpg", "d.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("prefix", "scans"),
    [
        ("", [(10, "z/urgent/"), (5, "y/"), (0, ""), (-5, "a/")]),
        ("z/", [(10, "z/urgent/"), (0, "z/")]),
        ("z/urgent/today/", [(10, "z/urgent/today/"), (0, "z/urgent/today/")]),
        ("q/", [(0, "q/")]),
    ],
)
def test_a_replay_of_a_prefix_lists_nothing_beside_it(prefix: str, scans: list[tuple[int, str]]) -> None:
    assert Order(ROUTES, prefix).scans == [Scan(*scan) for scan in scans]


def test_places_within_places_are_listed_once() -> None:
    order = Order(routes(("one", "in/a/*.jpg", 3), ("two", "in/**", 3), ("three", "i?/**", 1), ("all", "**", 1)))
    assert order.scans == [Scan(3, "in/"), Scan(1, ""), Scan(0, "")]


def test_a_place_is_cut_where_the_paths_of_receipts_are_written_otherwise() -> None:
    # The receipt of a./b.jpg is a%2E/b.jpg: a listing of receipts below "a./" would find none.
    assert Order(routes(("odd", "in/a./*.jpg", 3))).scans[0] == Scan(3, "in/a")


def test_a_refused_route_takes_its_names_at_no_priority() -> None:
    text = '[[route]]\nname = "bad"\nmatch = "a/**"\nsteps = 5\n[[route]]\nname = "all"\npriority = 2\n'
    read = read_routes(f'{text}steps = [{{ model = "sketch" }}]', "routes.toml")
    assert Order(read).scan_of(upload("a/1.jpg")) == Scan(0, "")
    assert Order(read).scan_of(upload("b/1.jpg")) == Scan(2, "")


class Clock:
    """A clock that moves only when an upload is handled, and who was."""

    def __init__(self, worker: UploadWorker, patch: pytest.MonkeyPatch) -> None:
        self.now, self.handled = 0.0, list[str]()
        self._worker = worker
        worker.settings = type(worker.settings)(max_concurrent=1)
        patch.setattr(worker, "handle", self._handle)
        patch.setattr("cloud.uploads.sweep.time.monotonic", lambda: self.now)

    def _handle(self, event: BlobEvent) -> Outcome:
        self.now += 1
        self.handled.append(event.name)
        self._worker.storage.delete(UPLOADS, event.name)
        return Outcome("done", 1)


@pytest.fixture
def clock(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> Clock:
    worker.planner.routes = ROUTES
    return Clock(worker, monkeypatch)


def put(worker: UploadWorker, *names: str) -> None:
    for name in names:
        worker.storage.write(UPLOADS, name, b"x")


BY_NAME = ["a/1.jpg", "a/2.jpg", "m/1.jpg", "m/2.jpg", "y/1.jpg", "y/2.png", "z/1.jpg", "z/urgent/1.jpg"]
BY_PRIORITY = ["z/urgent/1.jpg", "y/1.jpg", "m/1.jpg", "m/2.jpg", "y/2.png", "z/1.jpg", "a/1.jpg", "a/2.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("page_size", [1, 3, 5000])
def test_the_highest_come_first_however_many_pages_lie_before_them(
    worker: UploadWorker, clock: Clock, page_size: int
) -> None:
    put(worker, *BY_NAME)
    report = sweep(worker, 1000, page_size=page_size)
    assert clock.handled == BY_PRIORITY
    assert (report.seen, report.unfinished, report.processed, report.complete) == (8, 8, 8, True)


@pytest.mark.slow
@pytest.mark.parametrize("page_size", [2, 5000])
def test_sweeps_that_run_out_of_time_reach_each_upload_once(worker: UploadWorker, clock: Clock, page_size: int) -> None:
    put(worker, *BY_NAME)
    reports = [sweep(worker, 3, page_size=page_size)]
    put(worker, "z/urgent/2.jpg")  # what comes meanwhile is the next, wherever the mark is
    while not reports[-1].complete:
        reports.append(sweep(worker, 3, page_size=page_size))
        assert len(reports) < 12
    assert clock.handled == [*BY_PRIORITY[:3], "z/urgent/2.jpg", *BY_PRIORITY[3:]]
    assert worker.storage.head(STATE, MARK) is None


@pytest.mark.slow
def test_a_lower_priority_gets_its_turn_although_higher_ones_always_fill_the_time(
    worker: UploadWorker, clock: Clock
) -> None:
    put(worker, "m/1.jpg", "a/1.jpg")
    for number in range(5):
        put(worker, f"z/urgent/{number}.jpg")
        sweep(worker, 1)
    assert clock.handled[:2] == ["z/urgent/0.jpg", "m/1.jpg"]
    assert "a/1.jpg" in clock.handled


@pytest.mark.slow
def test_without_priorities_nothing_is_listed_twice(worker: UploadWorker, calls: Calls) -> None:
    worker.planner.routes = routes(("one", "z/**", 0), ("rest", "**", 0))
    put(worker, "readme.tmp")
    calls.seen.clear()
    sweep(worker, 60)
    assert len(calls) == 4  # the mark, a page of uploads, a page of receipts, the count of what is outdated


@pytest.mark.slow
def test_replay_names_the_highest_first(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.planner.routes = ROUTES
    monkeypatch.setattr("cloud.instance.default_worker", lambda: worker)
    put(worker, *BY_NAME)
    assert main(["replay", "--here", "--all", "--dry-run"]) == 0
    assert capsys.readouterr().out.split() == BY_PRIORITY
