"""python -m inference export | schema: a folder of results in other formats, and what a result is made of."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from inference.cli.analysed_folders import analysed_folders
from inference.cli.exporting import end
from inference.cli.sources import same_place
from inference.errors import BadRoute
from inference.plain_text import single
from inference.results.export_options import ExportOptions
from inference.results.formats import ERROR_FILE, read_folder, write
from inference.results.map_files import read_beside
from inference.results.plurals import counted
from inference.results.schema import schema
from inference.results.typings import python, typescript
from inference.tables import nearest


def schema_text() -> str:
    return json.dumps(schema(), indent=2) + "\n"


def run(options: argparse.Namespace) -> int:
    if options.command == "schema":
        texts = {"json": schema_text, "python": python, "typescript": typescript}
        print(texts[options.form](), end="")
        return 0
    return _export(options)


def _export(options: argparse.Namespace) -> int:
    """0: written; 1: there was nothing to write."""
    if options.step:
        names = {step["name"] for document, _ in read_folder(options.results) for step in document["steps"]}
        if names and options.step not in names:
            raise BadRoute(f"{options.results}: no step is called {options.step!r}{nearest(options.step, names)}")
    asked = options_of(options)
    if options.format == "yolo" and options.put != "none":
        _check_place(options.out, asked.pictures)
    report = write(read_folder(options.results), options.format, options.out, asked)
    if failed := sum(not path.is_dir() for path in options.results.rglob(ERROR_FILE)):
        print(single(f"{options.results}: {counted(failed, 'file')} could not be analysed, see {ERROR_FILE}"),
              file=sys.stderr)  # fmt: skip
    return end(options, report)


def _check_place(out: Path, pictures: Iterable[Path]) -> None:
    """Raises BadRoute for a data set in the folder of its pictures: the copies would be taken for more of them."""
    if any(same_place(folder, out) for folder in pictures):
        raise BadRoute(f"--out {out}: the pictures lie there, and copies would be more of them; name another folder, "
                       f"such as {out / 'dataset'}")  # fmt: skip


def options_of(options: argparse.Namespace) -> ExportOptions:
    """What the command line says of an export of results on this machine."""
    from inference.cli.analyze import registry_of  # lazily: the schema needs no onnxruntime
    from inference.results.model_labels import labels_from

    return ExportOptions(
        step=options.step,
        labels_of=labels_from(lambda: registry_of(options)),
        boxes_as_polygons=options.boxes_as_polygons,
        pictures=[*options.pictures, *analysed_folders(options.results)],
        put=options.put,
        read_file=read_beside(options.results),
    )
