"""A replay of 10,000 uploads whose worker is killed 20 times: how many were lost, and how many done twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import TextBase64DecodePolicy

from benchmarks import ROOT, Row
from cloud import connection
from cloud.settings import CONTAINERS, RESULTS, UPLOADS, Settings
from cloud.storage.containers import Storage
from cloud.storage.queues import Queue
from cloud.uploads import publish
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt, ReceiptStore
from cloud.uploads.replay import Filters
from cloud.uploads.replay_worker import Pace, ReplayWorker
from cloud.uploads.replays import ReplayMessage, Replays
from cloud.uploads.upload_worker import UploadWorker
from devtools import azurite
from inference.engine.registry import Registry
from inference.results.result import Cost, Result, Source
from inference.routes_file import parse_routes
from inference.steps import Analysis

SETTING = "AzureWebJobsStorage"
MANY_BLOBS = Path(__file__).with_name("_many_blobs.cjs")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)


@dataclass(frozen=True)
class Outcome:
    """lost: uploads without a new result; doubled: those that were published twice for the one replay."""

    uploads: int
    kills: int
    lost: int
    doubled: int
    seconds: float
    said: dict[str, Any]


def run() -> list[Row]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NODE_OPTIONS"] = f'--require "{MANY_BLOBS.as_posix()}"'
        server = azurite.start(ROOT, log=Path(folder, "azurite.log"))
        try:
            found = prove(server.connection_string(), Path(folder), uploads=10_000, kills=20, answered_every=10)
        finally:
            server.stop()
    note = f"{found.uploads} uploads, {found.kills} kills, {found.seconds:.0f} s; {json.dumps(found.said)}"
    good = not (found.lost or found.doubled)
    return [Row("replay with kills", f"{found.lost} lost, {found.doubled} doubled", "0 lost, 0 doubled", good, note)]


def prove(account: str, folder: Path, *, uploads: int, kills: int, answered_every: int = 1, seed: int = 1) -> Outcome:
    """A replay of everything on an empty account, whose worker is killed (SIGKILL) at random moments and begun anew.

    answered_every: one upload in so many has an answer before, the others are new; to write them all takes longer than
    the replay.
    """
    with patch.dict(os.environ, {SETTING: account}):
        connection.queue_service.cache_clear()
        try:
            return _prove(account, folder, uploads, kills, answered_every, seed)
        finally:
            connection.queue_service.cache_clear()


def _prove(account: str, folder: Path, uploads: int, kills: int, answered_every: int, seed: int) -> Outcome:
    begun, dice = time.monotonic(), random.Random(seed)
    storage = Storage(BlobServiceClient.from_connection_string(account))
    storage.ensure_containers(*CONTAINERS)
    store = BlobReceipts(storage)
    names = [f"{number % 7}/{number:05}.png" for number in range(uploads)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: _written(storage, store, at[1], at[0] % answered_every == 0), enumerate(names)))
    before = _versions(storage)
    replays = Replays(storage, Queue(SETTING, "replays"))
    replay = replays.begin(Filters(everything=True))
    log, done = folder / "published", 0
    while True:
        child = subprocess.Popen([sys.executable, "-m", "benchmarks.replays", str(log)], cwd=ROOT)
        # Killed once it has brought the replay on by a share that is drawn by lot.
        until = (done + 1) * uploads / (kills + 1) * dice.uniform(0.7, 1) if done < kills else float("inf")
        until = max(until, _lines(log) + 1)  # it has done something
        while child.poll() is None and _lines(log) < until:
            time.sleep(0.02)
        if child.poll() is not None:
            break
        child.kill()
        child.wait()
        done += 1
    stored = replays.read(replay.id)
    assert stored
    after, published = _versions(storage), Counter(log.read_text().split())
    paths = map(publish.result_path, names)
    lost = sum(path not in after or after[path] == before.get(path) for path in paths)
    doubled = sum(count > 1 for count in published.values())
    return Outcome(uploads, done, lost, doubled, time.monotonic() - begun, stored.replay.described())


def _written(storage: Storage, store: ReceiptStore, name: str, is_answered: bool) -> None:
    """An upload, with its answer or without: three calls, where to have it analysed takes seven."""
    etag = storage.write(UPLOADS, name, PNG)
    if not is_answered:
        return
    result = storage.write_json(RESULTS, publish.result_path(name), {"name": name}, metadata={"etag": etag})
    store.create(Receipt(name, etag, "0" * 64, "done", result_etag=result))


def _versions(storage: Storage) -> dict[str, str]:
    pages = storage.pages(RESULTS, size=5000)
    return {blob.name: blob.etag for page in pages for blob in page.blobs if blob.name.endswith("/result.json")}


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _worker(storage: Storage, log: Path) -> UploadWorker:
    """A worker whose models answer at once, and which notes what it has published."""
    settings = Settings(lease_seconds=1.0, max_concurrent=8, max_attempts=50)
    routes = parse_routes('[[route]]\nname = "default"\nsteps = [{ model = "sketch" }]\n', "routes")
    worker = UploadWorker(storage, settings, routes, Registry([ROOT / "models"]))
    worker.analyze = _answered  # type: ignore[assignment, method-assign]
    file, real = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY), publish.publish

    def noted(
        storage: Storage, receipt: Any, analysis: Analysis, check_ours: publish.CheckOurs, *, blurred: bool = False
    ) -> publish.Published:
        published = real(storage, receipt, analysis, check_ours, blurred=blurred)
        os.write(file, f"{receipt.name}\n".encode())
        return published

    publish.publish = noted
    return worker


def _answered(media: bytes, route: Any, source: Source, trace: str, **_: Any) -> Analysis:
    return Analysis(Result(source, route.name, (), {}, Cost(0, None, 0), trace=trace), {})


def work(log: Path) -> None:
    """What the host does: a message at a time, seen again when its worker is silent; the sweep's look, too."""
    storage = Storage(connection.blob_service(SETTING))
    replays = Replays(storage, Queue(SETTING, "replays"))
    at_work = ReplayWorker(_worker(storage, log), replays, Pace(step_s=1.0, page=500, delay_s=1.0))
    service, decoded = connection.queue_service(SETTING), TextBase64DecodePolicy()
    queue = service.get_queue_client("replays", message_decode_policy=decoded)
    while any(state == "running" for _, state, _ in replays.listed()):
        message = queue.receive_message(visibility_timeout=3)
        if message is None:
            replays.revive("local")
            time.sleep(0.1)
            continue
        at_work.deliver(ReplayMessage.parse(message.content))
        with suppress(ResourceNotFoundError):  # seen again meanwhile
            queue.delete_message(message)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
