"""Finding blobs by listing containers: the polling blob trigger, and the watcher that stands in for Event Grid."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from localhost import storage
from localhost.blobs import BlobFunction, BlobQueue, Remembered, blob_type

_AT_ONCE = 8

#: Hands one blob on.
Notify = Callable[[Any], Awaitable[None]]


class Listing:
    """Lists one container again and again, handing on blobs modified since the newest of the last finished listing.

    Times have a resolution of one second, so blobs of that newest second are handed on again; ``notify`` must know them
    (the scan by its receipts, the watcher by what it has seen).
    """

    def __init__(self, account: storage.Account, container: str, mark_blob: str, home: storage.Account) -> None:
        self.account = account
        self.container = container
        self._home = home
        self._mark_blob = mark_blob
        self._mark: datetime | None = None
        self._unsaved = False
        self._failed: list[Any] = []
        self._complain = storage.Complaints()

    async def load(self) -> bool:
        """Reads where the last run stopped; False when this container was never listed."""
        saved = await storage.download(self._home.blob(storage.HOSTS, self._mark_blob))
        if saved is None:
            return False
        self._mark = datetime.fromisoformat(json.loads(saved)["LatestScan"])
        return True

    async def poll(self, notify: Notify) -> None:
        """Lists the container once, after the blobs that failed before; a container that is missing is skipped.

        The mark is written only once everything before it was handed on: a stop loses nothing.
        """
        failed, self._failed = self._failed, []
        try:
            await self._hand_on_all(failed, notify)
        except AzureError:
            self._failed += failed  # all of them: `notify` knows those that were handed on before storage went away
            raise
        mark = newest = self._mark
        try:
            async for page in self.account.blobs.get_container_client(self.container).list_blobs().by_page():
                blobs = [blob async for blob in page if mark is None or blob.last_modified >= mark]
                newest = max([*([newest] if newest else []), *(blob.last_modified for blob in blobs)], default=None)
                await self._hand_on_all(blobs, notify)
        except ResourceNotFoundError:
            return
        self._unsaved = self._unsaved or newest != mark
        self._mark = newest
        if self._unsaved and not self._failed:
            await self.save()
            self._unsaved = False

    async def _hand_on_all(self, blobs: list[Any], notify: Notify) -> None:
        """Hands several blobs on side by side: each takes a handful of requests.

        One that storage refuses (its receipt's name may be too long) must not hold up the others.
        """
        limit = asyncio.Semaphore(_AT_ONCE)

        async def hand_on(blob: Any) -> None:
            async with limit:
                try:
                    await notify(blob)
                except HttpResponseError as error:
                    self._complain(f"Blob {self.container}/{blob.name} cannot be handed on", error)
                    if error.status_code != 400:
                        self._failed.append(blob)

        await asyncio.gather(*(hand_on(blob) for blob in blobs))

    async def save(self) -> None:
        mark = self._mark or datetime.fromtimestamp(0, UTC)
        content = json.dumps({"LatestScan": mark.isoformat()})
        await storage.upload(self._home, storage.HOSTS, self._mark_blob, content.encode())


async def _poll_all(listings: list[tuple[Listing, Notify]], interval: float) -> None:
    """Polls every container until cancelled; waits ``interval`` seconds, and at least as long as the polling took."""
    complain = storage.Complaints()
    while True:
        started = time.monotonic()
        for listing, notify in listings:
            try:
                await listing.poll(notify)
            except AzureError as error:
                complain(f"Container {listing.container} cannot be listed", error)
        await asyncio.sleep(max(interval, time.monotonic() - started))


class Scanner:
    """The polling blob trigger (``LogsAndContainerScan``) of one host: a listing for each container."""

    def __init__(self, functions: list[BlobFunction], queue: BlobQueue, home: storage.Account, host_id: str) -> None:
        self._queue = queue
        groups: dict[tuple[str, str], list[BlobFunction]] = {}
        for function in functions:
            groups.setdefault((function.account.name, function.pattern.container), []).append(function)
        self._listings = [
            (Listing(group[0].account, key[1], f"blobscaninfo/{host_id}/{key[0]}/{key[1]}/scanInfo", home),
             self._notify(group))
            for key, group in groups.items()
        ]  # fmt: skip

    async def run(self, interval: float) -> None:
        for listing, _ in self._listings:
            await listing.load()
        await _poll_all(self._listings, interval)

    def _notify(self, functions: list[BlobFunction]) -> Notify:
        async def notify(blob: Any) -> None:
            for function in functions:
                container = function.pattern.container
                await self._queue.notify(function, container, blob.name, blob.etag, blob_type(blob))

        return notify


class Watcher:
    """Stands in for Event Grid, which Azurite does not have: puts each new version of a blob into the queue, as the
    webhook would, for functions whose source is EventGrid and whose path begins and ends as the blob's name does."""

    def __init__(self, functions: list[BlobFunction], queue: BlobQueue, home: storage.Account, host_id: str) -> None:
        self._queue = queue
        self._listings: list[tuple[Listing, Notify]] = []
        for function in functions:
            mark = f"localhost/events/{host_id}/{function.function.full_name}/{function.pattern.container}"
            listing = Listing(function.account, function.pattern.container, mark, home)
            self._listings.append((listing, self._notify(function)))
        self._seen = Remembered()
        self._silent = False

    async def start(self) -> None:
        """Remembers what is there when a container is watched for the first time: it raises no event.

        Later starts go on where the last run stopped, as Event Grid delivers what it could not deliver before.
        """
        for listing, notify in self._listings:
            if not await listing.load():
                self._silent = True
                await listing.poll(notify)
                await listing.save()
                self._silent = False

    async def run(self, interval: float) -> None:
        await _poll_all(self._listings, interval)

    def _notify(self, function: BlobFunction) -> Notify:
        pattern = function.pattern

        async def notify(blob: Any) -> None:
            key = (function.function.name, blob.name, str(blob.etag))
            fits = blob.name.startswith(pattern.prefix) and blob.name.endswith(pattern.suffix)
            if fits and not self._silent and key not in self._seen:
                await self._queue.enqueue(function, pattern.container, blob.name, str(blob.etag), blob_type(blob))
            self._seen.add(key)

        return notify
