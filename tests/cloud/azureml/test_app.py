"""The app itself, in a host of its own: its timer signs in by managed identity and starts a pipeline, once a slot."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.azureml.slot_store import SlotStore
from cloud.storage.containers import Storage
from localhost.host_process import HostProcess
from tests.cloud.azureml.arm import WORKSPACE
from tests.cloud.azureml.server import Service

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
FILE = """
[[pipeline]]
name = "often"
kind = "published"
id = "pipe-1"
schedule = "*/3 * * * * *"

[[pipeline]]
name = "wrong"
kind = "publshed"
"""


def test_a_timer_function_runs_a_pipeline_by_managed_identity(
    service: Service, storage_account: str, tmp_path: Path
) -> None:
    path = tmp_path / "pipelines.toml"
    path.write_text(FILE)
    environ = {
        "AzureWebJobsStorage": storage_account,
        "SWEEP_SCHEDULE": "0 0 0 1 1 *",
        "TICK_SCHEDULE": "* * * * * *",
        "PIPELINES_FILE": str(path),
        "AZUREML_WORKSPACE": WORKSPACE,
        "AZUREML_REGION": "westeurope",
        "AZUREML_DEV_URL_MFE": service.base,
        # What App Service sets for an app with a managed identity.
        "IDENTITY_ENDPOINT": f"{service.base}/msi",
        "IDENTITY_HEADER": "secret",
    }
    receipts = SlotStore(Storage(BlobServiceClient.from_connection_string(storage_account)))

    def settled() -> bool:
        for run in list(service.runs.values()):
            run["Status"]["StatusCode"] = "Finished"
        return [slot.state for slot in receipts.history("often")].count("done") >= 2

    with HostProcess(ROOT, environ, ["--functions", "tick"], tmp_path / "log") as host:
        host.wait_for(settled, "two slots to be done", 60)
        assert "pipeline often, slot" in host.printed()  # a line of one of the tick's own threads
    tags = [run["tags"]["dropsight-slot"] for run in service.runs.values()]
    assert len(tags) == len(set(tags)) >= 2
    assert "/msi" in {path for _, path, *_ in service.seen}
