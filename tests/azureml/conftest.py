"""A workspace on loopback, and the real SDK pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.azureml.client import AzureML
from cloud.azureml.types import Workspace
from tests.azureml.arm import WORKSPACE
from tests.azureml.credential import FakeCredential, OverHttp
from tests.azureml.server import Service, serve


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
