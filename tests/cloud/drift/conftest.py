"""Storage with results of several ages, and the models that come with the project."""

from __future__ import annotations

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.storage.containers import Storage
from inference.engine.registry import BUILT_IN, Registry
from tests.cloud.drift.drift_world import Aged


@pytest.fixture
def storage(storage_account: str) -> Storage:
    return Aged(BlobServiceClient.from_connection_string(storage_account))


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry([BUILT_IN])
