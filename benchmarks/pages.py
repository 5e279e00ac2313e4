"""The first page of the grid with 10,000 results: the app on the local host, Azurite, and Chromium.

Rows are written as `index rebuild` does, in groups. Azurite takes longer the more rows it has: 3 s for the first 1,000
uploads and 36 s for 10,000 on two cores, and minutes if all had rows for labels, so that only the newest have. The
newest 300 are real pictures with result documents: their thumbnails are made, stored and kept as for anybody.
"""

from __future__ import annotations

import http.client
import io
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from re import findall
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from PIL import Image

from benchmarks import ROOT, Row, timed
from cloud.index.create import create_all
from cloud.index.entry import Entry
from cloud.index.rows import Note
from cloud.index.table import UploadTable
from cloud.settings import CONTAINERS, RESULTS, UPLOADS
from cloud.storage.containers import Storage
from cloud.uploads.publish import result_path
from devtools import azurite
from localhost.host_process import HostProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RESULTS_IN_ALL, REAL = 10_000, 300
PAINT_BAR_MS, SERVER_BAR_MS = 1000, 300
LOADS = 9
# Of the pages, as docs say: HTML, CSS, scripts in all, and the largest thumbnail.
BYTES = {"page": 40 * 1024, "css": 14 * 1024, "scripts": 30 * 1024, "largest thumbnail": 25 * 1024}
_SIDES = ((1280, 960), (960, 1280), (1600, 900), (1000, 1000))
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_CONNECTIONS = 6  # that a browser opens to a host
# Of a page whose pictures are asked for at once: those out of sight wait otherwise.
_TIMINGS = """async () => {
  const shown = [...document.images];
  for (const image of shown) image.loading = "eager";
  await Promise.all(shown.map(image => image.complete || new Promise(done => image.onload = image.onerror = done)));
  const all = performance.now();
  const paint = await new Promise(done => new PerformanceObserver(list => {
    for (const entry of list.getEntriesByName("first-contentful-paint")) done(entry.startTime);
  }).observe({ type: "paint", buffered: true }));
  const page = performance.getEntriesByType("navigation")[0];
  const files = performance.getEntriesByType("resource").map(file => [file.name, file.encodedBodySize]);
  return { all, files, html: page.encodedBodySize, server: page.responseStart - page.requestStart,
    paint, missing: shown.filter(image => !image.naturalWidth).length, tiles: shown.length };
}"""


@dataclass(frozen=True)
class Grid:
    """A running app with results. fill_s: seconds that writing the rows took."""

    address: str
    fill_s: float


def run() -> list[Row]:
    """The page in a browser, then its parts by plain requests."""
    with filled() as grid:
        found = findall(r'<img src="([^"]*)"', _fetched(grid.address).decode())
        thumbnails = [urljoin(grid.address, unescape(address)) for address in found]
        made_s, stored_s = _all_at_once(thumbnails), _all_at_once(thumbnails)
        served = [timed(lambda: _fetched(grid.address))[0] for _ in range(LOADS)]
        loads = _loads(grid.address)
    note = f"{RESULTS_IN_ALL:,} results, rows written in {grid.fill_s:.0f} s; local host, Azurite in memory"
    rows = [
        _row("server's answer, ms", median(served), SERVER_BAR_MS, note),
        Row(f"pages: {len(thumbnails)} thumbnails made, s", f"{made_s:.2f}", note=f"{_CONNECTIONS} connections"),
        Row(f"pages: {len(thumbnails)} thumbnails that are stored, s", f"{stored_s:.2f}", note="the same"),
    ]
    return rows + (_seen(loads) if loads else [Row("pages: first paint", "", note="there is no Chromium here")])


def _seen(loads: list[Mapping[str, Any]]) -> list[Row]:
    """What a browser saw: cold loads, the last of them loaded once more."""
    *cold, again = loads
    assert all(load["tiles"] and not load["missing"] for load in loads), loads
    sizes = _sizes(cold[0])
    return [
        _row("first contentful paint, ms", median(load["paint"] for load in cold), PAINT_BAR_MS,
             f"{len(cold)} loads, a new profile each"),
        Row("pages: all thumbnails shown, ms", f"{median(load['all'] for load in cold):.0f}", note="a new profile"),
        Row("pages: all thumbnails shown again, ms", f"{again['all']:.0f}", note="kept by the browser"),
        *(_row(f"bytes of {what}", sizes[what], bar, "as sent") for what, bar in BYTES.items()),
    ]  # fmt: skip


def _row(what: str, value: float, bar: float, note: str) -> Row:
    return Row(f"pages: {what}", f"{value:,.0f}", f"< {bar:,}", value < bar, note)


def _sizes(load: Mapping[str, Any]) -> dict[str, int]:
    def of(mark: str) -> list[int]:
        return [size for name, size in load["files"] if mark in urlsplit(name).path]

    return {"page": load["html"], "css": sum(of(".css")), "scripts": sum(of(".js")),
            "largest thumbnail": max(of("/media/thumbnails/"))}  # fmt: skip


def _loads(address: str) -> list[Mapping[str, Any]]:
    """Timings of cold loads, and of a last one by a browser that has seen the page; none without a browser."""
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        return []
    from playwright.sync_api import sync_playwright  # lazily: not every machine has it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        with closing(browser):
            return [load for number in range(LOADS) for load in _load(browser, address, again=number == LOADS - 1)]


def _load(browser: Browser, address: str, *, again: bool) -> list[Mapping[str, Any]]:
    with closing(browser.new_context(viewport={"width": 1440, "height": 900})) as context:
        page: Page = context.new_page()
        timings = []
        for _ in range(2 if again else 1):
            page.goto(address, wait_until="load")
            timings.append(page.evaluate(_TIMINGS))
        return timings


def _fetched(address: str) -> bytes:
    parts = urlsplit(address)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=120)) as connection:
        connection.request("GET", f"{parts.path}{'?' if parts.query else ''}{parts.query}")
        answer = connection.getresponse()
        body = answer.read()
    assert answer.status == 200, (address, answer.status, body[:300])
    return body


def _all_at_once(addresses: list[str]) -> float:
    """Seconds until all are there, over as many connections as a browser has."""
    start = time.perf_counter()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        list(pool.map(_fetched, addresses))
    return time.perf_counter() - start


@contextmanager
def filled() -> Iterator[Grid]:
    """The app on an account with results, of which it made none itself."""
    with tempfile.TemporaryDirectory() as folder, azurite.start(ROOT, log=Path(folder, "azurite.log")) as server:
        connection = server.connection_string()
        fill_s, _ = timed(lambda: _fill(connection))
        environ = {"AzureWebJobsStorage": connection, "SWEEP_SCHEDULE": "0 0 0 1 1 *",
                   "AzureWebJobs.on_upload.Disabled": "true"}  # fmt: skip
        with HostProcess(ROOT, environ, log=Path(folder, "host.log")) as host:
            yield Grid(f"{host.url}/api/gallery/", fill_s / 1e3)


def _fill(connection: str) -> None:
    with (
        BlobServiceClient.from_connection_string(connection) as blobs,
        TableServiceClient.from_connection_string(connection) as tables,
    ):
        storage, table, now = Storage(blobs), UploadTable(tables), datetime.now(UTC).replace(microsecond=0)
        storage.ensure_containers(*CONTAINERS)
        table.ensure()
        pictures = [_picture(side) for side in _SIDES]
        with ThreadPoolExecutor(8) as pool:
            versions = list(pool.map(lambda number: _stored(storage, number, pictures), range(REAL)))
        notes = [_note(number, now, versions[number] if number < REAL else "") for number in range(RESULTS_IN_ALL)]
        for start in range(0, len(notes), 500):
            create_all(table, notes[start : start + 500])


def _picture(side: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    with Image.open(ROOT / "samples" / "astronaut.jpg") as image:
        image.convert("RGB").resize(side).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _name(number: int) -> str:
    return f"street {number % 25}/camera {number % 7}/{number:06}.jpg"


def _stored(storage: Storage, number: int, pictures: list[bytes]) -> str:
    """The version of an upload, which is written with its result."""
    name = _name(number)
    etag = storage.write(UPLOADS, name, pictures[number % len(pictures)], content_type="image/jpeg")
    source = {"container": UPLOADS, "name": name, "etag": etag, "media_type": "image/jpeg"}
    document = {"schema": "dropsight/1", "source": source, "route": "default", "status": "ok", "steps": []}
    storage.write_json(RESULTS, result_path(name), document)
    return etag


def _note(number: int, now: datetime, etag: str) -> Note:
    at = now - timedelta(minutes=number)
    width, height = _SIDES[number % len(_SIDES)]
    labels = {"person": 0.9, f"thing {number % 40}": 0.6}
    entry = Entry(
        _name(number), etag or f"0x{number:x}", "done", at, f"0xr{number:x}", at, "default", "image/jpeg", width,
        height, None, dict.fromkeys(labels, 1 + number % 3), {}, labels if etag else {}, ("object-detection",),
        ("yolox",), "0123456789ab",
    )  # fmt: skip
    return Note(entry, at, exact=True)
