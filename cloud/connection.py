"""Clients for the account behind a connection setting, a single client per process and connection."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from azure.storage.blob import BlobServiceClient, ExponentialRetry

from cloud.once import once
from cloud.settings import endpoint

if TYPE_CHECKING:
    from azure.storage.queue import QueueServiceClient

_MIB = 1024 * 1024

# azure-core logs every storage call at INFO, which drowns the app's own lines.
logging.getLogger("azure").setLevel(logging.WARNING)


def _credential(client_id: str | None) -> Any:
    """The identity that a connection by address names, else whatever Azure finds."""
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

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
    place = endpoint(connection, "blob")
    if place.text:
        return BlobServiceClient.from_connection_string(place.text, **options)
    return BlobServiceClient(place.uri, credential=_credential(place.client_id), **options)


@once
def queue_service(connection: str) -> QueueServiceClient:
    """The queue client of the same account. Raises BadSettings."""
    from azure.storage.queue import QueueServiceClient

    place = endpoint(connection, "queue")
    if place.text:
        return QueueServiceClient.from_connection_string(place.text)
    return QueueServiceClient(place.uri, credential=_credential(place.client_id))
