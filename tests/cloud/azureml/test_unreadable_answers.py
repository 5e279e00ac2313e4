"""What cannot be read proves nothing: pages of proxies and gateways, under any status, at every question."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cloud.azureml import workspace_contents
from cloud.azureml.azureml_client import AzureML
from cloud.azureml.workspace import NotAccepted, OutcomeUnknown, ServiceRefused
from inference.errors import ServiceBusy
from tests.cloud.azureml.server import Fault, Service
from tests.cloud.azureml.test_contract import POSTED, SLOT, submission

pytestmark = pytest.mark.slow

HTML = b"<html><body>Please sign in to the network</body></html>"
SINCE = datetime(2026, 11, 23, tzinfo=UTC)
ANSWERS = {
    "a page": Fault("GET", "", 200, body=HTML),
    "a page under 404": Fault("GET", "", 404, body=HTML),
    "a page that says it is JSON": Fault("GET", "", 404, body=HTML, content_type="application/json"),
    "a page under 403": Fault("GET", "", 403, body=HTML),
    "text under 404": Fault("GET", "", 404, body=b"no healthy upstream", content_type="text/plain"),
    "JSON of a gateway": Fault("GET", "", 404, body=b'{"statusCode": 404}', content_type="application/json"),
    "an empty 404": Fault("GET", "", 404, body=b""),
    "a redirect to nowhere": Fault("GET", "", 302, body=b"", content_type="text/plain"),
    "no content": Fault("GET", "", 204, body=b""),
    "an empty 200": Fault("GET", "", 200, body=b"", content_type="application/json"),
    "null": Fault("GET", "", 200, body=b"null", content_type="application/json"),
    "other JSON": Fault("GET", "", 200, body=b'{"status": "ok"}', content_type="application/json"),
    "an unknown charset": Fault("GET", "", 404, body=b"{}", content_type="application/json; charset=x"),
}
ASKS: dict[str, Callable[[AzureML], object]] = {
    "status of a job": lambda aml: aml.status("job", "nightly-1"),
    "status of a v1 run": lambda aml: aml.status("published", "run-1"),
    "job by its id": lambda aml: aml.search(submission("job"), SINCE),
    "batch job by its name": lambda aml: aml.search(submission("batch-endpoint"), SINCE, names_kept=True),
    "runs of a pipeline": lambda aml: aml.search(submission("published"), SINCE),
    "latest model": lambda aml: workspace_contents.latest_model(aml, "fruit"),
    "everything": lambda aml: list(workspace_contents.remote(aml)),
    "scoring address": lambda aml: aml.scoring_uri("vision-batch"),
}


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure.core.pipeline.policies.RetryPolicy.sleep", lambda *_, **__: None)


# What azure-ai-ml makes of JSON of another shape is an error of Python's own, which may as well be a fault of its own.
_BY_THE_SDK = [("scoring address", "null"), ("scoring address", "other JSON")]


@pytest.mark.parametrize("ask", ASKS)
def test_is_no_proof_that_there_is_nothing(ask: str, aml: AzureML, service: Service) -> None:
    found = {}
    for answer, fault in ANSWERS.items():
        service.faults[:] = [replace(fault, times=99)]
        try:
            found[answer] = repr(ASKS[ask](aml))
        except (ServiceBusy, ServiceRefused) as error:
            found[answer] = "ServiceBusy" if isinstance(error, ServiceBusy) else str(error)
    wrong = {answer: said for answer, said in found.items() if said != "ServiceBusy"}
    assert [(ask, answer) for answer in wrong] == [pair for pair in _BY_THE_SDK if pair[0] == ask], wrong
    assert all("'vision-batch': azure-ai-ml: AttributeError" in said for said in wrong.values())


def test_the_services_own_404_still_says_that_there_is_nothing(aml: AzureML) -> None:
    assert aml.status("job", "absent") is None
    assert aml.status("published", "absent") is None
    assert aml.search(submission("job"), SINCE).certain
    with pytest.raises(ServiceRefused, match="no registered model 'fruit'"):
        workspace_contents.latest_model(aml, "fruit")
    with pytest.raises(ServiceRefused, match="404"):
        aml.scoring_uri("absent")


@pytest.mark.parametrize("kind", [*POSTED, "job"])
def test_a_page_in_answer_to_a_submission_leaves_open_what_became_of_it(
    kind: str, aml: AzureML, service: Service
) -> None:
    for number, status in enumerate([200, 204, 404, 403, 409], 1):
        method, path = ("PUT", "/jobs/") if kind == "job" else ("POST", "")
        service.faults.append(Fault(method, path, status, body=b"" if status == 204 else HTML))
        with pytest.raises(OutcomeUnknown):
            aml.submit(submission(kind))
        assert len(service.posts()) == number


@pytest.mark.parametrize(
    ("kind", "path", "more"),
    [
        ("job", "/jobs/", {}),
        ("job", "/components/", {"component": "score_pipe@latest"}),
        ("batch-endpoint", "/batchEndpoints/", {}),
    ],
)
def test_a_question_before_a_submission_that_meets_a_page_is_asked_again_later(
    kind: str, path: str, more: dict[str, Any], aml: AzureML, service: Service
) -> None:
    for answer in ("a page", "a page under 404", "an empty 404", "no content"):
        service.faults[:] = [replace(ANSWERS[answer], pattern=path, times=99)]
        with pytest.raises(NotAccepted):
            aml.submit(submission(kind, **more))
    assert service.posts() == []


def test_an_endpoint_that_names_no_pipelines_leaves_it_open_whether_one_was_started(
    aml: AzureML, service: Service
) -> None:
    for answer in (404, 200):
        document = {"error": {"code": "NotFound"}} if answer == 404 else {"Name": "score-endpoint"}
        body = json.dumps(document).encode()
        service.faults.append(Fault("GET", "/PipelineEndpoints/", answer, body=body, content_type="application/json"))
        assert not aml.search(submission("pipeline-endpoint"), SINCE).certain


def test_every_page_of_a_list_of_runs_is_looked_through(
    aml: AzureML, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = aml.submit(submission("published"))
    runs, further = list(service.runs.values()), f"{service.base}/further"

    def handle(method: str, url: str, *_: object) -> Any:
        return {"value": runs} if url == "/further" else {"value": [], "nextLink": further}

    monkeypatch.setattr(service, "handle", handle)
    assert aml.search(submission("published"), SLOT).run == run
    runs.clear()
    assert aml.search(submission("published"), SLOT).certain
