"""`python -m cloud drift check | baseline | approve`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from inference.cli.numbers import count
from inference.plain_text import single


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `drift`; the options carry the function to call as `run`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("check", help="collect what is new and compare it with the baseline, now")
    command.set_defaults(run=_check)
    command = commands.add_parser("baseline", help="make the last days the baseline")
    command.add_argument("--days", type=count(3650), default=7, metavar="N", help="how many days (7)")
    command.set_defaults(run=_baseline)
    command = commands.add_parser("approve", help="start the retraining that a drift alert asked for")
    command.set_defaults(run=_approve)


def _check(_: argparse.Namespace) -> int:
    from cloud.azureml.pipeline_runs import submit_now
    from cloud.drift import drift_check
    from cloud.drift.drift_entry import DriftEntry
    from cloud.index.results import default_results
    from cloud.pipelines_file import pipelines
    from cloud.storage.containers import default_storage

    entry = pipelines().drift or DriftEntry()
    verdict = drift_check.check(default_storage(), entry, datetime.now(UTC), submit_now, default_results())
    print(single(f"{verdict.status}: {verdict.why}"))
    return 0 if verdict.status in ("ok", "unknown") else 1


def _baseline(options: argparse.Namespace) -> int:
    from cloud.drift.drift_check import save_baseline
    from cloud.index.results import default_results
    from cloud.storage.containers import default_storage

    made = save_baseline(default_storage(), options.days, datetime.now(UTC), default_results())
    print(f"{made.count} results of the last {options.days} days are the baseline")
    return 0


def _approve(_: argparse.Namespace) -> int:
    from cloud.azureml.pipeline_runs import submit_now
    from cloud.drift.retraining import approve
    from cloud.storage.containers import default_storage

    request = approve(default_storage(), datetime.now(UTC), submit_now)
    if request.state == "submitted":
        print(f"submitted, slot {request.slot}")
    else:
        history = f"python -m cloud pipelines history {request.pipeline}"
        print(single(f"approved; slot {request.slot} is not submitted yet, the timer goes on with it: see `{history}`"))
    return 0
