"""An empty table in Azurite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.data.tables import TableServiceClient

from cloud.index.table import UploadTable


@pytest.fixture
def table(storage_account: str) -> Iterator[UploadTable]:
    with TableServiceClient.from_connection_string(storage_account) as service:
        yield UploadTable(service)
