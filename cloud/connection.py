"""Clients for the account behind a connection setting, one per process and connection."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from azure.storage.blob import BlobServiceClient, ExponentialRetry

from .once import once
from .settings import BadSettings

if TYPE_CHECKING:
    from azure.storage.queue import QueueServiceClient

_MIB = 1024 * 1024

# azure-core logs every storage call at INFO, which drowns the app's own lines.
logging.getLogger("azure").setLevel(logging.WARNING)


def _endpoint(connection: str, kind: str) -> tuple[str | None, str | None]:
    """(connection string, None) or (None, service URI) of the connection setting `connection`."""
    if text := os.environ.get(connection):
        return text, None
    for suffix in (f"__{kind}ServiceUri", "__serviceUri"):
        if uri := os.environ.get(connection + suffix):
            return None, uri.replace(".blob.", f".{kind}.") if suffix == "__serviceUri" else uri
    if account := os.environ.get(connection + "__accountName"):
        return None, f"https://{account}.{kind}.core.windows.net"
    raise BadSettings(
        f"No storage connection: neither {connection} nor {connection}__serviceUri, __{kind}ServiceUri or "
        "__accountName is set; set one (local.settings.example.json shows how)"
    )


def credential(connection: str) -> Any:
    """The identity for a connection by URI: the one its `__clientId` names, else whatever Azure finds."""
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    client_id = os.environ.get(connection + "__clientId")
    return ManagedIdentityCredential(client_id=client_id) if client_id else DefaultAzureCredential()


@once
def blob_service(connection: str) -> BlobServiceClient:
    """The blob client of the account that the setting `connection` names. Raises BadSettings."""
    options: dict[str, Any] = {
        # The SDK would wait 15 s before its first retry, which is longer than most uploads take.
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3),
        "connection_timeout": 20,
        "read_timeout": 60,
        # One request for a photo, and no more than this of a file that turns out to be too large.
        "max_single_get_size": 4 * _MIB,
        "max_chunk_get_size": 4 * _MIB,
        "max_single_put_size": 16 * _MIB,
        "max_block_size": 4 * _MIB,
    }
    text, uri = _endpoint(connection, "blob")
    if text is not None:
        return BlobServiceClient.from_connection_string(text, **options)
    assert uri is not None
    return BlobServiceClient(uri, credential=credential(connection), **options)


@once
def queue_service(connection: str) -> QueueServiceClient:
    """The queue client of the same account. Raises BadSettings."""
    from azure.storage.queue import QueueServiceClient

    text, uri = _endpoint(connection, "queue")
    if text is not None:
        return QueueServiceClient.from_connection_string(text)
    assert uri is not None
    return QueueServiceClient(uri, credential=credential(connection))
