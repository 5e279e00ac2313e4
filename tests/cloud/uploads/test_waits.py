"""Who goes on waiting is decided from the listing, by the routes and models of today; nobody waits for what is gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.settings import RESULTS, STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Page
from cloud.uploads.events import Outcome
from cloud.uploads.ledger import Claim, Ledger
from cloud.uploads.plans import Planner
from cloud.uploads.receipts import ReceiptSummary
from cloud.uploads.sweep import sweep
from cloud.uploads.sweep_mark import MARK
from cloud.uploads.upload_worker import UploadWorker
from cloud.uploads.waits import Waits
from inference.engine.registry import BUILT_IN, Registry
from inference.errors import BadModel, RouteUnavailable, StorageUnavailable
from inference.routes_file import Routes, parse_routes, read_routes
from tests.cloud.helpers import Calls, drop, jpeg, names, receipt
from tests.cloud.uploads.memory_receipts import MemoryReceipts

NIGHT = '[[route]]\nname = "night"\nmatch = "{match}"\n{when}steps = [{{ model = "{model}" }}]\n'
LATE, SOON = 'when = "0 0 2 1 1 *"\n', 'when = "0 0 3 * * *"\n'


def routes(match: str = "**", when: str = "", model: str = "sketch") -> str:
    return NIGHT.format(match=match, when=when, model=model)


REST = '[[route]]\nname = "rest"\nsteps = [{ model = "sketch" }]\n'


class World:
    """Receipts in memory and an upload each; the planner of today, whose routes a test replaces."""

    def __init__(self, registry: Registry) -> None:
        self.store = MemoryReceipts()
        self.registry = registry
        self.read = 0
        get = self.store.get

        def counted(name: str) -> object:
            self.read += 1
            return get(name)

        self.store.get = counted  # type: ignore[assignment, method-assign]

    def upload(self, name: str) -> BlobInfo:
        return BlobInfo(name, "e1", 1, self.store.now, self.store.now, {})

    def planner(self, text: str) -> Planner:
        return Planner(read_routes(text, "r"), self.registry)

    def deliver(self, name: str, text: str, deployment: str = "blue") -> object:
        ledger, upload = Ledger(self.store, 2, deployment), self.upload(name)
        return ledger.claim(name, "e1", lambda override: self.planner(text).plan(upload, override))

    def listed(self, name: str) -> ReceiptSummary:
        return next(summary for page in self.store.pages(name) for summary in page.summaries)

    def takes(self, text: str, *names: str, deployment: str = "blue") -> list[str]:
        waits = Waits(self.planner(text), self.store, deployment)
        self.read = 0
        return [name for name in names if waits.needs_work(self.upload(name), self.listed(name))]


@pytest.fixture
def here(registry: Registry) -> World:
    return World(registry)


@pytest.mark.parametrize(
    ("today", "taken"),
    [
        (routes(when=LATE), False),
        (routes(), True),  # the schedule is gone
        (routes(when=SOON), True),  # it comes earlier
        (routes(match="other/**", when=LATE) + REST, True),  # another route takes it
        (REST, True),
        ("", True),  # none does, which is to be recorded
        (routes(when=LATE, model="zzzz"), False),  # there is time until its slot
        (routes(match="other/**", when=LATE) + REST.replace('"rest"', '"rest"\nwhen = "0 0 2 1 1 *"'), False),
    ],
)
def test_what_waits_for_a_slot_that_its_route_names_no_more_is_taken(here: World, today: str, taken: bool) -> None:
    assert here.deliver("a.jpg", routes(when=LATE)) == "waiting"
    assert here.takes(today, "a.jpg") == ["a.jpg"] * taken
    assert here.read == 0


def test_a_slot_that_has_come_is_taken(here: World) -> None:
    here.deliver("a.jpg", routes(when=SOON))
    upload = here.upload("a.jpg")
    here.store.pass_s(4 * 3600)
    later = replace(upload, served_at=here.store.now)
    assert Waits(here.planner(routes(when=SOON)), here.store, "blue").needs_work(later, here.listed("a.jpg"))


def test_sidecars_are_read_once_for_all_that_say_the_same(here: World) -> None:
    ledger = Ledger(here.store, 2)
    both = routes(match="nothing/**", when=LATE) + REST
    for number in range(6):
        ledger.override(f"{number}.jpg", 'route = "night"' if number < 5 else 'route = "rest"')
        here.deliver(f"{number}.jpg", both.replace('"rest"', '"rest"\nwhen = "0 0 2 1 1 *"'))
    assert here.takes(both, *(f"{number}.jpg" for number in range(6))) == ["5.jpg"]
    assert here.read == 2
    assert len(here.takes(routes(match="nothing/**") + REST, *(f"{number}.jpg" for number in range(6)))) == 6


def test_what_waits_for_a_cause_goes_on_waiting_without_a_call_until_it_is_gone(here: World) -> None:
    broken = routes(model="zzzz")
    many = [*(f"a/{number}.jpg" for number in range(5)), *(f"b/{number}.jpg" for number in range(4))]
    for name in many:
        assert here.deliver(name, broken) == "waiting"
    assert here.takes(broken, *many) == [] and here.read == 0
    assert here.takes(routes(), *many) == many and here.read == 0
    # Gone for some: another route takes them, though the broken one is still there.
    assert here.takes(routes(match="a/**", model="zzzz") + REST, *many) == many[5:]


def test_another_cause_is_told_by_the_deployment_that_waits_and_not_by_two_in_turns(here: World) -> None:
    blue, green = routes(model="zzzz"), routes(model="yyyyyyyy")
    here.deliver("a.jpg", blue, "blue")
    assert here.takes(green, "a.jpg", deployment="blue") == ["a.jpg"]
    assert here.takes(green, "a.jpg", deployment="green") == []


def test_when_each_has_time_is_told_by_the_deployment_that_came_first(here: World) -> None:
    here.deliver("a.jpg", routes(when=LATE), "blue")
    assert here.takes(routes(when=SOON), "a.jpg", deployment="green") == []
    assert here.takes(routes(when=SOON), "a.jpg", deployment="blue") == ["a.jpg"]
    assert here.takes(routes(), "a.jpg", deployment="green") == ["a.jpg"]  # who need not wait does not


def test_a_sidecar_that_cannot_be_read_now_stops_no_other_upload(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    Ledger(here.store, 2).override("a.jpg", 'route = "night"')
    for name in ("a.jpg", "b.jpg"):
        here.deliver(name, routes(when=LATE))

    def refused(name: str) -> None:
        raise StorageUnavailable(f"{name}: storage answered 500")

    monkeypatch.setattr(here.store, "get", refused)
    waits = Waits(here.planner(routes(when=LATE)), here.store, "")
    assert [waits.needs_work(here.upload(name), here.listed(name)) for name in ("a.jpg", "b.jpg")] == [True, False]


def test_what_only_the_work_can_find_is_looked_at_once_for_all(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, loads = Ledger(here.store, 2, "blue"), []

    def load(name: str) -> None:
        loads.append(name)
        raise BadModel("cut off")

    for name in ("a.jpg", "b.jpg", "c.jpg"):
        claim = here.deliver(name, routes())
        assert isinstance(claim, Claim)
        ledger.wait(claim, "model:sketch" if name < "c" else "package:cv2", "why", None)
    with monkeypatch.context() as patch:
        patch.setattr(here.registry, "load", load)
        assert here.takes(routes(), "a.jpg", "b.jpg", "c.jpg") == ["c.jpg"]  # of a picture's route nothing needs cv2
        assert loads == ["sketch"]
    assert here.takes(routes(), "a.jpg", "b.jpg", "c.jpg") == ["a.jpg", "b.jpg", "c.jpg"]
    camera = routes().replace("steps", "video = { camera_motion = true }\nsteps")
    monkeypatch.setattr("cloud.uploads.waits.installed", lambda name: False)
    assert here.takes(camera, "c.jpg") == []
    monkeypatch.setattr("cloud.uploads.waits.installed", lambda name: True)
    assert here.takes(camera, "c.jpg") == ["c.jpg"]


@pytest.fixture
def broken(make_worker: Callable[..., UploadWorker]) -> Iterator[UploadWorker]:
    worker = make_worker(max_concurrent=4)
    worker.planner.routes = read_routes(
        '[[route]]\nname = "gate"\nmatch = "**"\nsteps = [{ model = "sketch" }]\nx = 1', "r"
    )
    yield worker


GOOD = parse_routes('[[route]]\nname = "gate"\nsteps = [{ model = "sketch" }]', "r")


@pytest.mark.slow
def test_sweeps_over_what_waits_cost_four_calls_and_after_the_mend_all_are_taken(
    broken: UploadWorker, calls: Calls
) -> None:
    many = [f"{number:02}.jpg" for number in range(12)]
    for name in many:
        assert broken.handle(drop(broken, name, jpeg())) == Outcome("waiting")
    assert receipt(broken, many[0]).cause == "route:gate"
    calls.seen.clear()
    assert sweep(broken, 60).unfinished == 0
    assert len(calls) == 4  # the mark, a page of uploads, a page of receipts, the count of what is outdated
    # The first is gone, and the second one no picture: neither stands for the others.
    broken.storage.delete(UPLOADS, many[0])
    broken.storage.write(UPLOADS, many[1], b"no picture")
    broken.planner.routes = GOOD
    report = sweep(broken, 60)
    assert (report.processed, report.failed) == (10, 1)
    assert len([name for name in names(broken, RESULTS) if name.endswith("result.json")]) == 10


@pytest.mark.slow
def test_a_cause_that_is_met_again_is_met_once_in_a_sweep_and_others_are_taken(
    broken: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken.planner.routes = GOOD
    handled: list[str] = []
    trouble = {
        name: RouteUnavailable("not now", f"model:{name[0]}") for name in ("x1.jpg", "x2.jpg", "x3.jpg", "y.jpg")
    }

    def analyze(media: object, route: object, source: object, *rest: object, **options: object) -> object:
        name: str = source.name  # type: ignore[attr-defined]
        handled.append(name)
        if name in trouble:
            raise trouble[name]
        return real(media, route, source, *rest, **options)  # type: ignore[arg-type]

    real = broken.analyze
    monkeypatch.setattr(broken, "analyze", analyze)
    for name in trouble:
        assert broken.handle(drop(broken, name, jpeg())).cause == f"model:{name[0]}"
    handled.clear()
    assert sweep(broken, 60).processed == 0
    assert sorted(name[0] for name in handled) == ["x", "y"]  # though four are worked on side by side
    trouble["x1.jpg"] = RouteUnavailable("something else", "package:p")  # one has another trouble by then
    del trouble["x2.jpg"], trouble["x3.jpg"]
    assert sweep(broken, 60).processed == 2
    assert receipt(broken, "x1.jpg").cause == "package:p"


@pytest.mark.slow
def test_receipts_of_older_versions_that_wait_are_taken_and_say_so_anew(broken: UploadWorker) -> None:
    event = drop(broken, "a.jpg", jpeg())
    broken.handle(event)
    stored = broken.ledger.read("a.jpg")
    assert stored
    old = replace(stored.receipt, state="retry", cause="", until=None, deployment="")
    broken.ledger.store.replace(old, stored.version)
    assert sweep(broken, 60).unfinished == 1
    assert (receipt(broken, "a.jpg").state, receipt(broken, "a.jpg").cause) == ("waiting", "route:gate")
    assert sweep(broken, 60).unfinished == 0


@pytest.mark.slow
def test_two_deployments_with_other_routes_analyse_each_upload_once(
    make_worker: Callable[..., UploadWorker], analyses: list[str]
) -> None:
    blue, green = make_worker(), make_worker()
    green.planner.routes = GOOD
    for number in range(3):
        event = drop(blue, f"{number}.jpg", jpeg(number))
        assert blue.handle(event).status == green.handle(event).status == "done"
    for worker in (green, blue):
        assert sweep(worker, 60).unfinished == 0
    assert sorted(analyses) == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["its folder is gone", "it is cut off"])
def test_a_route_of_ones_own_waits_for_a_model_that_the_installation_has_lost(
    make_worker: Callable[..., UploadWorker], tmp_path: Path, how: str
) -> None:
    models = tmp_path / "models"
    shutil.copytree(BUILT_IN / "sketch", models / "sketch")
    worker = make_worker(inline_routes=True)
    worker.registry = worker.planner.registry = Registry([models])
    worker.planner.routes = Routes(())
    worker.handle(drop(worker, "a.jpg.route.toml", b"[[route]]\nname = 'own'\nsteps = [{ model = 'sketch' }]"))
    shutil.move(models / "sketch", tmp_path / "away")
    worker.registry.refresh()
    if how == "it is cut off":
        (models / "sketch").mkdir()
        (models / "sketch/model.toml").write_text("cut of")
        worker.registry.refresh()
    assert worker.handle(drop(worker, "a.jpg", jpeg())).status == "waiting"
    assert receipt(worker, "a.jpg").cause == "model:sketch"
    assert sweep(worker, 60).processed == 0
    shutil.rmtree(models / "sketch", ignore_errors=True)
    shutil.move(tmp_path / "away", models / "sketch")
    worker.registry.refresh()
    assert sweep(worker, 60).processed == 1


def test_a_clock_that_no_schedule_has_says_nothing_of_the_next_look(registry: Registry) -> None:
    now = datetime(2026, 5, 4, 2, 3, tzinfo=UTC)
    assert Planner(GOOD, registry).next_look(now) == now + timedelta(minutes=2)
    assert Planner(GOOD, registry, "%SWEEPS%").next_look(now) is None


@pytest.mark.slow
def test_a_mark_that_storage_does_not_take_begins_at_the_beginning(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = worker.storage.pages

    def pages(container: str, prefix: str = "", token: str | None = None, size: int = 1000) -> Iterator[Page]:
        if token:
            raise StorageUnavailable("no such page (any more)")
        return real(container, prefix, token, size)

    drop(worker, "a.jpg", jpeg())
    monkeypatch.setattr(worker.storage, "pages", pages)
    worker.storage.write(STATE, MARK, b'{"uploads": "gone"}')
    assert sweep(worker, 60).processed == 1
