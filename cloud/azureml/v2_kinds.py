"""Jobs, schedules and batch endpoints of the v2 API.

Jobs and schedules go through azure-ai-ml, imported where they are sent. Batch endpoints are resolved
through it but invoked over azure-core: `MLClient.batch_endpoints.invoke` repeats its POST by itself, makes
its own request id, and in 1.35 leaks the deployment header of a call into the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from cloud.azureml.pipeline_kind import (
    FILES,
    Connection,
    Submission,
    batch_input,
    check_given,
    check_inputs,
    check_name,
    check_place,
    job_input,
    pascal,
)
from cloud.azureml.v2_jobs import V2, before_sending, run_of, sdk
from cloud.azureml.workspace import (
    DATA_PLANE,
    EXPERIMENT,
    ExistsAlready,
    OutcomeUnknown,
    Run,
    Search,
    ServiceRefused,
)
from inference.errors import ServiceBusy

APP = Path(__file__).resolve().parents[2]
# Makes request ids from slots: the same slot always has the same id.
_NAMESPACE = UUID("6a3c1cf0-5f0e-5f7e-9d5e-3a7f4c8b1d20")

_ASSETS = (*FILES, "mltable", "custom_model", "mlflow_model", "triton_model")


@dataclass(frozen=True, kw_only=True)
class PipelineJob(V2):
    """A job of a registered pipeline component (name:version, name@latest), or of a YAML file."""

    kind = "job"
    component: str = ""
    yaml: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    compute: str = ""
    force_rerun: bool | None = None
    continue_on_step_failure: bool | None = None

    def __post_init__(self) -> None:
        if bool(self.component) == bool(self.yaml):
            raise ValueError("kind 'job' needs either 'component' (name:version or name@latest) or 'yaml'")
        check_inputs(self.inputs, _ASSETS)
        named = re.fullmatch(r"(azureml:)?[^:@/]+(:[^:@]+|@latest)", self.component)
        if self.component and "{" not in self.component and not named:
            raise ValueError(f"component is {self.component!r}; write name:version or name@latest")

    def check_names(self) -> None:
        if self.component:
            check_name("component's name", re.split("[:@]", self.component.removeprefix("azureml:"))[0])
        if self.compute and "/" not in self.compute:  # else it is an id
            check_name("compute", self.compute.removeprefix("azureml:"))
        for name, value in self.inputs.items():
            if job_input(value) == "":  # the SDK leaves it out, so that the component's default would stand in
                raise ValueError(f"inputs.{name} is empty, which a job cannot send; leave it out, or give it a value")

    @property
    def experiment(self) -> str:  # type: ignore[override]
        """A YAML file names its own, unless the entry does."""
        return "" if self.yaml else EXPERIMENT

    def submit(self, service: Connection, submission: Submission) -> Run:
        """Create the slot's job under the slot's own id, unless it exists already.

        A PUT of a fixed id is safe to repeat, so the SDK may retry it. Where the first answer was lost, the repeat may
        be refused as existing already: then the job that is there is this slot's.
        """
        what = f"workspace {service.workspace.name!r}, job of pipeline {submission.pipeline!r}"
        with before_sending():
            existing = self._existing(service, submission)
            if existing:
                return existing
            job = self._job(service, submission, what)
        try:
            made = sdk(lambda: service.ml().jobs.create_or_update(job), service.caller, what)
        except ExistsAlready:
            if found := self._existing(service, submission):
                return found
            raise
        word = str(getattr(made.status, "value", made.status) or "NotStarted")
        return Run(str(made.name), word, "", service.workspace.page(str(made.name)))

    def search(self, service: Connection, submission: Submission, since: datetime, names_kept: bool) -> Search:
        return Search(self._existing(service, submission))

    def _existing(self, service: Connection, submission: Submission) -> Run | None:
        run = run_of(service, submission, submission.key)
        if run or not self.yaml:
            return run
        # The SDK writes the name of a job that is no pipeline in lower case.
        return run_of(service, submission, submission.key.lower())

    def _job(self, service: Connection, submission: Submission, what: str) -> Any:
        """The SDK's job. Sends none."""
        from azure.ai.ml import load_job

        source: Any = APP / self.yaml  # an absolute path stays what it is
        if self.component:
            component = sdk(lambda: _component_id(service, self.component), service.caller, what, sent=False)
            source = StringIO(json.dumps({"type": "pipeline", "component": f"azureml:{component}"}))
        elif not source.is_file():
            raise ServiceRefused(f"pipeline {submission.pipeline!r}: the file {source} does not exist")
        changes = [{key: value} for key, value in self._changes(submission).items()]
        job = sdk(lambda: load_job(source=source, params_override=changes), service.caller, what, sent=False)
        job.experiment_name = job.experiment_name or EXPERIMENT
        job.tags = {**(job.tags or {}), **submission.all_tags}
        return job

    def _changes(self, submission: Submission) -> dict[str, Any]:
        """What an entry says of a job beside its component or file, by its place in the file."""
        changes: dict[str, Any] = {"name": submission.key, "display_name": submission.key}
        if submission.experiment:
            changes["experiment_name"] = submission.experiment
        if submission.description:
            changes["description"] = submission.description
        for flag in ("force_rerun", "continue_on_step_failure"):
            if (value := getattr(self, flag)) is not None:
                changes[f"settings.{flag}"] = value
        if self.compute:
            changes["settings.default_compute"] = f"azureml:{self.compute.removeprefix('azureml:')}"
        return changes | {f"inputs.{name}": job_input(value) for name, value in self.inputs.items()}


@dataclass(frozen=True, kw_only=True)
class AzuremlSchedule(V2):
    """An AzureML schedule: its job runs now. The service chooses the run's id."""

    kind = "schedule"
    azureml_schedule: str

    def __post_init__(self) -> None:
        check_given(azureml_schedule=self.azureml_schedule)

    def check_names(self) -> None:
        check_name("azureml_schedule", self.azureml_schedule)

    def submit(self, service: Connection, submission: Submission) -> Run:
        # The service calls a schedule's jobs by this moment: what is sent anew has another, by seconds.
        moment = (submission.slot + timedelta(seconds=submission.number - 1)).isoformat()
        name = self.azureml_schedule
        what = f"workspace {service.workspace.name!r}, schedule {name!r} of pipeline {submission.pipeline!r}"
        answer = sdk(lambda: service.ml(False).schedules.trigger(name, schedule_time=moment), service.caller, what)
        if not answer.job_name:
            raise OutcomeUnknown(f"{what}: the answer names no job")
        return Run(answer.job_name, "NotStarted", "", service.workspace.page(answer.job_name))


@dataclass(frozen=True, kw_only=True)
class BatchEndpoint(V2):
    """A batch endpoint, invoked once, with a request id that belongs to the slot."""

    kind = "batch-endpoint"
    endpoint: str
    deployment: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_given(endpoint=self.endpoint)
        check_inputs(self.inputs, FILES)
        for name, value in self.outputs.items():
            check_place(f"outputs.{name}", value, FILES)

    def check_names(self) -> None:
        check_name("endpoint", self.endpoint)
        if self.deployment:
            check_name("deployment", self.deployment)

    def preview(self, service: Connection, submission: Submission) -> dict[str, Any]:
        headers, body = self._request(submission)
        url = service.scoring_uri(self.endpoint)
        return {"method": "POST", "url": url, "audience": DATA_PLANE, "headers": headers, "body": body}

    def submit(self, service: Connection, submission: Submission) -> Run:
        with before_sending():
            url = service.scoring_uri(self.endpoint)
        headers, body = self._request(submission)
        what = f"batch endpoint {self.endpoint!r} of pipeline {submission.pipeline!r}"
        try:
            answer = service.caller.post_once(url, DATA_PLANE, what, body, headers)
        except ExistsAlready:  # under the name that we chose: then it is this slot's
            if found := run_of(service, submission, submission.key):
                return found
            raise
        name = ""
        if isinstance(answer, dict):
            name = str(answer.get("name") or str(answer.get("id", "")).rpartition("/")[2])
        if not name:
            raise OutcomeUnknown(f"workspace {service.workspace.name!r}, {what}: the answer names no job")
        word = str((answer.get("properties") or {}).get("status") or "NotStarted")
        return Run(name, word, "", service.workspace.page(name))

    def search(self, service: Connection, submission: Submission, since: datetime, names_kept: bool) -> Search:
        """By the name that we chose, where this endpoint is known to keep it (`names_kept`)."""
        search = super().search(service, submission, since, names_kept)
        return Search() if names_kept and search.run is None else search

    def _request(self, submission: Submission) -> tuple[dict[str, str], dict[str, Any]]:
        headers = {"repeatability_request-id": str(uuid5(_NAMESPACE, submission.key))}
        if self.deployment:
            headers["azureml-model-deployment"] = self.deployment
        properties: dict[str, Any] = {
            "name": submission.key,
            "inputData": {name: batch_input(value) for name, value in self.inputs.items()},
            "tags": submission.all_tags,
            "properties": {"experimentName": submission.experiment},
        }
        if self.outputs:
            properties["outputData"] = {
                name: {"jobOutputType": pascal(value.get("type", "uri_folder")), "uri": value["path"]}
                for name, value in self.outputs.items()
            }
        return headers, {"properties": properties}


def scoring_uri(service: Connection, endpoint: str) -> str:
    """Where a batch endpoint is invoked, as the SDK resolves it."""
    what = f"workspace {service.workspace.name!r}, batch endpoint {endpoint!r}"
    resolved = sdk(lambda: service.ml().batch_endpoints.get(endpoint), service.caller, what, sent=False)
    uri = str(resolved.scoring_uri or "")
    if not uri:
        raise ServiceBusy(f"{what} has no scoring URI yet: wait until it is provisioned")
    return uri


def _component_id(service: Connection, reference: str) -> str:
    """`name:version` or `name@latest` as the component's ARM id, which is what the service wants."""
    name, separator, version = reference.removeprefix("azureml:").partition(":")
    if not separator:
        name = name.removesuffix("@latest")
        version = str(service.ml().components.get(name, label="latest").version)
    return f"{service.workspace.path}/components/{name}/versions/{version}"
