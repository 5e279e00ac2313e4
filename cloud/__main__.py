"""`python -m cloud COMMAND`: what an operator does by hand. Uses the app settings of the environment."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inference import command_line
from inference.errors import DropsightError

if TYPE_CHECKING:
    from cloud.storage.containers import BlobInfo
    from cloud.uploads.receipts import ReceiptSummary

PROG = "python -m cloud"


def parser() -> argparse.ArgumentParser:
    """The subcommands; every subcommand sets `run`, which takes the options and gives the exit status."""
    # Here, as in what follows: whoever presses Ctrl-C while all this loads sees no traceback.
    from cloud.cli import drift_command, export_command, models_command, pipelines_command

    top = argparse.ArgumentParser(prog=PROG, description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("replay", help="analyse uploads again: failed ones, or all below a prefix")
    command.add_argument("prefix", nargs="?", default="", help="only uploads whose names begin so")
    command.add_argument("--all", action="store_true", help="finished ones too (default: failed ones only)")
    command.add_argument("--dry-run", action="store_true", help="only print the names")
    command.set_defaults(run=replay)

    command = commands.add_parser("settings", help="print the table of app settings")
    command.set_defaults(run=settings)

    command = commands.add_parser("pipelines", help="Azure Machine Learning pipelines: list, run, history, resolve")
    pipelines_command.add_arguments(command)
    command = commands.add_parser("models", help="models: list, register, download, path, deliver, rollback, push")
    models_command.add_arguments(command)
    command = commands.add_parser("drift", help="drift of production against a baseline: check, baseline, approve")
    drift_command.add_arguments(command)
    export_command.add_arguments(commands.add_parser("export", help="results as COCO, YOLO, CSV or JSON lines"))
    return top


def settings(_: argparse.Namespace) -> int:
    """Print the table of app settings."""
    from cloud.settings import document

    print(document())
    return 0


def replay(options: argparse.Namespace) -> int:
    """Claim finished uploads anew, here and now. 0: all have a result; 1: some failed again."""
    from cloud.instance import default_worker  # brings onnxruntime, which the other commands do not need
    from cloud.settings import current
    from cloud.storage.paths import printable
    from cloud.uploads.intake import refuse_if_paused
    from cloud.uploads.sweep import needs_work, sweep

    if not options.dry_run:
        refuse_if_paused(current())

    def wanted(upload: BlobInfo, receipt: ReceiptSummary | None) -> bool:
        failed = receipt is not None and receipt.state == "failed"
        if not (options.all or failed or needs_work(upload, receipt)):
            return False
        print(printable(upload.name))
        return not options.dry_run

    report = sweep(default_worker(), math.inf, prefix=options.prefix, wanted=wanted, cause="replay")
    print(report, file=sys.stderr)
    return 1 if report.failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: all fine; 1: something failed; 2: wrong usage or wrong settings."""
    return command_line.run(PROG, lambda: _run(arguments), _status)


def _run(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return int(options.run(options))


def _status(error: Exception) -> int | None:
    """The exit status for an error that was raised on purpose, None for others."""
    from cloud.settings import BadSettings

    return 2 if isinstance(error, BadSettings) else 1 if isinstance(error, DropsightError) else None


if __name__ == "__main__":
    sys.exit(main())
