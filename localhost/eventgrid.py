"""Event Grid blob triggers: the webhook that deliveries go to, and a watcher that makes such events from Azurite.

Azurite emits none. The watcher stands in for the subscription that a deployment has: it lists the containers and
delivers ``Microsoft.Storage.BlobCreated`` for each new version of a blob whose name begins and ends as the trigger's
path does, through the same code as the webhook.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from localhost import storage
from localhost.blobs import BlobFunction, BlobQueue, Remembered, blob_type
from localhost.listing import Listing, Notify, poll_all

_LOG = logging.getLogger("localhost")
#: Ports on which the .NET SDK takes an address as http://host:port/account/container/blob.
_PATH_STYLE_PORTS = frozenset(base + n for base in (10000, 10100, 11000, 11100) for n in range(5))


@dataclass(frozen=True)
class Answer:
    """What the webhook answers."""

    status: int
    body: Mapping[str, Any] | None = None


def blob_of_url(url: str, account: storage.Account) -> tuple[str, str]:
    """Container and blob of a blob's address, host-style or path-style; raises ValueError when it names no blob."""
    parts = urlsplit(url)
    path = parts.path.lstrip("/").split("/")
    if _is_path_style(parts.hostname or "", parts.port) or (
        parts.netloc == urlsplit(account.blobs.url).netloc and path[0] == account.name
    ):
        path = path[1:]
    if len(path) < 2 or not path[0] or not "".join(path[1:]):
        raise ValueError(f"The event's data.url {url!r} names no blob.")
    return unquote(path[0]), unquote("/".join(path[1:]))


def _is_path_style(host: str, port: int | None) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return port in _PATH_STYLE_PORTS
    return True


class Webhook:
    """``POST /runtime/webhooks/blobs?functionName=Host.Functions.<name>``."""

    def __init__(self, functions: list[BlobFunction], queue: BlobQueue | None) -> None:
        self._queue = queue
        self._functions = {
            name: f for f in functions for name in (f.function.full_name, f"Functions.{f.function.name}")
        }

    async def handle(self, function_name: str | None, event_type: str | None, body: bytes) -> Answer:
        """One delivery; only ``data.url``, ``data.eTag`` and ``data.blobType`` of each event are read."""
        function = self._functions.get(function_name or "")
        if function is None:
            return Answer(404, {"error": f"No Event Grid blob trigger named {function_name!r}."})
        if event_type == "Unsubscribe":
            return Answer(202)
        try:
            content = json.loads(body)
            events = content if isinstance(content, list) else [content]
            if event_type == "SubscriptionValidation":
                return Answer(200, {"validationResponse": events[0]["data"]["validationCode"]})
            if event_type != "Notification":
                return Answer(400, {"error": f"Header aeg-event-type is {event_type!r}."})
            for event in events:
                await self._enqueue(function, event["data"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return Answer(400, {"error": f"Not an Event Grid delivery: {type(error).__name__}: {error}"})
        return Answer(202)

    async def _enqueue(self, function: BlobFunction, data: Mapping[str, Any]) -> None:
        container, blob = blob_of_url(str(data["url"]), function.account)
        etag = str(data.get("eTag") or "")
        assert self._queue
        await self._queue.enqueue(function, container, blob, etag, str(data.get("blobType") or "BlockBlob"))


class Watcher:
    """Turns new blobs into deliveries to the webhook, for functions whose source is EventGrid."""

    def __init__(self, functions: list[BlobFunction], webhook: Webhook, home: storage.Account, host_id: str) -> None:
        self._webhook = webhook
        self._listings: list[tuple[Listing, Notify]] = []
        for function in functions:
            mark = f"localhost/events/{host_id}/{function.function.full_name}/{function.pattern.container}"
            listing = Listing(function.account, function.pattern.container, mark, home)
            self._listings.append((listing, self._notify(function)))
        self._seen = Remembered()
        self._silent = False

    async def start(self) -> None:
        """Remembers what is there when a container is watched for the first time: it raises no event.

        Later starts go on where the last run stopped, as Event Grid delivers what it could not deliver
        before.
        """
        for listing, notify in self._listings:
            if not await listing.load():
                self._silent = True
                await listing.poll(notify, 10**9)
                await listing.save()
                self._silent = False

    async def run(self, interval: float) -> None:
        await poll_all(self._listings, interval)

    def _notify(self, function: BlobFunction) -> Notify:
        pattern = function.pattern

        async def notify(blob: Any) -> bool:
            key = (function.function.name, blob.name, str(blob.etag))
            if key in self._seen:
                return True
            wanted = blob.name.startswith(pattern.prefix) and blob.name.endswith(pattern.suffix)
            if wanted and not self._silent:
                body = json.dumps([_event(function, blob)]).encode()
                answer = await self._webhook.handle(function.function.full_name, "Notification", body)
                if answer.status != 202:
                    _LOG.warning("Event for %s/%s refused: %s", pattern.container, blob.name, answer.body)
            self._seen.add(key)
            return True

        return notify


def _event(function: BlobFunction, blob: Any) -> dict[str, Any]:
    """A BlobCreated event in the Event Grid schema."""
    container = function.pattern.container
    return {
        "topic": f"/subscriptions/local/providers/Microsoft.Storage/storageAccounts/{function.account.name}",
        "subject": f"/blobServices/default/containers/{container}/blobs/{blob.name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "id": str(uuid.uuid4()),
        "eventTime": blob.last_modified.isoformat(),
        "dataVersion": "",
        "metadataVersion": "1",
        "data": {
            "api": "PutBlob",
            "eTag": blob.etag,
            "contentType": blob.content_settings.content_type,
            "contentLength": blob.size,
            "blobType": blob_type(blob),
            "url": function.account.blob(container, blob.name).url,
            "sequencer": f"{int(blob.last_modified.timestamp()):032x}",
        },
    }
