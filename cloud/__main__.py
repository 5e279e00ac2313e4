"""`python -m cloud COMMAND`: what an operator does by hand. Uses the app settings of the environment."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Sequence

from inference.errors import DropsightError

from . import export
from .drift import commands as drift
from .models import commands as models
from .pipelines import commands as pipelines
from .settings import BadSettings, document
from .storage import BlobInfo


def parser() -> argparse.ArgumentParser:
    """One subcommand per thing to do; each sets `run`, which takes the options and gives the exit status."""
    top = argparse.ArgumentParser(prog="python -m cloud", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("replay", help="analyse uploads again: failed ones, or all below a prefix")
    one.add_argument("prefix", nargs="?", default="", help="only uploads whose names begin so")
    one.add_argument("--all", action="store_true", help="finished ones too (default: failed ones only)")
    one.add_argument("--dry-run", action="store_true", help="only print the names")
    one.set_defaults(run=replay)

    two = commands.add_parser("settings", help="print the table of app settings")
    two.set_defaults(run=lambda _: print(document()) or 0)

    three = commands.add_parser("pipelines", help="Azure Machine Learning pipelines: list, run, history, resolve")
    pipelines.add_arguments(three)
    four = commands.add_parser("models", help="models: list, register, download, path, deliver, rollback")
    models.add_arguments(four)
    five = commands.add_parser("drift", help="drift of production against a baseline: check, baseline, approve")
    drift.add_arguments(five)
    six = commands.add_parser("export", help="results as COCO, YOLO, CSV or JSON lines")
    export.add_arguments(six)
    return top


def replay(options: argparse.Namespace) -> int:
    """Claim finished uploads anew, here and now. 0: all have a result; 1: some failed again."""
    from .sweep import sweep, unfinished
    from .uploads import default_worker

    def wanted(upload: BlobInfo, receipt: BlobInfo | None) -> bool:
        failed = receipt is not None and receipt.metadata.get("state") == "failed"
        if not (options.all or failed or unfinished(upload, receipt)):
            return False
        print(upload.name)
        return not options.dry_run

    report = sweep(default_worker(), math.inf, prefix=options.prefix, wanted=wanted, cause="replay")
    print(report, file=sys.stderr)
    return 1 if report.failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: all fine; 1: something failed; 2: wrong usage or wrong settings."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        return int(options.run(options))
    except BadSettings as error:
        print(error, file=sys.stderr)
        return 2
    except DropsightError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
