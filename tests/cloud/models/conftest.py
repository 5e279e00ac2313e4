"""A workspace and an account for deliveries."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.azureml.azureml_client import AzureML
from cloud.models.registered_models import Registered
from cloud.storage.containers import Storage
from tests.cloud.azureml.server import Service
from tests.cloud.models.delivery_world import Delivery, container_of


@pytest.fixture
def delivery(
    storage_account: str, aml: AzureML, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Delivery:
    account = BlobServiceClient.from_connection_string(storage_account)
    storage = Storage(account)
    storage.ensure_containers("models", "azureml", "state")
    (scratch := tmp_path / "delivery").mkdir()
    return Delivery(storage, Registered(aml, container_of(account)), service, scratch, monkeypatch)
