"""An audit at every moment of the work on an upload calls nothing a fault, and mends nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cloud.settings import RESULTS
from cloud.uploads.audit import Audit
from cloud.uploads.audit_repair import Repairer
from cloud.uploads.receipt_blobs import BlobReceipts
from inference.engine.registry import Registry
from tests.cloud.uploads.stepped import Stepped
from tests.cloud.uploads.world import LEASE_S, ROOT, World

A = "a.jpg"
DAY_S = 86400.0


@pytest.fixture(scope="module")
def models() -> Registry:
    return Registry([ROOT / "models"])


def answered(world: World, kind: str) -> None:
    """There is an answer, of the day before yesterday."""
    world.upload(A, kind)
    world.deliver(A).to_end()
    world.account.pass_s(2 * DAY_S)


def replayed(world: World) -> Stepped:
    answered(world, "good")
    return world.deliver(A, cause="replay")


def overwritten(world: World) -> Stepped:
    answered(world, "good")
    world.upload(A)
    return world.deliver(A)


def mended(world: World) -> Stepped:
    answered(world, "corrupt")
    world.upload(A)
    return world.deliver(A)


def spoilt(world: World) -> Stepped:
    answered(world, "good")
    world.upload(A, "corrupt")
    return world.deliver(A)


def deleted(world: World) -> Stepped:
    answered(world, "good")
    world.delete(A)
    return world.deliver(A)


@pytest.mark.parametrize("story", [replayed, overwritten, mended, spoilt, deleted])
def test_an_audit_between_any_two_calls_finds_and_mends_nothing(
    models: Registry, story: Callable[[World], Stepped]
) -> None:
    world = World(models)
    work, moments = story(world), 0
    while not work.over:
        audit = Audit(world.storage, LEASE_S, repairer=Repairer(world.storage, BlobReceipts(world.storage), LEASE_S))
        audit.run()
        assert (audit.report.is_clean, audit.report.repaired) == (True, {}), (work.pending, audit.report.named)
        work.step()
        moments += 1
    assert moments >= 2 - (story is deleted)
    world.account.pass_s(LEASE_S)
    audit = Audit(world.storage, LEASE_S)
    audit.run()
    assert audit.report.is_clean, audit.report.named


def test_an_answer_whose_deletion_is_not_noted_yet_is_not_lost(
    models: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it was kept for as long as it was to be kept: the receipt is written last."""
    world = World(models)
    answered(world, "good")
    receipts = BlobReceipts(world.storage)
    stored = receipts.get(A)
    assert stored
    for name in list(world.account.containers[RESULTS]):
        world.storage.delete(RESULTS, name)
    expired = replace(stored.receipt, expired="2026-05-04T00:00:00+00:00")
    monkeypatch.setattr("time.sleep", lambda _: receipts.replace(expired, stored.version))
    audit = Audit(world.storage, LEASE_S)
    audit.run()
    assert str(audit.report) == "1 in, 1 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"
