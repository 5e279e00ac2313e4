"""python -m inference export | schema: a folder of results in other formats, and what a result is made of."""

from __future__ import annotations

import argparse
import json
import sys

from inference.errors import BadRoute
from inference.results.export_options import ExportOptions
from inference.results.formats import read_folder, write
from inference.results.schema import schema
from inference.results.typings import python, typescript
from inference.results.words import single
from inference.tables import nearest


def schema_text() -> str:
    return json.dumps(schema(), indent=2) + "\n"


def run(options: argparse.Namespace) -> int:
    if options.command == "schema":
        texts = {"json": schema_text, "python": python, "typescript": typescript}
        print(texts[options.form](), end="")
        return 0
    if options.step:
        names = {step["name"] for document, _ in read_folder(options.results) for step in document["steps"]}
        if options.step not in names:
            raise BadRoute(f"{options.results}: no step is called {options.step!r}{nearest(options.step, names)}")
    report = write(read_folder(options.results), options.format, options.out, ExportOptions(step=options.step))
    for note in report.notes:
        print(note, file=sys.stderr)
    print(single(f"{options.out}: {report.count} results as {options.format}"))
    return 0 if report.count else 1
