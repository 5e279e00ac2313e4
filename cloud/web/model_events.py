"""The webhook of the workspace's Event Grid subscription: POST /api/models/events."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import azure.functions as func

from cloud.azureml.slot_steps import in_words
from cloud.machine_paths import text_without_paths
from cloud.models import deliveries
from cloud.settings import current
from cloud.web.problems import Forbidden
from cloud.web.router import SAFE, json_answer
from inference.errors import BadRequest, DropsightError

log = logging.getLogger(__name__)

_HEADER = "x-model-events-key"
# Of events a minute: what a workspace registers is far less.
_RATE = "120"


def on_events(request: func.HttpRequest) -> func.HttpResponse:
    """Answers the subscription's validation, of either schema, and takes
    Microsoft.MachineLearningServices.ModelRegistered.

    These need MODEL_EVENTS_KEY, too: whoever may have a picture analysed need not be able to bring models. What fails
    is said in the answer, which is 202 all the same: the timer tries it again, Event Grid need not.
    """
    if request.method == "OPTIONS":
        return _handshake(request)
    try:
        events = json.loads(request.get_body())
    except (ValueError, RecursionError) as error:
        raise BadRequest("expected Event Grid events as JSON") from error
    names: dict[str, None] = {}
    for event in events if isinstance(events, list) else [events]:
        kind, data = _read(event)
        if kind == "Microsoft.EventGrid.SubscriptionValidationEvent":
            return json_answer({"validationResponse": str(data.get("validationCode"))[:200]})
        if kind == "Microsoft.MachineLearningServices.ModelRegistered":
            # The event says which model; what is newest, and fits the entry, is looked up: events come in any order.
            names[str(data.get("ModelName") or data.get("modelName") or "")] = None
    if names and not _has_key(request):
        raise Forbidden(
            f"model events need MODEL_EVENTS_KEY of the app's settings, as `key` in the address or as {_HEADER}"
        )
    return func.HttpResponse("; ".join(_delivered(names)), status_code=202, headers=SAFE)


def _handshake(request: func.HttpRequest) -> func.HttpResponse:
    """The answer to the validation of CloudEvents' webhooks (HTTP 1.1 Web Hooks for Event Delivery, 1.0): the sender
    may send. The address for a later answer (WebHook-Request-Callback) is not called: this answer is at once.

    Raises BadRequest for what is no such question.
    """
    origin = request.headers.get("WebHook-Request-Origin", "").strip()
    if not origin:
        raise BadRequest("OPTIONS without WebHook-Request-Origin; expected the handshake of a CloudEvents webhook")
    if not origin.isascii() or not origin.isprintable() or len(origin) > 255:
        raise BadRequest("WebHook-Request-Origin is no name of a host")
    headers = {**SAFE, "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": _RATE, "Allow": "POST, OPTIONS"}
    return func.HttpResponse(status_code=200, headers=headers)


def _delivered(names: Iterable[str]) -> Iterator[str]:
    """Delivers what these are the registered names of; a sentence for each that failed."""
    for name in names:
        try:
            deliveries.deliver_all(only=name)
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
