"""The bodies of the timer functions and of the command line: entries, storage and workspace put together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cloud.azureml.client import AzureML
from cloud.azureml.types import Workspace
from cloud.pipelines.entries import Entry, Pipelines
from cloud.pipelines.facts import StorageFacts
from cloud.pipelines.receipts import Receipt, Receipts
from cloud.pipelines.runner import PipelineFailed, Runner, submission_for
from cloud.settings import current, is_disabled
from cloud.storage import default_storage
from inference.errors import BadPipeline, DropsightError


@cache
def azureml() -> AzureML:
    """The workspace of the settings AZUREML_WORKSPACE and AZUREML_REGION, signed in when first asked."""
    settings = current()
    return AzureML(Workspace.parse(settings.azureml_workspace, settings.azureml_region))


def receipts() -> Receipts:
    """Plans and receipts in the app's own storage."""
    return Receipts(default_storage())


def runner() -> Runner:
    """A runner over the app's storage and workspace."""
    storage = default_storage()
    return Runner(Receipts(storage), azureml, lambda since: StorageFacts(storage, azureml, since))


def wake(entry: Entry) -> None:
    """What the entry's own timer does."""
    runner().wake(entry)


def follow(pipelines: Pipelines) -> None:
    """Move every entry's open slots on. Raises PipelineFailed, once, with all that failed.

    It also decides due slots, as their own timers do: one whose tick met a storage that was down for a
    moment would otherwise wait for the next tick, maybe a week.
    """
    failures = []
    for entry in pipelines.entries:
        try:
            if entry.enabled and not is_disabled(f"pipeline_{entry.name.replace('-', '_')}"):
                runner().wake(entry)
            else:
                runner().follow(entry)
        except DropsightError as error:
            failures.append(str(error))
    if failures:
        raise PipelineFailed("; ".join(failures))


def preview(entry: Entry) -> dict[str, Any]:
    """The exact request that a run at this moment would send."""
    storage = default_storage()
    since = Receipts(storage).plan(entry.name).sent_at
    slot = datetime.now(UTC).replace(microsecond=0)
    return azureml().preview(submission_for(entry, slot, StorageFacts(storage, azureml, since)))


def resolve(entry: Entry, slot: datetime, how: str, run: str = "") -> Receipt:
    """Settle an unknown slot by a person's word: `run` (its id), `resubmit` or `skip`. Raises BadPipeline."""
    kept = receipts()
    found = kept.read(entry.name, slot)
    if not found:
        raise BadPipeline(f"pipeline {entry.name!r} has no slot {slot.isoformat()}; see `history {entry.name}`")
    receipt, etag = found
    if receipt["state"] not in ("unknown", "failed"):
        raise BadPipeline(f"slot {slot.isoformat()} is {receipt['state']}; only unknown and failed ones are resolved")
    if how == "run":
        page = azureml().workspace.page(run)
        changes: dict[str, Any] = {"state": "submitted", "run": {"id": run, "status": "NotStarted", "page": page}}
    elif how == "resubmit":
        changes = {"state": "pending", "not_before": "", "asked": True, "error": "sent again on request"}
    else:
        changes = {"state": "skipped", "reason": "skipped on request"}
    if not kept.replace(entry.name, slot, {**receipt, **changes}, etag):
        raise BadPipeline(f"slot {slot.isoformat()} was changed by the running app meanwhile: look again")
    reopen(entry, slot)
    return {**receipt, **changes}


def reopen(entry: Entry, slot: datetime) -> None:
    """Put a slot back among those that are moved on."""
    receipts().change_plan(
        entry.name,
        lambda plan: plan if slot in plan.open else replace(plan, open=tuple(sorted((*plan.open, slot)))),
    )


def health(pipelines: Pipelines) -> list[str]:
    """What a person should look at: wrong entries, unknown slots, the last failures, refused models."""
    from cloud.models.registered import refusals

    found = list(pipelines.problems)
    if pipelines.entries or pipelines.models:
        try:
            Workspace.parse(current().azureml_workspace, current().azureml_region)
        except BadPipeline as error:
            found.append(str(error))
    for model in pipelines.models:
        found += refusals(default_storage(), model)
    kept = receipts()
    for entry in pipelines.entries:
        plan = kept.plan(entry.name)
        if plan.last.get("state") == "failed":
            found.append(f"pipeline {entry.name}, slot {plan.last['slot']}: {plan.last['why']}")
        for slot in plan.open:
            receipt = kept.read(entry.name, slot)
            if receipt and receipt[0]["state"] == "pending" and receipt[0].get("error"):
                found.append(f"pipeline {entry.name}, slot {slot.isoformat()} waits: {receipt[0]['error']}")
            if receipt and receipt[0]["state"] == "unknown":
                found.append(
                    f"pipeline {entry.name}, slot {slot.isoformat()}: unknown whether it was started; "
                    f"python -m cloud pipelines resolve {entry.name} {slot.isoformat()} --run ID|--resubmit|--skip"
                )
    return found
