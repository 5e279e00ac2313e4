"""Results as date-partitioned Parquet: `lake/results/date=2026-11-23/04.parquet`, a row per prediction.

A finished hour is written as a single file, atomically; writing it again gives the same rows. Readable by anything
that knows Hive partitions (DuckDB, Spark, Synapse), on plain accounts and on ADLS Gen2 alike.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cloud.drift.drift_entry import LAKE
from cloud.storage.by_hour import Results, documents, unprocessed
from cloud.storage.containers import BlobInfo, Storage
from inference.extras import extra

log = logging.getLogger(__name__)

MARK = "lake/filled.json"
MOST_HOURS = 24 * 7
_ROWS = 20_000

# Column -> DuckDB's type.
COLUMNS = {
    "name": "VARCHAR",
    "etag": "VARCHAR",
    "route": "VARCHAR",
    "status": "VARCHAR",
    "media_type": "VARCHAR",
    "bytes": "BIGINT",
    "width": "INTEGER",
    "height": "INTEGER",
    "duration_s": "DOUBLE",
    "written": "TIMESTAMP WITH TIME ZONE",
    "wall_ms": "DOUBLE",
    "trace": "VARCHAR",
    "step": "VARCHAR",
    "task": "VARCHAR",
    "model": "VARCHAR",
    "model_version": "VARCHAR",
    # Of the prediction: null in the only row of a step without predictions.
    "number": "INTEGER",
    "label": "VARCHAR",
    "score": "DOUBLE",
    "x1": "FLOAT",
    "y1": "FLOAT",
    "x2": "FLOAT",
    "y2": "FLOAT",
    "track": "BIGINT",
    # The score from which an answer of the step counts on its own; below it lie guesses.
    "threshold": "DOUBLE",
    "id": "VARCHAR",
}


def fill(storage: Storage, now: datetime, results: Results | None = None) -> list[str]:
    """Write every finished hour (UTC) that has results and is not in the lake yet; the files written.

    An hour that is over by `now`, but not by storage's clock, is written again once it is: see `unprocessed`.
    """
    written = []
    for hour, blobs in unprocessed(storage, MARK, now, MOST_HOURS, results):
        path = f"results/date={hour:%Y-%m-%d}/{hour:%H}.parquet"
        with tempfile.TemporaryDirectory(prefix="dropsight-lake-") as folder:
            file = Path(folder, "results.parquet")
            count = _write(file, documents(storage, blobs))
            storage.write(LAKE, path, file)
        log.info("lake: %s holds %d rows", path, count)
        written.append(path)
    return written


def _write(file: Path, results: Iterable[tuple[BlobInfo, dict[str, Any]]]) -> int:
    duckdb = extra("duckdb")
    count, lines = 0, file.with_suffix(".jsonl")
    # By way of a file: a busy hour does not fit into memory.
    # Half a surrogate pair, which JSON may hold, is text neither to DuckDB nor to Parquet: it becomes a question mark.
    with lines.open("w", encoding="utf-8", errors="replace") as out:
        for blob, document in results:
            for row in _rows(blob, document):
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    options = {"threads": 1, "temp_directory": str(file.parent)}
    with duckdb.connect(config=options) as connection:
        rows = connection.read_json(str(lines), columns=COLUMNS, format="newline_delimited")
        rows.write_parquet(str(file), compression="zstd", row_group_size=_ROWS)
    return count


def _rows(blob: BlobInfo, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    source = document["source"]
    shared = {key: source.get(key) for key in ("name", "etag", "media_type", "bytes", "width", "height", "duration_s")}
    shared |= {key: document.get(key) for key in ("route", "status", "trace")}
    shared |= {"written": blob.modified.isoformat(), "wall_ms": (document.get("cost") or {}).get("wall_ms")}
    for step in document["steps"]:
        of_step = {"step": step["name"], "task": step["task"], "model": step["model"]["name"]}
        of_step |= {"model_version": step["model"]["version"], "threshold": step.get("threshold")}
        for number, prediction in enumerate(step["predictions"] or [{}]):
            x1, y1, x2, y2 = prediction.get("box") or (None,) * 4
            place = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
            what = {key: prediction.get(key) for key in ("label", "score", "track", "id")}
            yield {**shared, **of_step, **place, **what, "number": number if prediction else None}
