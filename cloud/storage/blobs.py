"""What storage says of blobs, and Azure's exceptions as ours."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from azure.core.exceptions import AzureError, DeserializationError, HttpResponseError

from cloud.storage.encoded import unpacked
from cloud.storage.reasons import is_page, kept_back, reason_of
from inference.errors import LimitExceeded, StorageRefused, StorageUnavailable, UnreadableMedia

_CONDITION_CODES = ("BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", "UnauthorizedBlobOverwrite")
_HELD = re.compile("Immutable|LegalHold|LeaseIdMissing|SnapshotsPresent")
# Of answers to a request, those that another moment or another person mends: rights, throttling, time, conditions.
_MAY_PASS = (401, 403, 404, 407, 408, 409, 412, 425, 429)


class Conflict(Exception):
    """The blob is not in the version that the call was conditioned on."""


class BlobHeld(StorageUnavailable):
    """The blob may not be changed or deleted for now: a lease, a legal hold, a policy, snapshots of it."""


@dataclass(frozen=True)
class BlobInfo:
    """A blob's properties. `served_at` is the service's own clock when it answered."""

    name: str
    etag: str
    size: int
    modified: datetime
    served_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    encoding: str = ""  # what the uploader says of the bytes, such as "gzip"; it need not be true
    archived: bool = False  # nobody can read it before it was brought back
    says_directory: bool = False  # by the account's kind of resource, or by its content type

    @property
    def is_folder(self) -> bool:
        """Whether an empty blob stands for a folder: a directory of an account with a hierarchical namespace, or what
        mounts and storage browsers make in its place. A blob with content is a file, whatever else is said of it."""
        if self.size:
            return False
        marked = self.metadata.get("hdi_isfolder", "").strip().lower() in ("true", "1")
        return marked or self.says_directory or self.name.endswith(("/", "\\"))

    @property
    def age_s(self) -> float:
        """Seconds that have passed since the last write at least, by the service's clock: no skew between machines.

        HTTP dates are whole seconds, cut off: their difference is up to a second too long.
        """
        return max(0.0, (self.served_at - self.modified).total_seconds() - 1)


@dataclass(frozen=True)
class Page:
    """A page of a listing; `token` lists this page again, `next_token` (None: the end) the next page."""

    blobs: list[BlobInfo]
    token: str | None
    next_token: str | None


class Reading:
    """An opened blob: its properties and its content, pinned to a version.

    packed: whether its bytes are what its Content-Encoding says, gzip or deflate: they come unpacked, where a range of
    the blob (`Storage.read_range`) is of the packed bytes.
    """

    def __init__(self, info: BlobInfo, chunks: Callable[[], Iterator[bytes]]) -> None:
        self.info = info
        with translated(f"reading {info.name}"):
            self.packed, self._chunks = unpacked(info.name, info.encoding, self._whole(chunks()))
            self.head = next(self._chunks, b"")  # up to 4 MiB, which came with the opening call

    def _whole(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        seen = 0
        for chunk in chunks:
            seen += len(chunk)
            yield chunk
        if seen != self.info.size:
            raise StorageUnavailable(f"reading {self.info.name}: {seen:,} of {self.info.size:,} bytes came; again")

    def chunks(self, limit: int) -> Iterator[bytes]:
        """The content in order, once. Raises LimitExceeded past `limit` bytes, Conflict if it was overwritten,
        StorageUnavailable where fewer bytes come than it has."""
        if self.info.size > limit:
            raise _too_large(self.info.name, self.info.size, limit)
        seen = 0
        with translated(f"reading {self.info.name}"):
            for chunk in itertools.chain([self.head], self._chunks):
                seen += len(chunk)
                # Properties are a promise; what arrives is what counts.
                if seen > limit:
                    raise _too_large(self.info.name, seen, limit)
                yield chunk

    def read(self, limit: int) -> bytes:
        """The whole content, in memory. Raises as `chunks`."""
        return b"".join(self.chunks(limit))

    def save(self, path: Path, limit: int) -> Path:
        """The whole content, in a file whose folders are made. Raises as `chunks`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            out.writelines(self.chunks(limit))
        return path


def code_of(error: HttpResponseError) -> str:
    """The service's own name for an error."""
    # The SDK has an enumeration of the codes it knows, and leaves the others as they came.
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code))


def _too_large(name: str, size: int, limit: int) -> LimitExceeded:
    return LimitExceeded(f"{name}: {size:,} bytes; at most {limit:,} are allowed: make the file smaller")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Azure's exceptions as ours; what is not Azure's passes.

    Of an answer only its status and its code are told, not in a traceback either: a proxy's page repeats the address,
    which has the signature of a SAS in it.
    """
    try:
        yield
    except HttpResponseError as error:
        raise _ours(doing, error) from None
    except AzureError as error:
        raise StorageUnavailable(f"{doing}: storage did not answer ({reason_of(error)}); it is tried again") from error
    except ValueError as error:
        if not (isinstance(error, DeserializationError) or "Content-Range" in str(error)):
            raise
        what = "an answer came that is not storage's: a proxy's, perhaps (HTTPS_PROXY and HTTP_PROXY name it)"
        raise StorageUnavailable(f"{doing}: {what}; it is tried again") from None


def _ours(doing: str, error: HttpResponseError) -> Exception:
    if code_of(error) in _CONDITION_CODES:
        return Conflict(f"{doing}: {code_of(error)}")
    if error.status_code is None:  # no answer of storage: the identity, say, got no token
        return StorageUnavailable(f"{doing}: {error.message}")
    if is_page(error):
        return StorageUnavailable(f"{doing}: {reason_of(error)}; it is tried again")
    if why := kept_back(code_of(error)):
        return UnreadableMedia(f"{doing}: {why}")
    what = f"{doing}: storage answered {error.status_code} {code_of(error)}"
    if error.status_code in (401, 403):
        what += "; check the connection string, or that the identity has the roles Storage Blob Data Owner, "
        what += "Storage Queue Data Contributor and Storage Table Data Contributor"
    if _HELD.search(code_of(error)):
        return BlobHeld(f"{doing}: it may not be changed for now ({code_of(error)})")
    refused = 400 <= error.status_code < 500 and error.status_code not in _MAY_PASS
    return (StorageRefused if refused else StorageUnavailable)(what)


def info_of(name: str, properties: Any, headers: Mapping[str, str]) -> BlobInfo:
    """The SDK's properties of a blob, or of its entry in a listing; `headers` of the answer that brought them."""
    metadata = {key.lower(): unquote(value or "") for key, value in (properties.metadata or {}).items()}
    return BlobInfo(
        name=name,
        etag=bare(properties.etag),
        size=properties.size,
        modified=properties.last_modified,
        served_at=date_of(headers),
        metadata=metadata,
        encoding=str(properties.content_settings.content_encoding or "").strip().lower(),
        archived=str(properties.blob_tier or "").lower() == "archive",
        says_directory=_says_directory(properties, headers),
    )


def _says_directory(properties: Any, headers: Mapping[str, str]) -> bool:
    kind = {key.lower(): value.lower() for key, value in headers.items()}.get("x-ms-resource-type")
    content_type = str(properties.content_settings.content_type or "").partition(";")[0].strip().lower()
    return kind == "directory" or content_type in ("application/x-directory", "httpd/unix-directory", "inode/directory")


def date_of(headers: Mapping[str, str]) -> datetime:
    """When the service answered, by its own clock; by ours where it does not say."""
    date = headers.get("date") or headers.get("Date") or ""
    try:
        found = parsedate_to_datetime(", ".join(date.split(", ")[:2]))  # a proxy may have added a date of its own
    except ValueError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def bare(etag: str) -> str:
    """An ETag without the quotes, the spelling that we compare."""
    # Headers have ETags in quotes, listings without.
    return etag.strip('"')
