"""`python -m cloud pipelines ...` and the deep health, over real storage and the local workspace."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from cloud import pipelines_file, tick
from cloud.__main__ import main
from cloud.azureml import pipeline_entry, pipeline_runs
from cloud.azureml.azureml_client import KINDS, AzureML
from cloud.settings import Settings
from cloud.storage.containers import Storage
from tests.cloud.azureml.arm import WORKSPACE
from tests.cloud.azureml.server import Fault, Service

pytestmark = pytest.mark.slow

FILE = """
[[pipeline]]
name = "nightly"
kind = "published"
id = "pipe-1"
schedule = "0 0 3 * * *"
parameters = { day = "{slot:%Y}" }

[[pipeline]]
name = "weekly"
kind = "schedule"
azureml_schedule = "weekly"
every = "1 week"
"""


@pytest.fixture(autouse=True)
def wired(storage_account: str, aml: AzureML, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pipelines.toml"
    path.write_text(FILE)
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    monkeypatch.setattr(pipeline_runs, "default_storage", lambda: storage)
    monkeypatch.setattr(pipeline_runs, "azureml", lambda: aml)
    monkeypatch.setattr(tick, "current", lambda: Settings(azureml_workspace=WORKSPACE, azureml_region="westeurope"))
    monkeypatch.setattr(pipelines_file, "pipelines", lambda: pipelines_file.read(path))


def test_dry_run_prints_and_run_sends(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pipelines", "run", "nightly", "--dry-run"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["url"].endswith("/PipelineRuns/PipelineSubmit/pipe-1")
    assert service.posts() == []
    assert main(["pipelines", "run", "nightly"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["id"] == "run-1"
    assert main(["pipelines", "history", "nightly"]) == 0
    assert "submitted" in capsys.readouterr().out


def test_lists_entries_and_the_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pipelines", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["nightly", "weekly"]
    assert main(["pipelines", "list", "--remote"]) == 0
    assert "pipe-1" in capsys.readouterr().out


def test_unknown_names_are_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "history"):
        assert main(["pipelines", command, "nigtly"]) == 1
        assert "nightly" in capsys.readouterr().err
    assert main(["pipelines", "history", "nightly"]) == 0
    assert "not run yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("how", "state", "runs"),
    [(["--run", "weekly-1"], "done", 1), (["--resubmit"], "submitted", 2), (["--skip"], "skipped", 1)],
)
def test_an_unknown_slot_is_seen_and_resolved(
    how: list[str], state: str, runs: int, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults.append(Fault("POST", "trigger", 503, after=True))
    assert main(["pipelines", "run", "weekly"]) == 1
    slot = json.loads(capsys.readouterr().out)["slot"]
    (problem,) = tick.health(pipelines_file.pipelines())
    assert f"resolve weekly {slot}" in problem
    assert main(["pipelines", "resolve", "weekly", slot, *how]) == 0
    service.jobs["weekly-1"]["properties"]["status"] = "Completed"
    tick.tick(pipelines_file.pipelines())
    capsys.readouterr()
    main(["pipelines", "history", "weekly"])
    assert f"{slot}  {state}" in capsys.readouterr().out
    assert len(service.jobs) == runs
    assert tick.health(pipelines_file.pipelines()) == []


@pytest.mark.parametrize(("slot", "wrong"), [("2026-11-23T03:00:00", "no offset"), ("yesterday", "not a moment")])
def test_a_slot_that_names_no_instant_is_refused(slot: str, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pipelines", "resolve", "weekly", slot, "--skip"]) == 1
    assert wrong in (said := capsys.readouterr().err) and "as `history` prints it" in said


def test_a_tag_without_a_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["models", "register", "fruit", "folder", "--tag", "approved"])
    assert "'approved' is no tag; write it as KEY=VALUE" in capsys.readouterr().err


def test_a_missing_workspace_is_one_line_of_the_health(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick, "current", Settings)
    (problem,) = tick.health(pipelines_file.pipelines())
    assert "AZUREML_WORKSPACE" in problem


def test_what_the_documentation_shows_is_right(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "azureml.md").read_text(encoding="utf-8")
    path = tmp_path / "shown.toml"
    path.write_text("\n".join(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)))
    shown = pipelines_file.read(path)
    assert shown.problems == ()
    assert [shown.entries[0].name, shown.models[0].name] == ["retrain", "fruit"]
    assert shown.drift and shown.lake
    keys = {item.name for cls in (pipeline_entry.PipelineKeys, *KINDS.values()) for item in fields(cls)}  # type: ignore[arg-type]
    assert [key for key in keys if f"`{key}`" not in text] == []
