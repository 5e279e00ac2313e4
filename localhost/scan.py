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

#: Tells one blob; False = to be told again at the next poll.
Notify = Callable[[Any], Awaitable[bool]]


class Sweep:
    """Lists one container again and again, telling blobs modified since the newest of the last finished
    listing.

    Times have a resolution of one second, so blobs of that newest second are told again; ``notify`` must know
    them (the scan by its receipts, the watcher by ``seen``).
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
        found = await storage.download(self._home.blobs.get_blob_client(storage.HOSTS, self._mark_blob))
        if found is None:
            return False
        self._mark = datetime.fromisoformat(json.loads(found)["LatestScan"])
        return True

    async def poll(self, notify: Notify, budget: int) -> None:
        """Lists up to ``budget`` blobs, going on where the last poll stopped; a missing container is skipped."""
        failed, self._failed = self._failed, []
        try:
            await self._tell(failed, notify)
        except AzureError:
            self._failed += failed  # all of them: `notify` knows those that were told before storage went away
            raise
        if self._pages is None:
            listing = self.account.blobs.get_container_client(self.container).list_blobs(
                results_per_page=min(_PAGE, budget)
            )
            self._pages = listing.by_page()
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
            found = [blob async for blob in page]
            budget -= len(found)
            known = [self._newest] if self._newest else []
            self._newest = max([*known, *(blob.last_modified for blob in found)], default=None)
            await self._tell([b for b in found if self._mark is None or b.last_modified >= self._mark], notify)

    async def _tell(self, blobs: list[Any], notify: Notify) -> None:
        """Tells several blobs side by side: each takes a handful of requests."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def tell(blob: Any) -> None:
            async with limit:
                if not await self._told(blob, notify):
                    self._failed.append(blob)

        await asyncio.gather(*(tell(blob) for blob in blobs))

    async def _told(self, blob: Any, notify: Notify) -> bool:
        """One blob that storage refuses (its receipt's name may be too long) must not hold up the others."""
        try:
            return await notify(blob)
        except HttpResponseError as error:
            self._complain(f"Blob {self.container}/{blob.name} cannot be handed on", error)
            return error.status_code == 400

    async def _finish(self) -> None:
        """Ends a listing. The mark is written only once everything before it was told, so that a stop loses nothing."""
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


async def poll_all(sweeps: list[tuple[Sweep, Notify]], interval: float) -> None:
    """Polls every container until cancelled; waits ``interval`` seconds, and at least as long as the polling took."""
    complain = storage.Complaints()
    while True:
        started = time.monotonic()
        for sweep, notify in sweeps:
            try:
                await sweep.poll(notify, max(1, _PER_POLL // len(sweeps)))
            except AzureError as error:
                complain(f"Container {sweep.container} cannot be listed", error)
        await asyncio.sleep(max(interval, time.monotonic() - started))


class Scanner:
    """The polling blob trigger (``LogsAndContainerScan``) of one host."""

    def __init__(self, functions: list[BlobFunction], queue: BlobQueue, home: storage.Account, host_id: str) -> None:
        self._queue = queue
        self._by_container: dict[tuple[str, str], list[BlobFunction]] = {}
        for function in functions:
            key = (function.account.name, function.pattern.container)
            self._by_container.setdefault(key, []).append(function)
        self._sweeps = {
            key: Sweep(group[0].account, key[1], f"blobscaninfo/{host_id}/{key[0]}/{key[1]}/scanInfo", home)
            for key, group in self._by_container.items()
        }

    async def run(self, interval: float) -> None:
        for sweep in self._sweeps.values():
            await sweep.load()
        await poll_all([(sweep, self._notify(key)) for key, sweep in self._sweeps.items()], interval)

    def _notify(self, key: tuple[str, str]) -> Notify:
        async def notify(blob: Any) -> bool:
            told = [
                await self._queue.notify(function, key[1], blob.name, blob.etag, blob_type(blob))
                for function in self._by_container[key]
            ]
            return all(told)

        return notify

    async def written(self, account: str, container: str, blob: str) -> None:
        """The fast path: a blob that this host's own output binding wrote."""
        for function in self._by_container.get((account, container), []):
            await self._queue.renotify(function, container, blob)
