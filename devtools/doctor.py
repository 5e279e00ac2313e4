"""`dev.py doctor`: what is missing or misconfigured, in plain words. Changes nothing. Standard library only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devtools import azurite, environment
from devtools.environment import ROOT, SetupError
from devtools.run import DATA, EMULATOR, SETTINGS, read_settings

EXAMPLE = "local.settings.example.json"

# What runs in the environment: whether the host could run the app, whether the files that the user
# writes can be read, the models it can load, and whether its storage can be reached.
_APP = """
import os, sys
from pathlib import Path
from localhost.app_index import problems_of
from localhost.host_settings import HostError, load_local_settings
try:
    load_local_settings(Path.cwd(), os.environ)
    problems_by_name = problems_of(Path.cwd())
except HostError as error:
    sys.exit(str(error))
print("the host can run its", len(problems_by_name), "functions")
sys.exit("; ".join(f"{name}: {text}" for name, problems in problems_by_name.items() for text in problems) or 0)
"""
_CONFIGURATION = """
import sys
from cloud.pipelines_file import pipelines
from cloud.uploads.plans import app_routes
from cloud.settings import BadSettings, current
from inference.errors import Permanent
from inference.engine.registry import Registry
registry, pipelines = Registry(), pipelines()
try:
    routes = app_routes(current(), registry)
except BadSettings as error:
    sys.exit(" ".join(str(error).split()))
problems = routes.problems(registry, {entry.serves for entry in pipelines.models})
missing = [f"; its uploads wait for a model: {problem}" for problem in problems if not isinstance(problem, Permanent)]
wrong = [str(problem) for problem in problems if isinstance(problem, Permanent)]
print("settings and routes can be used: " + ", ".join(route.name for route in routes.routes) + "".join(missing))
sys.exit("; ".join([*wrong, *pipelines.problems]) or 0)
"""
_TICK = """
import sys
from datetime import UTC, datetime
from cloud.cadence import report
from cloud.pipelines_file import pipelines
from cloud.settings import text_of
fits, text = report(pipelines(), text_of("TICK_SCHEDULE"), datetime.now(UTC))
print(text)
sys.exit(0 if fits else text)
"""
_EXTRAS = """
import sys
from cloud.pipelines_file import pipelines
from cloud.uploads.plans import app_routes
from cloud.health import extras_of
from cloud.settings import current
from inference.errors import DropsightError
from inference.engine.registry import Registry
try:
    print(", ".join(f"{name} {state}" for name, state in
                    extras_of(app_routes(current(), Registry()).routes, bool(pipelines().lake)).items()))
except DropsightError as error:
    sys.exit(str(error))
"""
_MODELS = """
import sys
from inference.errors import DropsightError
from inference.engine.registry import Registry
registry, good, bad = Registry(), [], []
for entry in registry.list():
    try:
        registry.load(entry.name)
        good.append(entry.name)
    except DropsightError as error:
        bad.append(f"{entry.name}: {error}")
print("loaded " + ", ".join(good))
sys.exit("; ".join(bad) or 0)
"""
_STORAGE = """
import os
from azure.storage.blob import BlobServiceClient
service = BlobServiceClient.from_connection_string(
    os.environ["AzureWebJobsStorage"], retry_total=0, connection_timeout=5)
print("answers, containers:", ", ".join(item.name for item in service.list_containers()) or "none")
"""


@dataclass(frozen=True)
class Finding:
    """The state of one thing. `ok` is None where it is worth knowing but nothing is wrong."""

    what: str
    ok: bool | None
    words: str


def main(root: Path = ROOT) -> int:
    """Print the findings; the status is 1 if something must be mended."""
    failed = 0
    for finding in examine(root):
        mark = {True: "ok  ", False: "MEND", None: "note"}[finding.ok]
        print(f"{mark}  {finding.what}: {finding.words}", flush=True)
        failed += finding.ok is False
    print(f"\n{failed} to mend." if failed else "\nNothing to mend.")
    return 1 if failed else 0


def examine(root: Path) -> Iterator[Finding]:
    """Everything that is looked at, in the order in which a first run needs it."""
    yield Finding("Python", True, f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}")
    if sys.platform == "darwin" and os.uname().machine == "x86_64":
        yield Finding("Machine", False, "onnxruntime is no longer published for Macs with Intel processors")
    yield environment_finding()
    yield from node_findings(root)
    yield from port_findings()
    yield from settings_findings(root)
    python = environment.venv_python()
    if python.exists():
        settings = app_settings(root)
        for what, code in (("App", _APP), ("Configuration", _CONFIGURATION), ("Tick", _TICK), ("Extras", _EXTRAS)):
            yield ask(what, python, code, root, settings)
        yield storage_finding(root, python)
        yield ask("Models", python, _MODELS, root, settings)


def environment_finding() -> Finding:
    """Whether `.venv` is there and made from today's locks, at least from those of `dev.py run`."""
    if environment.venv_has(environment.LOCKS):
        return Finding(".venv", True, "up to date, with what tests need")
    if environment.venv_has(environment.RUN_LOCKS):
        return Finding(".venv", True, "up to date for `dev.py run`; `dev.py test` adds what tests need")
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    outdated = f"made from other requirements or by another Python than this {mine}, or not to its end"
    state = outdated if environment.VENV.exists() else "not there yet"
    return Finding(".venv", False, f"{state}: `dev.py run` mends it")


def node_findings(root: Path) -> Iterator[Finding]:
    """Whether there is a node, and Azurite for it."""
    node = azurite.find_node(environment.site_packages())
    if node is None:
        yield Finding("Node", None, "no Node 20 or newer on this machine: `dev.py run` gets it from PyPI into .venv")
    else:
        yield Finding("Node", True, f"{'.'.join(map(str, azurite.node_version(node) or ()))} at {node}")
    package = azurite.find_package(root)
    if package is None:
        yield Finding("Azurite", False, "not installed: `dev.py run` installs it")
    else:
        version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
        yield Finding("Azurite", True, f"{version} at {package}")


def port_findings() -> Iterator[Finding]:
    """Whether the usual ports are free; others are taken where they are not, so this is only worth knowing."""
    names = {**dict.fromkeys(azurite.DEFAULT_PORTS, "storage"), 7071: "the app"}
    taken = [f"{port} ({names[port]})" for port in names if azurite.is_listening(port)]
    if taken:
        yield Finding(
            "Ports",
            None,
            f"in use: {', '.join(taken)} (by a running `dev.py run`, or another program); free ports are taken instead",
        )
    else:
        yield Finding("Ports", True, "10000-10002 and 7071 are free")


def settings_findings(root: Path) -> Iterator[Finding]:
    """Whether local.settings.json can be read and has what the example has."""
    file = root / SETTINGS.name
    if not file.exists():
        yield Finding(file.name, None, f"not there yet: `dev.py run` makes it from {EXAMPLE}")
        return
    try:
        values = read_settings(file)
    except SetupError as error:
        yield Finding(file.name, False, str(error).removeprefix(f"{file.name} is "))
        return
    missing = [name for name in read_settings(root / EXAMPLE) if not values.get(name)]
    if missing:
        yield Finding(file.name, False, f"lacks {', '.join(missing)}: take them from {EXAMPLE}")
    else:
        yield Finding(file.name, True, "has every setting that the app needs")


def storage_finding(root: Path, python: Path) -> Finding:
    """Whether the account that the settings name answers; the emulator only answers while the app runs."""
    connection = app_settings(root).get("AzureWebJobsStorage", "")
    emulated = connection.strip().rstrip(";") == EMULATOR
    if not connection:
        return Finding("Storage", None, "not looked at: local.settings.json does not name an account yet")
    if emulated and not (root / DATA.name / "data").exists():
        return Finding("Storage", None, "Azurite, which has not run here yet")
    if emulated and not azurite.is_listening(azurite.DEFAULT_PORTS[0]):
        return Finding("Storage", None, "Azurite, not running now: `dev.py run` starts it")
    return ask("Storage", python, _STORAGE, root, {"AzureWebJobsStorage": connection})


def app_settings(root: Path) -> dict[str, str]:
    """The app settings of local.settings.json, or of the example before the first run; the environment's win."""
    file = root / SETTINGS.name
    try:
        return read_settings(file if file.exists() else root / EXAMPLE)
    except SetupError:
        return {}  # settings_findings says what is wrong with it


def ask(what: str, python: Path, code: str, root: Path, env: dict[str, str] | None = None) -> Finding:
    """Run code in the environment: what it prints if all is well, the last line of its complaint if not."""
    command, env = [str(python), "-c", code], {**os.environ, **(env or {})}
    try:
        answer = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(what, False, f"could not be looked at: {error}")
    if answer.returncode == 0:
        return Finding(what, True, answer.stdout.strip() or "fine")
    lines = answer.stderr.strip().splitlines() or answer.stdout.strip().splitlines()
    return Finding(what, False, lines[-1] if lines else f"ended with {answer.returncode} and printed nothing")
