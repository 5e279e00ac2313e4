"""A slot from due to done: pending -> submitting -> submitted -> done, failed or canceled.

A slot is sent at most once because `submitting` is written, on condition of the receipt's version, before
anything is sent; whoever finds it there afterwards does not know what happened and looks at the service
(`unknown`) before it sends again. Where the service cannot tell, the slot stays unknown for a person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import uuid4

from cloud.azureml.due_slots import AHEAD, WHILE_OFF, Plan
from cloud.azureml.expressions import Facts, fill, unmet
from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.slot import ON_REQUEST, Slot
from cloud.azureml.slot_store import SlotStore
from cloud.azureml.workspace import NotAccepted, Run, Search
from inference.errors import BadPipeline, DropsightError, Permanent, Transient
from inference.tables import build

log = logging.getLogger(__name__)

# A submission takes seconds (its timeouts add up to about two minutes); after this its worker is dead.
DEAD = timedelta(minutes=10)
# How long a run may take to appear in the service's lists.
APPEARS = timedelta(minutes=3)
# A submitted run that the service does not know after this long is gone.
VANISHED = timedelta(hours=1)


class Service(Protocol):
    """What the runner needs of `cloud.azureml.azureml_client.AzureML`."""

    def submit(self, submission: Submission) -> Run: ...

    def search(self, submission: Submission, since: datetime, *, names_kept: bool = False) -> Search: ...

    def status(self, kind: str, run: str) -> Run | None: ...


@dataclass(frozen=True)
class Steps:
    """Moves the slots of one entry on, as its plan is. may_send, alone: as in `Runner`."""

    entry: PipelineEntry
    plan: Plan
    store: SlotStore
    service: Callable[[], Service]
    facts: Callable[[datetime | None], Facts]
    clock: Callable[[], datetime]
    may_send: Callable[[Slot], bool]
    alone: Callable[[str], bool]

    def advance(self, at: datetime) -> Slot:
        """The slot, as far as it goes now."""
        stored = self.store.read(self.entry.name, at)
        if stored is None:
            self.store.create(Slot.new(self.entry.name, self.entry.kind, at))
            stored = self.store.read(self.entry.name, at)
            assert stored is not None
        slot, etag = stored
        if slot.state == "skipped" and self.may_send(slot) and self._skipped_too_early(slot):
            slot, etag = self._write(replace(slot, state="pending", reason="", not_before=""), etag)
        living = self.entry.target.is_at_work(self.entry.name)
        if slot.state == "submitting" and not living and self.store.age(self.entry.name, at) > DEAD:
            slot, etag = self._write(self._died(slot), etag)
        if slot.state == "unknown":
            slot, etag = self._settle(slot, etag)
        if slot.state == "pending" and not self.may_send(slot):
            if self.alone(self.entry.name):  # else another deployment may send it
                slot, _ = self._write(slot.skipped(f"{WHILE_OFF} before it was sent"), etag)
        elif slot.state == "pending":
            slot, _ = self._submit(slot, etag)
        elif slot.state == "submitted":
            slot, _ = self._poll(slot, etag)
        return slot

    def _skipped_too_early(self, slot: Slot) -> bool:
        """Whether its moment had not come, or another deployment skipped it at the moment when it was switched on."""
        return slot.reason != ON_REQUEST and (slot.reason == WHILE_OFF or self._is_ahead(slot.updated))

    def _is_ahead(self, moment: str) -> bool:
        """Whether it was written by a clock that was wrong."""
        return moment > (self.clock() + AHEAD).isoformat()

    def _waits(self, slot: Slot) -> bool:
        """Whether it is too early to send it. What a clock that was ahead decided to send waits for its moment."""
        if not slot.asked and self._is_ahead(slot.slot):
            return True
        return slot.not_before > self.clock().isoformat() and not self._is_ahead(slot.updated)

    def _died(self, slot: Slot) -> Slot:
        """Its worker did, after it had sent the slot, perhaps: not later than its receipt was written, by any clock."""
        sent = min(datetime.fromisoformat(slot.sent_at), self.store.written(slot.pipeline, slot.at))
        return replace(slot.unknown("its worker ended"), sent_at=sent.isoformat())

    def _submit(self, slot: Slot, etag: str) -> tuple[Slot, str]:
        if self._waits(slot):
            return slot, etag
        now = self.clock()
        if self.plan.overtakes(slot.at, now) and self.entry.catch_up != "all" and not slot.asked:
            return self._write(slot.skipped("a newer slot is due"), etag)
        try:
            facts = self.facts(self.plan.sent_at)
            if not slot.asked and (reason := unmet(self.entry.condition, facts)):
                return self._write(slot.skipped(reason), etag)
            submission, service = submission_for(self.entry, slot.at, facts, slot.number), self.service()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was sent
            return self._not_submitted(slot, etag, error, sent=False)
        taken = slot.submitting(submission, uuid4().hex, now)
        etag_taken = self.store.replace(taken, etag)
        if etag_taken is None:  # somebody else sends it
            return replace(slot, state="submitting"), etag
        try:
            run = service.submit(submission)
        except Exception as error:  # noqa: BLE001 - the service's, or the SDK's on an answer that it does not expect
            return self._not_submitted(taken, etag_taken, error, sent=True)
        return self._submitted(taken, etag_taken, run)

    def _not_submitted(self, slot: Slot, etag: str, error: Exception, *, sent: bool) -> tuple[Slot, str]:
        """What follows from an error: over for good, again later, or, once it was sent, nobody knows."""
        said = in_words(error)
        if isinstance(error, Permanent):
            return self._write(slot.failed(said), etag)
        slot = slot if sent else replace(slot, attempts=slot.attempts + 1)
        where = f"pipeline {slot.pipeline}, slot {slot.slot}, attempt {slot.attempts}"
        if sent and not isinstance(error, NotAccepted):
            log.warning("%s: it is unknown whether it was taken", where, exc_info=error)
            return self._write(slot.unknown(said), etag)
        log.warning("%s was not taken: %s", where, said)
        after_s = error.retry_after_s if isinstance(error, NotAccepted) else 60
        return self._write(slot.refused_for_now(said, self.clock(), after_s), etag)

    def _submitted(self, slot: Slot, etag: str, run: Run) -> tuple[Slot, str]:
        sent = datetime.fromisoformat(slot.sent_at)
        named = run.id == (slot.submission or {}).get("key")
        log.info("pipeline %s, slot %s runs as %s: %s", slot.pipeline, slot.slot, run.id, run.page)
        written = self._write(slot.submitted(run), etag)  # first: of all this, only the run is known to nobody else
        self.store.change_plan(
            slot.pipeline,
            lambda plan: replace(plan, sent_at=max(plan.sent_at or sent, sent), names_kept=plan.names_kept or named),
        )
        # What was done while we waited is over at once.
        ended = run.state != "running" and written[0].state == "submitted"
        return self._write(written[0].followed(run), written[1]) if ended else written

    def _settle(self, slot: Slot, etag: str) -> tuple[Slot, str]:
        """Find out what became of an attempt whose outcome is unknown."""
        wait = timedelta(0) if slot.kind == "job" else APPEARS  # a job's id is ours: sending again is safe
        if self.store.age(slot.pipeline, slot.at) < wait:
            return slot, etag
        # Its receipt was written within minutes of the attempt, by storage's clock: ours may have been wrong.
        since = min(datetime.fromisoformat(slot.sent_at), self.store.written(slot.pipeline, slot.at) - DEAD)
        search = self.service().search(slot.submitted_as(self.entry.target), since, names_kept=self.plan.names_kept)
        if search.run:
            return self._submitted(slot, etag, search.run)
        if search.certain:
            return self._write(slot.absent(), etag)
        if slot.unsettled != search.why:
            log.error(
                "pipeline %s, slot %s: it is unknown whether its run was started (%s). Look at %s and say "
                "`python -m cloud pipelines resolve %s %s --run ID | --resubmit | --skip`",
                slot.pipeline, slot.slot, search.why, "Azure Machine Learning studio", slot.pipeline, slot.slot,
            )  # fmt: skip
            return self._write(replace(slot, unsettled=search.why), etag)
        return slot, etag

    def _poll(self, slot: Slot, etag: str) -> tuple[Slot, str]:
        known = slot.run or {}
        run = self.service().status(slot.kind, known["id"])
        if run is None:
            if self.store.age(slot.pipeline, slot.at) < VANISHED:
                return slot, etag
            return self._write(slot.failed(f"run {known['id']} is not in the workspace any more"), etag)
        if run.state == "running" and run.status == known["status"] and not slot.error:
            return slot, etag
        return self._write(slot.followed(run), etag)

    def _write(self, changed: Slot, etag: str) -> tuple[Slot, str]:
        """The slot as changed, or what somebody else has made of it meanwhile."""
        changed = replace(changed, updated=self.clock().isoformat())
        written = self.store.replace(changed, etag)
        if written:
            return changed, written
        stored = self.store.read(changed.pipeline, changed.at)
        if stored is None:
            raise Transient(f"the receipt of {changed.pipeline} {changed.slot} was deleted")
        if changed.state == "submitted" and stored[0].awaits(changed.number):
            # We were slow and taken for dead; but we know the run.
            return self._write(replace(stored[0], state="submitted", run=changed.run, error=""), stored[1])
        return stored


def submission_for(entry: PipelineEntry, at: datetime, facts: Facts, number: int = 1) -> Submission:
    """The entry's submission for a slot, expressions filled in. Raises BadPipeline where that makes no sense."""
    table = entry.target.as_table()
    filled = fill(
        {"target": table, "tags": entry.tags, "experiment": entry.experiment, "description": entry.description},
        entry.name, at, entry.schedule.tz, facts,
    )  # fmt: skip
    where = f"pipeline {entry.name!r}, slot {at.isoformat()}"
    target = build(type(entry.target), filled["target"], where, BadPipeline) if table else entry.target
    return Submission(entry.name, at, target, filled["experiment"], filled["description"], filled["tags"], number)


def in_words(error: Exception) -> str:
    """An error as a person reads it: the message of ours, the class too of any other."""
    return str(error) if isinstance(error, DropsightError) else f"{type(error).__name__}: {error}"
