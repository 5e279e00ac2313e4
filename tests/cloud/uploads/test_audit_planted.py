"""Each kind of wrong, planted under names of all sorts beside what people keep there: figures, and what is mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.paths import record_path
from cloud.uploads import audit, audit_listing
from cloud.uploads.audit import Audit
from cloud.uploads.audit_repair import Repairer
from cloud.uploads.audit_report import AuditReport
from cloud.uploads.receipt_blobs import BlobReceipts
from inference.engine.registry import Registry
from tests.cloud.storage.memory_storage import Call, MemoryStorage
from tests.cloud.uploads.stepped import Died
from tests.cloud.uploads.world import LEASE_S, ROOT, World

pytestmark = pytest.mark.slow

NAMES = [
    "a.jpg",
    "a.jpg/result.json",
    "50%2F+ b.jpg",
    "ü/日本.jpg",
    "😀.jpg",
    "！.jpg",
    "street",
    "street/dot.",
    "l" * 850,
]
KEY, FOLDER = "0" * 64, "ab" * 6


def folder_of(world: World, name: str) -> str:
    receipt = world.promises.receipt(name)
    assert receipt
    return f"{record_path(name)}/{receipt.folder}"


def result_of(world: World, name: str) -> None:
    world.storage.delete(RESULTS, f"{record_path(name)}/result.json")


def an_artifact_of(world: World, name: str) -> None:
    world.storage.delete(RESULTS, f"{folder_of(world, name)}/annotated.jpg")


def record_of(world: World, name: str) -> None:
    world.storage.delete(ERRORS, f"{record_path(name)}.json")


def a_record_beside(world: World, name: str) -> None:
    world.storage.write(ERRORS, f"{record_path(name)}.json", b"{}", metadata={"key": KEY})


def with_another_key(world: World, name: str) -> None:
    path = f"{record_path(name)}/result.json"
    blob = world.account.find(RESULTS, path)
    assert blob
    world.storage.write(RESULTS, path, blob.content, metadata={**blob.metadata, "key": KEY})


def an_older_result_beside(world: World, name: str) -> None:
    path, metadata = record_path(name), {"key": KEY, "folder": FOLDER, "etag": "0xOLD", "files": "1"}
    world.storage.write(RESULTS, f"{path}/result.json", b'{"artifacts": {}}', metadata=metadata)
    world.storage.write(RESULTS, f"{path}/{FOLDER}/annotated.jpg", b"", metadata=metadata)


def cancelled_beside_an_older_result(world: World, name: str) -> None:
    an_older_result_beside(world, name)
    receipts = BlobReceipts(world.storage)
    stored = receipts.get(name)
    assert stored
    receipts.replace(replace(stored.receipt, state="cancelled"), stored.version)


def artifacts_beside(world: World, name: str) -> None:
    for number in range(3):
        path = f"{record_path(name)}/{FOLDER}/crops/{number}.jpg"
        world.storage.write(RESULTS, path, b"", metadata={"key": KEY, "folder": FOLDER})


def the_upload(world: World, name: str) -> None:
    world.delete(name)


def a_new_version(world: World, name: str) -> None:
    world.upload(name)


def a_result_of_nothing(world: World, name: str) -> None:
    an_older_result_beside(world, name)


def files_of_somebody(world: World, name: str) -> None:
    path = record_path(name)
    for container, own in ((ERRORS, f"{path}.json"), (RESULTS, f"{path}/result.json"), (RESULTS, f"{path}/notes.txt")):
        world.storage.write(container, own, b"mine", metadata={"owner": "me"})


def nothing(world: World, name: str) -> None:
    """All is right."""


# What was uploaded ("": nothing), what goes wrong then, and how each counts.
PLANTED: list[tuple[str, Callable[[World, str], None], dict[str, int]]] = [
    ("good", nothing, {"in": 1, "right": 1}),
    ("corrupt", nothing, {"in": 1, "right": 1}),
    ("good", result_of, {"in": 1, "lost": 1}),
    ("good", an_artifact_of, {"in": 1, "lost": 1}),
    ("corrupt", record_of, {"in": 1, "lost": 1}),
    ("good", a_record_beside, {"in": 1, "doubled": 1}),
    ("good", with_another_key, {"in": 1, "stale": 1}),
    ("corrupt", an_older_result_beside, {"in": 1, "stale": 1}),
    ("good", a_new_version, {"in": 1, "stale": 1}),
    ("good", artifacts_beside, {"in": 1, "right": 1, "orphaned": 1}),
    ("corrupt", the_upload, {"orphaned": 1}),
    ("good", the_upload, {"kept": 1}),
    ("", a_result_of_nothing, {"orphaned": 1}),
    ("", files_of_somebody, {}),
    ("flaky", cancelled_beside_an_older_result, {"in": 1, "stale": 1}),
]
FIGURES = ("in", "right", "lost", "doubled", "stale", "orphaned", "kept")


@pytest.fixture(scope="module")
def models() -> Registry:
    return Registry([ROOT / "models"])


@pytest.fixture(autouse=True)
def _nothing_is_about_to_be_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PAUSE_S", 0.0)


def planted(models: Registry, names: list[str]) -> tuple[World, dict[str, int]]:
    """An account with all of it under names that begin with each of `names`, older than a lease; and its figures."""
    world, figures = World(models), dict.fromkeys(FIGURES, 0)
    plan = [(f"{name}.{number}", *what) for name in names for number, what in enumerate(PLANTED)]
    for name, kind, _, _ in plan:
        if kind:
            world.upload(name, kind)
    world.quiesce(1)
    for name, _, tamper, counts in plan:
        tamper(world, name)
        figures |= {figure: figures[figure] + number for figure, number in counts.items()}
    world.account.pass_s(LEASE_S + 2)
    return world, figures


def audited(world: World, *, repair: bool = False, storage: MemoryStorage | None = None, **more: Any) -> Audit:
    mine = storage or world.storage
    return Audit(mine, LEASE_S, repairer=Repairer(mine, BlobReceipts(mine), LEASE_S) if repair else None, **more)


def report_of(world: World, **options: Any) -> AuditReport:
    made = audited(world, **options)
    made.run()
    return made.report


def figures_of(report: AuditReport) -> dict[str, int]:
    said = report.to_json()
    return {figure: said[figure] for figure in FIGURES}


def test_each_kind_of_wrong_is_counted_as_it_is_under_any_name(
    models: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, figures = planted(models, NAMES)
    assert figures_of(report_of(world)) == figures
    monkeypatch.setattr(audit_listing, "_LOOK_BACK", 0)
    report = report_of(world)
    assert (figures_of(report), report.unconfirmed) == (figures, 0)


@pytest.mark.parametrize(("page", "batch"), [(1, 1), (2, 3), (7, 5)])
def test_an_audit_in_slices_counts_the_same(
    models: Registry, page: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_listing, "PAGE", page)
    monkeypatch.setattr(audit, "_BATCH", batch)
    world, figures = planted(models, ["street/a.jpg"])
    marks, report, slices = None, None, 0
    while slices == 0 or marks is not None:
        part = audited(world, marks=marks, report=report)
        marks, report, slices = part.run(0.0), part.report, slices + 1
    assert report and figures_of(report) == figures
    assert slices > 1


def test_repair_mends_all_and_touches_nothing_else(models: Registry) -> None:
    world, figures = planted(models, ["a.jpg", "50%2F/b"])
    before = blobs(world)
    report = report_of(world, repair=True)
    assert (figures_of(report), report.repaired) == (figures, {"marked": 10, "deleted": 12})
    after = blobs(world)
    # a.jpg.5: a record beside a result, .7, .12 and .14: results with an artifact, .9: three artifacts, .10: the record
    # of an upload that is gone
    gone = {name for name in before - after if "/a.jpg." in name}
    assert {name.split("/")[1] for name in gone} == {
        "a.jpg.5.json",
        "a.jpg.7",
        "a.jpg.9",
        "a.jpg.10.json",
        "a.jpg.12",
        "a.jpg.14",
    }
    assert len(gone) == 1 + 2 + 3 + 1 + 2 + 2
    # WHEN it is done again
    assert figures_of(report_of(world, repair=True))["orphaned"] == 0
    assert blobs(world) == after
    world.quiesce(2)
    assert report_of(world).is_clean


def blobs(world: World) -> set[str]:
    return {
        f"{container}/{name}"
        for container in (UPLOADS, RESULTS, ERRORS)
        for name in world.account.containers[container]
    }


def test_a_repair_that_is_killed_at_any_call_is_gone_on_with(models: Registry) -> None:
    changes = 0
    for killed_at in range(40):
        world, _ = planted(models, ["a.jpg"])
        seen = 0

        @contextmanager
        def gate(call: Call, killed_at: int = killed_at) -> Iterator[bool]:
            nonlocal seen
            seen += call.verb in ("write", "delete")
            if seen > killed_at:
                raise Died
            yield False

        try:
            report_of(world, repair=True, storage=MemoryStorage(world.account, gate))
            break
        except Died:
            changes += 1
        report_of(world, repair=True)
        world.quiesce(2)
        report = report_of(world)
        assert report.is_clean, (killed_at, report.named)
        assert world.account.find(ERRORS, "a.jpg.13.json") and world.account.find(RESULTS, "a.jpg.13/result.json")
    assert changes > 10
