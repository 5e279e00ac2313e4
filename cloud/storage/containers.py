"""Containers and blobs: pinned streaming reads, atomic conditional writes, index tags, pages.

Every method is a single storage call unless it says otherwise. A broken precondition is `Conflict`, a missing blob
is None, everything else that storage says is StorageUnavailable (Transient).
"""

from __future__ import annotations

import itertools
import json
import logging
import mimetypes
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobPrefix, BlobServiceClient, ContentSettings

from cloud import connection
from cloud.once import once
from cloud.settings import STATE, current
from cloud.storage.blobs import BlobInfo as BlobInfo
from cloud.storage.blobs import Conflict as Conflict
from cloud.storage.blobs import Page as Page
from cloud.storage.blobs import Reading as Reading
from cloud.storage.blobs import bare, code_of, date_of, info_of, translated
from cloud.storage.reasons import kept_back
from inference.errors import StorageUnavailable
from inference.results.strict_json import json_bytes

log = logging.getLogger(__name__)

# What an account without index tags answers (hierarchical namespace, premium), or an identity that may not set them.
_NO_TAGS = re.compile(r"FeatureNotYetSupported|TagsNotSupported|AuthorizationPermissionMismatch|NotImplemented")
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9 +\-./:=_]")
_CLIENTS = 64  # of blobs, kept by each Storage: those of the uploads in work
# The requests of this process by their numbers: the client's own ids take more computing than a signature.
_REQUESTS = map(f"{uuid.uuid4().hex}-{{}}".format, itertools.count(1))


class Storage:
    """The containers of a storage account."""

    def __init__(self, service: BlobServiceClient) -> None:
        self.service = service
        # An upload's is asked for twice, its receipt's, too: to make a client takes an eighth of a call's computing.
        self._blob: Callable[[str, str], BlobClient] = lru_cache(_CLIENTS)(service.get_blob_client)
        self.tags_refused: str | None = None  # the account's own words, once it has refused index tags

    def ensure_containers(self, *names: str) -> None:
        """Create the containers that do not exist yet; a call per container."""
        for name in names:
            with translated(f"creating container {name}"):
                try:
                    self.service.create_container(name)
                except HttpResponseError as error:
                    if code_of(error) != "ContainerAlreadyExists":
                        raise

    def address(self, container: str, name: str) -> str:
        """Where a blob is, without what opens it; no call."""
        return self._blob(container, name).url.partition("?")[0]

    def date(self) -> datetime:
        """The service's own date and time, in whole seconds, about which the hosts of an app agree, whatever their own
        clocks say. Raises StorageUnavailable."""
        headers: dict[str, str] = {}
        with translated("asking storage for the date"):
            try:
                container = self.service.get_container_client(STATE)
                container.get_container_properties(raw_response_hook=_keep_headers(headers))
            except ResourceNotFoundError as error:
                headers = dict(cast(Any, error.response).headers)
        return date_of(headers)

    def open(self, container: str, name: str, etag: str | None = None) -> Reading | None:
        """Open a blob, at version `etag` if given; the first 4 MiB come with this call.

        Its bytes come as they are, unpacked where its Content-Encoding is true. Raises Conflict if it is in another
        version, UnreadableMedia where storage keeps it back (archive tier, a key of the uploader's own).
        """
        headers: dict[str, str] = {}
        with translated(f"reading {container}/{name}"):
            try:
                stream = self._blob(container, name).download_blob(
                    decompress=False, raw_response_hook=_keep_headers(headers), **_options(etag)
                )
            except ResourceNotFoundError:
                return None
        return Reading(info_of(name, stream.properties, headers), stream.chunks)

    def read(self, container: str, name: str, limit: int = 64 * 1024 * 1024) -> tuple[bytes, BlobInfo] | None:
        """Content and properties of a blob in memory, or None where there is none."""
        reading = self.open(container, name)
        return None if reading is None else (reading.read(limit), reading.info)

    def read_json(self, container: str, name: str) -> tuple[Any, BlobInfo] | None:
        """As read, parsed. Raises ValueError for what is not JSON."""
        stored = self.read(container, name)
        return None if stored is None else (json.loads(stored[0]), stored[1])

    def read_range(self, container: str, name: str, start: int, length: int, etag: str) -> bytes:
        """`length` bytes of version `etag` from `start` on. Raises Conflict if it was overwritten or deleted."""
        with translated(f"reading {container}/{name}"):
            try:
                stream = self._blob(container, name).download_blob(start, length, decompress=False, **_options(etag))
                data = cast(bytes, stream.readall())
            except ResourceNotFoundError as error:
                raise Conflict(f"reading {container}/{name}: it was deleted") from error
        if len(data) != length:
            raise StorageUnavailable(f"reading {container}/{name}: {len(data)} of {length} bytes came; again")
        return data

    def head(self, container: str, name: str) -> BlobInfo | None:
        """Properties of a blob, or None where there is none; a call more where storage keeps them back."""
        headers: dict[str, str] = {}
        with translated(f"reading {container}/{name}"):
            try:
                properties = self._blob(container, name).get_blob_properties(
                    raw_response_hook=_keep_headers(headers), **_options()
                )
            except ResourceNotFoundError:
                return None
            except HttpResponseError as error:
                if not kept_back(code_of(error)):
                    raise
                page = next(self.pages(container, name, size=1), None)  # names sort before what begins with them
                return next((blob for blob in page.blobs if blob.name == name), None) if page else None
        return info_of(name, properties, headers)

    def uncommitted(self, container: str, name: str) -> int:
        """Bytes of new content that were uploaded for a blob and are not in place yet; 0 also where nobody can tell
        (blobs of other kinds, accounts with folders)."""
        with translated(f"asking for the blocks of {container}/{name}"):
            try:
                _, blocks = self._blob(container, name).get_block_list("uncommitted")
            except HttpResponseError as error:
                if error.status_code in (400, 404, 409):
                    return 0
                raise
        return sum(block.size for block in blocks)

    def write(
        self,
        container: str,
        name: str,
        data: bytes | Path,
        *,
        if_match: str | None = None,
        if_absent: bool = False,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> str:
        """Write a blob in an atomic commit and return its ETag.

        Up to 16 MiB is a single Put Blob; more is staged in blocks that a Put Block List makes visible. A
        missing container is made. Raises Conflict where `if_match` or `if_absent` does not hold.
        """
        options: dict[str, Any] = {
            "metadata": {key: quote(value, safe=" /:.,-+=~\"'()") for key, value in (metadata or {}).items()},
            "content_settings": ContentSettings(content_type=content_type or guess_type(name)),
            "overwrite": not if_absent,
            **_options(if_match),
        }
        if tags and not self.tags_refused:
            options["tags"] = {key: _NOT_IN_TAGS.sub("_", value)[:256] for key, value in tags.items()}
        with translated(f"writing {container}/{name}"):
            return self._write(container, name, data, options)

    def _write(self, container: str, name: str, data: bytes | Path, options: dict[str, Any]) -> str:
        try:
            return _upload(self._blob(container, name), data, options)
        except HttpResponseError as error:
            if code_of(error) == "ContainerNotFound":
                self.ensure_containers(container)
                return _upload(self._blob(container, name), data, options)
            if "tags" not in options or not _NO_TAGS.search(code_of(error)):
                raise
            del options["tags"]
            etag = _upload(self._blob(container, name), data, options)
            # Only now is it certain that the tags, and not the write, were refused.
            self.tags_refused = f"{code_of(error)}: {error.reason}"
            log.warning("This account takes no index tags (%s): results go without", self.tags_refused)
            return etag

    def write_json(self, container: str, name: str, document: object, **options: Any) -> str:
        """As write, for a document."""
        return self.write(container, name, to_bytes(document), content_type="application/json", **options)

    def delete(self, container: str, name: str, if_match: str | None = None, *, snapshots: bool = False) -> bool:
        """Delete a blob, with its `snapshots` or not at all where it has some; False where there was none. Raises
        Conflict if it is in another version."""
        options: dict[str, Any] = {"delete_snapshots": "include"} if snapshots else {}
        with translated(f"deleting {container}/{name}"):
            try:
                self._blob(container, name).delete_blob(**options, **_options(if_match))
            except ResourceNotFoundError:
                return False
        return True

    def pages(self, container: str, prefix: str = "", token: str | None = None, size: int = 1000) -> Iterator[Page]:
        """The blobs below `prefix`, with metadata, in the service's order; a call per page.

        A missing container is empty. Markers of folders are left out.
        """
        headers: dict[str, str] = {}
        with translated(f"listing {container}/{prefix}"):
            listing = self.service.get_container_client(container).list_blobs(
                name_starts_with=prefix or None,
                include=["metadata"],
                results_per_page=size,
                raw_response_hook=_keep_headers(headers),
            )
            pages = cast(Any, listing.by_page(continuation_token=token))
            try:
                for page in pages:
                    infos = (info_of(item.name, item, headers) for item in page)
                    yield Page([info for info in infos if not info.is_folder], token, pages.continuation_token or None)
                    token = pages.continuation_token
            except ResourceNotFoundError:
                return

    def copies(self, container: str, name: str) -> Counter[str]:
        """How many "snapshots", "versions" and "deleted" ones (kept by soft delete) there are of a blob beside itself,
        as far as the account has them and tells; a call."""
        found: Counter[str] = Counter()
        client = self.service.get_container_client(container)
        for include in (["snapshots", "versions", "deleted"], ["snapshots"]):  # as the account, or an emulator, knows
            with translated(f"listing the copies of {container}/{name}"):
                try:
                    for item in client.list_blobs(name_starts_with=name, include=include):
                        if item.name != name:
                            break  # it is the first of those that begin so
                        old = item.version_id and not item.is_current_version
                        kinds = {"deleted": item.deleted, "snapshots": item.snapshot, "versions": old}
                        found.update([kind for kind, is_one in kinds.items() if is_one][:1])
                    return found
                except ResourceNotFoundError:
                    return found
                except HttpResponseError as error:
                    if error.status_code not in (400, 409, 501) or include == ["snapshots"]:
                        raise
                    found.clear()
        return found

    def soft_delete_days(self) -> int | None:
        """How long the account keeps deleted blobs; 0: it does not, None: it does not say. A single call."""
        try:
            policy: Any = self.service.get_service_properties().get("delete_retention_policy")
        except AzureError:
            return None
        return int(policy.days or 0) if policy and policy.enabled else 0

    def folders(self, container: str, prefix: str) -> list[str]:
        """The names one level below `prefix`, which ends with a slash, that have blobs below them; a call per 5,000."""
        with translated(f"listing {container}/{prefix}"):
            found = self.service.get_container_client(container).walk_blobs(prefix, delimiter="/")
            try:
                return sorted(item.name.removeprefix(prefix)[:-1] for item in found if isinstance(item, BlobPrefix))
            except ResourceNotFoundError:
                return []


def _upload(blob: BlobClient, data: bytes | Path, options: dict[str, Any]) -> str:
    if isinstance(data, bytes):
        return bare(blob.upload_blob(data, length=len(data), **options)["etag"])
    with data.open("rb") as file:
        return bare(blob.upload_blob(file, length=data.stat().st_size, **options)["etag"])


def _options(etag: str | None = None) -> dict[str, Any]:
    """What every request says, and that the blob is to be in version `etag`."""
    named = {"client_request_id": next(_REQUESTS)}
    return named | {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified} if etag else named


def _keep_headers(headers: dict[str, str]) -> Callable[[Any], None]:
    return lambda answer: headers.update(answer.http_response.headers)


def to_bytes(document: object) -> bytes:
    """A document as compact UTF-8 JSON."""
    return json_bytes(document)


def guess_type(name: str) -> str:
    """The media type by the extension; for what we wrote ourselves, never for uploads."""
    if name.endswith(".jsonl"):
        return "application/x-ndjson"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


@once
def default_storage() -> Storage:
    """The account of the setting STORAGE_CONNECTION, with a single client for the whole process."""
    return Storage(connection.blob_service(current().storage_connection))
