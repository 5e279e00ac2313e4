"""python -m cloud export: the results container as COCO, YOLO, CSV or JSON lines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from cloud.settings import RESULTS
from cloud.storage import by_hour
from cloud.storage.containers import Storage, default_storage
from cloud.storage.paths import printable
from inference.results.export_options import ExportOptions
from inference.results.export_rows import Found
from inference.results.formats import FORMATS, RESULT_FILE, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prefix", nargs="?", default="", help="only uploads whose names begin so")
    parser.add_argument("--format", choices=sorted(FORMATS), default="coco")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file (yolo: the folder) to write")
    parser.add_argument("--step", metavar="NAME", help="only the predictions of this step")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    left_out = by_hour.LeftOut()
    found = documents(default_storage(), options.prefix, left_out)
    report = write(found, options.format, options.out, ExportOptions(step=options.step))
    print(printable(f"{options.out}: {report.count} results as {options.format}"))
    for note in report.notes:
        print(printable(note), file=sys.stderr)
    if left_out.count:
        print(left_out, file=sys.stderr)
    return 0 if report.count else 1


def documents(storage: Storage, prefix: str, left_out: by_hour.LeftOut) -> Iterator[Found]:
    """Every result document below a prefix, by name, without those that are deleted meanwhile; left_out: what is no
    result."""
    for page in storage.pages(RESULTS, prefix=prefix):
        blobs = [blob for blob in page.blobs if blob.name.endswith(f"/{RESULT_FILE}")]
        for blob, document in by_hour.documents(storage, blobs, left_out):
            yield Found(document, blob.name.removesuffix(f"/{RESULT_FILE}"))
