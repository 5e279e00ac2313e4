"""Blob triggers: path patterns, the shared queue of new blobs, and receipts."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
from collections.abc import Mapping
from string import Formatter
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage

from localhost.app_functions import Function
from localhost.errors import BindingError
from localhost.function_worker import FunctionWorker, TriggerEvent, sdk_reference
from localhost.host_settings import QueueOptions
from localhost.host_storage import HOSTS, Account, check_name
from localhost.queue_trigger import QueueListener

POISON = "webjobs-blobtrigger-poison"
_LOG = logging.getLogger("localhost")
_INCOMPLETE = {"Incomplete": "Incomplete"}
_REMEMBERED = 50_000


class BlobPattern:
    """A blob trigger's path: ``container/name`` where each ``{x}`` matches greedily, slashes and nothing included.

    ``{{`` and ``}}`` are literal braces. ``prefix`` and ``suffix`` are what the name has before its first and after its
    last ``{x}``. Raises :class:`BindingError` for a path that the host cannot use.
    """

    def __init__(self, path: str) -> None:
        self.container, _, blob = path.partition("/")
        if "{" in self.container:
            raise BindingError(f"Invalid blob trigger path '{path}': name the container, as in 'container/{{name}}'.")
        check_name(self.container, "container")
        try:
            parts = list(Formatter().parse(blob))
        except ValueError:
            missing = "closing" if blob.count("{") > blob.count("}") else "opening"
            raise BindingError(f"Missing {missing} brace in '{path}'.") from None
        names = [name for _, name, _, _ in parts if name is not None]
        if not all(names) or "{" in "".join(names):
            raise BindingError(f"'{path}' has an expression without a name, or an expression within another.")
        if len(set(names)) < len(names):
            raise BindingError(f"A name occurs twice in the blob trigger path '{path}'.")
        # Formatter.parse() ends a part at a literal brace too; a part without an expression belongs to the next text.
        literals = [""]
        for text, name, _, _ in parts:
            literals[-1] += text
            literals += [""] if name is not None else []
        self.prefix, self.suffix = literals[0], literals[-1] if names else ""
        self._regex = re.compile(".*".join(map(re.escape, literals)) if blob else ".*", re.S)

    def matches(self, blob: str) -> bool:
        """Whether the name of a blob in this container fits."""
        return bool(self._regex.fullmatch(blob))


class BlobFunction:
    """A blob-triggered function with its account and its path pattern."""

    def __init__(self, function: Function, account: Account) -> None:
        self.function = function
        self.account = account
        self.pattern = BlobPattern(str(function.trigger["path"]))
        self.by_events = is_by_events(function)

    def wants(self, blob: str) -> bool:
        """Whether a blob of this name triggers it; Event Grid filters by the beginning and the end of a path only."""
        if self.by_events:
            return blob.startswith(self.pattern.prefix) and blob.endswith(self.pattern.suffix)
        return self.pattern.matches(blob)

    def event(self, properties: Any) -> TriggerEvent:
        """The event for one blob, of the SDK's BlobProperties."""
        container = properties.container
        path = f"{container}/{properties.name}"
        metadata = {
            "BlobTrigger": path,
            "Uri": Datum(json.dumps(self.account.blob(container, properties.name).url), "json"),
            "Properties": _describe(properties),
            "Metadata": dict(properties.metadata or {}),
        }

        async def value() -> Any:
            if self.function.sdk_type:
                return sdk_reference(self.function.trigger.get("connection"), container, properties.name)
            body = await self.account.download(container, properties.name)
            if body is None:
                raise FileNotFoundError(f"The blob {path} was deleted before the function read it.")
            return body

        return TriggerEvent(value, metadata)


def is_by_events(function: Function) -> bool:
    """Whether the trigger's source is EventGrid; it polls otherwise."""
    return str(function.trigger.get("source") or "").lower() == "eventgrid"


def _blob_type(properties: Any) -> str:
    return str(getattr(properties.blob_type, "value", properties.blob_type) or "BlockBlob")


def _describe(properties: Any) -> dict[str, Any]:
    """Blob properties under the names that the .NET SDK gives them."""
    settings = properties.content_settings
    return {
        "LastModified": properties.last_modified.isoformat(),
        "CreatedOn": properties.creation_time.isoformat() if properties.creation_time else None,
        "BlobType": {"BlockBlob": 0, "PageBlob": 1, "AppendBlob": 2}.get(_blob_type(properties), 0),
        "ContentLength": properties.size,
        "ContentType": settings.content_type,
        "ContentEncoding": settings.content_encoding,
        "ETag": properties.etag,
    }


class BlobQueue:
    """``azure-webjobs-blobtrigger-<host id>``: every new blob goes through it, from scans and from events alike."""

    def __init__(
        self, functions: list[BlobFunction], home: Account, host_id: str, options: QueueOptions, worker: FunctionWorker
    ) -> None:
        self.name = f"azure-webjobs-blobtrigger-{host_id}"
        self.functions = {function.function.full_name: function for function in functions}
        self._home = home
        self._host_id = host_id
        self._worker = worker
        #: The newest versions that were enqueued, by function, container, name and ETag.
        self._done: dict[tuple[str, ...], None] = {}
        self.listener = QueueListener(home, self.name, options, self._handle, POISON, self._poison_account)

    async def enqueue(self, function: BlobFunction, container: str, blob: str, etag: str, kind: str) -> None:
        """Puts one blob into the queue."""
        message = {
            "Type": "BlobTrigger",
            "FunctionId": function.function.full_name,
            "BlobType": kind,
            "ContainerName": container,
            "BlobName": blob,
            "ETag": etag,
        }
        await self._home.send(self.name, base64.b64encode(json.dumps(message).encode()).decode())
        self.listener.wake()

    async def notify(self, function: BlobFunction, blob: Any, *, enqueue: bool = True) -> None:
        """Enqueues a blob that a listing named (the SDK's BlobProperties), unless this version was before.

        Of polling triggers receipts remember that beyond this process, as in the real host. Without ``enqueue`` the
        version only counts as enqueued.
        """
        etag = f'"{str(blob.etag).strip(chr(34))}"'
        key = (function.function.full_name, blob.container, blob.name, etag)
        if not function.wants(blob.name) or key in self._done:
            return
        self._done[key] = None  # at once: a scan and _handle() may come with the same version at the same time
        if len(self._done) > _REMEMBERED:
            del self._done[next(iter(self._done))]
        try:
            if not function.by_events:
                await self._enqueue_with_receipt(function, blob, etag)
            elif enqueue:
                await self.enqueue(function, blob.container, blob.name, blob.etag, _blob_type(blob))
        except BaseException:
            self._done.pop(key, None)
            raise

    async def _enqueue_with_receipt(self, function: BlobFunction, blob: Any, etag: str) -> None:
        account, container = function.account, blob.container
        name = f"blobreceipts/{self._host_id}/{function.function.full_name}/{etag}/{container}/{blob.name}"
        receipt = account.blob(HOSTS, name)
        try:
            await account.upload(HOSTS, name, b"", overwrite=False, metadata=_INCOMPLETE)
        except ResourceExistsError:
            # Incomplete: the host that made it ended before it had enqueued the blob.
            if "Incomplete" not in ((await receipt.get_blob_properties()).metadata or {}):
                return
        await self.enqueue(function, container, blob.name, etag, _blob_type(blob))
        await receipt.set_blob_metadata({})

    def _poison_account(self, content: str) -> Account:
        """Poison messages go to the account of the blob."""
        with contextlib.suppress(ValueError):
            function = self.functions.get(str(_fields(base64.b64decode(content)).get("FunctionId")))
            return function.account if function else self._home
        return self._home

    async def _handle(self, message: QueueMessage, body: bytes) -> bool:
        fields = _fields(body)
        function = self.functions.get(str(fields.get("FunctionId")))
        if function is None:
            _LOG.warning("Blob trigger message for an unknown function dropped: %s", body.decode(errors="replace"))
            return True
        container, blob = str(fields.get("ContainerName") or ""), str(fields.get("BlobName") or "")
        if not container or not blob:
            _LOG.error("Blob trigger message without ContainerName or BlobName: %s", body.decode(errors="replace"))
            return False
        try:
            properties = await function.account.blob(container, blob).get_blob_properties()
        except ResourceNotFoundError:
            return True
        if not function.by_events and properties.etag.strip('"') != str(fields.get("ETag") or "").strip('"'):
            # Overwritten meanwhile: the newer version gets its own message.
            await self.notify(function, properties)
            return True
        source = "EventGrid" if function.by_events else "LogsAndContainerScan"
        reason = f"New blob detected({source}): {container}/{blob}"
        return await self._worker.succeeds(function.function, function.event(properties), reason)


def _fields(body: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):
        fields = json.loads(body)
        if isinstance(fields, dict):
            return fields
    return {}
