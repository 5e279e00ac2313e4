"""Blob triggers: path patterns, the shared queue of found blobs, and receipts."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage

from localhost import storage
from localhost.errors import BindingError
from localhost.functions import Function
from localhost.queues import QueueListener, content
from localhost.settings import QueueOptions
from localhost.worker import Event, Worker, sdk_reference

POISON = "webjobs-blobtrigger-poison"
_LOG = logging.getLogger("localhost")
_INCOMPLETE = {"Incomplete": "Incomplete"}
_PART = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


class Remembered:
    """The newest keys that were added, up to a bound."""

    def __init__(self, bound: int = 50_000) -> None:
        self._keys: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._bound = bound

    def __contains__(self, key: tuple[str, ...]) -> bool:
        return key in self._keys

    def add(self, key: tuple[str, ...]) -> None:
        self._keys[key] = None
        while len(self._keys) > self._bound:
            self._keys.popitem(last=False)

    def discard(self, key: tuple[str, ...]) -> None:
        self._keys.pop(key, None)


class BlobPattern:
    """A blob trigger's path: ``container/name`` where each ``{x}`` matches greedily, slashes and nothing included.

    ``{{`` and ``}}`` are literal braces. ``prefix`` and ``suffix`` are what the name has before its first and after its
    last ``{x}``. Raises :class:`BindingError` for a path that the host cannot use.
    """

    def __init__(self, path: str) -> None:
        self.container, _, blob = path.partition("/")
        if "{" in self.container:
            raise BindingError(f"Invalid blob trigger path '{path}': name the container, as in 'container/{{name}}'.")
        storage.check_name(self.container, "container")
        names: list[str] = []
        literals, position = [""], 0
        for part in _PART.finditer(blob):
            literals[-1] += blob[position : part.start()]
            position = part.end()
            if part.group(1):
                names.append(part.group(1))
                literals.append("")
            elif len(part.group()) == 2:
                literals[-1] += part.group()[0]
            else:
                raise BindingError(f"Missing {'closing' if part.group() == '{' else 'opening'} brace in '{path}'.")
        literals[-1] += blob[position:]
        if len(set(names)) < len(names):
            raise BindingError(f"A name occurs twice in the blob trigger path '{path}'.")
        self.prefix, self.suffix = literals[0], literals[-1] if names else ""
        self._regex = re.compile(".*".join(map(re.escape, literals)) if blob else ".*", re.S)

    def matches(self, blob: str) -> bool:
        """Whether the name of a blob in this container fits."""
        return bool(self._regex.fullmatch(blob))


class BlobFunction:
    """A blob-triggered function with its account and its path pattern."""

    def __init__(self, function: Function, account: storage.Account) -> None:
        self.function = function
        self.account = account
        self.pattern = BlobPattern(str(function.trigger["path"]))
        self.by_events = is_by_events(function)

    def event(self, container: str, blob: str, properties: Any) -> Event:
        """The event for one blob; ``properties`` are the SDK's BlobProperties."""
        client = self.account.blob(container, blob)
        metadata = {
            "BlobTrigger": f"{container}/{blob}",
            "Uri": Datum(json.dumps(client.url), "json"),
            "Properties": _describe(properties),
            "Metadata": dict(properties.metadata or {}),
        }

        async def value() -> Any:
            if self.function.sdk_type:
                return sdk_reference(self.function.trigger.get("connection"), container, blob)
            body = await storage.download(client)
            if body is None:
                raise FileNotFoundError(f"The blob {container}/{blob} was deleted before the function read it.")
            return await content(self.function, body)()

        return Event(value, metadata)


def is_by_events(function: Function) -> bool:
    """Whether the trigger's source is EventGrid; it polls otherwise."""
    return str(function.trigger.get("source") or "").lower() == "eventgrid"


def blob_type(properties: Any) -> str:
    """``BlockBlob``, ``PageBlob`` or ``AppendBlob``, of the SDK's BlobProperties."""
    return str(getattr(properties.blob_type, "value", properties.blob_type) or "BlockBlob")


def _describe(properties: Any) -> dict[str, Any]:
    """Blob properties under the names that the .NET SDK gives them."""
    settings = properties.content_settings
    return {
        "LastModified": properties.last_modified.isoformat(),
        "CreatedOn": properties.creation_time.isoformat() if properties.creation_time else None,
        "BlobType": {"BlockBlob": 0, "PageBlob": 1, "AppendBlob": 2}.get(blob_type(properties), 0),
        "ContentLength": properties.size,
        "ContentType": settings.content_type,
        "ContentEncoding": settings.content_encoding,
        "ETag": properties.etag,
    }


class BlobQueue:
    """``azure-webjobs-blobtrigger-<host id>``: every found blob goes through it, whatever found it."""

    def __init__(self, home: storage.Account, host_id: str, options: QueueOptions, worker: Worker) -> None:
        self.name = f"azure-webjobs-blobtrigger-{host_id}"
        self._home = home
        self._host_id = host_id
        self._functions: dict[str, BlobFunction] = {}
        self._worker = worker
        self._done = Remembered()
        self.listener = QueueListener(home, self.name, options, self._handle, POISON, self._poison_account)

    def add(self, function: BlobFunction) -> None:
        self._functions[function.function.full_name] = function

    async def enqueue(self, function: BlobFunction, container: str, blob: str, etag: str, kind: str) -> None:
        """Puts one found blob into the queue."""
        message = {
            "Type": "BlobTrigger",
            "FunctionId": function.function.full_name,
            "BlobType": kind,
            "ContainerName": container,
            "BlobName": blob,
            "ETag": etag,
        }
        await storage.send(self._home.queue(self.name), base64.b64encode(json.dumps(message).encode()).decode())
        self.listener.wake()

    async def notify(self, function: BlobFunction, container: str, blob: str, etag: str, kind: str) -> None:
        """Enqueues a blob that a scan found, unless its receipt says that this version was enqueued before."""
        if not function.pattern.matches(blob):
            return
        quoted = f'"{etag.strip(chr(34))}"'
        key = (function.function.full_name, container, blob, quoted)
        if key in self._done:
            return
        self._done.add(key)  # at once: the scan and renotify() may come with the same version at the same time
        try:
            await self._with_receipt(function, container, blob, quoted, kind)
        except BaseException:
            self._done.discard(key)
            raise

    async def renotify(self, function: BlobFunction, container: str, blob: str) -> None:
        """Notifies of the version that a blob has now."""
        with contextlib.suppress(ResourceNotFoundError):
            properties = await function.account.blob(container, blob).get_blob_properties()
            await self.notify(function, container, blob, str(properties.etag), blob_type(properties))

    async def _with_receipt(self, function: BlobFunction, container: str, blob: str, etag: str, kind: str) -> None:
        name = f"blobreceipts/{self._host_id}/{function.function.full_name}/{etag}/{container}/{blob}"
        receipt = function.account.blob(storage.HOSTS, name)
        try:
            await storage.upload(function.account, storage.HOSTS, name, b"", overwrite=False, metadata=_INCOMPLETE)
        except ResourceExistsError:
            # Incomplete: the host that made it ended before it had enqueued the blob.
            if "Incomplete" not in ((await receipt.get_blob_properties()).metadata or {}):
                return
        await self.enqueue(function, container, blob, etag, kind)
        await receipt.set_blob_metadata({})

    def _poison_account(self, message: QueueMessage) -> storage.Account:
        """Poison messages go to the account of the blob."""
        with contextlib.suppress(ValueError):
            function = self._functions.get(str(_parse(base64.b64decode(str(message.content))).get("FunctionId")))
            return function.account if function else self._home
        return self._home

    async def _handle(self, message: QueueMessage, body: bytes) -> bool:
        message_body = _parse(body)
        function = self._functions.get(str(message_body.get("FunctionId")))
        if function is None:
            _LOG.warning("Blob trigger message for an unknown function dropped: %s", body.decode(errors="replace"))
            return True
        container, blob = str(message_body.get("ContainerName") or ""), str(message_body.get("BlobName") or "")
        if not container or not blob:
            _LOG.error("Blob trigger message without ContainerName or BlobName: %s", body.decode(errors="replace"))
            return False
        try:
            properties = await function.account.blob(container, blob).get_blob_properties()
        except ResourceNotFoundError:
            return True
        etag = str(message_body.get("ETag") or "").strip('"')
        if not function.by_events and str(properties.etag).strip('"') != etag:
            # Overwritten meanwhile: the newer version gets its own message.
            await self.renotify(function, container, blob)
            return True
        source = "EventGrid" if function.by_events else "LogsAndContainerScan"
        reason = f"New blob detected({source}): {container}/{blob}"
        result = await self._worker.run(function.function, function.event(container, blob, properties), reason)
        return result.succeeded


def _parse(body: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):
        fields = json.loads(body)
        if isinstance(fields, dict):
            return fields
    return {}
