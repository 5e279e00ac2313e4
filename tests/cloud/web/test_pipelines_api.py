"""The entries of pipelines.toml over HTTP: listed, run, and their slots."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from cloud import pipelines_file
from cloud.azureml import pipeline_runs
from cloud.azureml.azureml_client import AzureML
from cloud.storage.containers import Storage
from tests.cloud.azureml.server import Service
from tests.cloud.web.asking import ask, said

pytestmark = pytest.mark.slow
FILE = """
[[pipeline]]
name = "nightly"
kind = "published"
id = "pipe-1"
schedule = "0 0 3 * * *"

[[pipeline]]
name = "off"
kind = "published"
id = "pipe-1"
schedule = "0 0 3 * * *"
enabled = false

[[pipeline]]
name = "broken"
kind = "publishd"
"""


@pytest.fixture(autouse=True)
def wired(storage_account: str, aml: AzureML, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pipelines.toml").write_text(FILE)
    read = pipelines_file.read(tmp_path / "pipelines.toml")
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    monkeypatch.setattr(pipeline_runs, "default_storage", lambda: storage)
    monkeypatch.setattr(pipeline_runs, "azureml", lambda: aml)
    for module in ("cloud.web.pipelines_api", "cloud.azureml.pipeline_runs"):
        monkeypatch.setattr(f"{module}.pipelines", lambda: read)


def test_entries_are_listed_with_their_next_slots_and_what_is_wrong(service: Service) -> None:
    found = said(ask("GET", "v1/pipelines"))
    nightly, off = found["pipelines"]
    assert (nightly["name"], nightly["last"], nightly["open"], nightly["problem"]) == ("nightly", None, 0, "")
    assert nightly["next"].endswith("T03:00:00+00:00") and off["next"] is None
    assert "did you mean 'published'?" in found["problems"][0]


def test_an_entry_is_run_now_and_its_slot_followed(service: Service) -> None:
    answer = ask("POST", "operate/pipelines/nightly")
    slot = said(answer)
    assert (answer.status_code, slot["state"], slot["run"]["id"]) == (202, "submitted", "run-1")
    history = said(ask("GET", "v1/pipelines/nightly"))
    assert history["history"] == [slot] and history["pipeline"]["open"] == 1
    assert len(service.posts()) == 1


def test_an_entry_that_is_not_there_is_not_found_with_the_nearest(service: Service) -> None:
    for method, address in (("GET", "v1/pipelines/nightli"), ("POST", "operate/pipelines/nightli")):
        answer = ask(method, address)
        assert answer.status_code == 404 and "nightly" in said(answer)["detail"]
    assert service.posts() == []
