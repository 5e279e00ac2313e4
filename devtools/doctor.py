"""`dev.py doctor`: what is missing or misconfigured, in plain words. Changes nothing. Standard library only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from cloud.settings import slips
from devtools import azurite, checks, environment, first_run
from devtools.checks import Finding, ask
from devtools.environment import ROOT, SetupError
from devtools.run import DATA, EMULATOR, SETTINGS, read_settings
from inference.plain_text import single

EXAMPLE = "local.settings.example.json"


def main(root: Path = ROOT) -> int:
    """Print the findings; the status is 1 if something must be mended."""
    failed = 0
    for finding in examine(root):
        mark = {True: "ok  ", False: "MEND", None: "note"}[finding.ok]
        print(single(f"{mark}  {finding.what}: {'; '.join(finding.words.splitlines())}"), flush=True)
        failed += finding.ok is False
    print(f"\n{failed} to mend." if failed else "\nNothing to mend.")
    return 1 if failed else 0


def examine(root: Path) -> Iterator[Finding]:
    """Everything that is looked at, in the order in which a first run needs it."""
    yield Finding("Python", True, f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}")
    if sys.platform == "darwin" and os.uname().machine == "x86_64":
        yield Finding("Machine", False, "onnxruntime is no longer published for Macs with Intel processors")
    first = not environment.venv_has(environment.RUN_LOCKS) or azurite.find_package(root) is None
    yield first_run.folder_finding(root, first)
    yield from first_run.network_findings(first)
    yield environment_finding()
    yield from node_findings(root)
    yield from port_findings()
    yield from settings_findings(root)
    yield from checks.intake_findings({**app_settings(root), **os.environ})
    python = environment.venv_python()
    if python.exists():
        settings = app_settings(root)
        for what, code in (
            ("App", checks.APP),
            ("Configuration", checks.CONFIGURATION),
            ("Tick", checks.TICK),
            ("Extras", checks.EXTRAS),
        ):
            yield ask(what, python, code, root, settings)
        yield storage_finding(root, python)
        yield from checks.model_findings(python, root, settings)
        yield from checks.needed_findings(python, root, settings)


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
        try:
            version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
            yield Finding("Azurite", True, f"{version} at {package}")
        except (OSError, ValueError, LookupError, TypeError) as error:
            again = "delete node_modules, and `dev.py run` installs it again"
            yield Finding("Azurite", False, f"{package} is damaged ({error}): {again}")


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
    """Whether local.settings.json can be read, has what the example has, and no name that is no setting."""
    file = root / SETTINGS.name
    for name, sentence in slips({**os.environ, **app_settings(root)}).items():
        yield Finding(f"Setting {name}", False, sentence)
    if not file.exists():
        yield Finding(file.name, None, f"not there yet: `dev.py run` makes it from {EXAMPLE}")
        return
    try:
        values = read_settings(file)
        missing = [name for name in read_settings(root / EXAMPLE) if not values.get(name)]
    except SetupError as error:
        yield Finding(file.name, False, str(error).removeprefix(f"{file}: "))
        return
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
    return ask("Storage", python, checks.STORAGE, root, {"AzureWebJobsStorage": connection})


def app_settings(root: Path) -> dict[str, str]:
    """The app settings of local.settings.json, or of the example before the first run; the environment's win."""
    file = root / SETTINGS.name
    try:
        return read_settings(file if file.exists() else root / EXAMPLE)
    except SetupError:
        return {}  # settings_findings says what is wrong with it
