"""What a delivery refused, and of which files: it is tried again only when those have changed, or by hand."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cloud.models.model_entry import ModelEntry
from cloud.models.pointer import Release, read_pointer, text
from cloud.models.snapshots import Snapshot, serving
from cloud.settings import STATE
from cloud.storage.containers import Storage
from cloud.storage.parsed_json import read_parsed
from inference.errors import BadModel

log = logging.getLogger(__name__)

# Of a record without a date.
_ALWAYS = "9999"


class AlreadyRefused(BadModel):
    """The version was refused before, and its files are the same: nothing was tried."""


@dataclass(frozen=True)
class Refusal:
    """`models/delivery/NAME/VERSION.json`. files: the state of the files at the source; empty in older records."""

    release: Release
    why: str
    files: str = ""
    at: str = _ALWAYS

    def sentence(self, serves: str) -> str:
        """What was refused, why, and what to do."""
        label = f"{self.release.model}:{self.release.version}"
        return f"{label} was refused: {self.why}; `python -m cloud models deliver {serves} --again` tries it again"

    def is_of(self, release: Release, files: str) -> bool:
        """Whether it is about this release, and these files; what is not known is equal."""
        return self.release.is_same(release) and (not self.files or not files or self.files == files)

    def to_json(self) -> dict[str, str]:
        """As it is stored."""
        known = {"source": self.release.source, "created": self.release.created, "files": self.files}
        label = f"{self.release.model}:{self.release.version}"
        return {"model": label, "why": self.why, "at": self.at, **known}

    @classmethod
    def from_json(cls, document: Any) -> Refusal:
        """As it was stored; unknown members are ignored. Raises TypeError, ValueError."""
        if not isinstance(document, Mapping):
            raise TypeError("it is no JSON object")
        model, _, version = text(document, "model").rpartition(":")
        if not model or not version or "why" not in document:
            raise ValueError("it says no model or no reason")
        release = Release(version, model, text(document, "source"), text(document, "created"))
        return cls(release, text(document, "why"), text(document, "files"), text(document, "at") or _ALWAYS)


def _record(serves: str, version: str) -> str:
    return f"models/delivery/{serves}/{version}.json"


def _read(storage: Storage, record: str) -> Refusal | None:
    """Raises BadModel."""
    stored = read_parsed(storage, STATE, record, Refusal.from_json, BadModel, "delete it")
    return stored[0] if stored else None


def refuse_what_is_known(storage: Storage, serves: str, release: Release, files: str) -> None:
    """Raises AlreadyRefused where this release was refused, with these files."""
    try:
        known = _read(storage, _record(serves, release.version))
    except BadModel as error:  # nobody knows what it refused: the version is tried
        log.warning("%s", error)
        return
    if known and known.is_of(release, files):
        raise AlreadyRefused(known.sentence(serves))


def remember(storage: Storage, serves: str, release: Release, files: str, why: str) -> Refusal:
    """Write down that a release was refused."""
    refusal = Refusal(release, why, files, datetime.now(UTC).isoformat())
    storage.write_json(STATE, _record(serves, release.version), refusal.to_json())
    return refusal


def forget(storage: Storage, serves: str, release: Release) -> None:
    """The version of that number is released: whatever was written about it is over."""
    storage.delete(STATE, _record(serves, release.version))


def refused_by_the_app(storage: Storage, snapshot: Snapshot) -> str:
    """Why a process of the app refused exactly these files; empty where none did. Raises BadModel."""

    def parsed(document: Any) -> tuple[str, str]:
        if not isinstance(document, Mapping) or not document["digest"]:
            raise TypeError("it does not say what was refused")
        return text(document, "digest"), text(document, "why")

    record = f"models/refused/{snapshot.name}.json"
    stored = read_parsed(storage, STATE, record, parsed, BadModel, "delete it; it is only read here")
    return (stored[0][1] or "refused") if stored and stored[0][0] == snapshot.digest else ""


def refusals(storage: Storage, entry: ModelEntry) -> list[str]:
    """What is wrong with an entry, a line each: the versions refused since the last release, documents that cannot be
    read, a pointer to files that are not there."""
    lines = []
    since = ""
    try:
        pointer = read_pointer(storage, entry.serves)
        since = pointer[0].at if pointer else ""
        now = serving(storage, entry.serves)
        lines += [now.problem] if now and now.problem else []
    except BadModel as error:
        lines.append(str(error))
    for page in storage.pages(STATE, f"models/delivery/{entry.serves}/"):
        for blob in page.blobs:
            try:
                known = _read(storage, blob.name)
            except BadModel as error:
                lines.append(str(error))
                continue
            if known and known.at > since:
                lines.append(known.sentence(entry.serves))
    return lines
