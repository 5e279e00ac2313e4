"""Published pipelines and pipeline endpoints of the v1 API, over plain REST.

Microsoft ended support of the v1 SDK in June 2026; the routes and bodies follow its REST client
(azureml-pipeline-core 1.62). Nothing of the SDK is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from cloud.azureml.http import Caller
from cloud.azureml.types import ARM, SLOT_TAG, OutcomeUnknown, Run, Search, Submission, Workspace

# How far the service's clock may lie behind ours when we look for a run that we may have started.
_SKEW = timedelta(minutes=5)


def request(workspace: Workspace, submission: Submission) -> tuple[str, dict[str, Any]]:
    """URL and body of the POST that starts a run. The wire has `tags` in lower case, the rest in Pascal case."""
    target = submission.target
    if submission.kind == "published":
        route = f"PipelineSubmit/{quote(target['id'], safe='')}"
    else:
        query = {"name": target["endpoint"]}
        if target.get("version"):
            query["pipelineVersion"] = target["version"]
        route = f"PipelineEndpointSubmit/Name?{urlencode(query)}"
    body: dict[str, Any] = {
        "ExperimentName": submission.experiment,
        "Description": submission.description,
        "RunSource": "API",
        "RunType": "HTTP",
        "ParameterAssignments": {k: _text(v) for k, v in target.get("parameters", {}).items()},
        "ContinueRunOnStepFailure": bool(target.get("continue_on_step_failure", False)),
        "tags": submission.all_tags,
        "Properties": {},
    }
    paths = target.get("data_paths", {})
    if paths:
        body["DataPathAssignments"] = {name: _data_path(path) for name, path in paths.items()}
    return f"{workspace.v1}/PipelineRuns/{route}", body


def submit(workspace: Workspace, caller: Caller, submission: Submission) -> Run:
    """Start a run. Raises NotAccepted, OutcomeUnknown or Refused."""
    url, body = request(workspace, submission)
    what = f"{submission.kind} pipeline {submission.pipeline!r}"
    answer = caller.post_once(url, ARM, what, body)
    if not isinstance(answer, dict) or not answer.get("Id"):
        raise OutcomeUnknown(f"workspace {workspace.name!r}, {what}: the answer names no run: {str(answer)[:200]}")
    return _run(workspace, answer)


def status(workspace: Workspace, caller: Caller, run: str) -> Run | None:
    """The run as it is now, or None where the service has none of that id."""
    answer = caller.get(f"{workspace.v1}/PipelineRuns/{quote(run, safe='')}", ARM, f"run {run}")
    return _run(workspace, answer) if answer else None


def search(workspace: Workspace, caller: Caller, submission: Submission, since: datetime) -> Search:
    """Look among the pipeline's runs for the one that carries the slot's tag.

    A run without our tag that began after `since` could be ours with its tag lost: then nothing is certain.
    """
    unsure = ""
    for pipeline in _pipeline_ids(workspace, caller, submission):
        url = f"{workspace.v1}/PipelineRuns/Pipeline/{quote(pipeline, safe='')}"
        runs = caller.get(url, ARM, f"runs of pipeline {pipeline}")
        if runs is None:
            return Search(certain=False, why=f"the runs of pipeline {pipeline} cannot be listed")
        for run in runs:
            tags = run.get("tags") or run.get("Tags") or {}
            if tags.get(SLOT_TAG) == submission.key:
                return Search(_run(workspace, run))
            if SLOT_TAG not in tags and _began(run) >= since - _SKEW:
                unsure = f"run {run.get('Id')} began at that time and carries no tag"
    return Search(certain=not unsure, why=unsure)


def published(workspace: Workspace, caller: Caller) -> Iterator[tuple[str, str, str]]:
    """(kind, name, id) of the published pipelines and pipeline endpoints."""
    for row in caller.get(f"{workspace.v1}/Pipelines", ARM, "published pipelines") or []:
        yield "published", str(row.get("Name", "")), str(row.get("Id", ""))
    for row in _rows(caller.get(f"{workspace.v1}/PipelineEndpoints", ARM, "pipeline endpoints")):
        yield "pipeline-endpoint", str(row.get("Name", "")), str(row.get("Id", ""))


def experiments(workspace: Workspace, caller: Caller) -> Iterator[tuple[str, str, str]]:
    """(kind, name, id) of the experiments, as the run history keeps them."""
    url = f"{workspace.area('history')}/experiments"
    for row in _rows(caller.get(url, ARM, "experiments", {"api-version": "2021-03-01-preview"})):
        yield "experiment", str(row.get("name", "")), str(row.get("experimentId", ""))


def _pipeline_ids(workspace: Workspace, caller: Caller, submission: Submission) -> list[str]:
    if submission.kind == "published":
        return [submission.target["id"]]
    name = submission.target["endpoint"]
    url = f"{workspace.v1}/PipelineEndpoints/Name"
    answer = caller.get(url, ARM, f"pipeline endpoint {name!r}", {"name": name}) or {}
    return [str(version["PipelineId"]) for version in answer.get("PipelineVersionList") or []]


def _run(workspace: Workspace, answer: dict[str, Any]) -> Run:
    state = answer.get("Status") or {}
    run = str(answer["Id"])
    code = str(state.get("StatusCode", "NotStarted"))
    return Run(run, code, str(state.get("StatusDetail") or ""), workspace.page(run))


def _began(run: dict[str, Any]) -> datetime:
    word = str(run.get("CreatedDate") or (run.get("Status") or {}).get("CreationTime") or "")
    try:
        return datetime.fromisoformat(word.replace("Z", "+00:00"))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # not said: it may have begun at any time


def _rows(answer: Any) -> list[dict[str, Any]]:
    return answer if isinstance(answer, list) else (answer or {}).get("value", [])


def _text(value: object) -> str:
    # Parameters travel as text; Python's True is the service's true.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _data_path(path: object) -> dict[str, str]:
    store, _, relative = str(path).removeprefix("azureml://datastores/").partition("/")
    return {"DataStoreName": store, "RelativePath": relative.removeprefix("paths/")}
