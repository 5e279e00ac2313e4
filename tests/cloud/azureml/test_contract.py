"""Every kind of submission against the contract server: right routes, bodies, tokens, and honest failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud.azureml import workspace_contents
from cloud.azureml.azureml_client import KINDS, AzureML
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.v2_kinds import BatchEndpoint, PipelineJob
from cloud.azureml.workspace import SLOT_TAG, NotAccepted, OutcomeUnknown, ServiceRefused, Workspace
from inference.errors import ServiceBusy
from tests.cloud.azureml.arm import WORKSPACE, Rejected
from tests.cloud.azureml.credential import FakeCredential
from tests.cloud.azureml.server import Fault, Service

pytestmark = pytest.mark.slow

SLOT = datetime(2026, 11, 23, 3, tzinfo=UTC)
IMAGES = {"type": "uri_folder", "path": "azureml://datastores/workspaceblobstore/paths/images/"}
TARGETS: dict[str, dict[str, Any]] = {
    "published": {
        "id": "pipe-1",
        "parameters": {"epochs": 3, "fast": True},
        "data_paths": {"images": "azureml://datastores/workspaceblobstore/paths/images/"},
    },
    "pipeline-endpoint": {"endpoint": "score-endpoint", "version": "1"},
    "job": {"component": "score_pipe:3", "inputs": {"images": IMAGES, "epochs": 3}, "compute": "cpu"},
    "schedule": {"azureml_schedule": "weekly"},
    "batch-endpoint": {
        "endpoint": "vision-batch",
        "deployment": "p1",
        "inputs": {"images": IMAGES, "threshold": 0.5},
        "outputs": {"scores": {"type": "uri_folder", "path": "azureml://datastores/d/paths/out/"}},
    },
}
POSTED = ("published", "pipeline-endpoint", "schedule", "batch-endpoint")


def submission(kind: str, **changes: Any) -> Submission:
    return Submission("nightly", SLOT, KINDS[kind](**{**TARGETS[kind], **changes}), tags={"team": "vision"})


@pytest.mark.parametrize("kind", TARGETS)
def test_submits_and_follows(kind: str, aml: AzureML, service: Service) -> None:
    run = aml.submit(submission(kind))
    assert run.state == "running"
    assert len(service.posts()) == 1
    record = service.runs.get(run.id) or service.jobs[run.id]
    if "Status" in record:
        assert record["tags"] == {"team": "vision", SLOT_TAG: "nightly-20261123T030000Z"}
        record["Status"]["StatusCode"] = "Finished"
    else:
        record["properties"]["status"] = "Completed"
    found = aml.status(kind, run.id)
    assert found is not None
    assert found.state == "done"
    assert aml.status(kind, "no-such-run") is None


def test_each_api_gets_a_token_for_itself(aml: AzureML, credential: FakeCredential) -> None:
    aml.submit(submission("published"))
    assert set(credential.asked) == {"https://management.azure.com/.default"}
    aml.submit(submission("batch-endpoint"))
    assert credential.asked[-1] == "https://ml.azure.com/.default"


def test_job_has_the_slots_own_id_and_is_made_once(aml: AzureML, service: Service) -> None:
    first, second = aml.submit(submission("job")), aml.submit(submission("job"))
    assert first.id == second.id == "nightly-20261123T030000Z"
    assert len(service.posts()) == 1
    body = service.posts()[0][2]["properties"]
    assert body["componentId"] == f"{WORKSPACE}/components/score_pipe/versions/3"
    assert body["inputs"]["images"]["uri"] == IMAGES["path"]
    assert body["settings"]["default_compute"].endswith("/computes/cpu")


def test_latest_component_is_looked_up(aml: AzureML, service: Service) -> None:
    aml.submit(submission("job", component="score_pipe@latest"))
    assert service.posts()[0][2]["properties"]["componentId"].endswith("/score_pipe/versions/3")


def test_a_job_from_a_yaml_file_takes_the_entrys_inputs(aml: AzureML, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "job.yml"
    path.write_text(
        f"type: pipeline\ninputs: {{epochs: 1, images: {{type: uri_folder, path: 'azureml:old:1'}}}}\n"
        f"jobs: {{score: {{type: pipeline, component: 'azureml:{WORKSPACE}/components/score_pipe/versions/3',\n"
        "  inputs: {}}}\n"
    )
    target: dict[str, Any] = {"yaml": str(path), "inputs": {"epochs": 7, "images": IMAGES}, "force_rerun": True}
    aml.submit(Submission("nightly", SLOT, PipelineJob(**target)))
    body = service.posts()[0][2]["properties"]
    assert body["inputs"]["epochs"]["value"] == "7"
    assert body["inputs"]["images"]["uri"] == IMAGES["path"]
    assert body["settings"]["force_rerun"] is True
    with pytest.raises(ServiceRefused, match="does not exist"):
        aml.submit(Submission("weekly", SLOT, PipelineJob(yaml=str(tmp_path / "absent.yml"))))


@pytest.mark.parametrize(
    ("yaml_says", "entry_says", "expected"),
    [("street", "", "street"), ("street", "rescore", "rescore"), (None, "", "dropsight")],
)
def test_a_yaml_job_keeps_its_experiment_unless_the_entry_names_one(
    yaml_says: str | None, entry_says: str, expected: str, aml: AzureML, service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "job.yml"
    named = f"experiment_name: {yaml_says}\n" if yaml_says else ""
    path.write_text(f"type: command\ncommand: echo hi\nenvironment: azureml:env:1\ncompute: azureml:cpu\n{named}")
    aml.submit(Submission("nightly", SLOT, PipelineJob(yaml=str(path)), experiment=entry_says))
    assert service.posts()[0][2]["properties"]["experimentName"] == expected


def test_a_command_job_is_found_under_the_name_that_the_sdk_gives_it(
    aml: AzureML, service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "job.yml"
    path.write_text("type: command\ncommand: echo hi\nenvironment: azureml:env:1\ncompute: azureml:cpu\n")
    job = Submission("nightly", SLOT, PipelineJob(yaml=str(path)))
    run = aml.submit(job)
    assert (run.status, aml.submit(job)) == ("NotStarted", run)
    assert aml.search(job, SLOT).run == run
    assert len(service.posts()) == 1


@pytest.mark.parametrize(
    "content", [b"type: [", b"", b"\xff\xfe", b"type: pipeline\njobs: {a: {type: command, component: ./absent.yml}}\n"]
)
def test_a_wrong_yaml_file_is_refused_before_anything_is_sent(
    content: bytes, aml: AzureML, service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "job.yml"
    path.write_bytes(content)
    with pytest.raises(ServiceRefused, match="nightly"):
        aml.submit(Submission("nightly", SLOT, PipelineJob(yaml=str(path))))
    assert service.posts() == []


def test_a_component_that_cannot_be_looked_up_was_certainly_not_started(
    aml: AzureML, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azure.core.pipeline.policies.RetryPolicy.sleep", lambda *_, **__: None)
    service.faults[:] = [Fault("GET", "/components/", 503, times=99)]
    with pytest.raises(ServiceBusy):
        aml.submit(submission("job", component="score_pipe@latest"))
    assert service.posts() == []


def test_batch_request_id_belongs_to_the_slot_and_headers_do_not_leak(aml: AzureML, service: Service) -> None:
    aml.submit(submission("batch-endpoint"))
    plain = {key: value for key, value in TARGETS["batch-endpoint"].items() if key != "deployment"}
    aml.submit(Submission("other", SLOT, BatchEndpoint(**plain)))
    (_, _, _, first), (_, _, _, second) = service.posts("/batch/")
    assert first["azureml-model-deployment"] == "p1"
    assert "azureml-model-deployment" not in second
    again = aml.preview(submission("batch-endpoint"))
    assert again["headers"]["repeatability_request-id"] == first["repeatability_request-id"]
    assert first["repeatability_request-id"] != second["repeatability_request-id"]


@pytest.mark.parametrize("kind", TARGETS)
def test_dry_run_shows_what_would_be_sent_and_sends_nothing(kind: str, aml: AzureML, service: Service) -> None:
    shown = aml.preview(submission(kind))
    assert service.posts() == []
    aml.submit(submission(kind))
    method, path, body, _ = service.posts()[0]
    assert shown["method"] == method
    assert path in shown["url"].replace("%20", " ")
    assert shown["body"] == body
    assert "Bearer" not in json.dumps(shown)


@pytest.mark.parametrize("kind", POSTED)
@pytest.mark.parametrize("status", [500, 503, 0])
def test_a_lost_answer_is_unknown_and_never_sent_twice(kind: str, status: int, aml: AzureML, service: Service) -> None:
    # azure-core on its own would repeat such a POST, the more so with a Retry-After.
    service.faults.append(Fault("POST", "", status, times=9, after=True, headers={"Retry-After": "0"}))
    with pytest.raises(OutcomeUnknown, match="ws|nightly|schedule"):
        aml.submit(submission(kind))
    assert len(service.posts()) == 1


@pytest.mark.parametrize("kind", POSTED)
def test_throttling_is_certain_and_says_when_to_come_back(kind: str, aml: AzureML, service: Service) -> None:
    service.faults.append(Fault("POST", "", 429, headers={"Retry-After": "17"}))
    with pytest.raises(NotAccepted) as caught:
        aml.submit(submission(kind))
    assert caught.value.retry_after_s == 17
    assert len(service.posts()) == 1


def test_an_endpoint_that_cannot_be_looked_up_was_certainly_not_invoked(
    aml: AzureML, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azure.core.pipeline.policies.RetryPolicy.sleep", lambda *_, **__: None)
    for status in (503, 0):
        service.faults[:] = [Fault("GET", "/batchEndpoints/", status, times=99)]
        with pytest.raises(NotAccepted):
            aml.submit(submission("batch-endpoint"))
    assert service.posts() == []


def test_a_workspace_that_cannot_be_reached_asks_for_the_region(credential: FakeCredential) -> None:
    nowhere = Workspace("sub", "rg", "ws", "westeurope", "http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(NotAccepted, match="AZUREML_REGION"):
        AzureML(nowhere, credential).submit(submission("published"))


def test_an_expired_token_is_fetched_anew(aml: AzureML, service: Service, credential: FakeCredential) -> None:
    credential.ttl = [-5, 3600]
    aml.submit(submission("published"))
    assert len(service.runs) == 1


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("published", {"id": "gone"}, ["'ws'", "westeurope", "'nightly'", "404", "disabled", "AZUREML_REGION"]),
        ("schedule", {"azureml_schedule": "gone"}, ["'ws'", "'gone'", "404"]),
        ("batch-endpoint", {"endpoint": "gone"}, ["'ws'", "'gone'", "404"]),
    ],
)
def test_errors_name_workspace_pipeline_and_remedy(
    kind: str, changes: dict[str, Any], words: list[str], aml: AzureML
) -> None:
    with pytest.raises(ServiceRefused) as caught:
        aml.submit(submission(kind, **changes))
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_missing_role_is_named(aml: AzureML, service: Service) -> None:
    service.faults.append(Fault("POST", "PipelineSubmit", 403))
    with pytest.raises(ServiceRefused, match="AzureML Data Scientist"):
        aml.submit(submission("published"))


def test_reading_is_retried(aml: AzureML, service: Service) -> None:
    run = aml.submit(submission("published"))
    service.faults.append(Fault("GET", "/PipelineRuns/", 503, times=2))
    assert aml.status("published", run.id) == run


@pytest.mark.parametrize("kind", ["published", "job", "batch-endpoint"])
def test_nothing_sleeps_for_as_long_as_a_retry_after_may_ask(
    kind: str, aml: AzureML, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(
        "azure.core.pipeline.transport.RequestsTransport.sleep", lambda _, seconds: slept.append(seconds)
    )
    hour = {"Retry-After": "3600"}
    service.faults[:] = [Fault("GET", "/jobs/|/PipelineRuns/|/batchEndpoints/", 429, times=9, headers=hour)]
    with pytest.raises(NotAccepted):
        aml.status(kind, "run-1")
    if kind == "batch-endpoint":
        with pytest.raises(NotAccepted):
            aml.submit(submission(kind))
    service.faults[:] = [Fault("PUT", "/jobs/", 429, times=9, headers=hour)]
    if kind == "job":
        with pytest.raises(NotAccepted) as caught:
            aml.submit(submission(kind))
        assert caught.value.retry_after_s == 3600
    assert max(slept, default=0) <= 20


@pytest.mark.parametrize("kind", ["published", "pipeline-endpoint"])
def test_search_finds_the_slots_run_by_its_tag(kind: str, aml: AzureML, service: Service) -> None:
    since = datetime.now(UTC)
    assert aml.search(submission(kind), since).certain
    run = aml.submit(submission(kind))
    assert aml.search(submission(kind), since).run == run
    service.runs[run.id]["tags"] = {}
    unsure = aml.search(submission(kind), since)
    assert unsure.run is None
    assert not unsure.certain
    service.runs[run.id]["CreatedDate"] = f"{since:%Y-%m-%dT%H:%M:%S}"  # without an offset it is UTC
    assert not aml.search(submission(kind), since).certain
    # A run from long before our attempt cannot be ours.
    assert aml.search(submission(kind), since + timedelta(hours=1)).certain


def test_a_run_without_an_id_is_neither_taken_nor_started_again(aml: AzureML, service: Service) -> None:
    run = aml.submit(submission("published"))
    del service.runs[run.id]["Id"]
    answer = aml.search(submission("published"), SLOT)
    assert (answer.run, answer.certain) == (None, False)
    assert "has the slot's tag and no id" in answer.why
    followed = aml.status("published", run.id)
    assert followed is not None and followed.id == run.id


@pytest.mark.parametrize("content", [b"<html>sign in</html>", b"[1]", b'"text"', b'{"value": {"a": 1}}'])
def test_an_answer_of_another_shape_is_no_proof_that_there_is_nothing(
    content: bytes, aml: AzureML, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "handle", lambda *_: content)
    asks: list[Callable[[], object]] = [
        lambda: aml.search(submission("published"), SLOT),
        lambda: list(workspace_contents.remote(aml)),
    ]
    if not content.startswith(b"{"):
        asks += [lambda: aml.search(submission("job"), SLOT), lambda: workspace_contents.latest_model(aml, "x")]
    for ask in asks:
        with pytest.raises(ServiceBusy, match=r"without JSON|in place of"):
            ask()


def test_search_trusts_names_only_where_they_are_kept(aml: AzureML, service: Service) -> None:
    batch, job = submission("batch-endpoint"), submission("job")
    assert not aml.search(batch, SLOT).certain
    assert aml.search(batch, SLOT, names_kept=True).certain
    assert aml.search(job, SLOT).certain
    run = aml.submit(batch)
    assert aml.search(batch, SLOT).run == run


def test_remote_lists_everything_an_entry_could_name(aml: AzureML, service: Service) -> None:
    aml.submit(submission("job"))
    assert ("experiment", "nightly-score", "experiment-1") in set(workspace_contents.remote(aml))
    found = {(kind, name) for kind, name, _ in workspace_contents.remote(aml)}
    assert found >= {
        ("published", "score"),
        ("pipeline-endpoint", "score-endpoint"),
        ("batch-endpoint", "vision-batch"),
        ("schedule", "weekly"),
        ("experiment", "dropsight"),
    }
    service.faults.append(Fault("GET", "/history/", 404))  # then those of the jobs are what is known
    assert [name for kind, name, _ in workspace_contents.remote(aml) if kind == "experiment"] == ["dropsight"]


@pytest.mark.parametrize("key", ["DisplayName", "Tags", "experimentName"])
def test_the_server_rejects_v1_bodies_with_other_keys(key: str, aml: AzureML, service: Service) -> None:
    url = f"{aml.workspace.v1}/PipelineRuns/PipelineSubmit/pipe-1"
    with pytest.raises(ServiceRefused, match=key):
        aml.caller.post_once(url, "https://management.azure.com/.default", "x", {key: "x"})
    assert service.runs == {}


def test_the_server_rejects_jobs_that_break_the_schema(service: Service) -> None:
    body = {"properties": {"jobType": "Pipeline", "inputs": {"a": {"jobInputType": "literal"}}}}
    with pytest.raises(Rejected, match="schema|required|400|valid"):
        service._validate("/jobs/x", body)


def test_the_server_knows_only_published_routes(aml: AzureML) -> None:
    assert aml.caller.get(f"{aml.workspace.arm}/wishes", "https://management.azure.com/.default", "x") is None
