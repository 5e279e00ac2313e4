"""A slot from due to done: pending -> submitting -> submitted -> done, failed or canceled.

A slot is sent at most once because `submitting` is written, on condition of the receipt's version, before
anything is sent; whoever finds it there afterwards does not know what happened and looks at the service
(`unknown`) before it sends again. Where the service cannot tell, the slot stays unknown for a person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol
from uuid import uuid4

from cloud.azureml.due_slots import EACH_MINUTE, WHILE_OFF, Plan, due, is_ahead, pass_by
from cloud.azureml.expressions import Facts, fill, unmet
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.slot import FINAL, Slot
from cloud.azureml.slot_store import SlotStore
from cloud.azureml.workspace import NotAccepted, Run, Search
from cloud.pipelines_file import PipelineEntry
from inference.errors import BadPipeline, DropsightError, Permanent, Transient
from inference.tables import build

log = logging.getLogger(__name__)

# A submission takes seconds (its timeouts add up to about two minutes); after this its worker is dead.
DEAD = timedelta(minutes=10)
# How long a run may take to appear in the service's lists.
APPEARS = timedelta(minutes=3)
# A submitted run that the service does not know after this long is gone.
VANISHED = timedelta(hours=1)


class PipelineFailed(Permanent):
    """A run failed, or a submission was refused. Raised once, so that the host shows a failed invocation."""


class Service(Protocol):
    """What the runner needs of `cloud.azureml.azureml_client.AzureML`."""

    def submit(self, submission: Submission) -> Run: ...

    def search(self, submission: Submission, since: datetime, *, names_kept: bool = False) -> Search: ...

    def status(self, kind: str, run: str) -> Run | None: ...


class Runner:
    """Moves the slots of entries on; safe to run in any number of processes, and threads, at the same time.

    tick: NCRONTAB of the wake-ups. may_begin: asked before a slot is looked at; once it says no, the rest is left for
    the next tick. deployment: in whose name slots are decided. alone: whether no other deployment over this storage
    has the entry of that name switched on.
    """

    def __init__(
        self,
        store: SlotStore,
        service: Callable[[], Service],
        facts: Callable[[datetime | None], Facts],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        tick: str = EACH_MINUTE,
        may_begin: Callable[[], bool] = lambda: True,
        deployment: str = "",
        alone: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.store = store
        self._service = service  # made when needed: most wake-ups find nothing to do
        self._facts = facts
        self._clock = clock
        self._tick = tick
        self._may_begin = may_begin
        self._deployment, self._alone = deployment, alone

    def wake(self, entry: PipelineEntry, *, on: bool = True) -> None:
        """Decide the entry's due slots, unless it is switched off, then move its open ones on."""

        def decide(plan: Plan) -> Plan:
            now, alone = self._clock(), partial(self._alone, entry.name)
            if not on:
                return pass_by(entry, plan, now, self._deployment, alone)
            if is_ahead(plan, self._deployment, now):
                through = plan.of(self._deployment).through
                log.error(
                    "pipeline %s: its slots were decided up to %s by a clock that was wrong; they count from %s on",
                    entry.name, through, now.isoformat(),
                )  # fmt: skip
            return due(entry, plan, now, self._tick, self._deployment, alone)

        self._follow(entry, self.store.change_plan(entry.name, decide), on=on)

    def follow(self, entry: PipelineEntry) -> None:
        """Move the entry's open slots on; none is decided, and none begins."""
        self._follow(entry, self.store.plan(entry.name), on=False)

    def run_now(self, entry: PipelineEntry, at: datetime | None = None) -> datetime:
        """A slot outside the schedule and whatever the condition says: for this very second, or for `at`, which runs
        once however often it is asked for. Returns the slot."""
        at = (at or self._clock()).replace(microsecond=0)
        self.store.create(Slot.new(entry.name, entry.kind, at, asked=True))
        self._follow(entry, self.store.change_plan(entry.name, lambda plan: plan.opened(at)))
        return at

    def _follow(self, entry: PipelineEntry, plan: Plan, *, on: bool = True) -> None:
        """Move every open slot on as far as it goes. Raises PipelineFailed for those that failed just now.

        on: whether slots begin that nobody asked for.
        """
        failures = []
        plan = self._write_skipped(entry, plan)
        for at in plan.open:
            if not self._may_begin():
                break
            where = f"pipeline {entry.name}, slot {at.isoformat()}"
            try:
                slot = self._advance(entry, plan, at, on)
                if slot.state in FINAL:
                    self._close(entry, slot)
            except Transient as error:
                log.warning("%s waits: %s", where, error)
            except Exception as error:  # whatever is wrong with a slot, the others go on
                if self._note(entry.name, at, in_words(error)):
                    log.exception("%s", where)
                    failures.append(f"{where}: {in_words(error)}")
            else:
                if slot.state == "failed":
                    failures.append(f"{where}: {slot.error}")
                    log.error("%s", failures[-1])
        if failures:
            raise PipelineFailed("; ".join(failures))

    def _note(self, name: str, at: datetime, error: str) -> bool:
        """Write what went wrong with a slot that stays open; False where that is known already."""
        try:
            stored = self.store.read(name, at)
            if not stored or stored[0].state in FINAL:
                return True
            if stored[0].error == error:
                return False
            self._write(replace(stored[0], error=error), stored[1])
        except DropsightError as trouble:  # then the failed invocation is the record
            log.warning("pipeline %s, slot %s: %s", name, at.isoformat(), trouble)
        return True

    def _write_skipped(self, entry: PipelineEntry, plan: Plan) -> Plan:
        for at, reason in plan.skipped:
            self.store.create(Slot.new(entry.name, entry.kind, at).skipped(reason))
        if not plan.skipped:
            return plan
        written = set(plan.skipped)
        return self.store.change_plan(
            entry.name,
            lambda now: replace(now, skipped=tuple(item for item in now.skipped if item not in written)),
        )

    def _advance(self, entry: PipelineEntry, plan: Plan, at: datetime, on: bool) -> Slot:
        """The slot, as far as it goes now."""
        stored = self.store.read(entry.name, at)
        if stored is None:
            self.store.create(Slot.new(entry.name, entry.kind, at))
            stored = self.store.read(entry.name, at)
            assert stored is not None
        slot, etag = stored
        living = entry.target.is_at_work(entry.name)
        if slot.state == "submitting" and not living and self.store.age(entry.name, at) > DEAD:
            slot, etag = self._write(slot.unknown("its worker ended"), etag)
        if slot.state == "unknown":
            slot, etag = self._settle(entry, plan, slot, etag)
        if slot.state == "pending" and not (on or slot.asked):
            # Another deployment may send it.
            slot = self._write(slot.skipped(WHILE_OFF), etag)[0] if self._alone(entry.name) else slot
        elif slot.state == "pending":
            slot, _ = self._submit(entry, plan, slot, etag)
        elif slot.state == "submitted":
            slot, _ = self._poll(slot, etag)
        return slot

    def _submit(self, entry: PipelineEntry, plan: Plan, slot: Slot, etag: str) -> tuple[Slot, str]:
        now = self._clock()
        if slot.not_before > now.isoformat():
            return slot, etag
        if plan.overtakes(slot.at, now) and entry.catch_up != "all" and not slot.asked:
            return self._write(slot.skipped("a newer slot is due"), etag)
        try:
            facts = self._facts(plan.sent_at)
            if not slot.asked and (reason := unmet(entry.condition, facts)):
                return self._write(slot.skipped(reason), etag)
            submission, service = submission_for(entry, slot.at, facts, slot.number), self._service()
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
        return self._write(slot.refused_for_now(said, self._clock(), after_s), etag)

    def _submitted(self, slot: Slot, etag: str, run: Run) -> tuple[Slot, str]:
        sent = datetime.fromisoformat(slot.sent_at)
        named = run.id == (slot.submission or {}).get("key")
        self.store.change_plan(
            slot.pipeline,
            lambda plan: replace(plan, sent_at=max(plan.sent_at or sent, sent), names_kept=plan.names_kept or named),
        )
        log.info("pipeline %s, slot %s runs as %s: %s", slot.pipeline, slot.slot, run.id, run.page)
        written = self._write(slot.submitted(run), etag)
        # What was done while we waited is over at once.
        ended = run.state != "running" and written[0].state == "submitted"
        return self._write(written[0].followed(run), written[1]) if ended else written

    def _settle(self, entry: PipelineEntry, plan: Plan, slot: Slot, etag: str) -> tuple[Slot, str]:
        """Find out what became of an attempt whose outcome is unknown."""
        wait = timedelta(0) if slot.kind == "job" else APPEARS  # a job's id is ours: sending again is safe
        if self.store.age(slot.pipeline, slot.at) < wait:
            return slot, etag
        since = datetime.fromisoformat(slot.sent_at)
        search = self._service().search(slot.submitted_as(entry.target), since, names_kept=plan.names_kept)
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
        run = self._service().status(slot.kind, known["id"])
        if run is None:
            if self.store.age(slot.pipeline, slot.at) < VANISHED:
                return slot, etag
            return self._write(slot.failed(f"run {known['id']} is not in the workspace any more"), etag)
        if run.state == "running" and run.status == known["status"]:
            return slot, etag
        return self._write(slot.followed(run), etag)

    def _write(self, changed: Slot, etag: str) -> tuple[Slot, str]:
        """The slot as changed, or what somebody else has made of it meanwhile."""
        changed = replace(changed, updated=self._clock().isoformat())
        written = self.store.replace(changed, etag)
        if written:
            return changed, written
        stored = self.store.read(changed.pipeline, changed.at)
        if stored is None:
            raise Transient(f"the receipt of {changed.pipeline} {changed.slot} was deleted")
        if changed.state == "submitted" and stored[0].state in ("submitting", "unknown"):
            # We were slow and taken for dead; but we know the run.
            return self._write(replace(stored[0], state="submitted", run=changed.run, error=""), stored[1])
        return stored

    def _close(self, entry: PipelineEntry, slot: Slot) -> None:
        """Take the slot off the open ones; where the entry keeps no receipts, only the newest stays."""
        older = ""

        def close(plan: Plan) -> Plan:
            nonlocal older
            changed = plan.closed(slot, self._clock())
            older = next((at for at in (plan.last.get("slot", ""), slot.slot) if at != changed.last["slot"]), "")
            return changed

        self.store.change_plan(entry.name, close)
        if older and not entry.keeps:
            self.store.forget(entry.name, older)


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
