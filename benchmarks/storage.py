"""Uploads per second through storage, against hand-written loops: one with the same calls, one without a ledger."""

from __future__ import annotations

import http.client
import io
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import onnxruntime as ort
from azure.core import MatchConditions
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient, ContentSettings
from PIL import Image, ImageDraw, ImageOps

from benchmarks import ROOT, SHARED, Row, reference_models, spread
from benchmarks.engine import MODEL, inline, photos
from cloud.connection import by_connection_string
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from cloud.settings import CONTAINERS, Settings
from cloud.storage.containers import Storage
from cloud.uploads.events import BlobEvent
from cloud.uploads.index_notes import IndexNotes, Truth
from cloud.uploads.upload_worker import UploadWorker
from devtools import azurite
from inference.routes import Route, Step
from inference.routes_file import Routes

BAR = 0.90
BAR_PLAIN = 0.85
BAR_INDEX = 1.0
BAR_CALLS = 3
THREADS = 4
PHOTOS = 40
ROUNDS = 8
JSON = ContentSettings(content_type="application/json")
JPEG = ContentSettings(content_type="image/jpeg")

Job = Callable[[str], None]


def detector() -> Callable[[bytes], tuple[bytes, int]]:
    """Photo -> (annotated JPEG, objects), as one writes it in a notebook."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # four threads call it
    session = ort.InferenceSession(SHARED / "models" / MODEL / "model.onnx", options, ["CPUExecutionProvider"])
    detect = inline(session)

    def run(data: bytes) -> tuple[bytes, int]:
        count = detect(data)
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        pen = ImageDraw.Draw(image)
        for i in range(count):
            pen.rectangle((10 * i, 10 * i, 10 * i + 100, 10 * i + 100), outline="red", width=3)
            pen.text((10 * i, 10 * i), "object 0.50", fill="red")
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        return buffer.getvalue(), count

    return run


def by_hand(service: BlobServiceClient, detect: Callable[[bytes], tuple[bytes, int]]) -> Job:
    """The same six calls without any of our code."""
    get = service.get_blob_client

    def job(name: str) -> None:
        stream = get("uploads", name).download_blob()
        etag = stream.properties.etag
        receipt = get("state", f"by-hand/{name}")
        body = json.dumps({"name": name, "etag": etag, "state": "working", "owner": uuid.uuid4().hex}).encode()
        claim = receipt.upload_blob(body, overwrite=False, metadata={"state": "working"}, content_settings=JSON)
        picture, count = detect(stream.readall())
        get("results", f"{name}/0123456789ab/annotated.jpg").upload_blob(picture, overwrite=True, content_settings=JPEG)
        assert get("uploads", name).get_blob_properties().etag == etag
        document = json.dumps({"source": {"name": name, "etag": etag}, "count": count}).encode()
        get("results", f"{name}/result.json").upload_blob(
            document, overwrite=False, content_settings=JSON, tags={"count": str(count)}
        )
        done = json.dumps({"name": name, "etag": etag, "state": "done"}).encode()
        receipt.upload_blob(
            done, overwrite=True, metadata={"state": "done"}, content_settings=JSON,
            etag=claim["etag"], match_condition=MatchConditions.IfNotModified,
        )  # fmt: skip

    return job


def without_ledger(service: BlobServiceClient, detect: Callable[[bytes], tuple[bytes, int]]) -> Job:
    """Read, detect, write twice: the least that anybody would do."""
    get = service.get_blob_client

    def job(name: str) -> None:
        picture, count = detect(get("uploads", name).download_blob().readall())
        get("results", f"{name}/annotated.jpg").upload_blob(picture, overwrite=True, content_settings=JPEG)
        document = json.dumps({"source": {"name": name}, "count": count}).encode()
        get("results", f"{name}/result.json").upload_blob(document, overwrite=True, content_settings=JSON)

    return job


def ours(service: BlobServiceClient, index: IndexWriter | None = None) -> Job:
    """The app's worker over its own client, as deployed; with the index or without."""
    routes = Routes((Route("objects", (Step(MODEL),)),))
    worker = UploadWorker(Storage(service), Settings(max_concurrent=THREADS), routes, reference_models())
    if index:
        index.truth = Truth(worker.storage, worker.ledger.store, lambda _: False)
        worker.ledger.notes = IndexNotes(index)

    def job(name: str) -> None:
        outcome = worker.handle(BlobEvent("uploads", name))
        assert outcome.status == "done", outcome

    return job


@contextmanager
def emulator() -> Iterator[tuple[BlobServiceClient, str]]:
    """A client as the SDK makes it of a new Azurite with our containers, and its connection string."""
    with (
        tempfile.TemporaryDirectory() as folder,
        azurite.start(ROOT, log=Path(folder, "azurite.log")) as server,
        BlobServiceClient.from_connection_string(server.connection_string()) as service,
    ):
        Storage(service).ensure_containers(*CONTAINERS)
        yield service, server.connection_string()


def measured(
    service: BlobServiceClient,
    job: Job,
    pictures: Sequence[bytes],
    folder: str,
    end: Callable[[], object] = lambda: None,
) -> tuple[float, float]:
    """(uploads per second, CPU milliseconds of this process per upload) over fresh uploads under `folder`. end: what
    comes after the last one, and counts."""
    names = [f"{folder}/{number:03}.jpg" for number in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        service.get_blob_client("uploads", name).upload_blob(picture)
    with ThreadPoolExecutor(THREADS) as pool:
        start, cpu = time.perf_counter(), time.process_time()
        list(pool.map(job, names))
        end()
        wall, used = time.perf_counter() - start, time.process_time() - cpu
    return len(names) / wall, used / len(names) * 1e3


def calls(service: BlobServiceClient, job: Job, picture: bytes, name: str) -> int:
    """HTTP requests that one upload takes."""
    service.get_blob_client("uploads", name).upload_blob(picture)
    count, real = 0, http.client.HTTPConnection.putrequest  # below every client

    def counting(self: http.client.HTTPConnection, method: str, url: str, **options: Any) -> None:
        nonlocal count
        count += 1
        real(self, method, url, **options)

    http.client.HTTPConnection.putrequest = counting  # type: ignore[method-assign, assignment]
    try:
        job(name)
    finally:
        http.client.HTTPConnection.putrequest = real  # type: ignore[method-assign]
    return count


def run() -> list[Row]:
    """Interleaved rounds of the three loops over the same photos."""
    if not SHARED.is_dir():
        return [Row("uploads per second through storage", "not run: no ../shared")]
    pictures = photos()[:PHOTOS]
    with emulator() as (service, account):
        own = by_connection_string(BlobServiceClient, account)
        detect, table = detector(), UploadTable(by_connection_string(TableServiceClient, account))
        index = IndexWriter(lambda: table)
        jobs = {
            "ours": ours(own, index),
            "no index": ours(own),
            "by hand": by_hand(service, detect),
            "plain": without_ledger(service, detect),
        }
        table.ensure()
        counted = {**jobs, "ours": jobs["no index"]}  # its rows are written for many uploads at once
        counts = {name: calls(service, job, pictures[0], f"count/{name}.jpg") for name, job in counted.items()}
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
        order = list(jobs)
        for number in range(ROUNDS + 1):
            for name in order:
                figures = measured(service, jobs[name], pictures, f"{name}/{number}", index.flush)
                if number:  # the first round warms up
                    rounds[name].append(figures)
            order.append(order.pop(0))  # nobody always goes first
    speed = {name: [speed for speed, _ in figures] for name, figures in rounds.items()}
    ratios = {
        name: [a / b for a, b in zip(speed["ours"], speed[name], strict=True)] for name in speed if name != "ours"
    }
    cpu = ", ".join(f"{name} {median(used for _, used in figures):.1f}" for name, figures in rounds.items())
    extra = counts["ours"] - counts["plain"]
    note = f"{median(speed['ours']):.1f} uploads/s; {THREADS} threads, {ROUNDS} x {len(pictures)}; CPU ms: {cpu}"
    bare = f"it makes {median(speed['plain']):.1f} uploads/s"
    return [
        Row("uploads/s, ours / hand-written loop with the same calls", spread(ratios["by hand"]), f">= {BAR}",
            median(ratios["by hand"]) >= BAR, note),
        Row("uploads/s, ours / loop without a ledger", spread(ratios["plain"]), f">= {BAR_PLAIN}",
            median(ratios["plain"]) >= BAR_PLAIN, bare),
        Row("uploads/s, with the index / without", spread(ratios["no index"]), f">= {BAR_INDEX}",
            median(ratios["no index"]) >= BAR_INDEX),
        Row("storage calls per upload beyond that loop", str(extra), f"<= {BAR_CALLS}", extra <= BAR_CALLS,
            ", ".join(f"{name} {count}" for name, count in counts.items())),
    ]  # fmt: skip
