"""The deep health answer: imports every body once, and says what is there and what is wrong."""

from __future__ import annotations

import importlib
import platform
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import azure.functions as func

from cloud.settings import BLOB_SOURCES, CONTAINERS, current, text_of
from cloud.web.router import json_answer
from inference.errors import MissingPackage
from inference.extras import EXTRAS, how_to_get, installed

if TYPE_CHECKING:
    from inference.routes import Route

# What function_app.py, cloud/web/router.py and cloud/tick.py import inside their bodies.
BODIES = (
    "cloud.instance",
    "cloud.web.router",
    "cloud.web.api",
    "cloud.web.parameters",
    "cloud.tick",
    "cloud.models.deliveries",
    "cloud.drift.drift_check",
    "cloud.drift.freshness",
    "cloud.drift.lake",
)
PACKAGES = (
    "azure-functions",
    "azurefunctions-extensions-bindings-blob",
    "azure-storage-blob",
    "azure-identity",
    "onnxruntime",
    "numpy",
    "pillow",
    "av",
)


def on_request(request: func.HttpRequest) -> func.HttpResponse:
    """GET /api/health/deep: the report, with 503 where something is wrong."""
    document = report()
    return json_answer(document, 200 if document["status"] == "ok" else 503)


def report() -> dict[str, Any]:
    """Status "ok" or "degraded", versions, and per part its answer or the error that it ended with."""
    parts: dict[str, Callable[[], Any]] = {
        **{f"import {name}": _importing(name) for name in BODIES},
        "settings": _settings,
        "trigger": _trigger,
        "storage": _storage,
        "routes": _routes,
        "routes never reached": _never_reached,
        "extras": _extras,
        "models": _models,
        "models refused": _models_refused,
        "pipelines": _pipelines,
    }
    answers: dict[str, Any] = {}
    errors: dict[str, dict[str, str]] = {}
    for name, part in parts.items():
        try:
            answers[name] = part()
        except Exception as error:  # noqa: BLE001 - to say what is broken, whatever it is, is all this does
            errors[name] = {
                "class": type(error).__name__,
                "message": str(error),
                "traceback": traceback.format_exc(limit=-5),
            }
    return {
        "status": "degraded" if errors else "ok",
        "errors": errors,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        **answers,
    }


def _importing(name: str) -> Callable[[], str]:
    def load() -> str:
        importlib.import_module(name)
        return "ok"

    return load


def _settings() -> dict[str, Any]:
    return {name: value for name, value in vars(current()).items() if name != "storage_connection"}


def _trigger() -> str:
    # An unknown value must not cost the whole app its index: function_app.py takes polling then.
    requested = text_of("BLOB_TRIGGER_SOURCE")
    if requested.lower() not in [source.lower() for source in BLOB_SOURCES]:
        raise ValueError(f"BLOB_TRIGGER_SOURCE={requested!r}: expected one of {', '.join(BLOB_SOURCES)}; it polls")
    return requested


def _storage() -> dict[str, Any]:
    from cloud.storage.containers import default_storage

    storage = default_storage()
    storage.ensure_containers(*CONTAINERS)
    return {"containers": list(CONTAINERS), "index_tags": storage.tags_refused or "not refused so far"}


def _routes() -> dict[str, list[str]]:
    from cloud.instance import default_worker

    planner = default_worker().planner
    if problems := planner.problems():
        raise ValueError("uploads wait until this is mended: " + "; ".join(problems))
    return {route.name: [step.title for step in route.steps] for route in planner.routes.routes}


def _never_reached() -> list[str]:
    from cloud.instance import default_worker

    return default_worker().planner.routes.unreachable()


def _extras() -> dict[str, str]:
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


def _models() -> dict[str, str]:
    from cloud.instance import default_worker
    from inference.heads import head_of

    worker = default_worker()
    worker.refresh_models()
    entries = worker.registry.list()
    for entry in entries:
        if entry.manifest and not entry.reason:
            head_of(entry.manifest)  # a misspelt head or parameter
    unused = {name: f"not used: {why}" for name, why in (worker.models.unused if worker.models else {}).items()}
    return unused | {
        entry.name: f"not used: {entry.reason}" if entry.unused else entry.reason or "usable" for entry in entries
    }


def _models_refused() -> list[str]:
    """Raises ValueError where models of the container are refused. Older ones of their names serve, if any."""
    from cloud.instance import default_worker

    worker = default_worker()
    worker.refresh_models()
    if worker.models and worker.models.refused:
        refused = "; ".join(f"{name}: {why}" for name, (_, why) in worker.models.refused.items())
        raise ValueError(f"models in the container that are refused: {refused}")
    return []


def _pipelines() -> list[str]:
    from cloud.pipelines_file import pipelines
    from cloud.tick import health

    if wrong := health(pipelines()):
        raise ValueError("; ".join(wrong))
    return [entry.name for entry in pipelines().entries]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
