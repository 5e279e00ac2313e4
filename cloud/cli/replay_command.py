"""`python -m cloud replay`: has the deployed app analyse uploads again, and follows it."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from cloud.storage.paths import name_problem, printable

if TYPE_CHECKING:
    from cloud.storage.containers import Storage
    from cloud.uploads.replay import Filters
    from cloud.uploads.replays import Replay, Replays

_DESCRIPTION = """\
Has the app analyse uploads again, with its routes and models, and follows it. Without a filter: those that have no
result, as they failed, were never finished, or their result was deleted, be it by a rule of the account (--failed
leaves those out). Several filters take more; --label, --model, --deployment, --since and --until take less of it.
Uploads that an app is working on stay with it. Ctrl-C ends the watching, and not the replay, which --cancel ID does."""
_EPILOG = """\
The names go to standard output, one a line, and what became of them to standard error. Ends with 0 where all of them
have their answer, 1 where some failed, wait, or are still being worked on, a NAME is no upload's, or no app takes the
replay up, 2 for wrong usage."""
_NAMED = 5  # names in a sentence
_DELETED = """\
of these were analysed before: somebody, or a rule of the account, has deleted what they ended with, and may again; \
--failed leaves them out"""
_LOOK_S = 1.0
_PATIENCE_S = 300.0  # for the first step
_CHOOSING = {
    "failed": "those with an error record",
    "missing": "those without an answer: never analysed, or their result or error record was deleted",
    "changed": "those that the routes or models of today would answer otherwise: a route was edited, a model replaced",
    "expired": "those whose result was deleted when it had been kept for RETENTION_DAYS",
    "all": "every one but those, also finished ones and those that wait for a slot",
}
_NARROWING = {
    "label": ("LABEL", "only those with this object, or this name of the whole picture, in their result"),
    "model": ("MODEL", "only those with a step of this model in their result: NAME or NAME@VERSION"),
    "deployment": ("NAME", "only those that this app has answered: NAME or NAME-SLOT, elsewhere `local`"),
    "since": ("TIME", "only those uploaded at this date or time (UTC) or later, such as 2026-05-31"),
    "until": ("TIME", "only those uploaded before it"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `replay`; the options carry the function to call as `run`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "names",
        nargs="*",
        type=name_of_upload,
        metavar="NAME",
        help="only these: the name of an upload, the beginning of names (street/), or a quoted pattern ('**/*.jpg')",
    )
    for name, words in _CHOOSING.items():
        parser.add_argument(f"--{name}", action="store_true", help=words)
    for name, (value, words) in _NARROWING.items():
        parser.add_argument(f"--{name}", default="", metavar=value, help=words)
    parser.add_argument("--dry-run", action="store_true", help="only print the names and how many they are")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--detach", action="store_true", help="print the replay's id, and do not wait for its end")
    how.add_argument(
        "--here", action="store_true", help="do the work in this process, with the routes and models that are here"
    )
    how.add_argument("--cancel", metavar="ID", help="end a replay, and begin none")
    parser.set_defaults(run=run)


def name_of_upload(text: str) -> str:
    """A NAME of the command line. Raises ArgumentTypeError for what can be none."""
    if problem := name_problem(text):
        raise argparse.ArgumentTypeError(problem)
    return text


def run(options: argparse.Namespace) -> int:
    """0: all has its answer; 1: some failed, wait or are still being worked on, or a name is no upload's."""
    from cloud.settings import current
    from cloud.storage.containers import default_storage
    from cloud.storage.queues import Queue
    from cloud.uploads.intake import refuse_if_paused
    from cloud.uploads.replays import QUEUE, Replays

    if options.cancel:
        return _cancel(Replays(default_storage(), None), options.cancel)
    filters = _filters(options)
    if not options.dry_run:
        refuse_if_paused(current())
    if options.here:
        return _here(options, filters)
    storage = default_storage()
    _say_whether_paused(storage)
    replays = Replays(storage, Queue(current().storage_connection, QUEUE))
    replay = replays.begin(filters, tuple(options.names), dry_run=options.dry_run)
    if options.detach:
        print(replay.id)
        return 0
    try:
        return _followed(options, replays, replay)
    except KeyboardInterrupt:
        _say(f"the app goes on with it; python -m cloud replay --cancel {replay.id} ends it")
        raise


def _filters(options: argparse.Namespace) -> Filters:
    from cloud.uploads.replay import Filters
    from inference.errors import BadRequest
    from inference.tables import build

    asked = {name: getattr(options, name) for name in (*_CHOOSING, *_NARROWING)}
    asked["everything"] = asked.pop("all")
    return build(Filters, asked, "replay", BadRequest)


def _here(options: argparse.Namespace, filters: Filters) -> int:
    """Does what the app does, step by step, in this process."""
    from cloud.index.default import default_writer
    from cloud.instance import default_worker  # brings onnxruntime, which the other commands do not need
    from cloud.uploads.replay_worker import ReplayWorker
    from cloud.uploads.replays import ReplayMessage, Replays

    worker = default_worker()
    _say_whether_paused(worker.storage)
    replays, us = Replays(worker.storage, None), worker.ledger.deployment
    replay = replays.begin(filters, tuple(options.names), dry_run=options.dry_run, deployment=us)
    at_work, was_marked = ReplayWorker(worker, replays), False
    try:
        while replay.state == "running" and not replay.rounds:  # in rounds only others can bring it on
            replay = at_work.deliver(ReplayMessage(replay.id, replay.step)) or _now(replays, replay)
            if replay.is_marked and not was_marked:
                was_marked = True
                _print_names(replays, replay)
    finally:
        replays.clear(replay.id)
        default_writer().flush()  # its thread ends with this process
    return _end(options, replay)


def _followed(options: argparse.Namespace, replays: Replays, replay: Replay) -> int:
    was_marked, since, told = False, time.monotonic(), ""
    while replay.state == "running":
        time.sleep(_LOOK_S)
        replay = _now(replays, replay)
        if not replay.step and time.monotonic() - since > _PATIENCE_S:
            _say(f"no app has taken it up so far; it waits for one, and --cancel {replay.id} ends it")
            return 1
        if replay.is_marked and not was_marked:
            was_marked = True
            _print_names(replays, replay)
        progress = f"{replay.counts.marked - replay.counts.left} of {replay.counts.marked} uploads are through"
        if was_marked and not replay.dry_run and progress != told and replay.state == "running":
            told = progress
            _say(progress)
    return _end(options, replay)


def _now(replays: Replays, replay: Replay) -> Replay:
    """The replay as it is stored; one that somebody has deleted is cancelled."""
    stored = replays.read(replay.id)
    return stored.replay if stored else replace(replay, state="cancelled")


def _print_names(replays: Replays, replay: Replay) -> None:
    for number in range(replay.batches):
        for name in replays.batch(replay, number):
            print(printable(name))


def _end(options: argparse.Namespace, replay: Replay) -> int:
    """Says how the replay ended; the exit status."""
    counts, filters = replay.counts, _filters(options)
    for sentence in (*replay.unmet, *(f"not redone: {why}" for why in replay.why)):
        _say(sentence)
    if filters.as_meant != filters and replay.reasons.get("missing"):
        _say(f"{replay.reasons['missing']} {_DELETED}")
    _say(_summary(options, replay))
    open_ends = counts.marked - counts.done - counts.others
    is_partial = replay.unmet or replay.state == "cancelled"
    return 1 if is_partial or (not options.dry_run and (open_ends or replay.undecided)) else 0


def _summary(options: argparse.Namespace, replay: Replay) -> str:
    counts = replay.counts
    named, more = options.names[:_NAMED], len(options.names) - _NAMED
    below = f" below {', '.join(named)}{f' and {more} more' if more > 0 else ''}" if named else ""
    why = ", ".join(f"{count} {reason}" for reason, count in replay.reasons.items())
    of = f"{counts.marked} of {counts.seen} uploads{below}{f' ({why})' if why else ''}"
    undecided = f"; {replay.undecided} cannot be analysed as routes and models are" if replay.undecided else ""
    if options.dry_run:
        return f"would analyse {of}{undecided}"
    how = "cancelled: replayed" if replay.state == "cancelled" else "replayed"
    return f"{how} {of}{f': {_ends(replay)}' if counts.marked else ''}{undecided}"


def _ends(replay: Replay) -> str:
    counts = replay.counts
    others = {
        "waiting": counts.waiting,
        "busy": counts.left + counts.given_up,
        "handed to jobs": counts.jobs,
        "finished by others": counts.others,
    }
    ends = [f"{counts.done} done", f"{counts.failed} failed"]
    return ", ".join(ends + [f"{number} {words}" for words, number in others.items() if number])


def _cancel(replays: Replays, replay_id: str) -> int:
    ended = replays.cancel(replay_id)
    if ended is None:
        _say(f"there is no replay {replay_id!r}")
        return 1
    so_far = "; what was begun is finished" if ended.state == "cancelled" else ""
    through = ended.counts.marked - ended.counts.left
    _say(f"replay {ended.id} is {ended.state}: {through} of {ended.counts.marked} done{so_far}")
    return 0


def _say_whether_paused(storage: Storage) -> None:
    """The app's settings are others than those of this command: what its last look at uploads said of them."""
    from cloud.settings import current
    from cloud.uploads.intake import is_paused
    from cloud.uploads.sweep_mark import pauses_noted

    for by, when in () if is_paused(current()) else pauses_noted(storage):
        _say(
            f"intake of the app {by!r} was paused at {when:%Y-%m-%d %H:%M} UTC; this command, by its own INTAKE, is not"
        )


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr)
