"""`python -m cloud replay`: uploads analysed again, here and now."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from typing import TYPE_CHECKING

from cloud.storage.paths import printable

if TYPE_CHECKING:
    from cloud.uploads.replay import Replay
    from cloud.uploads.sweep import SweepReport
    from cloud.uploads.upload_worker import UploadWorker

_DESCRIPTION = """\
Analyse uploads again, here and now. Without a filter: those that have no result, as they failed, were never finished,
or their result was deleted, be it by a rule of the account (--failed leaves those out). Several filters take more.
Uploads that an app is working on stay with it. Stopped with Ctrl-C, the same command goes on with what is left (--all
begins anew)."""
_EPILOG = """\
The names go to standard output, one a line, and what became of them to standard error. Ends with 0 where all of them
have their answer, 1 where some failed, wait, or are still being worked on, or a NAME is no upload's, 2 for wrong
usage."""
_NAMED = 5  # names in a sentence
_DELETED = """\
of these were analysed before: somebody, or a rule of the account, has deleted what they ended with, and may again; \
--failed leaves them out"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `replay`; the options carry the function to call as `run`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "names",
        nargs="*",
        type=_name,
        metavar="NAME",
        help="only these: the name of an upload, the beginning of names (street/), or a quoted pattern ('**/*.jpg')",
    )
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


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a name is empty, as of a variable that is not set; for all uploads give none")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is no UTF-8, as all names in storage are") from None
    return text


def run(options: argparse.Namespace) -> int:
    """0: all has its answer; 1: some failed, wait or are still being worked on, or a name is no upload's."""
    from cloud.instance import default_worker  # brings onnxruntime, which the other commands do not need
    from cloud.settings import current
    from cloud.uploads.intake import refuse_if_paused
    from cloud.uploads.names import Names
    from cloud.uploads.replay import Filters, Replay

    if not options.dry_run:
        refuse_if_paused(current())
    worker = default_worker()
    _say_whether_paused(worker)
    plain = not (options.failed or options.missing or options.changed)
    replay = Replay(
        worker,
        Filters(options.failed or plain, options.missing or plain, options.changed, options.all),
        Names.of(worker.storage, options.names),
        on_chosen=lambda name: print(printable(name)),
        on_undecided=lambda name, why: _say(f"not redone: {name}: {why}"),
    )
    report = _swept(replay, options.dry_run)
    unmet = list(replay.names.unmet())
    for sentence in unmet:
        _say(sentence)
    if plain and not options.all and replay.chosen["missing"]:
        _say(f"{replay.chosen['missing']} {_DELETED}")
    _say(_summary(options, replay, report))
    open_ends = report.failed + sum(report.others[status] for status in ("waiting", "busy", "job"))
    return 1 if unmet or (not options.dry_run and (open_ends or replay.undecided)) else 0


def _swept(replay: Replay, dry_run: bool) -> SweepReport:
    from cloud.uploads.sweep import SweepReport, sweep

    report = SweepReport()
    for place in replay.names.places:
        report += sweep(
            replay.worker,
            math.inf,
            prefix=place,
            wanted=lambda upload, receipt: replay.takes(upload, receipt) and not dry_run,
            cause="replay",
            again=replay.again,
        )
    return report


def _summary(options: argparse.Namespace, replay: Replay, report: SweepReport) -> str:
    count = sum(replay.chosen.values())
    named, more = options.names[:_NAMED], len(options.names) - _NAMED
    below = f" below {', '.join(named)}{f' and {more} more' if more > 0 else ''}" if named else ""
    of = f"{count} of {replay.seen} uploads{below}{_in_brackets(replay.chosen)}"
    undecided = f"; {replay.undecided} cannot be analysed as routes and models are" if replay.undecided else ""
    if options.dry_run:
        return f"would analyse {of}{undecided}"
    return f"replayed {of}{f': {_ends(report)}' if count else ''}{undecided}"


def _say_whether_paused(worker: UploadWorker) -> None:
    """The app's settings are others than those of this command: what its last look at uploads said of them."""
    from cloud.uploads.intake import is_paused
    from cloud.uploads.sweep_mark import pauses_noted

    for by, when in () if is_paused(worker.settings) else pauses_noted(worker.storage):
        _say(
            f"intake of the app {by!r} was paused at {when:%Y-%m-%d %H:%M} UTC; this command, by its own INTAKE, is not"
        )


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr)


def _in_brackets(reasons: Counter[str]) -> str:
    return f" ({', '.join(f'{count} {reason}' for reason, count in reasons.items())})" if reasons else ""


def _ends(report: SweepReport) -> str:
    from cloud.uploads.sweep import OTHERS

    ends = [f"{report.processed} done", f"{report.failed} failed"]
    ends += [f"{report.others[status]} {words}" for status, words in OTHERS.items() if report.others[status]]
    return ", ".join(ends)
