"""Finding blobs by listing containers: the polling blob trigger, and the watcher that stands in for Event Grid."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from localhost import storage
from localhost.blobs import BlobFunction, BlobQueue, blob_type

_PER_POLL = 10_000
_PAGE = 5_000
_AT_ONCE = 8

#: Hands one blob on; False = to be handed on again at the next poll.
Notify = Callable[[Any], Awaitable[bool]]


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
        self._newest: datetime | None = None
        self._pages: AsyncIterator[Any] | None = None
        self._failed: list[Any] = []
        self._unsaved = False
        self._complain = storage.Complaints()

    async def load(self) -> bool:
        """Reads where the last run stopped; False when this container was never listed."""
        saved = await storage.download(self._home.blob(storage.HOSTS, self._mark_blob))
        if saved is None:
            return False
        self._mark = datetime.fromisoformat(json.loads(saved)["LatestScan"])
        return True

    async def poll(self, notify: Notify, budget: int) -> None:
        """Lists up to ``budget`` blobs, going on where the last poll stopped; a missing container is skipped."""
        failed, self._failed = self._failed, []
        try:
            await self._hand_on_all(failed, notify)
        except AzureError:
            self._failed += failed  # all of them: `notify` knows those that were handed on before storage went away
            raise
        if self._pages is None:
            container = self.account.blobs.get_container_client(self.container)
            self._pages = container.list_blobs(results_per_page=min(_PAGE, budget)).by_page()
            self._newest = self._mark
        try:
            await self._read_pages(self._pages, notify, budget)
        except ResourceNotFoundError:
            self._pages = None
        except AzureError:
            self._pages = None
            raise

    async def _read_pages(self, pages: AsyncIterator[Any], notify: Notify, budget: int) -> None:
        while budget > 0:
            page = await anext(pages, None)
            if page is None:
                await self._finish()
                return
            blobs = [blob async for blob in page]
            budget -= len(blobs)
            known = [self._newest] if self._newest else []
            self._newest = max([*known, *(blob.last_modified for blob in blobs)], default=None)
            await self._hand_on_all([b for b in blobs if self._mark is None or b.last_modified >= self._mark], notify)

    async def _hand_on_all(self, blobs: list[Any], notify: Notify) -> None:
        """Hands several blobs on side by side: each takes a handful of requests."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def hand_on(blob: Any) -> None:
            async with limit:
                if not await self._hand_on(blob, notify):
                    self._failed.append(blob)

        await asyncio.gather(*(hand_on(blob) for blob in blobs))

    async def _hand_on(self, blob: Any, notify: Notify) -> bool:
        """One blob that storage refuses (its receipt's name may be too long) must not hold up the others."""
        try:
            return await notify(blob)
        except HttpResponseError as error:
            self._complain(f"Blob {self.container}/{blob.name} cannot be handed on", error)
            return error.status_code == 400

    async def _finish(self) -> None:
        """Ends a listing. The mark is written only once everything before it was handed on: a stop loses nothing."""
        self._pages = None
        self._unsaved = self._unsaved or self._newest != self._mark
        self._mark = self._newest
        if self._unsaved and not self._failed:
            await self.save()
            self._unsaved = False

    async def save(self) -> None:
        mark = self._mark or datetime.fromtimestamp(0, UTC)
        content = json.dumps({"LatestScan": mark.isoformat()})
        await storage.upload(self._home, storage.HOSTS, self._mark_blob, content.encode())


async def poll_all(listings: list[tuple[Listing, Notify]], interval: float) -> None:
    """Polls every container until cancelled; waits ``interval`` seconds, and at least as long as the polling took."""
    complain = storage.Complaints()
    while True:
        started = time.monotonic()
        for listing, notify in listings:
            try:
                await listing.poll(notify, max(1, _PER_POLL // len(listings)))
            except AzureError as error:
                complain(f"Container {listing.container} cannot be listed", error)
        await asyncio.sleep(max(interval, time.monotonic() - started))


class Scanner:
    """The polling blob trigger (``LogsAndContainerScan``) of one host."""

    def __init__(self, functions: list[BlobFunction], queue: BlobQueue, home: storage.Account, host_id: str) -> None:
        self._queue = queue
        self._by_container: dict[tuple[str, str], list[BlobFunction]] = {}
        for function in functions:
            key = (function.account.name, function.pattern.container)
            self._by_container.setdefault(key, []).append(function)
        self._listings = {
            key: Listing(group[0].account, key[1], f"blobscaninfo/{host_id}/{key[0]}/{key[1]}/scanInfo", home)
            for key, group in self._by_container.items()
        }

    async def run(self, interval: float) -> None:
        for listing in self._listings.values():
            await listing.load()
        await poll_all([(listing, self._notify(key)) for key, listing in self._listings.items()], interval)

    def _notify(self, key: tuple[str, str]) -> Notify:
        async def notify(blob: Any) -> bool:
            handed_on = [
                await self._queue.notify(function, key[1], blob.name, blob.etag, blob_type(blob))
                for function in self._by_container[key]
            ]
            return all(handed_on)

        return notify
