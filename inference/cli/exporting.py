"""What both `export` commands share: their options, and what they say. Imports nothing that costs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from inference.cli.no_sources import local_place

if TYPE_CHECKING:
    from inference.results.export_options import ExportReport


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how results are exported."""
    parser.add_argument("--format", choices=("coco", "csv", "jsonl", "yolo"), default="coco")
    parser.add_argument(
        "--out", type=local_place, required=True, metavar="FILE", help="the file (yolo: the folder) to write"
    )
    parser.add_argument("--step", metavar="NAME", help="only the predictions of this step")
    parser.add_argument(
        "--models",
        action="append",
        type=local_place,
        default=[],
        metavar="DIR",
        help="a folder of the models that ran, for their lists of labels; may be repeated",
    )
    parser.add_argument(
        "--boxes-as-polygons",
        action="store_true",
        help="coco: objects that have only a box get its outline as their segmentation",
    )
    parser.add_argument(
        "--pictures",
        action="append",
        type=local_place,
        default=[],
        metavar="DIR",
        help="yolo: the folder that was analysed, for its pictures; may be repeated",
    )
    parser.add_argument(
        "--put",
        choices=("copy", "link", "none"),
        default="copy",
        help="yolo: how the pictures get into the data set (default: copied)",
    )


def end(options: argparse.Namespace, report: ExportReport) -> int:
    """Says what was written on stdout, what was left out on stderr. The exit status: 1 where nothing was written."""
    from inference.plain_text import single  # lazily: --help needs none of it
    from inference.results.plurals import counted

    for note in report.notes:
        print(single(str(note)), file=sys.stderr)
    if not report.count:
        there = options.out / "data.yaml" if options.format == "yolo" else options.out
        earlier = "; what is there is of an earlier export" if there.is_file() else ""
        print(single(f"{options.out} is not written{earlier}"), file=sys.stderr)
        return 1
    print(single(f"{options.out}: {counted(report.count, 'result')} as {options.format}"))
    return 0
