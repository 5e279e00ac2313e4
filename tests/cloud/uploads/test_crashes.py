"""A worker that dies before or after any of its calls to storage: the next sweeps bring the upload to its end. The real
engine over an account in memory, each story once for every call."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud.settings import CONTAINERS, ERRORS, RESULTS, UPLOADS, Settings
from cloud.storage.paths import record_path
from cloud.uploads.events import BlobEvent
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.engine.registry import Registry
from inference.routes_file import Routes, parse_routes
from tests.cloud.conftest import ROOT, ROUTES
from tests.cloud.helpers import document, drop, jpeg, names, receipt
from tests.cloud.storage.memory_storage import Account, MemoryStorage
from tests.cloud.uploads.stepped import Fate, Stepped

OTHER = ROUTES.replace('match = "**"\nsteps = [{ model = "sketch" }]', 'match = "**"\nsteps = [{ model = "colors" }]')
MINE = '[[route]]\nname = "d"\nmatch = "**"\nsteps = [{ model = "mine" }]\n'
CASES = ["plain", "replaced", "broken", "mended", "missing", "overwritten", "deleted", "sidecar", "model"]


class Worker(UploadWorker):
    """The real one; `meanwhile` happens once, in the middle of an analysis."""

    meanwhile: Callable[[], object] | None = None

    def analyze(self, *args: Any, **options: Any) -> Any:
        act, self.meanwhile = self.meanwhile, None
        if act:
            act()
        return super().analyze(*args, **options)


class Story:
    """An upload of one kind, up to the event whose handling may end at any call."""

    def __init__(self, case: str, registry: Registry, folder: Path) -> None:
        self.case, self.account = case, Account()
        self.models, self.hidden = folder / "models", folder / "hidden"
        self.routes = parse_routes(ROUTES, "r")
        self.registry = registry
        if case in ("missing", "model"):
            copy_of_sketch(self.models / "mine")
            self.registry, self.routes = Registry([self.models]), parse_routes(MINE, "r")
        if case == "missing":
            (self.models / "mine").rename(self.hidden)
        MemoryStorage(self.account).ensure_containers(*CONTAINERS)

    def worker(self, routes: Routes | None = None) -> Worker:
        settings = Settings(lease_seconds=100, max_attempts=3, max_concurrent=1)
        return Worker(MemoryStorage(self.account), settings, routes or self.routes, self.registry)

    def begun(self) -> tuple[Worker, BlobEvent]:
        """Who handles which event."""
        first = self.worker()
        event = drop(first, "a.jpg", b"bad" if self.case in ("broken", "mended") else jpeg())
        if self.case in ("replaced", "mended"):
            first.handle(event)
            self.routes = parse_routes(OTHER, "r")
        if self.case == "mended":
            drop(first, "a.jpg", jpeg())
        worker = self.worker()
        worker.meanwhile = {
            "overwritten": lambda: drop(self.worker(), "a.jpg", jpeg(1)),
            "deleted": lambda: self.worker().storage.delete(UPLOADS, "a.jpg"),
            "sidecar": lambda: self.worker().handle(drop(self.worker(), "a.jpg.route.toml", b'route = "classify"')),
            "model": lambda: change(self.models / "mine"),
        }.get(self.case)
        return worker, replace(event, cause="replay") if self.case == "replaced" else event

    def swept(self) -> Worker:
        """What is missing is there; leases end, and new instances sweep."""
        if self.case == "missing":
            self.hidden.rename(self.models / "mine")
            self.registry.refresh()
        for _ in range(3):
            self.account.pass_s(7 * 3600)
            worker = self.worker()
            sweep(worker, 60)
        return worker


def copy_of_sketch(folder: Path) -> None:
    shutil.copytree(ROOT / "models" / "sketch", folder)
    manifest = folder / "model.toml"
    manifest.write_text(manifest.read_text().replace('name = "sketch"', 'name = "mine"'))


def change(folder: Path) -> None:
    """Its digest is another one."""
    manifest = folder / "model.toml"
    manifest.write_text(manifest.read_text() + "# again\n")


def ends_well(worker: UploadWorker, case: str) -> None:
    files, errors = names(worker, RESULTS), names(worker, ERRORS)
    if case == "deleted":
        assert errors == []
        return
    found = receipt(worker, "a.jpg")
    if case == "broken":
        assert (found.state, files, errors) == ("failed", [], [f"{record_path('a.jpg')}.json"])
        return
    head, upload = worker.storage.head(RESULTS, "a.jpg/result.json"), worker.storage.head(UPLOADS, "a.jpg")
    assert (found.state, errors) == ("done", []) and head and upload
    assert (head.metadata["key"], found.etag) == (found.key, upload.etag)
    body = document(worker, RESULTS, "a.jpg/result.json")
    assert body["source"]["etag"] == upload.etag
    assert set(files) == {"a.jpg/result.json", *(f"a.jpg/{file}" for file in body["artifacts"].values())}
    asked_for = "classify" if worker.storage.head(UPLOADS, "a.jpg.route.toml") else "default"
    assert body["route"] == ("d" if case in ("missing", "model") else asked_for)


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["dies before", "dies after"])
@pytest.mark.parametrize("case", CASES)
def test_whichever_call_it_dies_at(case: str, fate: Fate, registry: Registry, tmp_path: Path) -> None:
    for calls in range(60):
        story = Story(case, registry, tmp_path / str(calls))
        worker, event = story.begun()
        stepped = Stepped()
        worker.storage.gate = stepped.gate  # type: ignore[attr-defined]
        stepped.begin(lambda worker=worker, event=event: worker.handle(event))  # type: ignore[misc]
        for _ in range(calls):
            if not stepped.over:
                stepped.step()
        ended = stepped.over
        if not ended:
            stepped.step(fate)
        ends_well(story.swept(), case)
        if ended:
            break
    assert ended and calls > 1


@pytest.mark.slow
def test_many_that_wait_for_a_model_cost_a_look_and_are_done_when_it_is_there(tmp_path: Path) -> None:
    story = Story("missing", Registry([tmp_path / "models"]), tmp_path)
    many = [f"{number:03}.jpg" for number in range(100)]
    worker = story.worker()
    assert {worker.handle(drop(worker, name, jpeg(1))).status for name in many} == {"waiting"}
    calls: list[str] = []
    gate = worker.storage.gate  # type: ignore[attr-defined]
    worker.storage.gate = lambda call: calls.append(call.verb) or gate(call)  # type: ignore[attr-defined, func-returns-value]
    assert sweep(worker, 60).unfinished == 0
    assert len(calls) < 9
    worker = story.swept()
    assert len([name for name in names(worker, RESULTS) if name.endswith("/result.json")]) == len(many)
    assert {(receipt(worker, name).state, receipt(worker, name).attempt) for name in many} == {("done", 1)}
