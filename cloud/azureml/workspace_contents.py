"""What a workspace has: pipelines, endpoints, schedules, components, experiments, models."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote

from cloud.azureml.pipeline_kind import Connection
from cloud.azureml.workspace import ARM, VERSION, ServiceRefused
from inference.errors import ServiceBusy

Listed = Iterator[tuple[str, str, str]]


def remote(service: Connection) -> Listed:
    """(kind, name, id) of everything in the workspace that an entry could name."""
    v1, caller = service.workspace.v1, service.caller
    for row in caller.rows(f"{v1}/Pipelines", ARM, "published pipelines"):
        yield "published", str(row.get("Name", "")), str(row.get("Id", ""))
    for row in caller.rows(f"{v1}/PipelineEndpoints", ARM, "pipeline endpoints"):
        yield "pipeline-endpoint", str(row.get("Name", "")), str(row.get("Id", ""))
    for area, kind in (("batchEndpoints", "batch-endpoint"), ("schedules", "schedule"), ("components", "component")):
        for row in caller.rows(f"{service.workspace.arm}/{area}", ARM, area, VERSION):
            yield kind, str(row.get("name", "")), str(row.get("id", ""))
    yield from _experiments(service)


def latest_model(service: Connection, name: str) -> str:
    """The latest version of a registered model. Raises ServiceRefused where there is none."""
    url = f"{service.workspace.arm}/models/{quote(name, safe='')}"
    answer = service.caller.get(url, ARM, f"model {name!r}", VERSION)
    properties = answer.get("properties") if answer is not None else {}
    if not isinstance(properties, dict):
        raise ServiceBusy(f"model {name!r}: {str(answer)[:200]!r} is no model; a proxy may have answered")
    version = properties.get("latestVersion")
    if not version:
        raise ServiceRefused(f"workspace {service.workspace.name!r} has no registered model {name!r}")
    return str(version)


def _experiments(service: Connection) -> Listed:
    """Those that the run history keeps, then those of the newest jobs, which have no id."""
    url = f"{service.workspace.area('history')}/experiments"
    seen = set()
    for row in service.caller.rows(url, ARM, "experiments", {"api-version": "2021-03-01-preview"}):
        seen.add(str(row.get("name", "")))
        yield "experiment", str(row.get("name", "")), str(row.get("experimentId", ""))
    # A workspace keeps every job it ever ran.
    for row in islice(service.caller.rows(f"{service.workspace.arm}/jobs", ARM, "jobs", VERSION), 500):
        experiment = str((row.get("properties") or {}).get("experimentName") or "Default")
        if experiment not in seen:
            seen.add(experiment)
            yield "experiment", experiment, ""
