"""Storage accounts by connection name, and the small operations the host's own state needs."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import BlobClient, BlobServiceClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from localhost.errors import BindingError
from localhost.host_settings import STORAGE, setting

HOSTS = "azure-webjobs-hosts"
_LOG = logging.getLogger("localhost")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}")


class Account:
    """One storage account: its blob and queue services, kept open while the host runs."""

    def __init__(self, connection: str, connection_string: str) -> None:
        # The host polls again anyway: the SDK's own waits of minutes would only delay its start and its stop.
        retry: dict[str, Any] = {"retry_total": 2, "initial_backoff": 0, "increment_base": 1, "random_jitter_range": 0}
        retry |= {"connection_timeout": 5, "read_timeout": 60}
        try:
            self.blobs = BlobServiceClient.from_connection_string(connection_string, **retry)
            self.is_local = is_loopback(self.blobs.url)
            if self.is_local:  # no proxy, of the environment or of the system, reaches this machine
                retry["use_env_settings"] = False
                self.blobs = BlobServiceClient.from_connection_string(connection_string, **retry)
            self.queues = QueueServiceClient.from_connection_string(connection_string, **retry)
        except ValueError as error:
            raise BindingError(f"Setting {connection!r} is not a storage connection string ({error}).") from error
        self.name = str(self.blobs.account_name)

    def blob(self, container: str, name: str) -> BlobClient:
        return self.blobs.get_blob_client(container, name)

    def queue(self, name: str) -> QueueClient:
        """A client that sends and receives the text of messages as it is, base64 included."""
        return self.queues.get_queue_client(name)

    async def upload(self, container: str, name: str, data: bytes, *, overwrite: bool = True, **options: Any) -> None:
        """Writes a whole blob in one request, creating its container where it is missing."""
        blob = self.blob(container, name)
        try:
            await blob.upload_blob(data, overwrite=overwrite, **options)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):
                await self.blobs.create_container(container)
            await blob.upload_blob(data, overwrite=overwrite, **options)

    async def download(self, container: str, name: str) -> bytes | None:
        """A whole blob, or None when it (or its container) does not exist."""
        try:
            return await (await self.blob(container, name).download_blob()).readall()
        except ResourceNotFoundError:
            return None

    async def send(self, queue: str, text: str) -> None:
        """Sends one message, creating the queue where it is missing."""
        client = self.queue(queue)
        try:
            await client.send_message(text)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):
                await client.create_queue()
            await client.send_message(text)


class Accounts:
    """Opens each account once, by the name of the setting that holds its connection string."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._open: dict[str, Account] = {}

    def get(self, connection: str | None) -> Account:
        """The account behind a trigger's ``connection``; raises :class:`BindingError` when no setting names it."""
        name = connection or STORAGE
        if name not in self._open:
            value = setting(self._environ, f"AzureWebJobs{name}") or setting(self._environ, name)
            if not value:
                raise BindingError(self._missing(name))
            self._open[name] = Account(name, value)
        return self._open[name]

    def _missing(self, name: str) -> str:
        identity = [key for key in self._environ if key.lower().startswith(f"{name}__".lower())]
        if identity:
            return (
                f"Storage account connection {name!r} is identity-based ({', '.join(sorted(identity))}); this local "
                f"host takes connection strings only. Set {name} in local.settings.json."
            )
        return f"Storage account connection string '{name}' does not exist. Make sure that it is a defined App Setting."

    async def close(self) -> None:
        for account in self._open.values():
            await account.blobs.close()
            await account.queues.close()


def check_name(name: str, what: str) -> None:
    """Raises :class:`BindingError` for a name that no container or queue can have."""
    if not _NAME.fullmatch(name):
        raise BindingError(
            f"Invalid {what} name: '{name}'. Use 3 to 63 lower-case letters, digits and single dashes, beginning and "
            "ending with a letter or a digit."
        )


def is_loopback(url: str) -> bool:
    """Whether the address leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def first_line(error: AzureError) -> str:
    """An SDK error without its headers and XML; of a page that is not storage's, only that it came."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if not line.startswith("<"):
        return line
    return f"{getattr(error, 'status_code', '')} and a page that is not storage's: a proxy's, perhaps".lstrip()


def remedy(reason: str, account: Account | None) -> str:
    """What to do where this account does not answer, for this reason."""
    if account and account.is_local:
        return "Is Azurite running?"
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return "Behind a proxy that reads TLS, name the file with your company's CA in SSL_CERT_FILE."
    return "Are the connection string, the network and the proxy (HTTPS_PROXY, NO_PROXY) right?"


class Complaints:
    """Logs a problem once, not at every poll, and again when it changed."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def __call__(self, what: str, error: AzureError) -> None:
        if self._last.get(what) != first_line(error):
            self._last[what] = first_line(error)
            _LOG.warning("%s: %s", what, first_line(error))
