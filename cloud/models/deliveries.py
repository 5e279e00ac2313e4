"""The bodies behind the deliveries, the Event Grid webhook and `python -m cloud models`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

import azure.functions as func

from cloud.azureml.pipeline_runs import azureml
from cloud.azureml.slot_steps import in_words
from cloud.models.model_entry import ModelEntry
from cloud.models.refusals import AlreadyRefused, refusals
from cloud.models.registered_models import Registered, deliver
from cloud.pipelines_file import pipelines
from cloud.storage.containers import default_storage
from inference.errors import BadModel, DropsightError

log = logging.getLogger(__name__)


def registered() -> Registered:
    """The registered models of the app's workspace."""
    return Registered(azureml())


def deliver_all(only: str = "") -> None:
    """Bring the newest version of every [[model]] entry, or of those of the registered model `only`.

    Raises BadModel with all that failed now; what was refused before is in the health.
    """
    failures = []
    for entry in pipelines().models:
        if only not in ("", entry.name):
            continue
        try:
            log.info("%s", deliver(default_storage(), registered(), entry))
        except AlreadyRefused as known:
            log.info("%s", known)
        except Exception as error:  # the other entries go on
            unforeseen = error if not isinstance(error, DropsightError) else error.__cause__
            if unforeseen and not isinstance(unforeseen, DropsightError):
                log.warning("%s", entry.name, exc_info=unforeseen)
            failures.append(str(error) if isinstance(error, DropsightError) else f"{entry.name}: {in_words(error)}")
    if failures:
        raise BadModel("; ".join(failures))


def refused(entries: Iterable[ModelEntry]) -> list[str]:
    """What is wrong with the entries, as `refusals` says it."""
    return [line for entry in entries for line in refusals(default_storage(), entry)]


def find(name: str) -> ModelEntry:
    """The [[model]] entry that serves under `name`. Raises BadModel."""
    entries = pipelines().models
    # What it serves as is its own; registered names may be those of several entries.
    for entry in sorted(entries, key=lambda entry: entry.serves != name):
        if name in (entry.serves, entry.name):
            return entry
    raise BadModel(f"pipelines.toml has no [[model]] {name!r}; it has {[entry.serves for entry in entries]}")


def on_events(request: func.HttpRequest) -> func.HttpResponse:
    """An Event Grid webhook: answers its validation, takes Microsoft.MachineLearningServices.ModelRegistered.

    What fails is said in the answer, which is 202 all the same: the timer tries it again, Event Grid need not.
    """
    try:
        events = json.loads(request.get_body())
    except (ValueError, RecursionError):
        return func.HttpResponse("expected Event Grid events as JSON", status_code=400)
    failures = []
    for event in events if isinstance(events, list) else [events]:
        try:
            answer = _on_event(event if isinstance(event, dict) else {})
        except Exception as error:  # the other events go on
            if not isinstance(error, DropsightError):
                log.exception("an event of Event Grid")
            failures.append(in_words(error))
            continue
        if answer:
            return func.HttpResponse(json.dumps(answer), mimetype="application/json")
    return func.HttpResponse("; ".join(failures), status_code=202)


def _on_event(event: dict[str, Any]) -> dict[str, Any] | None:
    kind = event.get("eventType") or event.get("type")
    data = event.get("data")
    data = data if isinstance(data, dict) else {}
    if kind == "Microsoft.EventGrid.SubscriptionValidationEvent":
        return {"validationResponse": data.get("validationCode")}
    if kind == "Microsoft.MachineLearningServices.ModelRegistered":
        # The event says which model; what is newest, and fits the entry, is looked up: events come in any order.
        deliver_all(only=str(data.get("ModelName") or data.get("modelName") or ""))
    return None
