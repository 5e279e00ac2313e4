"""`python -m cloud forget`: deletes uploads with all that came of them, and reports it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from cloud.cli.replay_command import name_of_upload
from cloud.settings import UPLOADS
from cloud.storage.paths import printable

if TYPE_CHECKING:
    from cloud.uploads.forget import Forgotten

_DESCRIPTION = """\
Deletes uploads with their snapshots, and everything that the app has made of them: result, artifacts, error record,
receipt, sidecar, the work on long videos. An upload that is gone already may still be named. It is safe beside a
running app, and stopped, the same command goes on. What a worker still writes that was at it is deleted by the app's
sweep."""
_EPILOG = """\
Each upload goes to standard output with what was deleted of it. Ends with 0 where nothing is left, 1 where something is
(which the report names: earlier versions, files of the lake ...) or of a NAME nothing was there, 2 for wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `forget`; the options carry the function to call as `run`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "names",
        nargs="+",
        type=name_of_upload,
        metavar="NAME",
        help="the name of an upload, a folder (street/, with its slash), or a quoted pattern ('person-17/**')",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0: all is gone; 1: something is left, or of a name nothing was there."""
    from cloud.index.default import default_index
    from cloud.storage.containers import default_storage
    from cloud.uploads.forget import Forgetter, names_meant, report_of
    from inference.errors import DropsightError
    from inference.results.strict_json import json_text

    storage = default_storage()
    forgetter = Forgetter(storage, dry_run=options.dry_run, index=default_index())
    found: list[Forgotten] = []
    stopped = ""
    try:
        for one in forgetter.run(names_meant(storage, options.names)):
            found.append(one)
            if not options.json:
                _tell(one, options.dry_run)
    except DropsightError as error:  # what was deleted so far is to be told all the same
        stopped = str(error)
    report = report_of(found, forgetter, options.names, stopped)
    if options.json:
        print(json_text(report))
    _summarise(report)
    return 0 if found and not (report["with_rest"] or report["unmet"] or stopped) else 1


def _summarise(report: dict[str, Any]) -> None:
    how = "would be forgotten" if report["dry_run"] else "forgotten"
    said = [f"{report['count']} uploads {how}; of {report['with_rest']} something is left"]
    said += [f"note: {note}" for note in report["notes"]]
    for text in report["unmet"]:
        inside = text.removeprefix(f"{UPLOADS}/")
        hint = "" if inside == text else f"; names begin behind the container's: {inside!r}"
        said.append(f"nothing of {text!r} is there{hint}")
    if report["stopped"]:
        said.append(f"stopped before the end: {report['stopped']}")
    for sentence in said:
        print(printable(sentence), file=sys.stderr)


def _tell(one: Forgotten, dry_run: bool) -> None:
    print(printable(one.name))
    for blob in one.deleted:
        print(printable(f"  {'would delete' if dry_run else 'deleted'} {blob}"))
    if one.snapshots:
        print(f"  with {one.snapshots} snapshots")
    for rest in one.kept:
        print(printable(f"  left: {rest}"))
