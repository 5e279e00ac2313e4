"""A queue of a storage account, in the encoding that the Functions host expects."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from cloud import connection
from cloud.storage.blobs import translated

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

_PEEKED = 32  # the most that a queue shows at once


class Queue:
    """The queue `name` of the account behind the connection setting `setting`. Raises StorageUnavailable."""

    def __init__(self, setting: str, name: str) -> None:
        self._setting = setting
        self.name = name

    def send(self, text: str, delay_s: int = 0) -> None:
        """One call; nobody gets the message before `delay_s` seconds are over. A missing queue is made."""
        with translated(f"sending to the queue {self.name}"):
            try:
                self._client.send_message(text, visibility_timeout=delay_s)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):
                    self._client.create_queue()
                self._client.send_message(text, visibility_timeout=delay_s)

    def waiting(self) -> int:
        """About how many messages wait, delayed ones too, or are being worked on; a single call."""
        with translated(f"asking the queue {self.name}"):
            try:
                return self._client.get_queue_properties().approximate_message_count or 0
            except ResourceNotFoundError:
                return 0

    def peek(self) -> list[str]:
        """The first messages, at most 32, which stay as they are; a single call. Those that are no base64 are empty."""
        with translated(f"reading the queue {self.name}"):
            try:
                return [_decoded(message.content) for message in self._client.peek_messages(_PEEKED)]
            except ResourceNotFoundError:
                return []

    def move(self, to: Queue, change: Callable[[str], str]) -> int:
        """Has the messages that are there now go to another queue, changed, each at least once; how many those were.
        Two calls for each, and one for every 32."""
        moved = 0
        with translated(f"moving messages from the queue {self.name}"):
            try:
                most = max(1, self.waiting())
                page = min(_PEEKED, most)
                for message in self._client.receive_messages(
                    visibility_timeout=60, messages_per_page=page, max_messages=most
                ):
                    to.send(change(_decoded(message.content)))
                    self._client.delete_message(message)
                    moved += 1
            except ResourceNotFoundError:
                pass
        return moved

    @cached_property
    def _client(self) -> QueueClient:
        from azure.storage.queue import TextBase64EncodePolicy

        # What the host expects unless host.json says otherwise. Not its decoding: one message that is no base64 would
        # hide all others.
        service = connection.queue_service(self._setting)
        return service.get_queue_client(self.name, message_encode_policy=TextBase64EncodePolicy())


def _decoded(content: str) -> str:
    try:
        return base64.b64decode(content, validate=True).decode()
    except ValueError:
        return ""
