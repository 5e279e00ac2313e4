"""A storage account in memory, on a clock that a test moves. test_conformity.py holds it against Azurite."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cloud.storage.blobs import BlobInfo, Conflict, Page, Reading
from cloud.storage.containers import Storage, guess_type
from inference.errors import StorageUnavailable

Verb = Literal["create", "open", "range", "head", "write", "delete", "list", "date"]


@dataclass(frozen=True)
class Call:
    """A request that is about to reach the account."""

    verb: Verb
    container: str = ""
    name: str = ""


# Entered before a call arrives, left when it has arrived and before its answer is there; either may raise. What it
# yields says whether the body of the answer is cut in half, as by a proxy that gave up in the middle.
Gate = Callable[[Call], AbstractContextManager[bool]]


def open_gate(_: Call) -> AbstractContextManager[bool]:
    """Lets every call through."""
    return nullcontext(False)


@dataclass(frozen=True)
class Blob:
    """What is stored under a name."""

    content: bytes
    etag: str
    modified: datetime
    metadata: Mapping[str, str]
    tags: Mapping[str, str]
    content_type: str


@dataclass
class Account:
    """The blobs that any number of MemoryStorages see. Deleted blobs can be brought back, by their containers' rule.

    watch: called after every change with the container, the name, what was there before, and what is there now.
    """

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    containers: dict[str, dict[str, Blob]] = field(default_factory=dict)
    deleted: dict[tuple[str, str], Blob] = field(default_factory=dict)
    watch: Callable[[str, str, Blob | None, Blob | None], None] = lambda *_: None
    lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def pass_s(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    @property
    def served_at(self) -> datetime:
        """The clock as answers tell it: whole seconds, cut off."""
        return self.now.replace(microsecond=0)

    def find(self, container: str, name: str) -> Blob | None:
        """A blob as it is now."""
        return self.containers.get(container, {}).get(name)

    def put(self, container: str, name: str, content: bytes, **said: Mapping[str, str] | str) -> Blob:
        """Store content under a new ETag."""
        facts = {"metadata": {}, "tags": {}, "content_type": "application/octet-stream", **said}
        blob = Blob(content, f"0x{next(self._numbers):015X}", self.served_at, **facts)  # type: ignore[arg-type]
        self._set(container, name, blob)
        return blob

    def remove(self, container: str, name: str) -> None:
        """Delete a blob that is there."""
        self.deleted[container, name] = self.containers[container][name]
        self._set(container, name, None)

    def undelete(self, container: str, name: str) -> bool:
        """Bring back what was deleted last under a name, in its very version; False where something is in its place."""
        if self.find(container, name) or (container, name) not in self.deleted:
            return False
        self._set(container, name, self.deleted.pop((container, name)))
        return True

    def _set(self, container: str, name: str, blob: Blob | None) -> None:
        blobs = self.containers.setdefault(container, {})
        before = blobs.pop(name, None)
        if blob:
            blobs[name] = blob
        self.watch(container, name, before, blob)


class MemoryStorage(Storage):
    """A client of the account. gate: through which its calls go."""

    chunk = 4 * 1024 * 1024

    def __init__(self, account: Account | None = None, gate: Gate = open_gate) -> None:
        self.account = account or Account()
        self.gate = gate
        self.tags_refused = None

    def ensure_containers(self, *names: str) -> None:
        for name in names:
            with self.gate(Call("create", name)):
                self.account.containers.setdefault(name, {})

    def date(self) -> datetime:
        with self.gate(Call("date")):
            return self.account.served_at

    def open(self, container: str, name: str, etag: str | None = None) -> Reading | None:
        with self.gate(Call("open", container, name)) as cut, self.account.lock:
            blob = self.account.find(container, name)
            _check(blob, etag, f"reading {container}/{name}")
            if blob is None:
                return None
            info = self._info(name, blob)
        return Reading(info, lambda: self._chunks(container, name, blob, cut))

    def _chunks(self, container: str, name: str, blob: Blob, cut: bool) -> Iterator[bytes]:
        content = blob.content[: len(blob.content) // 2] if cut else blob.content
        yield content[: self.chunk]
        for start in range(self.chunk, len(content), self.chunk):
            yield self.read_range(container, name, start, min(self.chunk, len(content) - start), blob.etag)

    def read_range(self, container: str, name: str, start: int, length: int, etag: str) -> bytes:
        with self.gate(Call("range", container, name)) as cut, self.account.lock:
            blob = self.account.find(container, name)
            if blob is None:
                raise Conflict(f"reading {container}/{name}: it was deleted")
            _check(blob, etag, f"reading {container}/{name}")
            data = blob.content[start : start + (length // 2 if cut else length)]
        if len(data) != length:
            raise StorageUnavailable(f"reading {container}/{name}: {len(data)} of {length} bytes came; again")
        return data

    def head(self, container: str, name: str) -> BlobInfo | None:
        with self.gate(Call("head", container, name)), self.account.lock:
            blob = self.account.find(container, name)
            return self._info(name, blob) if blob else None

    def uncommitted(self, container: str, name: str) -> int:
        return 0

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
        content = data if isinstance(data, bytes) else data.read_bytes()
        doing = f"writing {container}/{name}"
        with self.gate(Call("write", container, name)), self.account.lock:
            there = self.account.find(container, name)
            if there and if_absent:
                raise Conflict(f"{doing}: BlobAlreadyExists")
            _check(there, if_match, doing)
            said = {key.lower(): value for key, value in (metadata or {}).items()}
            content_type = content_type or guess_type(name)
            return self.account.put(
                container, name, content, metadata=said, tags=tags or {}, content_type=content_type
            ).etag

    def delete(self, container: str, name: str, if_match: str | None = None, *, snapshots: bool = False) -> bool:
        with self.gate(Call("delete", container, name)), self.account.lock:
            there = self.account.find(container, name)
            _check(there, if_match, f"deleting {container}/{name}")
            if there is None:
                return False
            self.account.remove(container, name)
            return True

    def pages(self, container: str, prefix: str = "", token: str | None = None, size: int = 1000) -> Iterator[Page]:
        while True:
            with self.gate(Call("list", container, prefix)), self.account.lock:
                if container not in self.account.containers:
                    return
                there = sorted(self.account.containers[container].items())
                rest = [(name, blob) for name, blob in there if name.startswith(prefix) and name > (token or "")]
                infos = [self._info(name, blob) for name, blob in rest[:size]]
            following = infos[-1].name if len(rest) > size else None
            yield Page([info for info in infos if not info.is_folder], token, following)
            if following is None:
                return
            token = following

    def folders(self, container: str, prefix: str) -> list[str]:
        rest = (blob.name.removeprefix(prefix) for page in self.pages(container, prefix) for blob in page.blobs)
        return sorted({name.partition("/")[0] for name in rest if "/" in name})

    def _info(self, name: str, blob: Blob) -> BlobInfo:
        directory = blob.content_type in ("application/x-directory", "httpd/unix-directory", "inode/directory")
        served_at, size = self.account.served_at, len(blob.content)
        return BlobInfo(name, blob.etag, size, blob.modified, served_at, blob.metadata, says_directory=directory)


def _check(blob: Blob | None, etag: str | None, doing: str) -> None:
    if etag and (blob is None or blob.etag != etag):
        raise Conflict(f"{doing}: ConditionNotMet")
