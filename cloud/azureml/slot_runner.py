"""What a tick does for an entry: decide its due slots, then move each open one on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from cloud.azureml.due_slots import AHEAD, EACH_MINUTE, Plan, due, is_ahead, pass_by
from cloud.azureml.expressions import Facts
from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.slot import FINAL, Slot
from cloud.azureml.slot_steps import Service, Steps, in_words
from cloud.azureml.slot_store import SlotStore
from inference.errors import DropsightError, Permanent, Transient

log = logging.getLogger(__name__)


class PipelineFailed(Permanent):
    """A run failed, or a submission was refused. Raised once, so that the host shows a failed invocation."""


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
            plan = plan.set_right(now)
            if not on:
                return pass_by(entry, plan, now, self._deployment, alone)
            if is_ahead(plan, self._deployment, now):
                through = plan.of(self._deployment).through
                log.error(
                    "pipeline %s: its slots were decided up to %s by a clock that was wrong; they count from %s on",
                    entry.name, through, now.isoformat(),
                )  # fmt: skip
            return due(entry, plan, now, self._tick, self._deployment, alone)

        may_send = (lambda _: True) if on else _is_asked
        self._follow(entry, self.store.change_plan(entry.name, decide), may_send)

    def follow(self, entry: PipelineEntry) -> None:
        """Move the entry's open slots on; none is decided, and none begins."""
        self._follow(entry, self.store.plan(entry.name), lambda _: False)

    def run_now(self, entry: PipelineEntry, at: datetime | None = None) -> datetime:
        """A slot outside the schedule and whatever the condition says: for this very second, or for `at`, which runs
        once however often it is asked for. Returns the slot."""
        at = (at or self._clock()).replace(microsecond=0)
        self.store.create(Slot.new(entry.name, entry.kind, at, asked=True))
        self._follow(entry, self.store.change_plan(entry.name, lambda plan: plan.opened(at)), lambda _: True)
        return at

    def _follow(self, entry: PipelineEntry, plan: Plan, may_send: Callable[[Slot], bool]) -> None:
        """Move every open slot on as far as it goes. Raises PipelineFailed for those that failed just now.

        may_send: whether a slot that was not sent yet begins.
        """
        failures = []
        plan = self._write_skipped(entry, plan)
        steps = Steps(entry, plan, self.store, self._service, self._facts, self._clock, may_send, self._alone)
        for at in plan.open:
            if not self._may_begin():
                break
            where = f"pipeline {entry.name}, slot {at.isoformat()}"
            try:
                slot = steps.advance(at)
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
            self.store.replace(replace(stored[0], error=error, updated=self._clock().isoformat()), stored[1])
        except DropsightError as trouble:  # then the failed invocation is the record
            log.warning("pipeline %s, slot %s: %s", name, at.isoformat(), trouble)
        return True

    def _write_skipped(self, entry: PipelineEntry, plan: Plan) -> Plan:
        now = self._clock()
        for at, reason in plan.skipped:
            # What lies ahead was decided by a clock that was wrong; what is open another deployment wants to run.
            if at <= now + AHEAD and at not in plan.open:
                slot = Slot.new(entry.name, entry.kind, at, updated=now.isoformat())
                self.store.create(slot.skipped(reason))
        if not plan.skipped:
            return plan
        written = set(plan.skipped)
        return self.store.change_plan(
            entry.name,
            lambda now: replace(now, skipped=tuple(item for item in now.skipped if item not in written)),
        )

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


def _is_asked(slot: Slot) -> bool:
    return slot.asked
