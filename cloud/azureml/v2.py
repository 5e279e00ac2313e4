"""Jobs, schedules and batch endpoints of the v2 API.

Jobs and schedules go through azure-ai-ml, imported where they are sent. Batch endpoints are resolved
through it but invoked over azure-core: `MLClient.batch_endpoints.invoke` repeats its POST by itself, makes
its own request id, and in 1.35 leaks one call's deployment header into the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid5

from azure.core.exceptions import AzureError

from cloud.azureml.http import Caller, from_sdk
from cloud.azureml.types import (
    ARM,
    DATA_PLANE,
    EXPERIMENT,
    LITERALS,
    OutcomeUnknown,
    Refused,
    Run,
    Search,
    Submission,
    Workspace,
)

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

VERSION = {"api-version": "2025-12-01"}
APP = Path(__file__).resolve().parents[2]
# Makes request ids from slots: the same slot always has the same one.
_NAMESPACE = UUID("6a3c1cf0-5f0e-5f7e-9d5e-3a7f4c8b1d20")

MakeClient = Callable[[bool], "MLClient"]


def submit_job(workspace: Workspace, caller: Caller, make: MakeClient, submission: Submission) -> Run:
    """Create the slot's job under the slot's own id, unless it exists already."""
    existing = _existing_job(workspace, caller, submission)
    if existing:
        return existing
    what = f"workspace {workspace.name!r}, job of pipeline {submission.pipeline!r}"
    job = _job(workspace, caller, make, submission)
    # A PUT of a fixed id is safe to repeat, so the SDK may retry it.
    made = sdk(lambda: make(True).jobs.create_or_update(job), caller, what)
    word = str(getattr(made.status, "value", made.status) or "NotStarted")
    return Run(str(made.name), word, "", workspace.page(str(made.name)))


def trigger_schedule(workspace: Workspace, caller: Caller, make: MakeClient, submission: Submission) -> Run:
    """Run an AzureML schedule's job now. The service chooses the run's id."""
    name = submission.target["azureml_schedule"]
    what = f"workspace {workspace.name!r}, schedule {name!r} of pipeline {submission.pipeline!r}"
    moment = submission.slot.isoformat()
    answer = sdk(lambda: make(False).schedules.trigger(name, schedule_time=moment), caller, what)
    if not answer.job_name:
        raise OutcomeUnknown(f"{what}: the answer names no job")
    return Run(answer.job_name, "NotStarted", "", workspace.page(answer.job_name))


def batch_request(submission: Submission, scoring_uri: str) -> tuple[str, dict[str, str], dict[str, Any]]:
    """URL, headers and body of the POST that invokes a batch endpoint."""
    target = submission.target
    headers = {"repeatability_request-id": str(uuid5(_NAMESPACE, submission.key))}
    if target.get("deployment"):
        headers["azureml-model-deployment"] = target["deployment"]
    properties: dict[str, Any] = {
        "name": submission.key,
        "inputData": {name: _batch_input(value) for name, value in target.get("inputs", {}).items()},
        "tags": submission.all_tags,
        "properties": {"experimentName": submission.experiment},
    }
    outputs = target.get("outputs", {})
    if outputs:
        properties["outputData"] = {
            name: {"jobOutputType": _pascal(value.get("type", "uri_folder")), "uri": value["path"]}
            for name, value in outputs.items()
        }
    return scoring_uri, headers, {"properties": properties}


def invoke_batch(caller: Caller, workspace: Workspace, scoring_uri: str, submission: Submission) -> Run:
    """Start a batch job, once, with a request id that belongs to the slot."""
    url, headers, body = batch_request(submission, scoring_uri)
    what = f"batch endpoint {submission.target['endpoint']!r} of pipeline {submission.pipeline!r}"
    answer = caller.post_once(url, DATA_PLANE, what, body, headers)
    name = str(answer.get("name") or str(answer.get("id", "")).rpartition("/")[2])
    if not name:
        raise OutcomeUnknown(f"workspace {workspace.name!r}, {what}: the answer names no job")
    word = str((answer.get("properties") or {}).get("status") or "NotStarted")
    return Run(name, word, "", workspace.page(name))


def scoring_uri(caller: Caller, make: MakeClient, workspace: Workspace, endpoint: str) -> str:
    """Where a batch endpoint is invoked, as the SDK resolves it."""
    what = f"workspace {workspace.name!r}, batch endpoint {endpoint!r}"
    found = sdk(lambda: make(True).batch_endpoints.get(endpoint), caller, what, sent=False)
    uri = str(found.scoring_uri or "")
    if not uri:
        raise Refused(f"{what} has no scoring URI yet: wait until it is provisioned")
    return uri


def status(workspace: Workspace, caller: Caller, run: str) -> Run | None:
    """The job as it is now, or None where the workspace has none of that id."""
    answer = caller.get(f"{workspace.arm}/jobs/{quote(run, safe='')}", ARM, f"job {run}", VERSION)
    if not answer:
        return None
    properties = answer.get("properties") or {}
    word = str(properties.get("status") or "NotStarted")
    return Run(str(answer.get("name") or run), word, str(properties.get("description") or ""), workspace.page(run))


def search(workspace: Workspace, caller: Caller, submission: Submission, names_kept: bool) -> Search:
    """Whether the slot's job exists. `names_kept`: this endpoint is known to take the name we choose."""
    if submission.kind == "job":
        return Search(_existing_job(workspace, caller, submission))
    found = status(workspace, caller, submission.key)
    if found or (submission.kind == "batch-endpoint" and names_kept):
        return Search(found)
    return Search(certain=False, why=f"a {submission.kind} chooses its runs' ids, so the run cannot be looked up")


def _existing_job(workspace: Workspace, caller: Caller, submission: Submission) -> Run | None:
    found = status(workspace, caller, submission.key)
    if found or not submission.target.get("yaml"):
        return found
    # The SDK writes the name of a job that is no pipeline in lower case.
    return status(workspace, caller, submission.key.lower())


def latest_model(workspace: Workspace, caller: Caller, name: str) -> str:
    """The latest version of a registered model. Raises Refused where there is none."""
    url = f"{workspace.arm}/models/{quote(name, safe='')}"
    answer = caller.get(url, ARM, f"model {name!r}", VERSION)
    version = ((answer or {}).get("properties") or {}).get("latestVersion")
    if not version:
        raise Refused(f"workspace {workspace.name!r} has no registered model {name!r}")
    return str(version)


def remote(workspace: Workspace, caller: Caller) -> Iterator[tuple[str, str, str]]:
    """(kind, name, id) of batch endpoints, schedules and pipeline components."""
    for area, kind in (("batchEndpoints", "batch-endpoint"), ("schedules", "schedule"), ("components", "component")):
        for row in pages(caller, f"{workspace.arm}/{area}", area):
            yield kind, str(row.get("name", "")), str(row.get("id", ""))


def experiments(workspace: Workspace, caller: Caller, known: set[str]) -> Iterator[tuple[str, str, str]]:
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


def _job(workspace: Workspace, caller: Caller, make: MakeClient, submission: Submission) -> Any:
    """The SDK's pipeline job: a registered pipeline component with inputs, or a YAML file. Sends no job."""
    from azure.ai.ml import load_job
    from marshmallow import ValidationError

    target, what = submission.target, f"workspace {workspace.name!r}, job of pipeline {submission.pipeline!r}"
    source: Any = APP / target.get("yaml", "")  # an absolute path stays what it is
    if target.get("component"):
        component = sdk(lambda: _component_id(workspace, make, target["component"]), caller, what, sent=False)
        source = StringIO(json.dumps({"type": "pipeline", "component": f"azureml:{component}"}))
    elif not source.is_file():
        raise Refused(f"pipeline {submission.pipeline!r}: the file {source} does not exist")
    changes = [{key: value} for key, value in _job_changes(submission).items()]
    try:
        job = sdk(lambda: load_job(source=source, params_override=changes), caller, what, sent=False)
    except (ValidationError, UnicodeDecodeError) as error:
        raise Refused(f"{what}: {target.get('yaml', 'its inputs')}: {error}") from error
    job.experiment_name = job.experiment_name or EXPERIMENT
    job.tags = {**(job.tags or {}), **submission.all_tags}
    return job


def _job_changes(submission: Submission) -> dict[str, Any]:
    """What an entry says of a job beside its component or file, by its place in the file."""
    target = submission.target
    changes: dict[str, Any] = {"name": submission.key, "display_name": submission.key}
    if submission.experiment:
        changes["experiment_name"] = submission.experiment
    if submission.description:
        changes["description"] = submission.description
    for flag in ("force_rerun", "continue_on_step_failure"):
        if flag in target:
            changes[f"settings.{flag}"] = target[flag]
    if target.get("compute"):
        changes["settings.default_compute"] = f"azureml:{target['compute']}"
    return changes | {f"inputs.{name}": _job_input(value) for name, value in target.get("inputs", {}).items()}


def _component_id(workspace: Workspace, make: MakeClient, reference: str) -> str:
    """`name:version` or `name@latest` as the component's ARM id, which is what the service wants."""
    name, separator, version = reference.removeprefix("azureml:").partition(":")
    if not separator:
        name, _, label = name.partition("@")
        if label != "latest":
            raise Refused(f"component {reference!r}: write name:version or name@latest")
        version = str(make(True).components.get(name, label="latest").version)
    return f"{workspace.path}/components/{name}/versions/{version}"


def _job_input(value: object) -> object:
    # An absent type is the commonest one; a literal is its value.
    if not isinstance(value, Mapping):
        return value
    return value["value"] if value.get("type") in LITERALS else {"type": "uri_folder", **value}


def _batch_input(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {"jobInputType": "Literal", "value": value}
    if value.get("type") in LITERALS:
        return {"jobInputType": "Literal", "value": value.get("value")}
    return {"jobInputType": _pascal(str(value.get("type", "uri_folder"))), "uri": value["path"]}


def _pascal(word: str) -> str:
    return "".join(part.capitalize() for part in word.split("_"))


def sdk(call: Callable[[], Any], caller: Caller, what: str, *, sent: bool = True) -> Any:
    """Run a call of azure-ai-ml; its exceptions become ours."""
    from azure.ai.ml.exceptions import MlException

    try:
        return call()
    except (AzureError, MlException) as error:
        raise from_sdk(error, caller, what, sent=sent) from error
