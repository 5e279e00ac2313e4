"""Event Grid blob triggers: the webhook that deliveries go to."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from localhost import storage
from localhost.blobs import BlobFunction, BlobQueue

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
