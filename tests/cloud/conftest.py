"""A worker on an empty account, with models that need no weights; a workspace on loopback for the real SDK."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from cloud import connection, instance, tick
from cloud.azureml import pipeline_runs
from cloud.azureml.azureml_client import AzureML
from cloud.azureml.workspace import Workspace
from cloud.index.default import default_index, default_tables, default_writer
from cloud.index.table import UploadTable
from cloud.models import deliveries
from cloud.settings import CONTAINERS, Settings
from cloud.storage.containers import Storage, default_storage
from cloud.uploads.upload_worker import UploadWorker
from cloud.videos.job_worker import Videos
from cloud.web.media import default_showing, default_thumbnails
from cloud.web.signing import default_signer
from inference.engine.registry import Registry
from inference.engine.trial import Trial
from inference.routes_file import parse_routes
from tests.cloud.azureml.arm import WORKSPACE
from tests.cloud.azureml.credential import FakeCredential, OverHttp
from tests.cloud.azureml.server import Service, serve
from tests.cloud.helpers import Calls
from tests.cloud.tick_world import World
from tests.cloud.videos.long_videos import long_clip, make_models, make_videos

ROOT = Path(__file__).resolve().parents[2]
ROUTES = """
[[route]]
name = "night"
match = "night/**"
when = "0 0 2 * * *"
steps = [{ model = "sketch" }]
[[route]]
name = "classify"
match = "nothing/**"
steps = [{ model = "classify", threshold = 0 }]
[[route]]
name = "default"
match = "**"
steps = [{ model = "sketch" }]
"""


@pytest.fixture(autouse=True)
def _every_trial_ends_well(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each model of each test would take minutes; test_trials has the real ones."""
    if "hostile" not in request.node.name:
        monkeypatch.setattr("cloud.models.trials.trial", lambda *_: Trial())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    counted, real = Calls(), http.client.HTTPConnection.putrequest  # below every client of storage

    def putrequest(self: http.client.HTTPConnection, method: str, url: str, **options: Any) -> None:
        if not type(self).__module__.startswith("azure."):  # by which azure-core writes the parts of a transaction
            counted.seen.append(f"{method} {url.split('/', 2)[2]}")
        real(self, method, url, **options)

    monkeypatch.setattr(http.client.HTTPConnection, "putrequest", putrequest)
    return counted


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry([ROOT / "models"])


@pytest.fixture
def account(storage_account: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The account in the environment, with all containers."""
    monkeypatch.setenv("AzureWebJobsStorage", storage_account)
    service = BlobServiceClient.from_connection_string(storage_account)
    Storage(service).ensure_containers(*CONTAINERS)
    shared = (
        *(connection.blob_service, connection.queue_service, connection.table_service),
        *(default_storage, instance.default_replays, default_tables, default_index, default_writer),
        *(default_signer, default_showing, default_thumbnails),
    )
    for each in shared:  # what an earlier test left speaks to an account that may be gone
        each.cache_clear()
    yield storage_account
    for each in shared:
        each.cache_clear()


@pytest.fixture
def index_table(account: str) -> Iterator[UploadTable]:
    """The table of the index in the account, which is made with its first row."""
    with TableServiceClient.from_connection_string(account) as service:
        yield UploadTable(service)


@pytest.fixture
def make_worker(account: str, registry: Registry) -> Callable[..., UploadWorker]:
    """Makes workers of one account; keywords are settings."""

    def make(**settings: Any) -> UploadWorker:
        storage = Storage(connection.blob_service("AzureWebJobsStorage"))
        chosen = Settings(**{"lease_seconds": 2.0, **settings})
        return UploadWorker(storage, chosen, parse_routes(ROUTES, "test routes"), registry)

    connection.blob_service.cache_clear()
    return make


@pytest.fixture
def worker(make_worker: Callable[..., UploadWorker]) -> UploadWorker:
    return make_worker()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return long_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def videos(account: str, models: Path) -> Iterator[Videos]:
    connection.blob_service.cache_clear()
    connection.queue_service.cache_clear()
    yield make_videos(models)
    connection.queue_service.cache_clear()


@pytest.fixture
def credential() -> FakeCredential:
    return FakeCredential()


@pytest.fixture
def service(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with serve(Service(shared / "specs")) as running:
        monkeypatch.setenv("AZUREML_DEV_URL_MFE", running.base)
        yield running


@pytest.fixture
def aml(service: Service, credential: FakeCredential) -> AzureML:
    options = {"authentication_policy": OverHttp(credential)}
    return AzureML(Workspace.parse(WORKSPACE, "westeurope"), credential, options)


@pytest.fixture
def world(
    storage_account: str, aml: AzureML, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    for module in (pipeline_runs, tick, deliveries):
        monkeypatch.setattr(module, "default_storage", lambda: storage)
    monkeypatch.setattr(pipeline_runs, "azureml", lambda: aml)
    monkeypatch.setattr(tick, "current", lambda: Settings(azureml_workspace=WORKSPACE, azureml_region="westeurope"))
    monkeypatch.setattr("azure.core.pipeline.policies.RetryPolicy.sleep", lambda *_, **__: None)
    made = World(storage, aml, service, tmp_path)
    assert made.tick(timedelta(seconds=-30)) == ""  # it has looked before
    return made
