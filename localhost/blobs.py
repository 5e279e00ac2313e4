"""Blob triggers: the shared queue of found blobs, receipts, and what happens when a message is taken from it."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.blob.aio import BlobClient
from azure.storage.queue import QueueMessage

from localhost import storage
from localhost.app import Function
from localhost.bindings import model_binding_data, send
from localhost.expressions import BlobPattern
from localhost.invoke import Event, Invoker
from localhost.queues import QueueListener
from localhost.settings import QueueOptions

POISON = "webjobs-blobtrigger-poison"
_LOG = logging.getLogger("localhost")
_RECEIPT_LEASE = 30
_INCOMPLETE = {"Incomplete": "Incomplete"}
_REMEMBERED = 50_000


class BlobFunction:
    """A blob-triggered function with its account and its path pattern."""

    def __init__(self, function: Function, accounts: storage.Accounts) -> None:
        self.function = function
        self.account = accounts.get(function.trigger.get("connection"))
        self.pattern = BlobPattern(str(function.trigger["path"]))
        self.by_events = str(function.trigger.get("source") or "").lower() == "eventgrid"

    def event(self, container: str, blob: str, properties: Any = None) -> Event:
        """The event for one blob; ``properties`` are the SDK's BlobProperties, where known."""
        client = self.account.blobs.get_blob_client(container, blob)
        data: dict[str, Any] = dict(self.pattern.match(container, blob) or {})
        data |= {"BlobTrigger": f"{container}/{blob}", "Uri": Datum(json.dumps(client.url), "json")}
        if properties is not None:
            data |= {"Properties": _describe(properties), "Metadata": dict(properties.metadata or {})}
        expressions = {**data, "Uri": client.url}

        async def content(function: Function) -> Any:
            if function.sends_sdk_type():
                return model_binding_data(function.trigger.get("connection"), container, blob)
            found = await storage.download(client)
            if found is None:
                raise FileNotFoundError(f"The blob {container}/{blob} was deleted before the function read it.")
            as_text = str(function.trigger.get("dataType", "")).upper() == "STRING"
            return found.decode() if as_text else found

        return Event(content, expressions, data)


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

    def __init__(self, home: storage.Account, host_id: str, options: QueueOptions, invoker: Invoker) -> None:
        self.name = f"azure-webjobs-blobtrigger-{host_id}"
        self._home = home
        self._host_id = host_id
        self._functions: dict[str, BlobFunction] = {}
        self._invoker = invoker
        self._done: OrderedDict[tuple[str, str, str, str], None] = OrderedDict()
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
        await send(self._home.queue(self.name), json.dumps(message))
        self.listener.wake()

    async def notify(self, function: BlobFunction, container: str, blob: str, etag: str, kind: str) -> bool:
        """Enqueues a blob that a scan found, unless its receipt says that this version was enqueued before.

        False = not known yet (somebody else is at it): to be asked again.
        """
        if function.pattern.match(container, blob) is None:
            return True
        quoted = f'"{etag.strip(chr(34))}"'
        key = (function.function.full_name, container, blob, quoted)
        if key in self._done:
            return True
        if not await self._with_receipt(function, container, blob, quoted, kind):
            return False
        self._done[key] = None
        while len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)
        return True

    async def renotify(self, function: BlobFunction, container: str, blob: str) -> None:
        """Notifies of the version that a blob has now."""
        with contextlib.suppress(ResourceNotFoundError):
            properties = await function.account.blobs.get_blob_client(container, blob).get_blob_properties()
            await self.notify(function, container, blob, str(properties.etag), blob_type(properties))

    async def _with_receipt(self, function: BlobFunction, container: str, blob: str, etag: str, kind: str) -> bool:
        name = f"blobreceipts/{self._host_id}/{function.function.full_name}/{etag}/{container}/{blob}"
        receipt = function.account.blobs.get_blob_client(storage.HOSTS, name)
        try:
            await storage.upload(function.account, storage.HOSTS, name, b"", overwrite=False, metadata=_INCOMPLETE)
        except ResourceExistsError:
            if await _is_complete(receipt):
                return True
        try:
            lease = await receipt.acquire_lease(lease_duration=_RECEIPT_LEASE)
        except HttpResponseError:
            return False
        try:
            if not await _is_complete(receipt):
                await self.enqueue(function, container, blob, etag, kind)
                await receipt.set_blob_metadata({}, lease=lease)
        finally:
            with contextlib.suppress(AzureError):
                await lease.release()
        return True

    def _poison_account(self, message: QueueMessage) -> storage.Account:
        """Poison messages go to the account of the blob."""
        with contextlib.suppress(ValueError):
            function = self._functions.get(str(_parse(base64.b64decode(str(message.content))).get("FunctionId")))
            return function.account if function else self._home
        return self._home

    async def _handle(self, message: QueueMessage, body: bytes) -> bool:
        content = _parse(body)
        function = self._functions.get(str(content.get("FunctionId")))
        if function is None:
            _LOG.warning("Blob trigger message for an unknown function dropped: %s", body.decode(errors="replace"))
            return True
        container, blob = str(content.get("ContainerName") or ""), str(content.get("BlobName") or "")
        if not container or not blob:
            _LOG.error("Blob trigger message without ContainerName or BlobName: %s", body.decode(errors="replace"))
            return False
        client = function.account.blobs.get_blob_client(container, blob)
        try:
            properties = await client.get_blob_properties()
        except ResourceNotFoundError:
            return True
        etag = str(content.get("ETag") or "").strip('"')
        if not function.by_events and str(properties.etag).strip('"') != etag:
            # Overwritten meanwhile: the newer version gets its own message.
            await self.renotify(function, container, blob)
            return True
        source = "EventGrid" if function.by_events else "LogsAndContainerScan"
        reason = f"New blob detected({source}): {container}/{blob}"
        result = await self._invoker.run(function.function, function.event(container, blob, properties), reason)
        return result.succeeded


def _parse(body: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):
        content = json.loads(body)
        if isinstance(content, dict):
            return content
    return {}


async def _is_complete(receipt: BlobClient) -> bool:
    try:
        return "Incomplete" not in ((await receipt.get_blob_properties()).metadata or {})
    except ResourceNotFoundError:
        return False
