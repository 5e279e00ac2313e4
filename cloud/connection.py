"""Clients for the account behind a connection setting, a single client per process and connection."""

from __future__ import annotations

import base64
import logging
import re
from typing import TYPE_CHECKING, Any, TypeVar

from azure.storage.blob import BlobServiceClient, ExponentialRetry

from cloud.once import once
from cloud.settings import BadSettings, ca_bundle, endpoint
from cloud.transport import StorageTransport
from inference.loopback import bypass_proxy, is_loopback

if TYPE_CHECKING:
    from azure.data.tables import TableServiceClient
    from azure.storage.queue import QueueServiceClient

_MIB = 1024 * 1024

# azure-core logs every storage call at INFO, which drowns the app's own lines.
logging.getLogger("azure").setLevel(logging.WARNING)
# For the clients that we do not make: of the identity, whose endpoint Azure puts on the host itself, and of Azure ML.
bypass_proxy()

Service = TypeVar("Service", "BlobServiceClient", "QueueServiceClient", "TableServiceClient")


def _credential(client_id: str | None) -> Any:
    """The identity that a connection by address names, else whatever Azure finds."""
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=client_id) if client_id else DefaultAzureCredential()


def by_connection_string(kind: type[Service], text: str, **options: Any) -> Service:
    """The client of an account; the emulator is reached without the proxies of the environment and of the system.

    Raises ValueError for what is no connection string.
    """
    _check_key(text)
    url = kind.from_connection_string(text).url
    return kind.from_connection_string(text, transport=_transport(url), **options)


def _check_key(text: str) -> None:
    """Raises ValueError for an account key that is not base64, which the client would say at its first request."""
    found = re.search(r"(?:^|;)\s*AccountKey=([^;]*)", text, re.IGNORECASE)
    if found:
        base64.b64decode(found[1].strip(), validate=True)


def _named(kind: type[Service], connection: str, text: str, **options: Any) -> Service:
    """The client that the setting `connection` asks for. Raises BadSettings, with the setting's name, not its value."""
    try:
        return by_connection_string(kind, text, **options)
    except ValueError as error:
        if text.lstrip().lower().startswith("@microsoft.keyvault("):
            why = "is a reference to Key Vault that was not resolved: check its address, and that the app may read it"
        else:
            why = (
                "is no connection string of a storage account that can be used; copy it from the account's page "
                "Access keys, whole, or set UseDevelopmentStorage=true for the emulator"
            )
        raise BadSettings(f"{connection} {why}") from error


def _transport(url: str) -> StorageTransport:
    """Of the client of an account; of one on this machine without proxies."""
    direct = {"use_env_settings": False, "connection_verify": ca_bundle() or True} if is_loopback(url) else {}
    return StorageTransport(**direct)


@once
def blob_service(connection: str) -> BlobServiceClient:
    """The blob client of the account that the setting `connection` names. Raises BadSettings."""
    options: dict[str, Any] = {
        # The SDK would wait 15 s before its first retry, which is longer than most uploads take.
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3),
        # One request for a photo, and no more than this of a file that turns out to be too large.
        "max_single_get_size": 4 * _MIB,
        "max_chunk_get_size": 4 * _MIB,
        "max_single_put_size": 16 * _MIB,
        "max_block_size": 4 * _MIB,
    }
    place = endpoint(connection, "blob")
    if place.text:
        return _named(BlobServiceClient, connection, place.text, **options)
    return BlobServiceClient(
        place.uri, credential=_credential(place.client_id), transport=_transport(place.uri), **options
    )


@once
def queue_service(connection: str) -> QueueServiceClient:
    """The queue client of the same account. Raises BadSettings."""
    from azure.storage.queue import QueueServiceClient

    place = endpoint(connection, "queue")
    if place.text:
        return _named(QueueServiceClient, connection, place.text)
    return QueueServiceClient(place.uri, credential=_credential(place.client_id), transport=_transport(place.uri))


@once
def table_service(connection: str) -> TableServiceClient:
    """The table client of the same account. Raises BadSettings."""
    from azure.data.tables import TableServiceClient

    options: dict[str, Any] = {"retry_total": 2, "retry_backoff_factor": 0.5}
    place = endpoint(connection, "table")
    if place.text:
        return _named(TableServiceClient, connection, place.text, **options)
    return TableServiceClient(
        place.uri, credential=_credential(place.client_id), transport=_transport(place.uri), **options
    )
