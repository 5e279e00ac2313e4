"""An hour in which storage gives every kind of trouble while 1,000 uploads come in: none fails, all are done after it.

Azurite stands behind a proxy that makes the trouble and moves the clock of storage on, so that the hour takes minutes.
`python -m benchmarks.outage --uploads 1000`.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

from azure.storage.blob import BlobServiceClient

from benchmarks import ROOT, Row
from benchmarks._faulty_proxy import FaultyProxy
from benchmarks.proof import picture
from cloud.settings import CONTAINERS, ERRORS, STATE, UPLOADS, Settings
from cloud.storage.containers import Storage
from cloud.uploads.events import BlobEvent
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from devtools import azurite
from inference.engine.registry import Registry
from inference.errors import Transient
from tests.cloud.uploads.world import ROUTES

UPLOADED = 1000
DELIVERIES = 5  # by the host, of what ends in an error
SWEEP_S = 300.0
# Between the sweeps of an hour: what becomes of requests (a status, or a fault of the proxy), and of which.
TROUBLES = (
    *(("403", "/"), ("503", "/results/"), ("short", "/uploads/"), ("dropped", "/"), ("429", "/"), ("403", "/uploads/")),
    *(("503", "/state/"), ("403", "/results/"), ("dropped", "/results/"), ("500", "/uploads/"), ("503", "/")),
    ("403", "/"),
)
_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


class Troubled(FaultyProxy):
    """In front of an account in constant trouble, on a clock that can be moved on."""

    def __init__(self, upstream: int) -> None:
        super().__init__(upstream, seed=0)
        self.trouble: tuple[str, str] | None = None
        self._moved: list[tuple[datetime, timedelta]] = []

    def fault(self, path: str) -> str:
        fault, where = self.trouble or ("", "")
        # Listings have their container in the path, too, and a query behind it: they are as the rest of the account.
        befalls = where == "/" or (where in path and not (fault == "short" and "comp=" in path))
        with self.lock:
            self.counts[fault if befalls else ""] += 1
        return fault if befalls else ""

    def pass_s(self, seconds: float) -> None:
        """Lets time pass: what is written from now on is that much younger than what was written before."""
        time.sleep(1.0 - time.time() % 1 + 0.01)  # dates are whole seconds
        self._moved.append((datetime.now(UTC).replace(microsecond=0), timedelta(seconds=seconds)))

    def told(self, text: str) -> str:
        return _DATE.sub(lambda found: self._later(found[0]), text)

    def _later(self, date: str) -> str:
        real = parsedate_to_datetime(date)
        passed = sum((by for since, by in self._moved if since <= real), timedelta())
        return format_datetime(real + passed, usegmt=True)


def worker(connection: str) -> UploadWorker:
    """One that takes a first answer for the answer: the patience of the client would only cost time here."""
    service = BlobServiceClient.from_connection_string(connection, retry_total=0, use_env_settings=False)
    settings = Settings(lease_seconds=60, max_attempts=2, max_concurrent=4)
    return UploadWorker(Storage(service), settings, ROUTES, Registry([ROOT / "models"]))


def delivered(mine: UploadWorker, name: str) -> None:
    """As the host does it, which gives up after a while."""
    for _ in range(DELIVERIES):
        with suppress(Transient):
            mine.handle(BlobEvent(UPLOADS, name))
            return


def hour(mine: UploadWorker, direct: Storage, proxy: Troubled, uploads: int) -> None:
    """Uploads come in, are delivered, and are swept, in one trouble after the other."""
    chance, names = random.Random(24), [f"{number:04}.jpg" for number in range(uploads)]
    with ThreadPoolExecutor(4) as pool:
        for number, proxy.trouble in enumerate(TROUBLES):
            new = names[number :: len(TROUBLES)]
            for name in new:
                direct.write(UPLOADS, name, picture(chance))
            list(pool.map(lambda name: delivered(mine, name), new))
            with suppress(Transient):
                sweep(mine, 240)
            proxy.pass_s(SWEEP_S)
    proxy.trouble = None


def states(direct: Storage) -> Counter[str]:
    """How the receipts stand; and how many of them spent more than an attempt."""
    found = Counter[str]()
    for page in direct.pages(STATE, "receipts/", size=5000):
        for blob in page.blobs:
            document, _ = direct.read_json(STATE, blob.name) or ({}, None)
            found[document["state"]] += 1
            found["spent"] += document["attempt"] > 1
    found["recorded"] = sum(len(page.blobs) for page in direct.pages(ERRORS))
    return found


def run(uploads: int = UPLOADED) -> list[Row]:
    """One line: how the uploads ended, and when."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, azurite.start(ROOT, log=Path(folder, "azurite.log")) as server:
        proxy = Troubled(server.ports[0])
        direct = Storage(BlobServiceClient.from_connection_string(server.connection_string(), use_env_settings=False))
        direct.ensure_containers(*CONTAINERS)
        mine = worker(azurite.connection_string((proxy.port, *server.ports[1:])))
        hour(mine, direct, proxy, uploads)
        refused, sweeps = proxy.counts.total() - proxy.counts[""], 0
        while (found := states(direct))["done"] + found["failed"] < uploads and sweeps < 36:
            sweep(mine, 240)
            proxy.pass_s(SWEEP_S)
            sweeps += 1
        proxy.shutdown()
    logging.disable(logging.NOTSET)
    failed = max(found["failed"], found["recorded"])
    value = f"{found['done']} done, {failed} failed, {found['spent']} with an attempt spent"
    good = (found["done"], failed, found["spent"]) == (uploads, 0, 0)
    note = f"{refused} requests refused or lost; all done {sweeps} sweeps ({sweeps * SWEEP_S / 60:.0f} min) after it"
    return [Row(f"{uploads} uploads in an hour of outages", value, f"{uploads} done, 0, 0", good, note)]


if __name__ == "__main__":
    from benchmarks.__main__ import print_table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=UPLOADED)
    rows = run(**vars(parser.parse_args()))
    print_table(rows)
    sys.exit(not all(row.met for row in rows))
