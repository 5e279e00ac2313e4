"""`python -m cloud query`: SQL over the lake, for analysts."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.errors import BadRequest
from inference.extras import extra
from inference.plain_text import single

if TYPE_CHECKING:
    from cloud.storage.containers import Storage

_DESCRIPTION = """\
Answer a query in DuckDB's SQL over the lake: the view `results` has a row for each prediction of each result, and the
column `date`. The days of --since and --until are fetched into a temporary folder first, all days without them.
Nothing in storage is changed. The lake is filled by the app ([lake] in pipelines.toml)."""
_MOST_BYTES = 2 * 1024**3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `query`; the options carry the function to call as `run`."""
    parser.description = _DESCRIPTION
    parser.add_argument("sql", metavar="SQL", help='such as "SELECT label, count(*) FROM results GROUP BY label"')
    parser.add_argument("--since", type=date.fromisoformat, metavar="DAY", help="first day, such as 2026-11-01 (UTC)")
    parser.add_argument("--until", type=date.fromisoformat, metavar="DAY", help="last day")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="the rows as a JSON list of objects")
    how.add_argument("--csv", action="store_true", help="the rows as CSV, names of columns first")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0: it was answered. Raises BadRequest for what is no query, MissingPackage without DuckDB."""
    from cloud.storage.containers import default_storage

    extra("duckdb")  # before anything is fetched
    with tempfile.TemporaryDirectory(prefix="dropsight-query-") as folder:
        fetch(default_storage(), Path(folder), options.since, options.until)
        names, rows = answer(Path(folder), options.sql)
    if options.json:
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2, default=str))
    elif options.csv:
        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerows([names, *rows])
    else:
        for line in table(names, rows):
            print(line)
    return 0


def fetch(storage: Storage, folder: Path, since: date | None, until: date | None) -> int:
    """Fetch the files of some days, as they lie; how many there were. Raises StorageUnavailable, LimitExceeded."""
    from cloud.drift.drift_entry import LAKE

    count = 0
    for page in storage.pages(LAKE, "results/date="):
        for blob in page.blobs:
            try:
                day = date.fromisoformat(blob.name.removeprefix("results/date=")[:10])
            except ValueError:
                continue
            wanted = (since is None or day >= since) and (until is None or day <= until)
            name = Path(blob.name).name
            if wanted and name.endswith(".parquet") and (reading := storage.open(LAKE, blob.name)):
                reading.save(folder / f"date={day}" / name, _MOST_BYTES)
                count += 1
    return count


def answer(folder: Path, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of columns, and rows. The query sees these files and nothing else. Raises BadRequest."""
    from cloud.drift.lake import COLUMNS

    duckdb = extra("duckdb")
    with duckdb.connect() as connection:
        if any(folder.glob("date=*/*.parquet")):
            files = f"{folder.as_posix()}/*/*.parquet".replace("'", "''")
            source = f"read_parquet('{files}', hive_partitioning = true, union_by_name = true)"
        else:
            columns = [*COLUMNS.items(), ("date", "DATE")]
            empty = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns)
            source = f"(SELECT {empty} WHERE false)"
        connection.execute(f"CREATE VIEW results AS SELECT * FROM {source}")
        inside = folder.as_posix().replace("'", "''")
        connection.execute(f"SET allowed_directories = ['{inside}/']")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            found = connection.execute(sql)
            return [str(column[0]) for column in found.description or ()], found.fetchall()
        except duckdb.Error as error:
            raise BadRequest(f"the query cannot be answered: {error}") from error


def table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """The lines of a table for people, columns below each other."""
    shown = [[single("" if value is None else str(value)) for value in row] for row in [names, *rows]]
    widths = [max(len(row[column]) for row in shown) for column in range(len(names))]
    lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]] if names else []
