"""Queue triggers: batches, back-off, visibility renewal, dequeue counts and poison queues."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.storage.queue import QueueMessage

from localhost.app_functions import Function
from localhost.function_worker import FunctionWorker, TriggerEvent
from localhost.host_settings import QueueOptions
from localhost.host_storage import Account, Complaints, first_line

_LOG = logging.getLogger("localhost")
_FIRST_WAIT = 0.1
_LONGEST_NAME = 63

#: Handles one decoded message; True = done, False = failed (the message comes back).
Handler = Callable[[QueueMessage, bytes], Awaitable[bool]]


class QueueListener:
    """Reads one queue: at most ``batch_size + new_batch_threshold`` messages are being handled at a time.

    Messages that failed for good go to the queue ``poison``, in the account that ``poison_account`` names by their
    content (without it in the queue's own).
    """

    def __init__(
        self,
        account: Account,
        name: str,
        options: QueueOptions,
        handler: Handler,
        poison: str,
        poison_account: Callable[[str], Account] | None = None,
    ) -> None:
        self.name = name
        self._options = options
        self._handler = handler
        self._poison = poison if len(poison) <= _LONGEST_NAME and not name.endswith("-poison") else None
        self._poison_account = poison_account or (lambda content: account)
        self._queue = account.queue(name)
        self._running: dict[asyncio.Task[None], QueueMessage] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._complain = Complaints()

    def wake(self) -> None:
        """Looks at the queue now: the host just put something into it."""
        self._wake.set()

    def stop(self) -> None:
        """Takes no more messages; those being handled go on, see :meth:`drain`."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Polls until :meth:`stop`. Not to be cancelled: messages of an answer that nobody reads stay invisible."""
        wait = _FIRST_WAIT
        while True:
            while len(self._running) > self._options.new_batch_threshold:
                await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping:
                return
            self._wake.clear()
            messages = await self._receive()
            if self._stopping:
                await asyncio.gather(*map(self._release, messages))
                return
            for message in messages:
                task = asyncio.create_task(self._handle(message))
                self._running[task] = message
                task.add_done_callback(lambda ended: self._running.pop(ended, None))
            if messages or await self._woken(wait):
                wait = _FIRST_WAIT
            else:
                wait = min(wait * 2 * random.uniform(0.8, 1.2), self._options.max_polling_interval)

    async def drain(self) -> None:
        """Waits for the messages that are being handled."""
        while self._running:
            await asyncio.wait(self._running)

    async def abandon(self) -> None:
        """Gives up the messages that are still being handled: they become visible again at once."""
        for task in list(self._running):
            task.cancel()
        await self.drain()

    async def give_back(self) -> None:
        """Makes the messages that are being handled visible to others while their functions go on."""
        await asyncio.gather(*map(self._release, self._running.values()))

    async def _woken(self, wait: float) -> bool:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._wake.wait(), wait)
        return False

    async def _receive(self) -> list[QueueMessage]:
        size, lease = self._options.batch_size, self._options.message_lease
        try:
            pages = self._queue.receive_messages(messages_per_page=size, max_messages=size, visibility_timeout=lease)
            return [message async for message in pages]
        except ResourceNotFoundError:
            return []
        except AzureError as error:
            self._complain(f"Queue {self.name} cannot be read", error)
            return []

    async def _handle(self, message: QueueMessage) -> None:
        renewal = asyncio.create_task(self._renew(message))
        try:
            if (message.dequeue_count or 0) > self._options.max_dequeue_count:
                # Earlier attempts ended with the process: it is not run again.
                await self._to_poison(message)
                return
            succeeded = await self._decode_and_run(message)
            renewal.cancel()
            await (self._delete(message) if succeeded else self._failed(message))
        except AzureError as error:
            _LOG.error("Queue %s, message %s: %s", self.name, message.id, first_line(error))
        except asyncio.CancelledError:
            renewal.cancel()
            await self._release(message)
        finally:
            renewal.cancel()

    async def _release(self, message: QueueMessage) -> None:
        with contextlib.suppress(AzureError):
            await self._queue.update_message(message.id, message.pop_receipt, visibility_timeout=0)

    async def _decode_and_run(self, message: QueueMessage) -> bool:
        try:
            body = base64.b64decode(str(message.content), validate=True)
        except ValueError:  # not binascii.Error alone: letters beyond ASCII are refused before
            _LOG.error(
                "Queue %s, message %s is not base64, which the host expects; it goes to the poison queue after %d "
                "attempts. Send with TextBase64EncodePolicy.",
                self.name, message.id, self._options.max_dequeue_count,
            )  # fmt: skip
            return False
        return await self._handler(message, body)

    async def _renew(self, message: QueueMessage) -> None:
        lease = self._options.message_lease
        while True:
            await asyncio.sleep(lease / 2)
            with contextlib.suppress(AzureError):
                renewed = await self._queue.update_message(message.id, message.pop_receipt, visibility_timeout=lease)
                message.pop_receipt = renewed.pop_receipt

    async def _delete(self, message: QueueMessage) -> None:
        try:
            await self._queue.delete_message(message.id, message.pop_receipt)
        except HttpResponseError as error:
            if error.status_code not in (400, 404):
                raise
            # Somebody else took the message meanwhile (its pop receipt changed): theirs to delete.

    async def _failed(self, message: QueueMessage) -> None:
        if (message.dequeue_count or 0) >= self._options.max_dequeue_count:
            await self._to_poison(message)
            return
        seconds = int(self._options.visibility_timeout)
        with contextlib.suppress(ResourceNotFoundError):
            await self._queue.update_message(message.id, message.pop_receipt, visibility_timeout=seconds)
        if not seconds:
            self.wake()

    async def _to_poison(self, message: QueueMessage) -> None:
        if not self._poison:
            return
        _LOG.error(
            "Message has reached MaxDequeueCount of %d. Moving message to queue '%s'.",
            self._options.max_dequeue_count, self._poison,
        )  # fmt: skip
        # The body goes as it came: encoded already, or not decodable at all.
        content = str(message.content)
        await self._poison_account(content).send(self._poison, content)
        await self._delete(message)


def queue_listener(
    function: Function, account: Account, options: QueueOptions, worker: FunctionWorker
) -> QueueListener:
    """The listener of a queue-triggered function."""
    name = str(function.trigger["queueName"]).lower()

    async def handle(message: QueueMessage, body: bytes) -> bool:
        return await worker.succeeds(function, queue_event(message, body), f"New queue message detected on '{name}'.")

    return QueueListener(account, name, options, handle, f"{name}-poison")


def queue_event(message: QueueMessage, body: bytes) -> TriggerEvent:
    """What a queue function is given; the metadata are the message's own fields."""
    moments = {
        "ExpirationTime": message.expires_on,
        "InsertionTime": message.inserted_on,
        "NextVisibleTime": message.next_visible_on,
    }
    own: dict[str, Any] = {"DequeueCount": message.dequeue_count, "Id": message.id, "PopReceipt": message.pop_receipt}
    return TriggerEvent(body, own | {key: moment and _as_text(moment) for key, moment in moments.items()})


def event_by_hand(body: str) -> TriggerEvent:
    """The event of a queue message that never was in a queue (the admin endpoint's input)."""
    message = QueueMessage(content=body)
    message.id, message.dequeue_count, message.pop_receipt = "admin", 1, ""
    message.expires_on = message.inserted_on = message.next_visible_on = datetime.now(UTC)
    return queue_event(message, body.encode())


def _as_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S+00:00")
