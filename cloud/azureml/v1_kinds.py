"""Published pipelines and pipeline endpoints of the v1 API, over plain REST.

Microsoft ended support of the v1 SDK in June 2026; the routes and bodies follow its REST client
(azureml-pipeline-core 1.62). Nothing of the SDK is needed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from cloud.azureml.pipeline_kind import Connection, Kind, Plain, Submission, as_text, check_given
from cloud.azureml.v1_address import Address, endpoint_address, pipeline_address
from cloud.azureml.workspace import ARM, SLOT_TAG, OutcomeUnknown, Run, Search, Workspace
from inference.errors import ServiceBusy

# How far the service's clock may lie behind ours when we look for a run that we may have started.
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class _V1(Kind):
    """What both kinds have in common: everything but the name of what runs."""

    parameters: Mapping[str, Plain] = field(default_factory=dict)
    data_paths: Mapping[str, str] = field(default_factory=dict)
    continue_on_step_failure: bool | None = None

    def __post_init__(self) -> None:
        for name, path in self.data_paths.items():
            if not path.removeprefix("azureml://datastores/").partition("/")[0]:
                raise ValueError(f"data_paths.{name} is {path!r}; write it as azureml://datastores/STORE/paths/images/")

    def address(self) -> Address | None:
        """What the entry names by its REST address; None where it has a bare id or name. Raises ValueError."""
        return None

    def check_names(self) -> None:
        self.address()

    @abstractmethod
    def route(self) -> str:
        """The last part of the address that starts a run."""

    @abstractmethod
    def pipeline_ids(self, service: Connection) -> list[str]:
        """The published pipelines that may have been started by that address."""

    def preview(self, service: Connection, submission: Submission) -> dict[str, Any]:
        url, body = self._request(service, submission)
        return {"method": "POST", "url": url, "audience": ARM, "headers": {}, "body": body}

    def submit(self, service: Connection, submission: Submission) -> Run:
        url, body = self._request(service, submission)
        what = f"{self.kind} pipeline {submission.pipeline!r}"
        answer = service.caller.post_once(url, ARM, what, body)
        if not isinstance(answer, dict) or not answer.get("Id"):
            name, said = service.workspace.name, str(answer)[:200]
            raise OutcomeUnknown(f"workspace {name!r}, {what}: the answer names no run: {said}")
        return _run(service.workspace, answer, str(answer["Id"]))

    @staticmethod
    def status(service: Connection, run: str) -> Run | None:
        url = f"{service.workspace.v1}/PipelineRuns/{quote(run, safe='')}"
        answer = service.caller.get(url, ARM, f"run {run}")
        if answer is None:
            return None
        if not isinstance(answer.get("Status"), dict):
            raise ServiceBusy(f"run {run}: {str(answer)[:200]!r} is no run; a proxy may have answered")
        return _run(service.workspace, answer, run)

    def search(self, service: Connection, submission: Submission, since: datetime, names_kept: bool) -> Search:
        """Look among the pipeline's runs for the run that carries the slot's tag.

        A run without our tag that began after `since` could be ours with its tag lost: then nothing is certain.
        """
        pipelines = self.pipeline_ids(service)
        unsure = "" if pipelines else "the service does not say which pipelines may have been started"
        for pipeline in pipelines:
            url = f"{service.workspace.v1}/PipelineRuns/Pipeline/{quote(pipeline, safe='')}"
            what = f"runs of pipeline {pipeline}"
            page = service.caller.page(url, ARM, what)
            if page is None:
                return Search(certain=False, why=f"the {what} cannot be listed")
            for run in service.caller.following(page, ARM, what):
                tags = run.get("tags") or run.get("Tags") or {}
                if tags.get(SLOT_TAG) == submission.key:
                    if not run.get("Id"):
                        return Search(certain=False, why=f"a run of pipeline {pipeline} has the slot's tag and no id")
                    return Search(_run(service.workspace, run, str(run["Id"])))
                if SLOT_TAG not in tags and _began(run) >= since - _SKEW:
                    unsure = f"run {run.get('Id')} began at that time and carries no tag"
        return Search(certain=not unsure, why=unsure)

    def _request(self, service: Connection, submission: Submission) -> tuple[str, dict[str, Any]]:
        """URL and body of the POST that starts a run. The wire has `tags` in lower case, the rest in Pascal case.

        Raises ServiceRefused where the entry has an address of another workspace.
        """
        if address := self.address():
            address.check(service.workspace, f"{self.kind} pipeline {submission.pipeline!r}")
        body: dict[str, Any] = {
            "ExperimentName": submission.experiment,
            "Description": submission.description,
            "RunSource": "API",
            "RunType": "HTTP",
            "ParameterAssignments": {name: as_text(value) for name, value in self.parameters.items()},
            "ContinueRunOnStepFailure": bool(self.continue_on_step_failure),
            "tags": submission.all_tags,
            "Properties": {},
        }
        if self.data_paths:
            body["DataPathAssignments"] = {name: _data_path(path) for name, path in self.data_paths.items()}
        return f"{service.workspace.v1}/PipelineRuns/{self.route()}", body


@dataclass(frozen=True, kw_only=True)
class PublishedPipeline(_V1):
    """A published pipeline, by its id or its REST address."""

    kind = "published"
    id: str

    def __post_init__(self) -> None:
        check_given(id=self.id)
        super().__post_init__()

    def address(self) -> Address | None:
        return pipeline_address(self.id)

    def route(self) -> str:
        return f"PipelineSubmit/{quote(self._pipeline(), safe='')}"

    def pipeline_ids(self, service: Connection) -> list[str]:
        return [self._pipeline()]

    def _pipeline(self) -> str:
        address = self.address()
        return address.id if address else self.id


@dataclass(frozen=True, kw_only=True)
class PipelineEndpoint(_V1):
    """A pipeline endpoint, by its name or its REST address, in its default version or another."""

    kind = "pipeline-endpoint"
    endpoint: str
    version: str = ""

    def __post_init__(self) -> None:
        check_given(endpoint=self.endpoint)
        super().__post_init__()

    def address(self) -> Address | None:
        return endpoint_address(self.endpoint)

    def check_names(self) -> None:
        super().check_names()
        said = self._endpoint().version
        if said and self.version not in ("", said):
            raise ValueError(f"version is {self.version!r}, the address says {said!r}; leave one of the two out")

    def route(self) -> str:
        endpoint = self._endpoint()
        version = self.version or endpoint.version
        if endpoint.id:
            parts = [endpoint.id, version] if version else [endpoint.id]
            return "/".join(["PipelineEndpointSubmit/Id", *(quote(part, safe="") for part in parts)])
        query = {"name": endpoint.name} | ({"pipelineVersion": version} if version else {})
        return f"PipelineEndpointSubmit/Name?{urlencode(query)}"

    def pipeline_ids(self, service: Connection) -> list[str]:
        endpoint = self._endpoint()
        query = None if endpoint.id else {"name": endpoint.name}
        url = f"{service.workspace.v1}/PipelineEndpoints/{quote(endpoint.id, safe='') or 'Name'}"
        answer = service.caller.get(url, ARM, f"pipeline endpoint {self.endpoint!r}", query) or {}
        versions = answer.get("PipelineVersionList") or []
        return [str(version["PipelineId"]) for version in versions if version.get("PipelineId")]

    def _endpoint(self) -> Address:
        return self.address() or Address(name=self.endpoint)


def _run(workspace: Workspace, answer: dict[str, Any], run: str) -> Run:
    state = answer.get("Status") or {}
    code = str(state.get("StatusCode", "NotStarted"))
    return Run(run, code, str(state.get("StatusDetail") or ""), workspace.page(run))


def _began(run: dict[str, Any]) -> datetime:
    word = str(run.get("CreatedDate") or (run.get("Status") or {}).get("CreationTime") or "")
    try:
        moment = datetime.fromisoformat(word.replace("Z", "+00:00"))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # not said: it may have begun at any time


def _data_path(path: object) -> dict[str, str]:
    store, _, relative = str(path).removeprefix("azureml://datastores/").partition("/")
    return {"DataStoreName": store, "RelativePath": relative.removeprefix("paths/")}
