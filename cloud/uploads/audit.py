"""The audit: whether every upload has its answer, and nothing lies in storage that is no answer, told from listings.

Five lists are compared, by names, ETags and metadata: uploads, receipts, results, their artifacts (which lie in one
list with them), error records. Nothing that is checked is trusted: a receipt only says which key its upload's answer
has to carry (see audit_facts), and what it claims has to be there.

`in` counts uploads: no sidecars, no clutter, no folders. Each is exactly one of:

right      its complete result (of its ETag, with as many artifacts as the result names), or the error record that its
           failed receipt names. By which route, of which deployment, is no matter: what another model would answer is
           outdated, and `replay --changed` takes it.
lost       nobody will answer it: its receipt says done or failed, and result, artifacts or record are not there; its
           job is gone; or nobody holds it, and no sweep has taken it for a day.
doubled    two answers for one version: an error record beside its result.
stale      its answer is of an ETag that is no longer there: of an upload that was overwritten, and that nobody has
           begun, by another key than the receipt of today gives, or beside a newer error record.
in_work    a living worker or job has it.
waiting    it waits for its slot, for the installation, or for the next delivery or sweep.
cancelled  its job was cancelled.

orphaned   counts things that belong to nothing: folders of artifacts that no result names, while nobody is at work on
           the upload; of uploads that are gone, error records, receipts that were never finished, and results without
           a receipt. A deleted upload keeps its result: `kept` counts such names, and they are no fault.

A difference between lists that were read at different moments is no fault yet: each is looked at again, by its name.
What may be somebody's work of this moment (blobs younger than a lease) is looked at once more when it is older, what
is not there a moment later. Blobs without a key of ours in their metadata are somebody's own files, and no fault.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

from cloud.storage.containers import Storage
from cloud.storage.paths import printable
from cloud.uploads.audit_facts import FAULTS, Facts, Verdict, is_addressable, is_kept, judge
from cloud.uploads.audit_listing import Listing, ListMark
from cloud.uploads.audit_look import Look, plain_name
from cloud.uploads.audit_repair import Repair, Repairer
from cloud.uploads.audit_report import MOST_NAMED, AuditReport
from inference.errors import StorageUnavailable

_WIDTH = 8
_BATCH = 256
log = logging.getLogger(__name__)

# After so many second looks what the lists say is counted as it is: somebody has deleted whole containers.
_MOST_LOOKS = 20_000
_MOST_YOUNG = 10_000
_PAUSE_S = 2.0


class Audit:
    """An audit of a storage account; of a part of it where an earlier one stopped (`marks`, `report`).

    repairer: mends what is found; None only looks. paused: intake is, so that unbegun uploads wait. begin_thread: see
    BlobEvent.
    """

    def __init__(
        self,
        storage: Storage,
        lease_s: float,
        *,
        paused: bool = False,
        repairer: Repairer | None = None,
        report: AuditReport | None = None,
        marks: Mapping[str, ListMark] | None = None,
        begin_thread: Callable[[], None] = lambda: None,
    ) -> None:
        self.report = report or AuditReport()
        self._storage, self._lease_s, self._paused, self._repairer = storage, lease_s, paused, repairer
        self._marks, self._begin_thread = marks, begin_thread
        self._look = Look(storage)
        self._young: list[_Young] = []
        self._in_order: Callable[[], bool] = lambda: False

    def run(self, budget_s: float = math.inf) -> dict[str, ListMark] | None:
        """Read the lists until the budget is used up; None at their end, else where another audit goes on.

        Raises StorageUnavailable.
        """
        end = time.monotonic() + budget_s
        listing = Listing(self._storage, self._marks)
        pages = self.report.pages
        with ThreadPoolExecutor(_WIDTH, "dropsight-audit", self._begin_thread) as pool:
            names, left = iter(listing), None
            self._in_order = lambda: listing.is_ordered
            while batch := list(islice(names, _BATCH)):
                self._settle(pool, batch)
                self.report.pages = pages + listing.pages
                if time.monotonic() >= end:
                    lonely, unread, left = listing.stop()
                    self._settle(pool, lonely)
                    self._settle(pool, unread, complete=False)
                    break
            self.report.pages = pages + listing.pages
        return left

    @property
    def seconds_for_the_young(self) -> float:
        """How long `wait_for_the_young` will wait; about a lease at most."""
        return max((young.until - time.monotonic() for young in self._young), default=0.0)

    def wait_for_the_young(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Look again at what was younger than a lease, once it is older."""
        if not self._young:
            return
        sleep(max(0.0, self.seconds_for_the_young))
        young, self._young = self._young, []
        with ThreadPoolExecutor(_WIDTH, "dropsight-audit", self._begin_thread) as pool:
            for before, seen in zip(young, pool.map(self._mended, (each.listed for each in young)), strict=True):
                self.report.looks += 1
                if not self._is_young(seen):  # else it was replaced meanwhile, and somebody is at work
                    self.report.counts[before.counted_as] -= bool(before.counted_as)
                    self._count(seen)

    def _settle(self, pool: ThreadPoolExecutor, batch: Iterable[Facts], complete: bool = True) -> None:
        """Count names; those with a difference after a second look. complete: the lists have no more of them."""
        doubtful = []
        for facts in batch:
            facts.name = facts.name or plain_name(facts.path)
            seen = _Seen(facts, facts, judge(facts, self._paused)) if facts.name else None
            if seen and complete and self._is_certain(seen):
                self._count(seen)
            else:
                doubtful.append(facts)
        room = len(doubtful) if self._repairer else max(0, _MOST_LOOKS - self.report.looks)
        for seen in self._looks(pool, doubtful[:room]):
            self._count(seen)
        for facts in doubtful[room:]:
            if facts.name:
                self.report.unconfirmed += 1
                self._count(_Seen(facts, facts, judge(facts, self._paused)))

    def _looks(self, pool: ThreadPoolExecutor, listed: Sequence[Facts]) -> list[_Seen]:
        """Second looks; where they find faults, a last one, which mends them where there is a repairer.

        What is not there has no age: it may be about to be noted that it was deleted, so that moment is waited for.
        """
        found = list(pool.map(self._looked, listed))
        self.report.looks += len(found)
        again = [n for n, seen in enumerate(found) if seen.verdict.is_fault and (self._repairer or seen.is_ageless)]
        if any(found[n].is_ageless for n in again):
            time.sleep(min(_PAUSE_S, self._lease_s))
        for n, seen in zip(again, pool.map(self._mended, (listed[n] for n in again)), strict=True):
            found[n] = seen
        return found

    def _is_certain(self, seen: _Seen) -> bool:
        """Whether lists are enough: there is no fault, and none of the name can have another place in its list."""
        facts = seen.listed
        if seen.verdict.is_fault:
            return False
        if facts.upload is None or facts.receipt is not None or not is_addressable(facts.name):
            return True
        return facts.name.isascii() and facts.name == facts.path and self._in_order()

    def _looked(self, listed: Facts) -> _Seen:
        try:
            facts = self._look.at(listed)
        except StorageUnavailable as error:  # of this one: a customer's own key, say
            return _Seen(listed, None, Verdict("in_work", f"it could not be looked at: {error}"))
        if facts is None:
            return _Seen(listed, None, Verdict("in_work"))
        return _Seen(listed, facts, judge(facts, self._paused))

    def _mended(self, listed: Facts) -> _Seen:
        """Another look; where it confirms a fault that is old enough, and there is a repairer, that mends it."""
        seen = self._looked(listed)
        if self._repairer is None or seen.facts is None or not seen.verdict.is_fault or self._is_young(seen):
            return seen
        try:
            return seen._replace(repaired=self._repairer.repair(seen.facts, seen.verdict))
        except StorageUnavailable as error:  # a blob under a lease or a legal hold: the others do not wait for it
            log.warning("%s", printable(f"{seen.facts.name}: {error}"))
            return seen._replace(repaired=["left"])

    def _is_young(self, seen: _Seen) -> bool:
        return seen.verdict.is_fault and seen.verdict.youngest_s < self._lease_s

    def _count(self, seen: _Seen) -> None:
        listed, facts, verdict, _ = seen
        report = self.report
        was_listed = listed.upload is not None and (facts is None or facts.upload is not None)
        if self._is_young(seen):
            kind = (verdict.kind if verdict.age_s >= self._lease_s else "in_work") if was_listed else ""
            report.counts[kind] += bool(kind)
            if len(self._young) < _MOST_YOUNG:
                until = time.monotonic() + self._lease_s - verdict.youngest_s + 1
                self._young.append(_Young(listed, until, kind))
            return
        if was_listed:
            report.counts[verdict.kind] += 1
        elif facts and facts.upload and verdict.kind == "doubled":
            # Its error record has another place in its list: the upload itself was, or will be, taken for right.
            report.counts.update(doubled=1, right=-1)
        report.counts["kept"] += verdict.kind == "gone" and facts is not None and is_kept(facts)
        report.repaired.update(seen.repaired)
        if facts is None and verdict.why:
            report.unconfirmed += 1
            self._name("unconfirmed", f"{listed.name or listed.path}: {verdict.why}")
        if was_listed and verdict.kind in FAULTS:
            self._name(verdict.kind, f"{listed.name}: {verdict.why}")
        for orphan in verdict.orphans:
            report.counts["orphaned"] += 1
            self._name("orphaned", f"{(facts or listed).name}: {orphan}{f', {verdict.why}' if verdict.why else ''}")

    def _name(self, kind: str, sentence: str) -> None:
        named = self.report.named.setdefault(kind, [])
        if len(named) < MOST_NAMED:
            named.append(printable(sentence))


class _Seen(NamedTuple):
    """A name as the lists have it, its facts (None: they change at this moment), and what follows."""

    listed: Facts
    facts: Facts | None
    verdict: Verdict
    repaired: Sequence[Repair] = ()

    @property
    def is_ageless(self) -> bool:
        """Whether it is a fault of what is not there, which may have gone this very moment."""
        return self.verdict.is_fault and math.isinf(self.verdict.age_s) and self.verdict.kind in FAULTS


class _Young(NamedTuple):
    """A name whose fault may be work of this moment. until: by our clock; counted_as: "" where it counts as nothing."""

    listed: Facts
    until: float
    counted_as: str
