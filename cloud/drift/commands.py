"""`python -m cloud drift check | baseline | approve`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `drift`; each parsed namespace carries its function as `run`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    each = commands.add_parser("check", help="collect what is new and compare it with the baseline, now")
    each.set_defaults(run=_check)
    each = commands.add_parser("baseline", help="make the last days the baseline")
    each.add_argument("--days", type=int, default=7)
    each.set_defaults(run=_baseline)
    each = commands.add_parser("approve", help="start the retraining that a drift alert asked for")
    each.set_defaults(run=_approve)


def _check(_: argparse.Namespace) -> int:
    from cloud.drift import app
    from cloud.drift.entries import DriftEntry
    from cloud.pipelines.app import submit_now
    from cloud.pipelines.entries import pipelines
    from cloud.storage import default_storage

    entry = pipelines().drift or DriftEntry()
    verdict = app.check(default_storage(), entry, datetime.now(UTC), submit_now)
    print(f"{verdict.status}: {verdict.why}")
    return 0 if verdict.status in ("ok", "unknown") else 1


def _baseline(options: argparse.Namespace) -> int:
    from cloud.drift.app import save_baseline
    from cloud.storage import default_storage

    made = save_baseline(default_storage(), options.days, datetime.now(UTC))
    print(f"{made.count} results of the last {options.days} days are the baseline")
    return 0


def _approve(_: argparse.Namespace) -> int:
    from cloud.drift.app import approve
    from cloud.pipelines.app import submit_now
    from cloud.storage import default_storage

    print(f"submitted, slot {approve(default_storage(), submit_now).isoformat()}")
    return 0
