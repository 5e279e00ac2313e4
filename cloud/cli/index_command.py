"""`python -m cloud index`: the table from which lists and searches are answered, made anew or compared."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from cloud.storage.paths import printable

if TYPE_CHECKING:
    from cloud.index.table import UploadTable
    from cloud.index.writer import IndexWriter
    from cloud.storage.containers import Storage
    from cloud.uploads.index_check import IndexReport

_REBUILD = """\
Write the rows of all uploads anew from receipts and results, and remove those of uploads that are gone. Uploads go on
meanwhile. The app does the same by itself, a little with each sweep: this is for whoever does not want to wait."""
_CHECK = """\
Compare the rows of all uploads with their receipts, as far as they are not being worked on. Ends with 0 where they
agree, with 1 where they do not: the next sweep mends what ended since the last one, `index rebuild` everything."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `index`; its commands carry the function to call as `run`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, words, run in (("rebuild", _REBUILD, _rebuild), ("check", _CHECK, _check)):
        command = commands.add_parser(name, help=words.split(".")[0].lower(), description=words)
        command.add_argument("--json", action="store_true", help="the figures as a JSON document")
        command.set_defaults(run=run)


def _rebuild(options: argparse.Namespace) -> int:
    from cloud.uploads.index_check import rebuild

    def tell(written: int) -> None:
        print(f"{written:,} uploads written", file=sys.stderr)

    report = rebuild(*_parts(), tell)
    words = f"{report.written:,} uploads written, the rows of {report.removed:,} that are gone removed"
    return _told(report, options, words + f", {report.left:,} left")


def _check(options: argparse.Namespace) -> int:
    from cloud.uploads.index_check import compare

    report = compare(*_parts())
    words = (
        f"{report.uploads:,} uploads: {report.missing:,} have no rows, {report.stale:,} have those of an older receipt"
    )
    return _told(report, options, words + f", {report.gone:,} are gone")


def _told(report: IndexReport, options: argparse.Namespace, words: str) -> int:
    if options.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        print(words)
        for sentence in report.first:
            print(printable(sentence))
    return 0 if report.is_right else 1


def _parts() -> tuple[Storage, UploadTable, IndexWriter]:
    """What both commands work with. Raises NotReady where there are no tables."""
    from cloud.index.default import default_tables
    from cloud.index.writer import IndexWriter
    from cloud.settings import current
    from cloud.storage.containers import default_storage
    from cloud.uploads.index_notes import Truth
    from cloud.uploads.plans import written_routes
    from cloud.uploads.receipt_blobs import BlobReceipts
    from inference.errors import NotReady

    tables, storage = default_tables(), default_storage()
    table = tables.table()
    if table is None:
        raise NotReady(f"there is no table to work on: {tables.why}")
    blurring = {route.name for route in written_routes(current()).routes if route.draw.blur}
    truth = Truth(storage, BlobReceipts(storage), blurring.__contains__)
    return storage, table, IndexWriter(lambda: table, truth)
