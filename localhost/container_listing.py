"""New blobs by listing containers: for the polling blob trigger, and in place of Event Grid, which Azurite lacks.

For functions with Event Grid as their source every new version of a blob is enqueued as the webhook would do it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from localhost.blob_trigger import BlobFunction, BlobQueue
from localhost.host_storage import HOSTS, Account, Complaints

_LOG = logging.getLogger("localhost")
_AT_ONCE = 8


class ContainerListing:
    """Lists a container again and again for some functions, from the newest blob of the last finished listing on.

    Times have a resolution of one second, so blobs of that newest second are handed to the queue again, which skips
    the versions that it had before.
    """

    def __init__(self, functions: list[BlobFunction], mark_blob: str, queue: BlobQueue, home: Account) -> None:
        self._functions = functions
        first = functions[0]
        self._account, self.container, self.by_events = first.account, first.pattern.container, first.by_events
        self._queue = queue
        self._home = home
        self._mark_blob = mark_blob
        self._mark: datetime | None = None
        self._complain = Complaints()
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def load(self) -> bool:
        """Reads where the last run stopped; False when this container was never listed."""
        saved = await self._home.download(HOSTS, self._mark_blob)
        if saved is not None:
            try:
                self._mark = datetime.fromisoformat(json.loads(saved)["LatestScan"]).astimezone(UTC)
            except (ValueError, KeyError, TypeError) as error:
                _LOG.warning("%s/%s cannot be read (%s): all is handed on again.", HOSTS, self._mark_blob, error)
        return saved is not None

    async def begin_events(self) -> None:
        """What is there when a container is watched for the first time raises no event.

        Later starts go on where the last run stopped, as Event Grid delivers what it could not deliver before.
        """
        if not await self.load():
            await self.poll(enqueue=False)
            await self._save(self._mark)

    async def run(self, interval: float) -> None:
        """Polls until cancelled; waits ``interval`` seconds, and at least as long as the polling took."""
        if self._mark is None:
            await self.load()
        while True:
            started = time.monotonic()
            await self.poll()
            await asyncio.sleep(max(interval, time.monotonic() - started))

    async def poll(self, *, enqueue: bool = True) -> None:
        """Lists the container once, if it exists.

        The mark moves only once everything before it was handed on: neither a failure nor a stop loses a blob. It never
        moves past the first answer, by the service's clock: what is written later may be on a page that was read.
        """
        answers: list[Any] = []
        mark = newest = self._mark
        complete = True
        try:
            container = self._account.blobs.get_container_client(self.container)
            async for page in container.list_blobs(raw_response_hook=answers.append).by_page():
                blobs = [blob async for blob in page if mark is None or blob.last_modified >= mark]
                newest = max([*([newest] if newest else []), *(blob.last_modified for blob in blobs)], default=None)
                complete &= all(await asyncio.gather(*(self._hand_on(blob, enqueue) for blob in blobs)))
        except ResourceNotFoundError:
            return
        if newest and answers:
            newest = min(newest, parsedate_to_datetime(answers[0].http_response.headers["Date"]))
        if complete and newest != mark:
            await self._save(newest)

    async def _hand_on(self, blob: Any, enqueue: bool) -> bool:
        """Whether a blob is done with.

        One that storage refuses (its receipt's name may be too long) must not hold up the others.
        """
        async with self._limit:
            try:
                for function in self._functions:
                    await self._queue.notify(function, blob, enqueue=enqueue)
            except HttpResponseError as error:
                self._complain(f"Blob {self.container}/{blob.name} cannot be handed on", error)
                return error.status_code == 400
        return True

    async def _save(self, mark: datetime | None) -> None:
        content = json.dumps({"LatestScan": (mark or datetime.fromtimestamp(0, UTC)).isoformat()})
        await self._home.upload(HOSTS, self._mark_blob, content.encode())
        self._mark = mark


def listings(functions: list[BlobFunction], queue: BlobQueue, home: Account, host_id: str) -> list[ContainerListing]:
    """One listing for each container that is scanned, and one for each function that gets events."""
    groups: dict[str, list[BlobFunction]] = {}
    for function in functions:
        container = function.pattern.container
        mark = f"blobscaninfo/{host_id}/{function.account.name}/{container}/scanInfo"
        if function.by_events:
            mark = f"localhost/events/{host_id}/{function.function.full_name}/{container}"
        groups.setdefault(mark, []).append(function)
    return [ContainerListing(group, mark, queue, home) for mark, group in groups.items()]
