"""`python -m cloud pipelines list | run | history | resolve`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

from cloud.pipelines.entries import Entry, Pipelines
from inference.errors import BadPipeline


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `pipelines`; each parsed namespace carries its function as `run`."""
    commands = parser.add_subparsers(dest="pipelines_command", required=True)
    each = commands.add_parser("list", help="the entries of pipelines.toml and where they stand")
    each.add_argument("--remote", action="store_true", help="what the workspace has instead, with ids")
    each.set_defaults(run=_list)
    each = commands.add_parser("run", help="run an entry now, outside its schedule")
    each.add_argument("name")
    each.add_argument("--dry-run", action="store_true", help="print the exact request, send nothing")
    each.set_defaults(run=_run)
    each = commands.add_parser("history", help="the newest slots of an entry")
    each.add_argument("name")
    each.add_argument("--most", type=int, default=20)
    each.set_defaults(run=_history)
    each = commands.add_parser("resolve", help="say what became of a slot whose outcome is unknown")
    each.add_argument("name")
    each.add_argument("slot", help="as `history` prints it")
    how = each.add_mutually_exclusive_group(required=True)
    how.add_argument("--run", metavar="ID", dest="run_id", help="it was started: this is its run")
    how.add_argument("--resubmit", action="store_true", help="it was not started: send it again")
    how.add_argument("--skip", action="store_true", help="leave it")
    each.set_defaults(run=_resolve)


def _pipelines() -> Pipelines:
    from cloud.pipelines.timers import pipelines  # brings azure.functions, which other commands do not need

    return pipelines()


def _list(options: argparse.Namespace) -> int:
    from cloud.pipelines import app

    if options.remote:
        for kind, name, identity in app.azureml().remote():
            print(f"{kind:18} {name:40} {identity}")
        return 0
    if not _pipelines().entries:
        print("pipelines.toml names no pipelines; docs/azureml.md shows how to write one")
    for entry in _pipelines().entries:
        plan = app.receipts().plan(entry.name)
        last = f"last {plan.last['slot']} {plan.last['state']}" if plan.last else "never ran"
        upcoming = _next(entry)
        print(f"{entry.name:24} {entry.kind:18} next {upcoming}  open {len(plan.open)}  {last}")
    for line in _pipelines().problems:
        print(f"PROBLEM  {line}")
    return 1 if _pipelines().problems else 0


def _next(entry: Entry) -> str:
    if not entry.enabled:
        return "never (enabled = false)"
    now = datetime.now(UTC)
    # A year covers every schedule a person means; more would walk for ever on an impossible one.
    for slot in entry.schedule.slots(now, now.replace(year=now.year + 1, day=min(now.day, 28))):
        return slot.astimezone(entry.schedule.tz).isoformat()
    return "not within a year"


def _run(options: argparse.Namespace) -> int:
    from cloud.pipelines import app

    entry = _pipelines().find(options.name)
    if options.dry_run:
        print(json.dumps(app.preview(entry), indent=2))
        return 0
    slot = app.runner().run_now(entry)
    found = app.receipts().read(entry.name, slot)
    receipt = found[0] if found else {}
    print(json.dumps(receipt, indent=2))
    return 0 if receipt.get("state") in ("submitted", "done", "skipped") else 1


def _history(options: argparse.Namespace) -> int:
    from cloud.pipelines import app

    found = list(app.receipts().history(options.name, options.most))
    if not found:
        print(f"{_pipelines().find(options.name).name} has not run yet")  # or there is no such entry
    for receipt in found:
        why = receipt.get("error") or receipt.get("reason") or ""
        run = receipt.get("run", {}).get("id", "-")
        print(f"{receipt['slot']}  {receipt['state']:10} attempts {receipt['attempts']}  run {run}  {why}")
    return 0


def _resolve(options: argparse.Namespace) -> int:
    from cloud.pipelines import app

    try:
        slot = datetime.fromisoformat(options.slot)
    except ValueError as error:
        raise BadPipeline(f"slot {options.slot!r} is not a moment; write it as `history` prints it") from error
    how = "run" if options.run_id else "resubmit" if options.resubmit else "skip"
    receipt = app.resolve(_pipelines().find(options.name), slot, how, options.run_id or "")
    print(f"{receipt['slot']} is now {receipt['state']}")
    return 0
