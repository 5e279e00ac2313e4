"""What is asked in the environment, where the app can be imported, and the answers. Standard library only."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloud.settings import BadSettings, Settings
from cloud.uploads.intake import PAUSED, is_paused
from devtools import environment
from devtools.environment import say
from inference.extras import EXTRAS as PACKAGES

# Whether the host could run the app; whether the files that the user writes can be read; whether the tick is fine
# enough; whether packages are there that only some features need; which models load; whether the storage answers.
APP = """
import os, sys
from pathlib import Path
from localhost.app_index import problems_of
from localhost.errors import HostError
from localhost.host_settings import load_local_settings
try:
    load_local_settings(Path.cwd(), os.environ)
    problems_by_name = problems_of(Path.cwd())
except HostError as error:
    sys.exit(str(error))
print("the host can run its", len(problems_by_name), "functions")
sys.exit("; ".join(f"{name}: {text}" for name, problems in problems_by_name.items() for text in problems) or 0)
"""
CONFIGURATION = """
import sys
from cloud.health_parts import model_folders
from cloud.models.expected import Expected, expected_models
from cloud.pipelines_file import pipelines
from cloud.uploads.plans import app_routes
from cloud.settings import BadSettings, current
from inference.errors import Permanent
from inference.engine.registry import Registry
from inference.route_problems import problems_of
registry, pipelines = Registry(), pipelines()
try:
    routes = app_routes(current(), registry)
except BadSettings as error:
    sys.exit(" ".join(str(error).split()))
here = {entry.name for entry in registry.list()}
lacking = {name for route in routes.routes for _, name in route.models()} - here
coming = expected_models() if lacking else Expected()
problems = problems_of(routes, registry, coming.names | {entry.serves for entry in pipelines.models})
notes = [f"{name} comes from the container `models`" for name in sorted(lacking & coming.there)]
notes += [f"its uploads wait for a model: {problem}" for problem in problems if not isinstance(problem, Permanent)
          and not any(repr(name) in str(problem) for name in coming.there)]
wrong = [f"{problem}{coming.doubt if any(repr(name) in str(problem) for name in lacking) else ''}"
         for problem in problems if isinstance(problem, Permanent)]
print("settings and routes can be used: " + ", ".join(route.name for route in routes.routes))
for note in (*notes, *routes.unreachable()):
    print(note)
try:
    model_folders()
except ValueError as error:
    wrong.append(str(error))
sys.exit("; ".join([*wrong, *pipelines.problems]) or 0)
"""
TICK = """
import sys
from datetime import UTC, datetime
from cloud.cadence import report
from cloud.pipelines_file import pipelines
from cloud.settings import text_of
fits, text = report(pipelines(), text_of("TICK_SCHEDULE"), datetime.now(UTC))
print(text)
sys.exit(0 if fits else text)
"""
EXTRAS = """
import sys
from cloud.pipelines_file import pipelines
from cloud.uploads.plans import written_routes
from cloud.health_parts import extras_of
from cloud.settings import current
from inference.errors import DropsightError
try:
    print(", ".join(f"{name} {state}" for name, state in
                    extras_of(written_routes(current()).routes, bool(pipelines().lake)).items()))
except DropsightError as error:
    sys.exit(str(error))
"""
MODELS = """
import json
from inference.errors import DropsightError
from inference.engine.registry import BUILT_IN, Registry
registry, good, absent, bad, unused = Registry(), [], [], {}, {}
for entry in registry.list():
    ours = entry.manifest and entry.manifest.folder.parent == BUILT_IN
    if entry.unused:
        unused[entry.name] = "not used: " + entry.reason
    elif entry.reason and ours and (
        entry.manifest.use == "research" or not (entry.manifest.folder / entry.manifest.file).exists()
    ):
        absent.append(entry.name)  # research models are not allowed, or its file is the pack's
    elif entry.reason:
        bad[entry.name] = entry.reason
    else:
        try:
            registry.load(entry.name)
            good.append(entry.name)
        except DropsightError as error:
            bad[entry.name] = str(error)
print(json.dumps([good, absent, bad, unused]))
"""
NEEDED = """
import json
from cloud.models.expected import Expected, expected_models
from cloud.settings import BadSettings, current
from cloud.uploads.plans import app_routes
from inference.engine.registry import Registry
from inference.errors import DropsightError, Permanent
from inference.route_problems import problem_of
registry, wrong, absent, good = Registry(), {}, {}, []
try:
    routes = app_routes(current(), registry)
except (BadSettings, DropsightError):
    routes = None  # as is said of the configuration
here = {entry.name for entry in registry.list()}
lacking = {name for route in routes.routes for _, name in route.models()} - here if routes else set()
coming = expected_models() if lacking else Expected()
for route in routes.routes if routes else ():
    if isinstance(problem_of(route, registry, coming.names), Permanent):
        continue  # as is said of the configuration
    for place, name in route.models():
        try:
            registry.load(name)
            good.append(name)
        except DropsightError as error:
            if name in here or name not in coming.names:
                (wrong if name in here or coming.seen else absent)[name] = f"{route.place}: {place}: {error}"
print(json.dumps([sorted(set(good)), wrong, absent]))
"""
STORAGE = """
import os, sys
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient
from cloud.connection import by_connection_string
from cloud.storage.reasons import reason_of
try:
    service = by_connection_string(
        BlobServiceClient, os.environ["AzureWebJobsStorage"], retry_total=0, connection_timeout=5)
    print("answers, containers:", ", ".join(item.name for item in service.list_containers()) or "none")
except AzureError as error:
    sys.exit("does not answer: " + reason_of(error))
except ValueError as error:
    sys.exit(f"AzureWebJobsStorage is no connection string: {error}")
"""

# Before the sentence of an error of ours, in the last line of a traceback.
_CLASS = re.compile(r"^(?:inference|cloud|localhost)(?:\.\w+)+: ")


@dataclass(frozen=True)
class Finding:
    """The state of one thing. `ok` is None where it is worth knowing but nothing is wrong.

    words: what is fine, or wrong, in a line; on lines of their own, what is worth knowing beside it.
    """

    what: str
    ok: bool | None
    words: str

    @property
    def notes(self) -> list[str]:
        """What is worth knowing beside what is fine."""
        return self.words.splitlines()[1:]


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
    lines = [_CLASS.sub("", line) for line in lines]
    return Finding(what, False, lines[-1] if lines else f"ended with {answer.returncode} and printed nothing")


def model_findings(python: Path, root: Path, settings: dict[str, str]) -> Iterator[Finding]:
    """Those that can be loaded in one line, and a line for each that cannot, or is not used."""
    answer = ask("Models", python, MODELS, root, settings)
    if not answer.ok:
        yield answer
        return
    good, absent, bad, unused = json.loads(answer.words)
    yield Finding(
        "Models", True, f"loaded {', '.join(good)}" + (f"; not used here: {', '.join(absent)}" if absent else "")
    )
    for name, why in bad.items():
        yield Finding(f"Model {name}", False, why)
    for name, why in unused.items():
        yield Finding(f"Model {name}", None, why)


def needed_findings(python: Path, root: Path, settings: dict[str, str]) -> Iterator[Finding]:
    """Whether the models of the routes load, wherever they come from; a line for each that does not."""
    answer = ask("Models of routes", python, NEEDED, root, settings)
    if not answer.ok:
        yield answer
        return
    good, wrong, absent = json.loads(answer.words.splitlines()[-1])
    if good:
        yield Finding("Models of routes", True, f"loaded {', '.join(good)}")
    for name, why in wrong.items():
        yield Finding(f"Model {name} of a route", False, why)
    for name, why in absent.items():
        has_run = (root / "local.settings.json").exists()
        note = f"{why}; nor could the container `models` be looked at, as the storage does not answer"
        yield Finding(f"Model {name} of a route", None if has_run else False, note if has_run else why)


def intake_findings(values: Mapping[str, str]) -> Iterator[Finding]:
    """A note while intake is paused; settings that cannot be used are another finding's."""
    with suppress(BadSettings):
        if is_paused(Settings.read(values)):
            yield Finding("Intake", None, f"{PAUSED} (a setting in local.settings.json or the environment)")


def say_whether_paused(values: Mapping[str, str]) -> None:
    """Say so while intake is paused: nothing that is dropped would come back, without a word."""
    for finding in intake_findings(values):
        say(f"{finding.words}; to go on, change it and start again.\n")


def say_what_is_wrong(finding: Finding) -> None:
    """Say what the app, which has just started, cannot use: uploads would wait for it without a word."""
    if finding.ok is False:
        say(f"Mend this, press Ctrl-C and start again: {finding.words}\n")
    for note in finding.notes if finding.ok else ():
        say(f"Note: {note}\n")


def say_what_waits(python: Path, root: Path, settings: dict[str, str]) -> None:
    """Say which packages are missing that a route or a pipeline needs: its uploads would wait without a word."""
    folders = environment.site_packages(python.parents[1])
    if all(any((folder / name).exists() for folder in folders) for name in PACKAGES):
        return  # as everywhere where tests have run
    finding = ask("Extras", python, EXTRAS, root, settings)
    if finding.ok is False:
        say(f"What needs it waits: {finding.words}.\n")
