"""`python -m cloud drift approve` over real storage and the local workspace: one run, whatever came before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.__main__ import main
from cloud.azureml import pipeline_runs
from cloud.azureml.azureml_client import AzureML
from cloud.azureml.slot_runner import PipelineFailed
from cloud.drift import retraining
from cloud.pipelines_file import Pipelines, read
from cloud.storage import containers
from cloud.storage.containers import Storage
from tests.cloud.azureml.server import Fault, Service

FILE = """
[[pipeline]]
name = "retrain"
kind = "published"
id = "pipe-1"
every = "2 weeks"
[drift]
retrain = "retrain"
"""
AT = datetime(2026, 11, 27, 10, tzinfo=UTC)


class House:
    """What the command line finds: the file of the moment, and a request that waits."""

    def __init__(self, storage: Storage, path: Path) -> None:
        self.storage, self.path = storage, path
        self.write(FILE)
        request = retraining.Request("waiting", "retrain", "label cat -> dog", AT.isoformat())
        storage.write_json("state", retraining.REQUEST, request.to_json())

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def pipelines(self) -> Pipelines:
        return read(self.path)

    @property
    def state(self) -> str:
        found = retraining.read(self.storage)
        assert found
        return found[0].state


@pytest.fixture
def house(storage_account: str, aml: AzureML, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    made = House(storage, tmp_path / "pipelines.toml")
    monkeypatch.setattr(containers, "default_storage", lambda: storage)
    monkeypatch.setattr(pipeline_runs, "default_storage", lambda: storage)
    monkeypatch.setattr(pipeline_runs, "azureml", lambda: aml)
    monkeypatch.setattr(pipeline_runs, "pipelines", made.pipelines)
    return made


@pytest.mark.slow
def test_a_renamed_entry_costs_no_approval(house: House, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    house.write(FILE.replace('"retrain"', '"retrain-v2"'))
    assert main(["drift", "approve"]) == 1
    assert "no usable entry 'retrain'" in capsys.readouterr().err
    assert (house.state, service.posts()) == ("waiting", [])
    house.write(FILE)
    assert main(["drift", "approve"]) == 0
    assert "submitted, slot" in capsys.readouterr().out
    assert main(["drift", "approve"]) == 1
    assert (house.state, len(service.runs)) == ("submitted", 1)


@pytest.mark.slow
def test_a_refused_submission_costs_no_approval(house: House, service: Service) -> None:
    pipeline = service.pipelines.pop("pipe-1")
    assert main(["drift", "approve"]) == 1
    assert (house.state, len(service.runs)) == ("waiting", 0)
    service.pipelines["pipe-1"] = pipeline
    assert main(["drift", "approve"]) == 0
    assert (house.state, len(service.runs)) == ("submitted", 1)


def test_a_busy_service_leaves_the_slot_to_the_timer(
    house: House, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults.append(Fault("POST", "", 429, headers={"Retry-After": "17"}))
    assert main(["drift", "approve"]) == 0
    assert "not submitted yet, the timer goes on with it" in capsys.readouterr().out
    assert (house.state, len(service.runs)) == ("approved", 0)
    later = datetime.now(UTC) + timedelta(minutes=30)
    pipeline_runs.runner(clock=lambda: later).wake(house.pipelines().find("retrain"), on=False)
    assert len(service.runs) == 1
    assert main(["drift", "approve"]) == 0
    assert (house.state, len(service.runs)) == ("submitted", 1)


def test_a_slot_that_is_asked_for_twice_runs_once(house: House, service: Service) -> None:
    first = pipeline_runs.submit_now("retrain", AT)
    assert (first.at, first.state) == (AT, "submitted")
    assert pipeline_runs.submit_now("retrain", AT).run == first.run
    assert len(service.runs) == 1
    service.pipelines.clear()
    refused = pipeline_runs.submit_now("retrain", AT + timedelta(seconds=1))
    assert (refused.state, refused.run) == ("failed", None)
    with pytest.raises(PipelineFailed):
        pipeline_runs.runner().run_now(house.pipelines().find("retrain"), AT + timedelta(seconds=2))
