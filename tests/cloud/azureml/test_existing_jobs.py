"""A job that exists already when it is sent: the repeat of a request whose answer was lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloud.azureml.azureml_client import AzureML
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.v2_kinds import PipelineJob
from cloud.azureml.workspace import SLOT_TAG, NotAccepted, ServiceRefused
from inference.errors import ServiceBusy
from tests.cloud.azureml.server import Fault, Service
from tests.cloud.azureml.test_contract import SLOT, submission

pytestmark = pytest.mark.slow

KEY = "nightly-20261123T030000Z"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure.core.pipeline.policies.RetryPolicy.sleep", lambda *_, **__: None)


@pytest.mark.parametrize("repeats", [409, 400])
@pytest.mark.parametrize("status", [500, 503, 0])
def test_a_job_whose_repeat_is_refused_is_the_slots_own(
    status: int, repeats: int, aml: AzureML, service: Service
) -> None:
    """The SDK repeats its PUT by itself."""
    service.repeats = repeats
    service.faults.append(Fault("PUT", "/jobs/", status, after=True))
    run = aml.submit(submission("job"))
    assert (run.id, run.state, list(service.jobs)) == (KEY, "running", [KEY])
    assert len(service.posts("/jobs/")) == 2


@pytest.mark.parametrize(
    "error",
    [
        {"code": "UserError", "message": "The existing job's Inputs cannot be changed.",
         "innererror": {"code": "Immutable", "innererror": {"code": "JobPropertyImmutable"}}},
        {"code": "UserError", "message": "A job with this name already exists. Use a different name."},
    ],
)  # fmt: skip
def test_a_repeat_is_refused_in_several_ways(error: dict[str, object], aml: AzureML, service: Service) -> None:
    body = json.dumps({"error": error}).encode()
    service.faults.append(Fault("PUT", "/jobs/", 400, after=True, body=body, content_type="application/json"))
    assert aml.submit(submission("job")).id == KEY


def test_a_command_job_is_found_under_its_name_in_lower_case(aml: AzureML, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "job.yml"
    path.write_text("type: command\ncommand: echo hi\nenvironment: azureml:env:1\ncompute: azureml:cpu\n")
    service.repeats = 409
    service.faults.append(Fault("PUT", "/jobs/", 503, after=True))
    assert aml.submit(Submission("nightly", SLOT, PipelineJob(yaml=str(path)))).id == KEY.lower()


def test_a_batch_job_of_the_name_that_we_chose_is_the_slots_own(aml: AzureML, service: Service) -> None:
    run = aml.submit(submission("batch-endpoint"))
    service.repeats = 409
    assert aml.submit(submission("batch-endpoint")) == run
    assert list(service.jobs) == [KEY]


@pytest.mark.parametrize("kind", ["job", "batch-endpoint"])
def test_a_job_of_another_slot_is_never_taken_for_ones_own(kind: str, aml: AzureML, service: Service) -> None:
    service.add_job(KEY, {"tags": {SLOT_TAG: "another-20261123T030000Z"}})
    service.repeats = 409
    with pytest.raises(ServiceRefused, match="exists already"):
        aml.submit(submission(kind))


@pytest.mark.parametrize("kind", ["job", "batch-endpoint"])
def test_a_refusal_for_which_no_job_is_there_stays_one(kind: str, aml: AzureML, service: Service) -> None:
    service.faults.append(Fault("PUT" if kind == "job" else "POST", "/jobs", 409))
    with pytest.raises(ServiceRefused, match="409"):
        aml.submit(submission(kind))
    assert service.jobs == {}


@pytest.mark.parametrize("kind", ["job", "batch-endpoint"])
def test_what_exists_and_cannot_be_looked_up_is_neither_refused_nor_sent_again_unseen(
    kind: str, aml: AzureML, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"error": {"code": "Conflict", "message": "exists"}}'
    method, json_type = "PUT" if kind == "job" else "POST", "application/json"
    service.faults.append(Fault(method, "/jobs", 409, after=True, body=body, content_type=json_type))
    handle = service.handle

    def then_unwell(method: str, url: str, *rest: object) -> object:
        if method == "GET" and "/jobs/" in url and service.jobs and not service.faults:
            service.faults.append(Fault("GET", "/jobs/", 503, times=4))
        return handle(method, url, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "handle", then_unwell)
    with pytest.raises(ServiceBusy) as caught:
        aml.submit(submission(kind))
    assert not isinstance(caught.value, NotAccepted)  # that would be: certainly not taken
