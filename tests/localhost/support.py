"""What the tests of the local host share."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient, TextBase64DecodePolicy, TextBase64EncodePolicy

from localhost.host_process import HostProcess

StartHost = Callable[..., HostProcess]


class Store:
    """What a test does with its storage account."""

    def __init__(self, connection_string: str) -> None:
        self.connection_string = connection_string
        self.blobs = BlobServiceClient.from_connection_string(connection_string)
        self.queues = QueueServiceClient.from_connection_string(connection_string)

    def put(self, path: str, data: bytes = b"content", **options: Any) -> str:
        """Writes a blob, making its container; returns the ETag."""
        container, _, name = path.partition("/")
        with contextlib.suppress(ResourceExistsError):
            self.blobs.create_container(container)
        return str(self.blobs.get_blob_client(container, name).upload_blob(data, overwrite=True, **options)["etag"])

    def read(self, path: str) -> bytes | None:
        container, _, name = path.partition("/")
        try:
            return self.blobs.get_blob_client(container, name).download_blob().readall()
        except ResourceNotFoundError:
            return None

    def names(self, container: str) -> list[str]:
        try:
            return sorted(self.blobs.get_container_client(container).list_blob_names())
        except ResourceNotFoundError:
            return []

    def records(self, name: str) -> list[Any]:
        """What runs recorded as JSON under `runs/NAME/`, one entry per run."""
        contents = [self.read(f"runs/{blob}") for blob in self.names("runs") if blob.startswith(f"{name}/")]
        return [json.loads(content) for content in contents if content]

    def queue(self, name: str, base64: bool = True) -> QueueClient:
        """A queue, made if missing."""
        policies: dict[str, Any] = (
            {"message_encode_policy": TextBase64EncodePolicy(), "message_decode_policy": TextBase64DecodePolicy()}
            if base64
            else {}
        )
        client = self.queues.get_queue_client(name, **policies)
        with contextlib.suppress(ResourceExistsError):
            client.create_queue()
        return client

    def peek(self, name: str, base64: bool = True) -> list[str]:
        try:
            return [str(message.content) for message in self.queue(name, base64).peek_messages(32)]
        except ResourceNotFoundError:
            return []


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, whatever its status."""

    status: int
    body: bytes
    headers: Message


def request(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """One request; an error status is an answer like any other."""
    asked = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=30) as found:
            return Answer(found.status, found.read(), found.headers)
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read(), error.headers)
