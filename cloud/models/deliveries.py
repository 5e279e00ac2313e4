"""The bodies behind the deliveries, the Event Grid webhook and `python -m cloud models`."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import azure.functions as func

from cloud.azureml.pipeline_runs import azureml
from cloud.azureml.slot_steps import in_words
from cloud.machine_paths import text_without_paths
from cloud.models.model_entry import ModelEntry
from cloud.models.refusals import AlreadyRefused, refusals
from cloud.models.registered_models import Registered, deliver
from cloud.pipelines_file import pipelines
from cloud.settings import current
from cloud.storage.containers import default_storage
from inference.errors import BadModel, DropsightError

log = logging.getLogger(__name__)

_HEADER = "x-model-events-key"


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

    These need MODEL_EVENTS_KEY, too: whoever may have a picture analysed need not be able to bring models. What fails
    is said in the answer, which is 202 all the same: the timer tries it again, Event Grid need not.
    """
    try:
        events = json.loads(request.get_body())
    except (ValueError, RecursionError):
        return func.HttpResponse("expected Event Grid events as JSON", status_code=400)
    names: dict[str, None] = {}
    for event in events if isinstance(events, list) else [events]:
        kind, data = _read(event)
        if kind == "Microsoft.EventGrid.SubscriptionValidationEvent":
            answer = {"validationResponse": str(data.get("validationCode"))[:200]}
            return func.HttpResponse(json.dumps(answer), mimetype="application/json")
        if kind == "Microsoft.MachineLearningServices.ModelRegistered":
            # The event says which model; what is newest, and fits the entry, is looked up: events come in any order.
            names[str(data.get("ModelName") or data.get("modelName") or "")] = None
    if names and not _has_key(request):
        return func.HttpResponse(
            f"model events need MODEL_EVENTS_KEY of the app's settings, as `key` in the address or as {_HEADER}",
            status_code=403,
        )
    return func.HttpResponse("; ".join(_delivered(names)), status_code=202)


def _delivered(names: Iterable[str]) -> Iterator[str]:
    """Delivers what these are the registered names of; a sentence for each that failed."""
    for name in names:
        try:
            deliver_all(only=name)
        except Exception as error:  # noqa: BLE001 - the others go on
            if not isinstance(error, DropsightError):
                log.exception("an event of Event Grid")
            yield text_without_paths(in_words(error))


def _has_key(request: func.HttpRequest) -> bool:
    wanted = current().model_events_key
    given = request.headers.get(_HEADER) or request.params.get("key") or ""
    return bool(wanted) and hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))


def _read(event: Any) -> tuple[Any, dict[str, Any]]:
    """(kind, data) of an event, in either of its schemas."""
    event = event if isinstance(event, dict) else {}
    data = event.get("data")
    return event.get("eventType") or event.get("type"), data if isinstance(data, dict) else {}
