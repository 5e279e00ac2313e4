"""Results as date-partitioned Parquet: `lake/results/date=2026-11-23/04.parquet`, a row per prediction.

A finished hour is written as one file, atomically; writing it again gives the same rows. Readable by anything
that knows Hive partitions (DuckDB, Spark, Synapse), on plain accounts and on ADLS Gen2 alike.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cloud.finished import documents, unprocessed
from cloud.storage import BlobInfo, Storage

log = logging.getLogger(__name__)

LAKE = "lake"
MARK = "lake/filled.json"
MOST_HOURS = 24 * 7
_ROWS = 20_000

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("etag", pa.string()),
        ("route", pa.string()),
        ("status", pa.string()),
        ("media_type", pa.string()),
        ("bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("duration_s", pa.float64()),
        ("written", pa.timestamp("us", tz="UTC")),
        ("wall_ms", pa.float64()),
        ("trace", pa.string()),
        ("step", pa.string()),
        ("task", pa.string()),
        ("model", pa.string()),
        ("model_version", pa.string()),
        # Of the prediction: null in the one row of a step that found nothing.
        ("number", pa.int32()),
        ("label", pa.string()),
        ("score", pa.float64()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("x2", pa.float32()),
        ("y2", pa.float32()),
        ("track", pa.int64()),
    ]
)


def fill(storage: Storage, now: datetime) -> list[str]:
    """Write every finished hour (UTC) that has results and is not in the lake yet; the files written."""
    written = []
    for hour, blobs in unprocessed(storage, MARK, now, MOST_HOURS):
        path = f"results/date={hour:%Y-%m-%d}/{hour:%H}.parquet"
        with tempfile.TemporaryDirectory(prefix="dropsight-lake-") as folder:
            file = Path(folder, "results.parquet")
            count = _write(file, documents(storage, blobs))
            storage.write(LAKE, path, file)
        log.info("lake: %s holds %d rows of %d results", path, count, len(blobs))
        written.append(path)
    return written


def _write(file: Path, found: Iterable[tuple[BlobInfo, dict[str, Any]]]) -> int:
    rows = (row for blob, document in found for row in _rows(blob, document))
    count = 0
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        # In groups of bounded size: a busy hour does not fit into memory.
        while group := list(islice(rows, _ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
            count += len(group)
    return count


def _rows(blob: BlobInfo, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    source = document["source"]
    shared = {key: source.get(key) for key in ("name", "etag", "media_type", "bytes", "width", "height", "duration_s")}
    shared |= {key: document.get(key) for key in ("route", "status", "trace")}
    shared |= {"written": blob.modified, "wall_ms": (document.get("cost") or {}).get("wall_ms")}
    for step in document["steps"]:
        of_step = {"step": step["name"], "task": step["task"], "model": step["model"]["name"]}
        of_step["model_version"] = step["model"]["version"]
        for number, each in enumerate(step["predictions"] or [{}]):
            x1, y1, x2, y2 = each.get("box") or (None,) * 4
            place = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
            what = {key: each.get(key) for key in ("label", "score", "track")}
            yield {**shared, **of_step, **place, **what, "number": number if each else None}
