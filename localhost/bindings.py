"""Input and output bindings: what the host reads before a function runs and writes after it."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.queue.aio import QueueClient

from localhost import storage
from localhost.app import Function
from localhost.errors import BindingError, ExpressionError
from localhost.expressions import Template, resolve_settings
from localhost.settings import STORAGE

#: Binding types that this host can serve; the others are refused when the app starts.
TRIGGERS = ("httpTrigger", "blobTrigger", "queueTrigger", "timerTrigger")
OTHERS = ("http", "blob", "queue")
_FIXED = ("name", "type", "direction")
Raw = Mapping[str, Any]


def resolve(function: Function, lookup: Callable[[str], str | None]) -> Function:
    """The function with every ``%SETTING%`` of its bindings replaced, and its binding types known.

    Raises :class:`BindingError` with the host's message; the host then runs the other functions.
    """
    try:
        bindings = tuple(
            {k: resolve_settings(v, lookup) if isinstance(v, str) and k not in _FIXED else v for k, v in raw.items()}
            for raw in function.bindings
        )
        for raw in bindings:
            if raw["type"] not in TRIGGERS + OTHERS:
                raise BindingError(
                    f"The binding type '{raw['type']}' is not one that this local host serves "
                    f"({', '.join(TRIGGERS + OTHERS)}). Run the app with Core Tools for it."
                )
            Template(str(raw.get("path") or raw.get("queueName") or "") if raw["type"] != "httpTrigger" else "")
    except ExpressionError as error:
        raise BindingError(str(error)) from error
    return Function(**{**vars(function), "bindings": bindings})


def model_binding_data(connection: str | None, container: str, blob: str) -> Datum:
    """A blob by reference, as SDK-type bindings take it: the connection is the setting's name."""
    content = {"Connection": connection or STORAGE, "ContainerName": container, "BlobName": blob}
    return Datum(
        SimpleNamespace(
            version="1.0",
            source="AzureStorageBlobs",
            content_type="application/json",
            content=json.dumps(content),
        ),
        "model_binding_data",
    )


class Bindings:
    """Reads inputs and writes outputs of functions through storage."""

    def __init__(self, accounts: storage.Accounts, in_base64: bool) -> None:
        self._accounts = accounts
        self._base64 = in_base64
        #: Called after an output was written: (account name, container, blob) and (account name, queue).
        self.on_blob: Callable[[str, str, str], None] = lambda account, container, blob: None
        self.on_queue: Callable[[str, str], None] = lambda account, queue: None

    async def inputs(self, function: Function, data: Mapping[str, Any]) -> dict[str, Any]:
        """The values of all input bindings beside the trigger; a missing blob is None."""
        values: dict[str, Any] = {}
        for raw in function.bindings:
            if raw is function.trigger or str(raw.get("direction", "IN")).upper() != "IN":
                continue
            container, blob = self._blob_path(function, raw, data)
            if function.signature.inputs[raw["name"]].deferred:
                values[raw["name"]] = model_binding_data(raw.get("connection"), container, blob)
                continue
            account = self._accounts.get(raw.get("connection"))
            content = await storage.download(account.blobs.get_blob_client(container, blob))
            # dataType selects what the host sends; the default is bytes.
            is_text = content is not None and str(raw.get("dataType", "")).upper() == "STRING"
            values[raw["name"]] = (
                None
                if content is None
                else Datum(content.decode() if is_text else content, "string" if is_text else "bytes")
            )
        return values

    async def outputs(self, function: Function, data: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
        """Writes every output; returns the value of the HTTP output, if there is one."""
        response = None
        for raw in function.bindings:
            value = outputs.get(raw["name"])
            if raw is function.trigger or value is None or str(raw.get("direction")).upper() != "OUT":
                continue
            if raw["type"] == "http":
                response = value
            elif raw["type"] == "blob":
                await self._write_blob(function, raw, data, value)
            elif raw["type"] == "queue":
                await self._send(function, raw, data, value)
        return response

    def _blob_path(self, function: Function, raw: Raw, data: Mapping[str, Any]) -> tuple[str, str]:
        path = Template(str(raw["path"])).bind(data, function.name)
        container, _, blob = path.partition("/")
        if not container or not blob:
            raise BindingError(
                f"Invalid blob path '{path}' of '{raw['name']}'. Paths must be in the format 'container/blob'."
            )
        return container, blob

    async def _write_blob(self, function: Function, raw: Raw, data: Mapping[str, Any], value: Datum) -> None:
        container, blob = self._blob_path(function, raw, data)
        account = self._accounts.get(raw.get("connection"))
        await storage.upload(account, container, blob, _to_bytes(value))
        self.on_blob(account.name, container, blob)

    async def _send(self, function: Function, raw: Raw, data: Mapping[str, Any], value: Datum) -> None:
        name = Template(str(raw["queueName"])).bind(data, function.name).lower()
        account = self._accounts.get(raw.get("connection"))
        queue = account.queue(name, base64=False)
        for body in _messages(value):
            await send(queue, (base64.b64encode(body) if self._base64 else body).decode())
        self.on_queue(account.name, name)


async def send(queue: QueueClient, text: str) -> None:
    """Sends one message, creating the queue where it is missing."""
    try:
        await queue.send_message(text)
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):
            await queue.create_queue()
        await queue.send_message(text)


def _to_bytes(value: Datum) -> bytes:
    if isinstance(value.value, bytes):
        return value.value
    return (value.value if isinstance(value.value, str) else json.dumps(value.value)).encode()


def _messages(value: Datum) -> list[bytes]:
    """A queue output's messages: a list gives one each, objects are sent as JSON."""
    found = value.value
    if value.type in ("json", "list"):
        found = json.loads(found) if isinstance(found, str) else found
    if not isinstance(found, list):
        return [_to_bytes(value)]
    return [(item if isinstance(item, str) else json.dumps(item)).encode() for item in found]
