"""What a workspace has: pipelines, endpoints, schedules, components, experiments, models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from cloud.azureml.http import Caller
from cloud.azureml.types import ARM, VERSION, Refused, Workspace

Listed = Iterator[tuple[str, str, str]]


def remote(workspace: Workspace, caller: Caller) -> Listed:
    """(kind, name, id) of everything in the workspace that an entry could name."""
    yield from _published(workspace, caller)
    yield from _resources(workspace, caller)
    kept = list(_old_experiments(workspace, caller))
    yield from kept
    yield from _experiments(workspace, caller, {name for _, name, _ in kept})


def latest_model(workspace: Workspace, caller: Caller, name: str) -> str:
    """The latest version of a registered model. Raises Refused where there is none."""
    url = f"{workspace.arm}/models/{quote(name, safe='')}"
    answer = caller.get(url, ARM, f"model {name!r}", VERSION)
    version = ((answer or {}).get("properties") or {}).get("latestVersion")
    if not version:
        raise Refused(f"workspace {workspace.name!r} has no registered model {name!r}")
    return str(version)


def _resources(workspace: Workspace, caller: Caller) -> Listed:
    """(kind, name, id) of batch endpoints, schedules and pipeline components."""
    for area, kind in (("batchEndpoints", "batch-endpoint"), ("schedules", "schedule"), ("components", "component")):
        for row in pages(caller, f"{workspace.arm}/{area}", area):
            yield kind, str(row.get("name", "")), str(row.get("id", ""))


def _experiments(workspace: Workspace, caller: Caller, known: set[str]) -> Listed:
    """(kind, name, "") of the experiments of the newest jobs, without those that are known already."""
    seen = set(known)
    for number, row in enumerate(pages(caller, f"{workspace.arm}/jobs", "jobs")):
        experiment = str((row.get("properties") or {}).get("experimentName") or "Default")
        if experiment not in seen:
            seen.add(experiment)
            yield "experiment", experiment, ""
        if number >= 500:  # a workspace keeps every job it ever ran
            return


def pages(caller: Caller, url: str, what: str, params: Mapping[str, str] = VERSION) -> Iterator[dict[str, Any]]:
    """The rows of a paged ARM list."""
    query: dict[str, str] | None = dict(params)
    while url:
        answer = caller.get(url, ARM, what, query) or {}
        yield from answer.get("value", [])
        url, query = answer.get("nextLink") or "", None


def _published(workspace: Workspace, caller: Caller) -> Listed:
    """(kind, name, id) of the published pipelines and pipeline endpoints."""
    for row in caller.get(f"{workspace.v1}/Pipelines", ARM, "published pipelines") or []:
        yield "published", str(row.get("Name", "")), str(row.get("Id", ""))
    for row in _rows(caller.get(f"{workspace.v1}/PipelineEndpoints", ARM, "pipeline endpoints")):
        yield "pipeline-endpoint", str(row.get("Name", "")), str(row.get("Id", ""))


def _old_experiments(workspace: Workspace, caller: Caller) -> Listed:
    """(kind, name, id) of the experiments, as the run history keeps them."""
    url = f"{workspace.area('history')}/experiments"
    for row in _rows(caller.get(url, ARM, "experiments", {"api-version": "2021-03-01-preview"})):
        yield "experiment", str(row.get("name", "")), str(row.get("experimentId", ""))


def _rows(answer: Any) -> list[dict[str, Any]]:
    return answer if isinstance(answer, list) else (answer or {}).get("value", [])
