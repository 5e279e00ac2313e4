"""`python -m cloud COMMAND`: what an operator does by hand. Uses the app settings of the environment; those of
local.settings.json, as a local run does, where the environment names no storage."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from cloud.plain_logs import plain_logs
from inference import command_line
from inference.errors import DropsightError

PROG = "python -m cloud"


def parser() -> argparse.ArgumentParser:
    """The subcommands; every subcommand sets `run`, which takes the options and gives the exit status."""
    # Here, as in what follows: whoever presses Ctrl-C while all this loads sees no traceback.
    from cloud.cli import (
        audit_command,
        drift_command,
        export_command,
        forget_command,
        index_command,
        models_command,
        notices_command,
        pipelines_command,
        query_command,
        replay_command,
    )

    top = command_line.Parser(prog=PROG, description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    replay_command.add_arguments(
        commands.add_parser("replay", help="analyse uploads again: failed, missing, changed ones, or all")
    )
    audit_command.add_arguments(commands.add_parser("audit", help="whether every upload has its answer, once"))
    forget_command.add_arguments(
        commands.add_parser("forget", help="delete uploads with all that came of them, and report it")
    )
    notices_command.add_arguments(
        commands.add_parser("notices", help="notices of results that no receiver took: list them, send them again")
    )
    command = commands.add_parser("settings", help="print the table of app settings")
    command.set_defaults(run=settings)

    command = commands.add_parser("pipelines", help="Azure Machine Learning pipelines: list, run, history, resolve")
    pipelines_command.add_arguments(command)
    command = commands.add_parser("models", help="models: list, register, download, path, deliver, rollback, push")
    models_command.add_arguments(command)
    command = commands.add_parser("drift", help="drift of production against a baseline: check, baseline, approve")
    drift_command.add_arguments(command)
    export_command.add_arguments(commands.add_parser("export", help="results as COCO, YOLO, CSV or JSON lines"))
    command = commands.add_parser("index", help="the table behind lists and searches: rebuild, check")
    index_command.add_arguments(command)
    query_command.add_arguments(commands.add_parser("query", help="SQL over the results in the lake"))
    return top


def settings(_: argparse.Namespace) -> int:
    """Print the table of app settings."""
    from cloud.settings import document

    print(document())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: all fine; 1: something failed; 2: wrong usage or wrong settings."""
    return command_line.run(PROG, lambda: _run(arguments), _status)


def _run(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    plain_logs()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if arguments is None:  # this process is the command's own
        _use_local_settings()
    return int(options.run(options))


def _use_local_settings() -> None:
    from cloud.local_settings import FILE, use_local_settings
    from cloud.settings import environment

    if use_local_settings(environment()):
        print(f"with the app settings of {FILE}", file=sys.stderr)


def _status(error: Exception) -> int | None:
    """The exit status for an error that was raised on purpose, None for others."""
    from cloud.settings import BadSettings

    return 2 if isinstance(error, BadSettings) else 1 if isinstance(error, DropsightError) else None


if __name__ == "__main__":
    sys.exit(main())
