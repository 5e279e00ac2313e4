"""Entries of pipelines.toml that could only fail later are refused when the file is read; none that may be right is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cloud import pipelines_file
from cloud.azureml.expressions import Samples, fill

PUBLISHED = 'kind = "published"\nid = "p"'
SCHEDULE = 'kind = "schedule"\nazureml_schedule = "{}"'
JOB = 'kind = "job"\ncomponent = "{}"'
BATCH = 'kind = "batch-endpoint"\nendpoint = "{}"'
V1 = (
    "https://westeurope.api.azureml.ms/pipelines/v1.0/subscriptions/s/resourceGroups/g/providers"
    "/Microsoft.MachineLearningServices/workspaces/w/PipelineRuns"
)


def read(tmp_path: Path, *lines: str) -> pipelines_file.Pipelines:
    """A file with the entry of these lines, and one that is right."""
    path = tmp_path / "pipelines.toml"
    path.write_text(
        '[[pipeline]]\nname = "x"\n' + ("" if any("every" in line for line in lines) else 'every = "1 day"\n')
        + "\n".join(lines) + f'\n[[pipeline]]\nname = "other"\n{PUBLISHED}\nevery = "1 day"\n'
    )  # fmt: skip
    return pipelines_file.read(path)


@pytest.mark.parametrize(
    ("lines", "answers"),
    [
        # The service's own binding.
        ([PUBLISHED, 'parameters = { a = "${{name}}" }'], ["'${{name}}'", "is {name},", "${{{{name}}}}"]),
        ([BATCH.format("e"), 'inputs = { a = { path = "azureml://x/${{ inputs.a }}/" } }'], ["${{{{ inputs.a }}}}"]),
        ([PUBLISHED, 'description = "of ${{name}}"'], ["${{{{name}}}}"]),
        # Formats of other tools, and directives that there are none of.
        ([PUBLISHED, 'parameters = { a = "{slot:yyyy-MM-dd}" }'], ["'yyyy' would be sent", "{slot:%Y-%m-%d}"]),
        ([PUBLISHED, 'parameters = { a = "{slot:%Y-MM-dd}" }'], ["'MM' would be sent", "{slot:%Y-%m-%d}"]),
        ([PUBLISHED, 'parameters = { a = "{slot:%Y-%m-%dTHH}" }'], ["'HH' would be sent"]),
        ([PUBLISHED, 'parameters = { a = "{slot:%Y%m%d_HHmmss}" }'], ["'HHmmss' would be sent"]),
        ([PUBLISHED, 'tags = { a = "{slot:date}" }'], ["no directive", "{slot:%Y-%m-%d}"]),
        ([PUBLISHED, 'tags = { a = "{slot:%Y-%Q}" }'], ["'%Q' is no directive", "{slot:%Y-%m-%d}"]),
        ([PUBLISHED, 'tags = { a = "{slot:%Y%}" }'], ["'%' is no directive"]),
        ([PUBLISHED, 'tags = { a = "{name:%Y}" }'], ["write {name}"]),
        # Names that the service refuses.
        ([PUBLISHED, 'experiment = "{slot}"'], ["experiment is '2026-", "{slot:%Y-%m-%d}", "as it is at"]),
        ([PUBLISHED, 'experiment = "my runs"'], ["experiment is 'my runs'", "1 to 256 letters"]),
        ([PUBLISHED, 'experiment = "Prüfung"'], ["experiment is 'Prüfung'"]),
        ([PUBLISHED, f'experiment = "{"a" * 257}"'], ["1 to 256"]),
        ([PUBLISHED, 'experiment = "run-{slot:%z}"', 'time_zone = "Europe/Zurich"'], ["experiment is 'run-+0100'"]),
        ([SCHEDULE.format("{slot}")], ["azureml_schedule is '2026-", "{slot:%Y-%m-%d}"]),
        ([SCHEDULE.format("weekly retrain")], ["azureml_schedule is 'weekly retrain'", "hyphens and underscores"]),
        ([BATCH.format("https://e.westeurope.inference.ml.azure.com/jobs")], ["endpoint is 'https://e."]),
        ([BATCH.format("e"), 'deployment = "{slot:%H:%M}"'], ["deployment is '03:00'"]),
        ([JOB.format("my pipe:1")], ["component's name is 'my pipe'"]),
        ([JOB.format("pipe:{slot}")], ["component is 'pipe:2026-", "name:version"]),
        ([JOB.format("c:1"), 'compute = "{slot}"'], ["compute is '2026-", "{slot:%Y-%m-%d}"]),
        # What the SDK would leave out.
        ([JOB.format("c:1"), 'inputs = { a = "" }'], ["inputs.a is empty"]),
        ([JOB.format("c:1"), 'inputs = { a = { type = "string", value = "" } }'], ["inputs.a is empty"]),
        # Addresses.
        (
            ['kind = "published"', f'id = "{V1}/PipelineEndpointSubmit/Id/e"'],
            ["'pipeline-endpoint'", "PipelineSubmit/ID"],
        ),
        (['kind = "published"', f'id = "{V1}/PipelineSubmit/"'], ["PipelineSubmit/ID"]),
        (
            ['kind = "published"', 'id = "https://ml.azure.com/pipelines/p?wsid=/subscriptions/s"'],
            ["PipelineSubmit/ID"],
        ),
        (['kind = "pipeline-endpoint"', f'endpoint = "{V1}/PipelineSubmit/p"'], ["'published'", "Submit/Id/ID"]),
        (
            ['kind = "pipeline-endpoint"', f'endpoint = "{V1}/PipelineEndpointSubmit/Id/e/2"', 'version = "1"'],
            ["version is '1'", "'2'"],
        ),
        # Time zones.
        ([PUBLISHED, 'time_zone = "Europe/Zurick"'], ["did you mean 'Europe/Zurich'"]),
        ([PUBLISHED, 'time_zone = "europe/zurich"'], ["did you mean 'Europe/Zurich'"]),
        ([PUBLISHED, 'time_zone = "New York"'], ["did you mean 'America/New_York'"]),
        ([PUBLISHED, 'time_zone = "W. Europe Standard Time"'], ["name of Windows", "IANA", "Europe/Zurich"]),
        ([PUBLISHED, 'time_zone = "UTC+2"'], ["Etc/GMT-2 is two hours ahead"]),
        ([PUBLISHED, 'time_zone = "CEST"'], ["not known; write a name of the IANA list"]),
        ([PUBLISHED, 'time_zone = "Europe"'], ["not known; write a name of the IANA list"]),
    ],
)
def test_what_could_only_fail_later_is_refused_when_the_file_is_read(
    tmp_path: Path, lines: list[str], answers: list[str]
) -> None:
    found = read(tmp_path, *lines)
    assert [entry.name for entry in found.entries] == ["other"]
    (problem,) = found.problems
    assert problem.startswith("pipelines.toml: pipeline 1 ('x')")
    assert [answer for answer in answers if answer not in problem] == []
    assert found.broken == {"x"}  # not taken out: catch_up decides once it is mended


@pytest.mark.parametrize(
    "lines",
    [
        [PUBLISHED, 'experiment = "{name}-{drift}-{slot:%Y_%m}-{model.latest:m}-{results_since_last_run}"'],
        [PUBLISHED, f'experiment = "{"a" * 256}"'],
        [PUBLISHED, 'experiment = "{slot:%F}T{slot:%H%M}"', 'parameters = { a = "{slot}" }'],
        [PUBLISHED, 'experiment = "run{slot:%z}"', 'time_zone = "America/New_York"'],
        [PUBLISHED, 'parameters = { a = "${{{{name}}}}", b = "{slot:week %V, %-d. %B, 100 %%}", c = "${name}" }'],
        [PUBLISHED, 'parameters = { a = "{slot:%Y-%m-%dT%H:%M:%SZ}", b = "{slot:%Y}/common/{slot:%Hh %Mmin}" }'],
        [SCHEDULE.format("weekly_{slot:%Y}-{name}")],
        [JOB.format("azureml:my_pipe-2@latest"), 'inputs = { a = " ", b = false, c = 0 }'],
        [JOB.format("pipe:{model.latest:m}")],
        [JOB.format("{name}:1.0.2+b")],
        ['kind = "job"', 'yaml = "job.yml"', 'experiment = ""'],
        [BATCH.format("vision-batch"), 'deployment = "v{model.latest:m}"', 'inputs = { a = "" }'],
        ['kind = "pipeline-endpoint"', 'endpoint = "My endpoint (old)"', 'version = "0"'],
    ],
)
def test_what_may_be_right_is_not_refused(tmp_path: Path, lines: list[str]) -> None:
    found = read(tmp_path, *lines)
    assert found.problems == () and found.broken == frozenset()
    assert [entry.name for entry in found.entries] == ["x", "other"]


def test_without_an_experiment_it_is_that_of_the_kind(tmp_path: Path) -> None:
    assert read(tmp_path, PUBLISHED, 'experiment = ""').entries[0].experiment == "dropsight"


def test_a_moment_in_seconds_is_that_of_the_slot_in_every_time_zone() -> None:
    slot = datetime(2026, 7, 1, 3, tzinfo=UTC)
    for zone in ("UTC", "Europe/Zurich"):
        filled = fill("{slot:%s %%s}", "x", slot, ZoneInfo(zone), Samples())
        assert filled == f"{slot.timestamp():.0f} %s"
