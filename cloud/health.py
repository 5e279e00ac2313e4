"""The deep health answer: imports every body once, and says what is there and what is wrong."""

from __future__ import annotations

import importlib
import logging
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cloud import health_parts
from cloud.machine_paths import without_paths
from inference.errors import DropsightError

log = logging.getLogger(__name__)

# What function_app.py, cloud/web/router.py and cloud/tick.py import inside their bodies.
BODIES = (
    "cloud.instance",
    "cloud.web.router",
    "cloud.web.api_router",
    "cloud.web.analyze_api",
    "cloud.web.description_api",
    "cloud.web.health_api",
    "cloud.web.jobs_api",
    "cloud.web.pipelines_api",
    "cloud.web.replays_api",
    "cloud.web.similar_api",
    "cloud.web.results_api",
    "cloud.web.rights_api",
    "cloud.web.status_api",
    "cloud.web.uploads_api",
    "cloud.web.parameters",
    "cloud.web.model_events",
    "cloud.web.media",
    "cloud.web.pages.gallery",
    "cloud.web.session",
    "cloud.web.static",
    "cloud.tick",
    "cloud.uploads.audit_nightly",
    "cloud.index.results",
    "cloud.models.deliveries",
    "cloud.drift.drift_check",
    "cloud.drift.freshness",
    "cloud.drift.lake",
    "cloud.index.results",
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


def report() -> dict[str, Any]:
    """Status "ok" or "degraded", versions, and per part its answer or the error that it ended with."""
    parts: dict[str, Callable[[], Any]] = {
        **{f"import {name}": _importing(name) for name in BODIES},
        "settings": health_parts.settings,
        "setting names": health_parts.setting_names,
        "trigger": health_parts.trigger,
        "timers": health_parts.timers,
        "storage": health_parts.storage,
        "intake": health_parts.intake,
        "notices": health_parts.notices,
        "routes": health_parts.routes,
        "routes never reached": health_parts.never_reached,
        "edited": health_parts.edited,
        "extras": health_parts.extras,
        "models": health_parts.models,
        "models needed": health_parts.models_needed,
        "model folders": health_parts.model_folders,
        "models refused": health_parts.models_refused,
        "pipelines": health_parts.pipelines,
        "outdated": health_parts.outdated,
        "audit": health_parts.audit,
        "given up": health_parts.given_up,
        "index": health_parts.index,
    }
    answers: dict[str, Any] = {}
    errors: dict[str, dict[str, str]] = {}
    for name, part in parts.items():
        try:
            answers[name] = part()
        except Exception as error:  # noqa: BLE001 - to say what is broken, whatever it is, is all this does
            errors[name] = {"class": type(error).__name__, "message": str(error)}
            if not isinstance(error, DropsightError | ValueError):
                # Where a bug is says the log alone; what is said over HTTP names no file of this machine.
                log.warning("deep health: %s: %s", name, error, exc_info=True)
    report: dict[str, Any] = without_paths(
        {
            "status": "degraded" if errors else "ok",
            "errors": errors,
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
            **answers,
        }
    )
    return report


def _importing(name: str) -> Callable[[], str]:
    def load() -> str:
        importlib.import_module(name)
        return "ok"

    return load


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
