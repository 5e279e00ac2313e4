"""python -m inference export: a folder of results as COCO, YOLO, CSV or JSON lines."""

from __future__ import annotations

import argparse

from inference.export import read_folder, write


def run(options: argparse.Namespace) -> int:
    count = write(read_folder(options.results), options.format, options.out, options.step)
    print(f"{options.out}: {count} results as {options.format}")
    return 0
