"""What a person should look at: failed runs, slots that wait, runs that do not begin, entries that nobody has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from cloud.azureml.deployments import Deployment
from cloud.azureml.due_slots import Plan, is_ahead
from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.slot import Slot, moment_of
from cloud.azureml.slot_store import SlotStore
from inference.errors import BadPipeline

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
# The service's words for a run that has begun. All others before its end mean that it still waits for something.
_BEGUN = ("running", "finalizing", "cancelrequested")


def trouble(
    store: SlotStore, entries: Iterable[PipelineEntry], here: str, elsewhere: Iterable[Deployment], now: datetime
) -> Iterator[str]:
    """A line for everything that is wrong.

    entries: what is on a schedule in the deployment `here`. elsewhere: the other deployments.
    Raises StorageUnavailable.
    """
    elsewhere = list(elsewhere)
    for deployment in elsewhere:
        if deployment.problem:
            yield f"{deployment.problem}, where that deployment does not live any more"
    known = set()
    for entry in entries:
        known.add(entry.name)
        try:
            yield from _of_entry(store, entry, here, now)
        except BadPipeline as error:
            yield f"pipeline {entry.name}: {error}"
    living = [deployment for deployment in elsewhere if deployment.is_alive(now)]
    for name in store.names():
        if name in known or any(deployment.may_run(name) for deployment in living):
            continue
        try:
            yield from _left_behind(store, name)
        except BadPipeline as error:
            yield f"pipeline {name}, which is not in pipelines.toml: {error}"


def _of_entry(store: SlotStore, entry: PipelineEntry, here: str, now: datetime) -> Iterator[str]:
    plan = store.plan(entry.name)
    if is_ahead(plan, here, now):
        through = plan.of(here).through
        yield f"pipeline {entry.name}: decided up to {through} by a clock that was wrong; the next tick counts from now"
    if plan.failed:
        at = plan.failed["slot"]
        yield (
            f"pipeline {entry.name}, slot {at}: {plan.failed['why']} (shown until a later run is done, or: "
            f"python -m cloud pipelines resolve {entry.name} {at} {'--resubmit|' if entry.keeps else ''}--skip)"
        )
    slots = list(_slots(store, entry.name, plan.open))
    moved = _moved(store, entry, plan, slots)
    for slot in slots:
        where = f"pipeline {entry.name}, slot {slot.slot}"
        if slot.state == "unknown":
            yield f"{where}: unknown whether it was started; {_resolve(slot)}"
        elif slot.error:
            yield f"{where} waits: {slot.error}"
        elif slot.state == "submitted" and (waited := _waits(entry, slot, moved, now)):
            run = slot.run or {}
            yield (
                f"{where}: run {run.get('id')} is {run.get('status')!r} for {waited} and has not begun: look at the "
                f"compute's quota and queue ({run.get('page')})"
            )


def _left_behind(store: SlotStore, name: str) -> Iterator[str]:
    """Of an entry that no living deployment has: what nobody would look at otherwise."""
    for slot in _slots(store, name, store.plan(name).open):
        if slot.state in ("unknown", "submitting"):
            yield (
                f"pipeline {name}, which is not in pipelines.toml any more, slot {slot.slot}: unknown whether it was "
                f"started; {_resolve(slot)}"
            )


def _slots(store: SlotStore, name: str, moments: Iterable[datetime]) -> Iterator[Slot]:
    for at in moments:
        if stored := store.read(name, at):
            yield stored[0]


def _resolve(slot: Slot) -> str:
    return f"python -m cloud pipelines resolve {slot.pipeline} {slot.slot} --run ID|--resubmit|--skip"


def _has_begun(slot: Slot) -> bool:
    return (slot.run or {}).get("status", "").lower() in _BEGUN


def _moved(store: SlotStore, entry: PipelineEntry, plan: Plan, slots: list[Slot]) -> str | None:
    """When the entry's runs have moved last, those that ended too; None while one of them works."""
    if any(map(_has_begun, slots)):
        return None
    ended = _slots(store, entry.name, [moment_of(plan.last["slot"])] if plan.last and slots else [])
    return max((slot.updated for slot in ended if slot.run), default="")


def _waits(entry: PipelineEntry, slot: Slot, moved: str | None, now: datetime) -> str:
    """How long its run has waited to begin, in words, where that is longer than the entry's interval or a day.

    moved: as `_moved` says: what waits for its turn behind runs of the same entry is in no trouble.
    """
    if moved is None or not slot.sent_at:
        return ""
    following = next(entry.schedule.slots(slot.at, slot.at + _DAY), slot.at + _DAY)
    waited = now - moment_of(max(slot.sent_at, moved))
    if waited <= max(following - slot.at, _HOUR):  # a compute that has to start first takes minutes
        return ""
    return f"{waited / _HOUR:.1f} hours" if waited < 2 * _DAY else f"{waited // _DAY} days"
