"""Lists and searches of a table with 50,000 rows, as the app's own code asks for them, on Azurite."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median

from azure.data.tables import TableServiceClient

from benchmarks import ROOT, Row, interleaved, timed
from cloud.index.create import create_all
from cloud.index.entry import Entry, Query, State
from cloud.index.rows import Note
from cloud.index.table import UploadTable
from devtools import azurite

ROWS = 50_000
BAR_MS = 300
ROUNDS = 15
_BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
_LABELS = [f"label {number}" for number in range(40)]
_STATES: dict[int, State] = {0: "failed", 1: "waiting"}  # of a hundred
_PAGE = 61


def notes() -> Iterator[Note]:
    """Uploads of some months in folders, with two labels each; two of a hundred are not done."""
    number = 0
    while True:
        at = _BEGUN + timedelta(minutes=number)
        state = _STATES.get(number % 100, "done")
        labels = {_LABELS[number % 40]: 0.9, _LABELS[number * 7 % 39]: 0.5} if state == "done" else {}
        yield Note(
            Entry(
                f"folder {number % 25}/{number:06}.jpg", f"0x{number:x}", state, at, f"0xr{number:x}", at, "default",
                "image/jpeg", 4000, 3000, None, dict.fromkeys(labels, 1), {}, labels, ("object-detection",),
                ("yolox",), "0123456789ab", False, "", "it waits" if state == "waiting" else "",
            ),
            at + timedelta(seconds=3),
        )  # fmt: skip
        number += 1


@contextmanager
def filled(rows: int) -> Iterator[tuple[UploadTable, int, int]]:
    """A table in a new Azurite, filled as `index rebuild` does until it has so many rows; its uploads and rows."""
    with (
        tempfile.TemporaryDirectory() as folder,
        azurite.start(ROOT, log=Path(folder, "azurite.log")) as server,
        TableServiceClient.from_connection_string(server.connection_string()) as service,
    ):
        table, source, written, uploads = UploadTable(service), notes(), 0, 0
        table.ensure()
        while written < rows:
            group = list(islice(source, 500))
            create_all(table, group)
            uploads += len(group)
            written += sum(len(note.rows) for note in group)
        yield table, uploads, written


def run() -> list[Row]:
    """Each list some times, in turn."""
    with filled(ROWS) as (table, uploads, written):
        newest = _BEGUN + timedelta(minutes=uploads)
        deep = table.page(Query(until=newest - timedelta(minutes=uploads // 2)), None, _PAGE).next
        asked = {
            "first page": lambda: table.page(Query(), None, _PAGE),
            "page in the middle": lambda: table.page(Query(), deep, _PAGE),
            "page of a folder": lambda: table.page(Query(folder="folder 7/"), None, _PAGE),
            "search for a label": lambda: table.page(Query(label=_LABELS[3]), None, _PAGE),
            "search for a label that is sure": lambda: table.page(Query(label=_LABELS[3], min_score=0.8), None, _PAGE),
            "page of what failed": lambda: table.page(Query(state="failed"), None, _PAGE),
        }
        times = interleaved(ROUNDS, asked)
        anchor_ms, _ = timed(lambda: sum(1 for _ in table.ended(newest - timedelta(hours=1))))
    note = f"{_PAGE} entries of {uploads:,} uploads in {written:,} rows, {ROUNDS} times; Azurite in memory"
    rows = [
        Row(f"index: {what}, ms", f"{median(values):.0f}", f"<= {BAR_MS}", median(values) <= BAR_MS, note)
        for what, values in times.items()
    ]
    return [*rows, Row("index: what ended in the last hour, ms", f"{anchor_ms:.0f}", note=note)]
