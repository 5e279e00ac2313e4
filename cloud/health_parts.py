"""What the deep health looks at: a function for each part, which gives its answer or raises what is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud.settings import BLOB_SOURCES, CONTAINERS, BadSettings, current, slips, text_of
from inference.errors import DropsightError, MissingPackage, Permanent
from inference.extras import EXTRAS, how_to_get, installed

WEIGHTS = "DROPSIGHT_WEIGHTS"
# Names of connections, keys, and addresses that may hold some.
_UNSAID = ("storage_connection", "model_events_key", "notify_url", "notify_secret")

if TYPE_CHECKING:
    from inference.engine.registry import InstalledModel
    from inference.routes import Route


def settings() -> dict[str, Any]:
    """All app settings but the name of the connection, keys, and the address of the webhook. Raises BadSettings."""
    return {name: value for name, value in vars(current()).items() if name not in _UNSAID}


def setting_names() -> str:
    """ "ok". Raises ValueError for names that were meant as settings and are none."""
    if wrong := slips():
        raise ValueError("; ".join(wrong.values()))
    return "ok"


def trigger() -> str:
    """How uploads are noticed. Raises ValueError."""
    # An unknown value must not cost the whole app its index: function_app.py takes polling then.
    requested = text_of("BLOB_TRIGGER_SOURCE")
    if requested.lower() not in [source.lower() for source in BLOB_SOURCES]:
        raise ValueError(f"BLOB_TRIGGER_SOURCE={requested!r}: expected one of {', '.join(BLOB_SOURCES)}; it polls")
    return requested


def timers() -> dict[str, str]:
    """When the sweep and the tick come. Raises ValueError for a schedule that the host does not take: it runs the app
    without that function, and what waits is looked at by nobody."""
    schedules = {name: text_of(name) for name in ("SWEEP_SCHEDULE", "TICK_SCHEDULE")}
    if wrong := [f"{name}: {words}" for name, text in schedules.items() if (words := _no_schedule(text))]:
        raise ValueError("; ".join(wrong))
    return schedules


def _no_schedule(text: str) -> str:
    """Why it is no schedule of a timer; empty for an NCRONTAB, and for an interval, as some plans take (00:05:00)."""
    from cloud.schedule import longest_gap

    if re.fullmatch(r"(\d+\.)?\d{1,2}:\d{1,2}(:\d{1,2})?", text):
        return ""
    try:
        longest_gap(text)
    except ValueError as error:
        return str(error)
    return ""


def storage() -> dict[str, Any]:
    """Makes the containers. Raises StorageUnavailable."""
    from cloud.storage.containers import default_storage

    account = default_storage()
    account.ensure_containers(*CONTAINERS)
    return {"containers": list(CONTAINERS), "index_tags": account.tags_refused or "not refused so far"}


def routes() -> dict[str, list[str]]:
    """The steps by route. Raises ValueError where uploads wait."""
    from cloud.instance import default_worker

    planner = default_worker().planner
    if problems := planner.problems():
        raise ValueError("uploads wait until this is mended: " + "; ".join(problems))
    return {route.name: [step.title for step in route.steps] for route in planner.routes.routes}


def never_reached() -> list[str]:
    """Routes that no name leads to: no mistake, as metadata and sidecars may name them."""
    from cloud.instance import default_worker

    return default_worker().planner.routes.unreachable()


def extras() -> dict[str, str]:
    """As `extras_of`, of this app."""
    from cloud.instance import default_worker
    from cloud.pipelines_file import pipelines

    return extras_of(default_worker().planner.routes.routes, bool(pipelines().lake))


def extras_of(routes: Sequence[Route], lake: bool) -> dict[str, str]:
    """The packages beyond requirements.txt. Raises MissingPackage where something here needs one that is not there."""
    from cloud.uploads.plans import packages_of

    users = {name: [f"route {route.name!r}" for route in routes if name in packages_of(route)] for name in EXTRAS}
    users["duckdb"] += ["[lake] in pipelines.toml"] * lake
    missing = [name for name in EXTRAS if not installed(name)]
    if wanted := [f"{', '.join(users[name])}: {how_to_get(name)}" for name in missing if users[name]]:
        raise MissingPackage("; ".join(wanted))
    return {name: "not installed, and not needed" if name in missing else "installed" for name in EXTRAS}


def models() -> dict[str, str]:
    """Every model, "usable" or why not, and what was brought in place of one; what routes need is loaded."""
    from cloud.instance import default_worker

    worker = default_worker()
    worker.refresh_models()
    found = {name: f"not used: {why}" for name, why in (worker.models.unused if worker.models else {}).items()}
    for entry in worker.registry.list():
        found[entry.name] = f"not used: {entry.reason}" if entry.unused else entry.reason or _unknown_head(entry)
    found |= worker.models.waiting if worker.models else {}
    for name, words in (worker.models.leaving if worker.models else {}).items():
        found[name] = f"usable: {words}"
    wrong = {name: why.removeprefix(f"model {name!r} cannot be used: ") for name, why in _wrong_models().items()}
    return found | wrong


def models_needed() -> list[str]:
    """The models of the routes. Raises ValueError where any of them cannot be loaded, or is not what lies there."""
    from cloud.instance import default_worker

    worker = default_worker()
    worker.refresh_models()
    leaving = worker.models.leaving if worker.models else {}
    needed = sorted(_needed())
    wrong = {name: leaving[name] for name in needed if name in leaving} | _wrong_models()
    if wrong:
        raise ValueError(
            "; ".join(why if repr(name) in why else f"model {name!r}: {why}" for name, why in wrong.items())
        )
    return needed


def _needed() -> set[str]:
    from cloud.instance import default_worker

    return {name for route in default_worker().planner.routes.routes for _, name in route.models()}


def _wrong_models() -> dict[str, str]:
    """What is wrong with the models that routes need, by name."""
    from cloud.instance import default_worker

    registry = default_worker().registry
    wrong = {}
    for name in sorted(_needed()):
        try:
            registry.digest(name)  # loads nothing that others of its files may be on their way to
            registry.load(name)
        except (DropsightError, MemoryError, OSError) as error:
            wrong[name] = str(error) or type(error).__name__
        if words := registry.trouble(name):
            wrong[name] = words
    return wrong


def _unknown_head(entry: InstalledModel) -> str:
    """ "usable", or what is misspelt: a head, or a parameter of it."""
    from inference.heads import head_of

    try:
        if entry.manifest:
            head_of(entry.manifest)
    except Permanent as error:
        return str(error)
    return "usable"


def model_folders() -> list[str]:
    """The folders that settings name for models and weights. Raises ValueError for those that are not there."""
    settings_of = {"DROPSIGHT_MODELS": current().models, WEIGHTS: current().weights}
    found = [(name, Path(path)) for name, text in settings_of.items() for path in text.split(os.pathsep) if path]
    wrong = [f"{name} names {path}, which does not exist" for name, path in found if not path.exists()]
    # Models may be single files; weights are looked for in folders.
    wrong += [f"{name} names {path}, which is no folder" for name, path in found if name == WEIGHTS and path.is_file()]
    if wrong:
        raise ValueError("; ".join(wrong))
    return [str(path) for _, path in found]


def models_refused() -> list[str]:
    """Raises ValueError where models of the container are refused. Older ones of their names serve, if any."""
    from cloud.instance import default_worker

    worker = default_worker()
    worker.refresh_models()
    if worker.models and worker.models.refused:
        refused = "; ".join(f"{name}: {why}" for name, (_, why) in worker.models.refused.items())
        raise ValueError(f"models in the container that are refused: {refused}")
    return []


def pipelines() -> list[str]:
    """The entries of pipelines.toml. Raises ValueError."""
    from cloud.pipelines_file import pipelines
    from cloud.tick import health

    if wrong := health(pipelines()):
        raise ValueError("; ".join(wrong))
    return [entry.name for entry in pipelines().entries]


def outdated() -> dict[str, Any]:
    """How many results another model or route would answer otherwise today."""
    from cloud.instance import default_worker
    from cloud.storage.containers import default_storage
    from cloud.uploads.outdated import Digests, told

    today = ""
    with suppress(BadSettings):  # of which other parts speak
        worker = default_worker()
        worker.refresh_models()
        today = Digests(worker.planner).fingerprint()
    return told(default_storage(), today)


def audit() -> dict[str, Any]:
    """The figures of the last audit. Raises ValueError where anything is lost, doubled or stale."""
    from cloud.storage.containers import default_storage
    from cloud.uploads.audit_nightly import told

    return told(default_storage())


def given_up() -> dict[str, Any]:
    """Deliveries of uploads that the host gave up: no error, since the sweep finds those uploads by itself."""
    from cloud.instance import default_worker
    from cloud.uploads.given_up import QUEUE, given_up

    found = given_up(default_worker())
    return {"count": found.count, "queue": QUEUE, "first": found.first}


def index() -> dict[str, str]:
    """From what lists of uploads come; no error where it is not the table: all but lists and searches goes on."""
    from cloud.index.default import told

    return told()


def notices() -> str:
    """Who is told of results. Raises ValueError where settings cannot be used, or notices could not be delivered."""
    from cloud.instance import default_notices

    return default_notices().health()


def intake() -> str:
    """ "on" or "paused"."""
    return current().intake


def edited() -> list[str]:
    """Files that take effect at the next start. Raises ValueError where that start could not use one."""
    from cloud.instance import edits

    found = edits()
    if any(edit.problems for edit in found):
        raise ValueError("; ".join(map(str, found)))
    return [str(edit) for edit in found]
