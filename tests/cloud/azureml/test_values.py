"""What an entry says arrives in the workspace as it is written: values of every kind, and addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from cloud import pipelines_file
from cloud.azureml.azureml_client import AzureML
from cloud.azureml.expressions import Facts
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.slot_steps import submission_for
from cloud.azureml.workspace import SLOT_TAG, ServiceRefused
from cloud.storage.containers import Storage
from tests.cloud.azureml.arm import WORKSPACE
from tests.cloud.azureml.server import Service

SLOT = datetime(2026, 11, 23, 3, tzinfo=UTC)
WRITTEN = 'zero = 0, half = 0.5, flag = false, seven = "007", power = "1e5", word = "null", own = "${{{{name}}}}"'
# As texts: all that tags and most inputs can be.
TEXTS = {
    "zero": "0",
    "half": "0.5",
    "flag": "false",
    "seven": "007",
    "power": "1e5",
    "word": "null",
    "own": "${{name}}",
}
VALUES = {**TEXTS, "zero": 0, "half": 0.5, "flag": False}
YAML = "type: pipeline\ninputs: {zero: 1, half: 1, flag: true, seven: a, power: a, word: a, own: a}\njobs: {}\n"
PUBLISHED, ENDPOINT = 'kind = "published"\nid = ', 'kind = "pipeline-endpoint"\nendpoint = '
V1 = f"https://westeurope.api.azureml.ms/pipelines/v1.0{WORKSPACE}/PipelineRuns"


def submission(tmp_path: Path, lines: str) -> Submission:
    """Of the entry with these lines, read from a file."""
    path = tmp_path / "pipelines.toml"
    path.write_text(f'[[pipeline]]\nname = "nightly"\nevery = "1 day"\n{lines}\n')
    config = pipelines_file.read(path)
    assert config.problems == ()
    return submission_for(config.entries[0], SLOT, Facts(cast(Storage, None), lambda: cast(AzureML, None), None))


def sent(tmp_path: Path, aml: AzureML, service: Service, lines: str) -> dict[str, Any]:
    """The body with which the entry's run was started."""
    aml.submit(submission(tmp_path, lines))
    ((_, _, body, _),) = service.posts()
    return cast(dict[str, Any], body.get("properties", body))


@pytest.mark.parametrize(
    "target", ['kind = "published"\nid = "pipe-1"', 'kind = "pipeline-endpoint"\nendpoint = "score-endpoint"']
)
def test_parameters_and_tags_of_v1_are_the_texts_of_what_is_written(
    target: str, aml: AzureML, service: Service, tmp_path: Path
) -> None:
    lines = f'{target}\ntags = {{ {WRITTEN}, empty = "" }}\nparameters = {{ {WRITTEN}, empty = "" }}'
    body = sent(tmp_path, aml, service, lines)
    assert body["ParameterAssignments"] == {**TEXTS, "empty": ""}
    assert {**body["tags"], SLOT_TAG: ""} == {**TEXTS, "empty": "", SLOT_TAG: ""}


@pytest.mark.slow
@pytest.mark.parametrize("target", ['component = "score_pipe:3"', 'yaml = "{yaml}"'])
def test_inputs_of_a_job_are_those_that_its_yaml_file_would_send(
    target: str, aml: AzureML, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "job.yml").write_text(YAML)
    target = target.format(yaml=(tmp_path / "job.yml").as_posix())
    target = f'kind = "job"\n{target}\ncompute = "azureml:cpu"'
    lines = f'{target}\ntags = {{ {WRITTEN}, empty = "" }}\ninputs = {{ {WRITTEN} }}'
    body = sent(tmp_path, aml, service, lines)
    assert {**body["tags"], SLOT_TAG: ""} == {**TEXTS, "empty": "", SLOT_TAG: ""}
    assert body["settings"]["default_compute"].endswith("computes/cpu")
    # azure-ai-ml spells a boolean input as the service keeps the defaults of a component.
    assert {name: value["value"] for name, value in body["inputs"].items()} == {**TEXTS, "flag": "False"}


def test_inputs_of_a_batch_endpoint_keep_their_types(aml: AzureML, service: Service, tmp_path: Path) -> None:
    lines = f'tags = {{ {WRITTEN}, empty = "" }}\ninputs = {{ {WRITTEN}, empty = "" }}'
    body = sent(tmp_path, aml, service, f'kind = "batch-endpoint"\nendpoint = "vision-batch"\n{lines}')
    values = {name: value["value"] for name, value in body["inputData"].items()}
    assert values == {**VALUES, "empty": ""} and values["flag"] is False
    assert {**body["tags"], SLOT_TAG: ""} == {**TEXTS, "empty": "", SLOT_TAG: ""}


def test_a_schedule_is_sent_nothing_but_its_moment(aml: AzureML, service: Service, tmp_path: Path) -> None:
    lines = f'kind = "schedule"\nazureml_schedule = "weekly"\ntags = {{ {WRITTEN} }}'
    assert sent(tmp_path, aml, service, lines) == {"scheduleTime": SLOT.isoformat()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "rest", "more", "pipeline"),
    [
        (PUBLISHED, "PipelineSubmit/pipe-1", "", "pipe-1"),
        (PUBLISHED, "PipelineSubmit/pipe-1/", "", "pipe-1"),
        (PUBLISHED, "PipelineSubmit/pipe-1?parentRunId=x", "", "pipe-1"),
        (ENDPOINT, "PipelineEndpointSubmit/Id/endpoint-1", "", "pipe-2"),
        (ENDPOINT, "PipelineEndpointSubmit/Id/endpoint-1", 'version = "1"', "pipe-1"),
        (ENDPOINT, "PipelineEndpointSubmit/Id/endpoint-1/1?pipelineVersion=1", "", "pipe-1"),
        (ENDPOINT, "PipelineEndpointSubmit/Name?name=score-endpoint&pipelineVersion=1", "", "pipe-1"),
    ],
)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/resourceGroups/rg/", "/resourcegroups/RG/"),
        ("//westeurope.", "//0f.workspace.westeurope."),  # of a workspace behind a private link
        ("https://westeurope.api.azureml.ms/pipelines/v1.0", ""),
    ],
)
def test_the_address_of_a_pipeline_names_it(
    key: str, rest: str, more: str, pipeline: str, old: str, new: str, aml: AzureML, service: Service, tmp_path: Path
) -> None:
    job = submission(tmp_path, f'{key}"{V1.replace(old, new)}/{rest}"\n{more}')
    run = aml.submit(job)
    assert service.runs[run.id]["PipelineId"] == pipeline
    assert aml.search(job, SLOT).run == run


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("westeurope", "eastus", ["eastus", "westeurope"]),
        ("/workspaces/ws/", "/workspaces/other/", ["/workspaces/other", "/workspaces/ws "]),
        ("/sub/", "/sub2/", ["/subscriptions/sub2/", "/subscriptions/sub/"]),
    ],
)
def test_an_address_of_another_workspace_is_refused_with_both_named(
    old: str, new: str, words: list[str], aml: AzureML, service: Service, tmp_path: Path
) -> None:
    address = f"{V1}/".replace(old, new)
    for key, rest in ((PUBLISHED, "PipelineSubmit/pipe-1"), (ENDPOINT, "PipelineEndpointSubmit/Id/endpoint-1")):
        job = submission(tmp_path, f'{key}"{address}{rest}"')
        for ask in (aml.submit, aml.preview):
            with pytest.raises(ServiceRefused) as caught:
                ask(job)
            assert [word for word in ("nightly", *words) if word not in str(caught.value)] == []
    assert service.posts() == []
