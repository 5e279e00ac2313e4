"""What stands behind the tick and the command line: entries, storage and workspace put together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cloud.azureml.azureml_client import AzureML
from cloud.azureml.expressions import Facts
from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.slot import ON_REQUEST, Slot
from cloud.azureml.slot_runner import PipelineFailed, Runner
from cloud.azureml.slot_steps import Service, submission_for
from cloud.azureml.slot_store import SlotStore
from cloud.azureml.workspace import Run, Workspace
from cloud.once import once
from cloud.pipelines_file import pipelines
from cloud.settings import current
from cloud.storage.containers import default_storage
from inference.errors import BadPipeline, Transient

if TYPE_CHECKING:
    from cloud.index.results import IndexedResults

log = logging.getLogger(__name__)


@once
def azureml() -> AzureML:
    """The workspace of the settings AZUREML_WORKSPACE and AZUREML_REGION, signed in when first asked."""
    settings = current()
    return AzureML(Workspace.parse(settings.azureml_workspace, settings.azureml_region))


def results() -> IndexedResults | None:
    """What knows the results without a listing."""
    from cloud.index.results import default_results

    return default_results()


def slot_store() -> SlotStore:
    """Plans and receipts in the app's own storage."""
    return SlotStore(default_storage())


def runner(service: Callable[[], Service] | None = None, **options: Any) -> Runner:
    """A runner over the app's storage and workspace, or another service."""
    storage = default_storage()
    return Runner(
        SlotStore(storage), service or azureml, lambda since: Facts(storage, azureml, since, results), **options
    )


def submit_now(name: str, at: datetime | None = None) -> Slot:
    """Run a pipeline of pipelines.toml now, or for the slot `at`, which runs once however often it is asked for.

    Returns the slot as it is then, failed ones too. Raises BadPipeline where there is no such entry, Transient.
    """
    entry, working = pipelines().find(name), runner()
    at = at or datetime.now(UTC).replace(microsecond=0)
    try:
        working.run_now(entry, at)
    except PipelineFailed as error:  # of this slot, or of another one of the entry
        log.warning("%s", error)
    stored = working.store.read(name, at)
    if stored is None:
        raise Transient(f"pipeline {name!r}: the receipt of its slot {at.isoformat()} was deleted")
    return stored[0]


def next_slot(entry: PipelineEntry, now: datetime) -> datetime | None:
    """The next slot of an entry, in its time zone; None where it is off, or has none within a year."""
    if not entry.enabled:
        return None
    # A year covers every schedule a person means; more would walk for ever where the date is impossible.
    slots = entry.schedule.slots(now, now.replace(year=now.year + 1, day=min(now.day, 28)))
    found = next(iter(slots), None)
    return found.astimezone(entry.schedule.tz) if found else None


def preview(entry: PipelineEntry) -> dict[str, Any]:
    """The exact request that a run at this moment would send."""
    storage = default_storage()
    since = SlotStore(storage).plan(entry.name).sent_at
    slot = datetime.now(UTC).replace(microsecond=0)
    return azureml().preview(submission_for(entry, slot, Facts(storage, azureml, since, results)))


def resolve(name: str, at: datetime, how: str, run: str = "") -> Slot:
    """Settle an unknown or failed slot by a person's word: `run` (its id), `resubmit` or `skip`.

    `skip` also ends one that waits to be sent. Said again, it does what broke off before. name: of an entry, also of
    one that is not in the file any more. Raises BadPipeline.
    """
    kept = slot_store()
    stored = kept.read(name, at)
    if not stored and how == "skip" and kept.plan(name).is_failed(at):  # its receipt was deleted
        kept.change_plan(name, lambda plan: replace(plan, failed={}))
        return Slot.new(name, "", at).skipped(ON_REQUEST)
    if not stored:
        raise BadPipeline(f"pipeline {name!r} has no slot {at.isoformat()}; see `history {name}`")
    slot, etag = stored
    if not _is_so(slot, how, run):
        slot = _settled(kept, slot, etag, how, run)
    kept.change_plan(name, lambda plan: plan.resolved(at))
    return slot


def _is_so(slot: Slot, how: str, run: str) -> bool:
    """Whether that was said before, and written."""
    if how == "run":
        return slot.state == "submitted" and (slot.run or {}).get("id") == run
    if how == "skip":
        return slot.state == "skipped" and slot.reason == ON_REQUEST
    return slot.state == "pending" and slot.asked


def _settled(kept: SlotStore, slot: Slot, etag: str, how: str, run: str) -> Slot:
    at = slot.at
    if slot.state not in (("unknown", "failed", "pending") if how == "skip" else ("unknown", "failed")):
        raise BadPipeline(
            f"slot {at.isoformat()} is {slot.state}; only unknown and failed slots are resolved; a pending one takes "
            "--skip"
        )
    if how == "run":
        for other in kept.history(slot.pipeline, 200):
            if other.at != at and (other.run or {}).get("id") == run:
                raise BadPipeline(f"run {run} is that of slot {other.slot}; name the run of slot {at.isoformat()}")
        changed = slot.submitted(Run(run, "NotStarted", "", azureml().workspace.page(run)))
    else:
        changed = slot.again() if how == "resubmit" else slot.skipped(ON_REQUEST)
    if not kept.replace(changed, etag):
        raise BadPipeline(f"slot {at.isoformat()} was changed by the running app meanwhile: look again")
    return changed
