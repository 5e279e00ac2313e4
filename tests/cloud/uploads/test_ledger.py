"""The ledger: of all workers exactly one gets an upload, and nothing is forgotten. Receipts lie in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from cloud.storage.blobs import Conflict
from cloud.uploads.events import anyway
from cloud.uploads.ledger import Claim, Ledger
from cloud.uploads.receipts import Receipt, make_key
from tests.cloud.uploads.memory_receipts import MemoryReceipts


@dataclass(frozen=True)
class Todo:
    """The smallest plan: what a route and its models come to."""

    key: str
    until: datetime | None = None
    cause: str = ""
    blocked: str = ""
    digest: str = ""


def plan(etag: str, digest: str = "models-1", until: datetime | None = None) -> Callable[[str | None], Todo]:
    return lambda override: Todo(make_key("uploads", "a.jpg", etag, digest + (override or "")), until)


def blocked(cause: str) -> Callable[[str | None], Todo]:
    return lambda override: Todo("", cause=cause, blocked=f"because of {cause}")


@pytest.fixture
def store() -> MemoryReceipts:
    return MemoryReceipts()


@pytest.fixture
def ledger(store: MemoryReceipts) -> Ledger:
    return Ledger(store, lease_s=2)


def claimed(outcome: object) -> Claim[Todo]:
    assert isinstance(outcome, Claim), outcome
    return outcome


def test_of_many_at_once_one_gets_it(ledger: Ledger) -> None:
    together = threading.Barrier(8)

    def deliver(_: int) -> object:
        together.wait()
        return ledger.claim("a.jpg", "e1", plan("e1"))

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(deliver, range(8)))
    assert sum(isinstance(outcome, Claim) for outcome in outcomes) == 1
    assert outcomes.count("busy") == 7


@pytest.mark.parametrize("digest", ["models-1", "models of another deployment"])
def test_what_is_done_is_done_under_any_key_until_the_upload_changes(ledger: Ledger, digest: str) -> None:
    claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    assert ledger.complete(claim, "r1") == "ok"
    assert ledger.claim("a.jpg", "e1", plan("e1", digest)) == "done"
    assert ledger.claim("a.jpg", "e1", blocked("model:m")) == "done"
    asked = claimed(ledger.claim("a.jpg", "e1", plan("e1", "models-2"), again=anyway))
    assert (asked.receipt.attempt, asked.receipt.result_etag) == (1, "r1")
    assert asked.receipt.old_keys == (claim.receipt.folder,)
    ledger.complete(asked, "r2")
    newer = claimed(ledger.claim("a.jpg", "e2", plan("e2", digest)))
    assert (newer.receipt.attempt, newer.receipt.result_etag) == (1, "r2")


def test_what_failed_is_tried_once_under_each_other_key(ledger: Ledger) -> None:
    for digest in ("blue", "green", "red"):
        claim = claimed(ledger.claim("a.jpg", "e1", plan("e1", digest)))
        assert claim.receipt.attempt == 1
        ledger.finish(claim, "failed", reason="corrupt")
        assert claim.receipt.has_error
        for known in ("blue", digest):  # they do not take it from each other in turns
            assert ledger.claim("a.jpg", "e1", plan("e1", known)) == "failed"
    assert ledger.claim("a.jpg", "e1", blocked("model:m")) == "failed"
    assert ledger.claim("a.jpg", "e1", plan("e1", "green")) == "failed"
    newer = claimed(ledger.claim("a.jpg", "e2", plan("e2", "blue")))
    assert newer.receipt.failed_keys == () and newer.receipt.has_error
    ledger.complete(newer, "e1")
    stored = ledger.read("a.jpg")
    assert stored and stored.receipt.failed_keys == ()


@pytest.mark.parametrize("state", ["done", "failed", "dropped", "retry", "job", "waiting for a slot", "waiting"])
def test_another_override_makes_whatever_was_said_void_once(ledger: Ledger, state: str) -> None:
    if state == "waiting for a slot":
        ledger.claim("a.jpg", "e1", plan("e1", until=datetime.now(UTC) + timedelta(hours=1)))
    elif state == "waiting":
        ledger.claim("a.jpg", "e1", blocked("model:m"))
    else:
        claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
        if state == "job":
            ledger.hand_over(claim, "job-1")
        elif state == "done":
            ledger.complete(claim, "r1")
        else:
            ledger.finish(claim, state)  # type: ignore[arg-type]
    ledger.override("a.jpg", 'route = "faces"')
    stored = ledger.read("a.jpg")
    assert stored and (stored.receipt.state, stored.receipt.attempt, stored.receipt.cause) == ("retry", 0, "")
    assert ledger.adopt("a.jpg", "job-1", plan("e1")) is None
    anew = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    assert (anew.receipt.attempt, anew.receipt.override) == (1, 'route = "faces"')
    ledger.complete(anew, "e1")
    ledger.override("a.jpg", 'route = "faces"')  # its event came twice
    assert ledger.claim("a.jpg", "e1", plan("e1")) == "done"


def test_asked_again_what_is_finished_is_claimed_anew(ledger: Ledger) -> None:
    ledger.finish(claimed(ledger.claim("a.jpg", "e1", plan("e1"))), "failed")
    assert claimed(ledger.claim("a.jpg", "e1", plan("e1"), again=anyway)).receipt.attempt == 1


def test_a_dead_lease_is_picked_up_and_its_worker_loses(ledger: Ledger, store: MemoryReceipts) -> None:
    dead = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    assert ledger.claim("a.jpg", "e1", plan("e1")) == "busy"
    store.pass_s(3)  # ages are in whole seconds, and rather too short
    heir = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    assert (heir.receipt.claims, heir.receipt.attempt, heir.receipt.suspect) == (2, 1, True)
    assert ledger.complete(dead, "e1") == "lost"
    assert ledger.complete(heir, "e1") == "ok"


def test_a_living_worker_keeps_its_lease_past_its_length(store: MemoryReceipts) -> None:
    ledger = Ledger(store, lease_s=0.2)
    claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    first = claim.version
    with ledger.hold(claim):
        deadline = time.monotonic() + 10
        renewals: set[str] = set()
        while len(renewals) < 3 and time.monotonic() < deadline:
            renewals.add(claim.version)
            time.sleep(0.01)
        assert len(renewals) == 3
        assert ledger.claim("a.jpg", "e1", plan("e1")) == "busy"
        assert ledger.complete(claim, "e1") == "ok"
        ended = claim.version
        ledger.renew(claim)  # as a tick that comes just now would
    assert first != claim.version == ended


def test_a_newer_version_does_not_wait_for_the_lease_of_the_older(ledger: Ledger) -> None:
    old = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    new = claimed(ledger.claim("a.jpg", "e2", plan("e2")))
    assert new.receipt.attempt == 1
    assert old.receipt.folder in new.receipt.old_keys
    assert ledger.complete(old, "e1") == "lost"
    assert ledger.complete(new, "e1") == "ok"


def test_attempts_are_counted_over_crashes_and_releases(ledger: Ledger) -> None:
    for attempt in range(1, 5):
        claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
        assert claim.receipt.attempt == attempt
        ledger.finish(claim, "retry")


def test_waiting_for_a_slot_and_then_its_turn(ledger: Ledger) -> None:
    tonight = datetime.now(UTC) + timedelta(hours=1)
    assert ledger.claim("a.jpg", "e1", plan("e1", until=tonight)) == "waiting"
    assert ledger.claim("a.jpg", "e1", plan("e1", until=tonight)) == "waiting"
    stored = ledger.read("a.jpg")
    assert stored and (stored.receipt.state, stored.receipt.until) == ("waiting", tonight.isoformat())
    assert claimed(ledger.claim("a.jpg", "e1", plan("e1"))).receipt.attempt == 1


def test_a_sidecar_before_the_upload_is_found_by_its_claim(ledger: Ledger) -> None:
    ledger.override("a.jpg", 'route = "faces"')
    claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    assert claim.receipt.override == 'route = "faces"'
    assert claim.plan == plan("e1")('route = "faces"')
    assert claim.receipt.attempt == 1


def test_a_sidecar_during_the_work_makes_it_done_again(ledger: Ledger) -> None:
    claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    ledger.override("a.jpg", 'route = "faces"')
    assert ledger.complete(claim, "r1") == "changed"
    again = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    assert again.plan == plan("e1")('route = "faces"')
    assert again.receipt.result_etag == "r1"
    assert ledger.complete(again, "e1") == "ok"
    ledger.override("a.jpg", None)
    assert claimed(ledger.claim("a.jpg", "e1", plan("e1"))).receipt.override is None


def test_a_sidecar_between_two_renewals_is_not_lost(ledger: Ledger) -> None:
    claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    ledger.override("a.jpg", 'route = "faces"')
    ledger.renew(claim)
    ledger.renew(claim)
    assert not claim.lost
    assert ledger.complete(claim, "e1") == "changed"


class Repeating(MemoryReceipts):
    """Sends every write of a kind twice, as the SDK does where an answer is lost: the second one meets the first."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def create(self, receipt: Receipt) -> str:
        version = super().create(receipt)
        return super().create(receipt) if self.kind == "create" else version

    def replace(self, receipt: Receipt, version: str) -> str:
        new = super().replace(receipt, version)
        return super().replace(receipt, version) if self.kind == "replace" else new


@pytest.mark.parametrize("kind", ["create", "replace"])
def test_an_answer_that_was_lost_on_the_way_is_no_conflict(kind: str) -> None:
    store = Repeating(kind)
    with pytest.raises(Conflict):
        version = store.create(Receipt("other.jpg", "e1", "k", "working"))
        store.replace(Receipt("other.jpg", "e1", "k", "working"), version)
    ledger = Ledger(store, lease_s=2)
    claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    assert ledger.complete(claim, "e1") == "ok"
    assert ledger.claim("a.jpg", "e1", plan("e1")) == "done"


def test_a_job_keeps_its_upload_without_a_lease_until_it_is_adopted(ledger: Ledger) -> None:
    claim = claimed(ledger.claim("v.mp4", "e1", plan("e1")))
    assert ledger.hand_over(claim, "job-1") == "ok"
    for digest in ("models-1", "another deployment's"):
        assert ledger.claim("v.mp4", "e1", plan("e1", digest)) == "busy"
    assert ledger.adopt("v.mp4", "job-2", plan("e1")) is None
    adopted = ledger.adopt("v.mp4", "job-1", plan("e1"))
    assert adopted
    assert ledger.complete(adopted, "e1") == "ok"
    assert ledger.claim("v.mp4", "e1", plan("e1")) == "done"


def test_what_the_installation_cannot_do_for_now_waits_and_spends_no_attempt(
    ledger: Ledger, store: MemoryReceipts
) -> None:
    first = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    ledger.finish(first, "retry")
    for _ in range(9):
        assert ledger.claim("a.jpg", "e1", blocked("model:m")) == "waiting"
    before = ledger.read("a.jpg")
    assert before and (before.receipt.state, before.receipt.cause, before.receipt.key) == ("waiting", "model:m", "")
    assert (before.receipt.reason, before.receipt.old_keys) == ("because of model:m", (first.receipt.folder,))
    assert ledger.claim("a.jpg", "e1", blocked("model:m")) == "waiting"
    assert ledger.read("a.jpg") == before  # asking costs no write
    [summary] = [summary for page in store.pages() for summary in page.summaries]
    assert summary.is_open("e1") and summary.cause == "model:m"
    assert ledger.claim("a.jpg", "e1", blocked("route:r")) == "waiting"
    again = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    assert (again.receipt.attempt, again.receipt.cause) == (2, "")
    # Found while it was worked on:
    assert ledger.wait(again, "package:cv2", "no cv2", None) == "ok"
    assert claimed(ledger.claim("a.jpg", "e1", plan("e1"))).receipt.attempt == 2


def test_waiting_a_sidecar_that_came_meanwhile_is_looked_at_first(ledger: Ledger) -> None:
    claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    ledger.override("a.jpg", 'route = "faces"')
    assert ledger.wait(claim, "model:m", "no model", None) == "changed"
    stored = ledger.read("a.jpg")
    assert stored and (stored.receipt.state, stored.receipt.cause) == ("retry", "")
    claimed(ledger.claim("a.jpg", "e2", plan("e2")))
    assert ledger.wait(claim, "model:m", "no model", None) == "lost"


def test_a_slot_and_a_cause_follow_each_other(ledger: Ledger) -> None:
    tonight = datetime.now(UTC) + timedelta(hours=1)
    for found in (plan("e1", until=tonight), blocked("model:m"), plan("e1", until=tonight)):
        assert ledger.claim("a.jpg", "e1", found) == "waiting"
    stored = ledger.read("a.jpg")
    assert stored and (stored.receipt.cause, stored.receipt.until) == ("", tonight.isoformat())
    assert claimed(ledger.claim("a.jpg", "e1", plan("e1"))).receipt.attempt == 1


def test_what_waits_without_saying_for_what_is_claimed(ledger: Ledger, store: MemoryReceipts) -> None:
    store.create(Receipt("a.jpg", "e1", "k", "waiting", attempt=0))
    assert claimed(ledger.claim("a.jpg", "e1", plan("e1"))).receipt.attempt == 1


def test_a_damaged_lease_ends_after_a_day(ledger: Ledger, store: MemoryReceipts) -> None:
    store.create(Receipt("a.jpg", "e1", "k", "working", lease_s=1e300))
    assert ledger.claim("a.jpg", "e1", plan("e1")) == "busy"
    store.pass_s(86401)
    [summary] = [summary for page in store.pages() for summary in page.summaries]
    assert summary.is_open("e1") and claimed(ledger.claim("a.jpg", "e1", plan("e1")))


def test_what_cannot_be_done_for_now_leaves_the_living_and_the_jobs_alone(ledger: Ledger) -> None:
    claim = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    assert ledger.claim("a.jpg", "e1", blocked("why")) == "busy"
    ledger.hand_over(claim, "job-1")
    assert ledger.claim("a.jpg", "e1", blocked("why")) == "busy"
    adopted = ledger.adopt("a.jpg", "job-1", blocked("why"))
    assert adopted and ledger.complete(adopted, "e1") == "ok"


def test_a_result_of_the_version_before_is_remembered_while_the_new_one_waits(ledger: Ledger) -> None:
    old = claimed(ledger.claim("a.jpg", "e1", plan("e1")))
    ledger.complete(old, "r1")
    assert ledger.claim("a.jpg", "e2", blocked("why")) == "waiting"
    new = claimed(ledger.claim("a.jpg", "e2", plan("e2")))
    assert (new.receipt.result_etag, new.receipt.old_keys) == ("r1", (old.receipt.folder,))
    assert new.receipt.attempt == 1
