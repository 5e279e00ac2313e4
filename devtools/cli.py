"""The commands of dev.py, in a supported Python but outside the environment: standard library only."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from devtools import doctor, environment, failures, package, run
from devtools.azurite import AzuriteError
from devtools.environment import ROOT, SetupError
from devtools.supervisor import handling, interrupt, run_through
from inference import command_line
from inference.loopback import bypass_proxy

EPILOG = (
    "`dev.py test` alone also checks style and types; `--fast` runs the tests that are not marked slow; other "
    "arguments go to pytest."
)


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status: 2 for wrong usage, 130 when interrupted."""
    return command_line.run(
        "dev.py", lambda: _run(arguments), lambda error: 1 if isinstance(error, (SetupError, AzuriteError)) else None
    )


def _run(arguments: list[str]) -> int:
    known, rest = _parser().parse_known_args(arguments)
    if rest and known.command not in ("test", "bench"):
        _parser().error(f"dev.py {known.command} does not know {' '.join(rest)}")
    # Tests, benchmarks and training may import onnxruntime before the engine does, which turns this off for the app.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # Where compiled modules are not kept, as in many containers, each of the processes that follow compiles anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    bypass_proxy()
    try:
        with handling(interrupt):
            if known.command == "doctor":
                return doctor.main()
            python = environment.prepare(tests=known.command in ("setup", "test", "bench"))
            if known.command == "setup":
                return 0
            if known.command == "package":
                return package.main(python, known.out, known.packages, known.python)
            if known.command == "run":
                options = {"samples": known.samples, "verbose": known.verbose, "host": not known.no_host}
                models = {"models_from": known.models_from, "offline": known.offline}
                return run.main(python, port=known.port, **options, **models)
        return _bench(python, rest) if known.command == "bench" else _test(python, rest, known.fast)
    except OSError as error:
        if command_line.is_output(error):
            raise
        raise SetupError(failures.in_words(error, ROOT)) from error


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected a whole number from 1 to 65535")
    return int(text)


def _place(text: str) -> str:
    """An address, or a folder in full: the children work in another one."""
    if text.startswith(("http://", "https://")):
        return text
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a folder that is there nor an http(s) address")
    return str(Path(text).resolve())


def _parser() -> argparse.ArgumentParser:
    parser = command_line.Parser(prog="dev.py", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="start storage and the app, take files from inbox/")
    running.add_argument("--port", type=_port, default=7071, help="of the app's HTTP functions (7071)")
    running.add_argument("--samples", action="store_true", help="begin by dropping the photos of samples/")
    running.add_argument("--no-host", action="store_true", help="start storage and the bridge only, for `func start`")
    running.add_argument("--verbose", action="store_true", help="show the host's log here, not in .azurite/")
    running.add_argument("--offline", action="store_true", help="fetch no public models")
    running.add_argument(
        "--models-from",
        type=_place,
        metavar="DIR_OR_URL",
        help="fetch the public models from this folder, or from URL/SHA256",
    )
    testing = commands.add_parser(
        "test", help="style, types and tests; or pytest with the arguments given", add_help=False, allow_abbrev=False
    )
    testing.add_argument("--fast", action="store_true", help="pytest without the slow tests")
    commands.add_parser("bench", help="python -m benchmarks, with the arguments given", add_help=False)
    commands.add_parser("setup", help="only make the environment of all commands, tests included")
    packing = commands.add_parser("package", help="build what is deployed, and print its size by dependency")
    packing.add_argument(
        "--out", type=Path, default=ROOT / "build" / "app.zip", help="a zip, or a folder (build/app.zip)"
    )
    packing.add_argument(
        "--packages", action="store_true", help="bring the packages along, for a target without a build"
    )
    packing.add_argument("--python", default="3.11", help="the target's, with --packages (3.11)")
    commands.add_parser("doctor", help="say in plain words what is missing or misconfigured")
    return parser


def _bench(python: Path, arguments: list[str]) -> int:
    return run_through([str(python), "-m", "benchmarks", *arguments], ROOT)


def _test(python: Path, arguments: list[str], fast: bool) -> int:
    workers = ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "worksteal"]
    if fast:
        arguments = [*workers, "-m", "not slow", *arguments]
    if arguments:
        return run_through([str(python), "-m", "pytest", *arguments], ROOT)
    checks = [["ruff", "check", "."], ["mypy", "."], ["pytest", *workers]]
    statuses = [run_through([str(python), "-m", *check], ROOT) for check in checks]
    return next((status for status in statuses if status), 0)
