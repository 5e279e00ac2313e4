"""`python -m cloud replay`: uploads analysed again, here and now."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud.uploads.sweep import SweepReport

_DESCRIPTION = """\
Analyse uploads again, here and now. Without a filter: those that have no result, as they failed, were never finished,
or their result was deleted. Several filters take more. Uploads that an app is working on stay with it. Stopped with
Ctrl-C, the same command goes on with what is left (--all begins anew)."""
_EPILOG = """\
The names go to standard output, one a line, and what became of them to standard error. Ends with 0 where all of them
have their answer, 1 where some failed, wait, or are still being worked on, 2 for wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `replay`; the options carry the function to call as `run`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("prefix", nargs="?", default="", help="only uploads whose names begin so")
    parser.add_argument("--failed", action="store_true", help="those with an error record")
    parser.add_argument(
        "--missing",
        action="store_true",
        help="those without an answer: never analysed, or their result or error record was deleted",
    )
    parser.add_argument(
        "--changed",
        action="store_true",
        help="those that the routes or models of today would answer otherwise: a route was edited, a model replaced",
    )
    parser.add_argument(
        "--all", action="store_true", help="every one, also finished ones and those that wait for a slot"
    )
    parser.add_argument("--dry-run", action="store_true", help="only print the names and how many they are")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0: all that was asked for has its answer; 1: some failed, wait or are still being worked on."""
    from cloud.instance import default_worker  # brings onnxruntime, which the other commands do not need
    from cloud.settings import current
    from cloud.storage.paths import printable
    from cloud.uploads.intake import refuse_if_paused
    from cloud.uploads.replay import Filters, Replay
    from cloud.uploads.sweep import sweep

    if not options.dry_run:
        refuse_if_paused(current())
    plain = not (options.failed or options.missing or options.changed)
    replay = Replay(
        default_worker(),
        Filters(options.failed or plain, options.missing or plain, options.changed, options.all),
        options.prefix,
        on_chosen=lambda name: print(printable(name)),
        on_undecided=lambda name, why: print(printable(f"not redone: {name}: {why}"), file=sys.stderr),
    )
    report = sweep(
        replay.worker,
        math.inf,
        prefix=options.prefix,
        wanted=lambda upload, receipt: replay.takes(upload, receipt) and not options.dry_run,
        cause="replay",
        again=replay.again,
    )
    count = sum(replay.chosen.values())
    of = f"{count} of {replay.seen} uploads" + (printable(f" below {options.prefix}") if options.prefix else "")
    of += _in_brackets(replay.chosen)
    undecided = f"; {replay.undecided} cannot be analysed as routes and models are" if replay.undecided else ""
    if options.dry_run:
        print(f"would analyse {of}{undecided}", file=sys.stderr)
        return 0
    print(f"replayed {of}: {_ends(report)}{undecided}" if count else f"replayed {of}{undecided}", file=sys.stderr)
    open_ends = report.failed + sum(report.others[status] for status in ("waiting", "busy", "job"))
    return 1 if open_ends or replay.undecided else 0


def _in_brackets(reasons: Counter[str]) -> str:
    return f" ({', '.join(f'{count} {reason}' for reason, count in reasons.items())})" if reasons else ""


def _ends(report: SweepReport) -> str:
    from cloud.uploads.sweep import OTHERS

    ends = [f"{report.processed} done", f"{report.failed} failed"]
    ends += [f"{report.others[status]} {words}" for status, words in OTHERS.items() if report.others[status]]
    return ", ".join(ends)
