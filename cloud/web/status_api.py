"""What the app is and how it is over HTTP: models, routes, and the drift check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import azure.functions as func

from cloud.drift.drift_entry import VERDICT
from cloud.instance import default_worker
from cloud.pipelines_file import pipelines
from cloud.settings import STATE
from cloud.storage.containers import default_storage
from cloud.storage.parsed_json import read_parsed
from cloud.web.operations import Call, NoQuery, operation
from cloud.web.router import json_answer
from cloud.web.status_answers import DriftDoc, RouteDoc, RouteListDoc, ServingDoc, ServingListDoc
from inference.engine.registry import InstalledModel
from inference.route_problems import problem_of
from inference.routes import Route
from inference.routes_file import RefusedRoute


@operation("GET", "v1/models", {200: ServingListDoc})
def list_models(_: Call[NoQuery]) -> func.HttpResponse:
    """The models, whether routes can use them or why not, and what was refused."""
    from cloud.models.deliveries import refused

    worker = default_worker()
    worker.refresh_models()
    models = worker.models
    words = {**models.waiting, **models.leaving} if models else {}
    refusals = {name: why for name, (_, why) in models.refused.items()} if models else {}
    entries = pipelines().models
    document: ServingListDoc = {
        "models": [
            _model(entry, words.get(entry.name, ""), refusals.get(entry.name, "")) for entry in worker.registry.list()
        ],
        "refused": refused(entries) if entries else [],
    }
    return json_answer(document)


def _model(entry: InstalledModel, words: str, refused: str) -> ServingDoc:
    manifest = entry.manifest
    return {
        "name": entry.name,
        "version": manifest.version if manifest else "",
        "task": str(manifest.task) if manifest else "",
        "licence": manifest.licence if manifest else "",
        "usable": entry.reason is None,
        "reason": entry.reason or words,
        "refused": refused,
    }


@operation("GET", "v1/routes", {200: RouteListDoc})
def list_routes(_: Call[NoQuery]) -> func.HttpResponse:
    """The routes, in the order in which names are tried."""
    document: RouteListDoc = {"routes": [_route(entry) for entry in default_worker().planner.routes.entries]}
    return json_answer(document)


def _route(entry: Route | RefusedRoute) -> RouteDoc:
    if isinstance(entry, RefusedRoute):
        return {
            "name": entry.name,
            "match": entry.match if isinstance(entry.match, str) else " or ".join(entry.match),
            "when": None,
            "priority": 0,
            "steps": [],
            "problem": entry.reason,
        }
    problem = problem_of(entry, default_worker().registry)
    return {
        "name": entry.name,
        "match": entry.match,
        "when": entry.when,
        "priority": entry.priority,
        "steps": [{"name": step.title, "model": step.model, "on": step.on} for step in entry.steps],
        "problem": str(problem) if problem else "",
    }


@operation("GET", "v1/drift", {200: DriftDoc})
def read_drift(_: Call[NoQuery]) -> func.HttpResponse:
    """The last verdict of the drift check."""
    stored = read_parsed(default_storage(), STATE, VERDICT, _verdict)
    verdict = stored[0] if stored else {}
    document: DriftDoc = {
        "status": str(verdict.get("status", "unknown")),
        "why": str(verdict.get("why", "no check has given a verdict so far")),
        "at": verdict.get("at"),
        "verdict": verdict,
    }
    return json_answer(document)


def _verdict(document: Any) -> dict[str, Any]:
    if not isinstance(document, Mapping) or not isinstance(document.get("at"), str | None):
        raise TypeError("it is no verdict")
    return dict(document)


OPERATIONS = (list_models, list_routes, read_drift)
