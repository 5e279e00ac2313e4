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
from devtools.environment import ROOT
from devtools.run import DATA, EMULATOR, SETTINGS

# What the environment answers about itself: whether the host could run the app, whether the files that the user
# writes can be read, the models it can load, and whether its storage can be reached.
_APP = """
import os, sys
from pathlib import Path
from localhost.check import problems_of
from localhost.errors import HostError
from localhost.settings import load_local_settings
try:
    load_local_settings(Path.cwd(), os.environ)
    found = problems_of(Path.cwd())
except HostError as error:
    sys.exit(str(error))
print("the host can run its", len(found), "functions")
sys.exit("; ".join(each for problems in found.values() for each in problems) or 0)
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
fits, words = report(pipelines(), text_of("TICK_SCHEDULE"), datetime.now(UTC))
print(words)
sys.exit(0 if fits else words)
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
print("answers, containers:", ", ".join(each.name for each in service.list_containers()) or "none")
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `ok` is None where it is worth knowing but nothing is wrong."""

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
        told = told_settings(root)
        yield asked("App", python, _APP, root, told)
        yield asked("Configuration", python, _CONFIGURATION, root, told)
        yield asked("Tick", python, _TICK, root, told)
        yield asked("Extras", python, _EXTRAS, root, told)
        yield storage_finding(root, python)
        yield asked("Models", python, _MODELS, root, told)


def environment_finding() -> Finding:
    """Whether `.venv` is there and made from today's locks."""
    if environment.stamped(environment.VENV, environment.venv_stamp()):
        return Finding(".venv", True, "up to date with requirements.txt and requirements-dev.txt")
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    outdated = f"made from other requirements or by another Python than this {mine}"
    state = outdated if environment.VENV.exists() else "not there yet"
    return Finding(".venv", False, f"{state}: `dev.py run` or `dev.py test` makes it anew")


def node_findings(root: Path) -> Iterator[Finding]:
    """Whether there is a node, and Azurite for it."""
    node = azurite.find_node(environment.site_packages())
    if node is None:
        words = "no Node 20 or newer on this machine: `dev.py run` gets one from PyPI into .venv"
        yield Finding("Node", None, words)
    else:
        yield Finding("Node", True, f"{'.'.join(map(str, azurite.node_version(node) or ()))} at {node}")
    package = azurite.find_package(root)
    if package is None:
        yield Finding("Azurite", False, "not installed: `dev.py run` or `dev.py test` installs it")
    else:
        version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
        yield Finding("Azurite", True, f"{version} at {package}")


def port_findings() -> Iterator[Finding]:
    """Whether the usual ports are free; others are taken where they are not, so this is only worth knowing."""
    names = {**dict.fromkeys(azurite.DEFAULT_PORTS, "storage"), 7071: "the app"}
    taken = [f"{port} ({names[port]})" for port in names if azurite.is_listening(port)]
    if taken:
        words = f"in use: {', '.join(taken)}; by another `dev.py run`, or free ones will be taken"
        yield Finding("Ports", None, words)
    else:
        yield Finding("Ports", True, "10000-10002 and 7071 are free")


def settings_findings(root: Path) -> Iterator[Finding]:
    """Whether local.settings.json can be read and has what the example has."""
    file = root / SETTINGS.name
    if not file.exists():
        yield Finding(file.name, None, "not there yet: `dev.py run` makes it from local.settings.example.json")
        return
    try:
        values = _values(file)
    except (ValueError, KeyError, TypeError) as error:
        words = f'not {{"IsEncrypted": false, "Values": {{...}}}} ({error}): mend it, or delete it'
        yield Finding(file.name, False, words)
        return
    missing = [name for name in _values(root / "local.settings.example.json") if not values.get(name)]
    if missing:
        words = f"lacks {', '.join(missing)}: take them from local.settings.example.json"
        yield Finding(file.name, False, words)
    else:
        yield Finding(file.name, True, "has every setting that the app needs")


def storage_finding(root: Path, python: Path) -> Finding:
    """Whether the account that the settings name answers; the emulator only answers while the app runs."""
    connection = told_settings(root).get("AzureWebJobsStorage", "")
    if not connection:
        return Finding("Storage", None, "not looked at: local.settings.json does not name an account yet")
    if connection.strip().rstrip(";") == EMULATOR and not (root / DATA.name / "data").exists():
        return Finding("Storage", None, "Azurite, which has not run here yet")
    if connection.strip().rstrip(";") == EMULATOR and not azurite.is_listening(azurite.DEFAULT_PORTS[0]):
        return Finding("Storage", None, "Azurite, not running now: `dev.py run` starts it")
    env = {"AzureWebJobsStorage": connection}
    return asked("Storage", python, _STORAGE, root, env)


def told_settings(root: Path) -> dict[str, str]:
    """The app settings of local.settings.json, or of the example before the first run; the environment's win."""
    for name in (SETTINGS.name, "local.settings.example.json"):
        try:
            return {key: os.environ.get(key, str(value)) for key, value in _values(root / name).items()}
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):
            break  # settings_findings says what is wrong with it
    return {}


def asked(what: str, python: Path, code: str, root: Path, env: dict[str, str] | None = None) -> Finding:
    """Ask the environment: what it prints if all is well, the last line of its complaint if not."""
    try:
        answer = subprocess.run(
            [str(python), "-c", code],
            cwd=root,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(what, False, f"could not be asked: {error}")
    if answer.returncode == 0:
        return Finding(what, True, answer.stdout.strip() or "fine")
    said = answer.stderr.strip().splitlines() or answer.stdout.strip().splitlines() or ["no word"]
    return Finding(what, False, said[-1])


def _values(file: Path) -> dict[str, object]:
    values = json.loads(file.read_text(encoding="utf-8-sig"))["Values"]
    if not isinstance(values, dict):
        raise TypeError("Values is not an object")
    return values
