"""`python -m cloud pipelines list | run | history | resolve`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

from cloud import pipelines_file
from cloud.azureml import deployments, pipeline_runs
from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.workspace_contents import remote
from cloud.settings import deployment
from inference.cli.numbers import count
from inference.errors import BadPipeline
from inference.plain_text import single


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `pipelines`; the options carry the function to call as `run`."""
    commands = parser.add_subparsers(dest="pipelines_command", required=True)
    command = commands.add_parser("list", help="the entries of pipelines.toml and where they stand")
    command.add_argument("--remote", action="store_true", help="what the workspace has instead, with ids")
    command.set_defaults(run=_list)
    command = commands.add_parser("run", help="run an entry now, outside its schedule")
    command.add_argument("name")
    command.add_argument("--dry-run", action="store_true", help="print the exact request, send nothing")
    command.set_defaults(run=_run)
    command = commands.add_parser("history", help="the newest slots of an entry")
    command.add_argument("name")
    command.add_argument("--most", type=count(1_000_000), default=20, metavar="N", help="how many slots (20)")
    command.set_defaults(run=_history)
    command = commands.add_parser("resolve", help="settle a slot that failed, or whose outcome is unknown")
    command.add_argument("name")
    command.add_argument("slot", help="as `history` prints it")
    how = command.add_mutually_exclusive_group(required=True)
    how.add_argument("--run", metavar="ID", dest="run_id", help="it was started: this is its run")
    how.add_argument("--resubmit", action="store_true", help="it was not started, or has failed: send it again")
    how.add_argument("--skip", action="store_true", help="leave it; also for a slot that waits to be sent")
    command.set_defaults(run=_resolve)


def _list(options: argparse.Namespace) -> int:
    if options.remote:
        for kind, name, identity in remote(pipeline_runs.azureml()):
            print(single(f"{kind:18} {name:40} {identity}"))
        return 0
    if not pipelines_file.pipelines().entries:
        print("pipelines.toml names no pipelines; docs/azureml.md shows how to write an entry")
    problems = list(pipelines_file.pipelines().problems)
    for entry in pipelines_file.pipelines().entries:
        try:
            plan = pipeline_runs.slot_store().plan(entry.name)
        except BadPipeline as error:  # the others are listed all the same
            problems.append(str(error))
            continue
        last = f"last {plan.last['slot']} {plan.last['state']}" if plan.last else "never ran"
        upcoming = _next(entry)
        print(single(f"{entry.name:24} {entry.kind:18} next {upcoming}  open {len(plan.open)}  {last}"))
    for other in deployments.others(pipeline_runs.slot_store().storage, deployment()):
        if names := sorted(name for name in other.on if "_" not in name):
            print(single(f"deployment {other.name}, over the same storage (seen {other.at}): {', '.join(names)}"))
    for line in problems:
        print(single(f"PROBLEM  {line}"))
    return 1 if problems else 0


def _next(entry: PipelineEntry) -> str:
    if not entry.enabled:
        return "never (enabled = false)"
    slot = pipeline_runs.next_slot(entry, datetime.now(UTC))
    return slot.isoformat() if slot else "not within a year"


def _run(options: argparse.Namespace) -> int:
    entry = pipelines_file.pipelines().find(options.name)
    if options.dry_run:
        print(json.dumps(pipeline_runs.preview(entry), indent=2))
        return 0
    slot = pipeline_runs.runner().run_now(entry)
    stored = pipeline_runs.slot_store().read(entry.name, slot)
    if not stored:
        return 1
    print(json.dumps(stored[0].to_json(), indent=2))
    return 0 if stored[0].state in ("submitted", "done", "skipped") else 1


def _history(options: argparse.Namespace) -> int:
    broken: list[str] = []
    slots = list(pipeline_runs.slot_store().history(options.name, options.most, broken.append))
    if not slots and not broken:
        name = pipelines_file.pipelines().find(options.name).name  # or there is no such entry
        print(single(f"{name} has not run yet"))
    for slot in slots:
        run = (slot.run or {}).get("id", "-")
        print(single(f"{slot.slot}  {slot.state:10} attempts {slot.attempts}  run {run}  {slot.why}"))
    for line in broken:
        print(single(f"PROBLEM  {line}"))
    return 1 if broken else 0


def _resolve(options: argparse.Namespace) -> int:
    try:
        slot = datetime.fromisoformat(options.slot)
    except ValueError as error:
        raise BadPipeline(f"slot {options.slot!r} is not a moment; write it as `history` prints it") from error
    if slot.tzinfo is None:
        raise BadPipeline(f"slot {options.slot!r} has no offset from UTC; write it as `history` prints it")
    how = "run" if options.run_id else "resubmit" if options.resubmit else "skip"
    if options.resubmit and options.name not in [entry.name for entry in pipelines_file.pipelines().entries]:
        raise BadPipeline(
            f"pipelines.toml has no usable entry {options.name!r}, so nothing can be sent: put it back first, or say "
            "--run ID or --skip"
        )
    resolved = pipeline_runs.resolve(options.name, slot, how, options.run_id or "")
    follows = {"pending": "; the next tick sends it", "submitted": "; the next ticks follow its run"}
    print(single(f"{resolved.slot} is now {resolved.state}{follows.get(resolved.state, '')}"))
    return 0
