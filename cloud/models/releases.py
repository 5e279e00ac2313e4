"""The container `models`: what lies there, which release serves, and how that changes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from cloud.models.model_entry import NAME
from cloud.settings import MODELS, STATE
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.parsed_json import read_parsed, unchanged
from inference.engine.other_formats import is_onnx, kind_by_name, what_is_in
from inference.errors import BadModel, LimitExceeded, Permanent, ServiceBusy
from inference.manifest import MANIFEST_FILE

POINTER = "serving.json"
BY_HAND = "by hand"
MAX_FILES = 200
MAX_BYTES = 2 * 1024**3
_KEEP = 10


@dataclass(frozen=True)
class Snapshot:
    """The files that serve a model right now. `digest` changes whenever a file does.

    files: relative path, ETag, bytes. problem: why nobody can say which files serve.
    """

    name: str
    version: str
    prefix: str
    files: tuple[tuple[str, str, int], ...]
    age_s: float
    problem: str = ""

    @property
    def digest(self) -> str:
        """Names this content for ever."""
        return hashlib.sha256(repr((self.name, self.prefix, self.files)).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Pointer:
    """`serving.json`. previous: what served before, newest first. rejected: versions rolled back from.

    The version BY_HAND means: no release, but the files dropped by hand, or the model that came with the app.
    """

    version: str
    previous: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    canary: Mapping[str, Any] | None = None
    source: str = ""
    at: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"schema": "dropsight-serving/1", **vars(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Pointer:
        """As it was stored; members of later versions are ignored."""
        known = {key: value for key, value in document.items() if key in cls.__dataclass_fields__}
        versions = {key: tuple(map(str, known.get(key, ()))) for key in ("previous", "rejected")}
        return cls(**{**known, **versions, "version": str(document["version"])})


def read_pointer(storage: Storage, name: str) -> tuple[Pointer, str] | None:
    """The pointer of a model and its ETag; None where nothing was released yet. Raises BadModel."""
    return read_parsed(storage, MODELS, f"{name}/{POINTER}", Pointer.from_json, BadModel)


def contents(storage: Storage) -> tuple[list[Snapshot], dict[str, str]]:
    """(what serves, model by model; what lies there and serves nothing, with what to do): a listing, and a read for
    every model that has a pointer."""
    groups: dict[str, list[BlobInfo]] = {}
    unused: dict[str, str] = {}
    for page in storage.pages(MODELS, size=5000):
        for blob in page.blobs:
            name, _, rest = blob.name.partition("/")
            if rest and NAME.fullmatch(name):
                groups.setdefault(name, []).append(blob)
            elif words := _out_of_place(name, rest):
                unused[name] = words
    serving = []
    for name, blobs in groups.items():
        if snapshot := _serving(storage, name, blobs):
            serving.append(snapshot)
        elif words := what_is_in(sorted(blob.name.removeprefix(f"{name}/") for blob in _by_hand(name, blobs))):
            unused[name] = f"no .onnx file here; {words}"
    return serving, unused


def _out_of_place(name: str, rest: str) -> str:
    """What to do about a blob that lies in no model's folder; empty where it is nothing that was to be one."""
    if rest:
        return "a model's folder is named by 1 to 64 letters, digits, dots, hyphens and underscores; rename it"
    if is_onnx(PurePosixPath(name)):
        return f"a model lies in a folder of its own: put it at {PurePosixPath(name).stem}/{name}"
    return (words := kind_by_name(name)) and f"it is {words}"


def snapshots(storage: Storage) -> list[Snapshot]:
    """What serves, model by model."""
    return contents(storage)[0]


def _serving(storage: Storage, name: str, blobs: list[BlobInfo]) -> Snapshot | None:
    version = BY_HAND
    released = next((blob for blob in blobs if blob.name == f"{name}/{POINTER}"), None)
    by_hand = _by_hand(name, blobs)
    # What came last serves: a folder that is dropped over a release counts as a wish to change it.
    if released and not _dropped_since(released, by_hand):
        try:
            pointer = read_pointer(storage, name)
        except Permanent as error:  # the other models go on
            files = ((POINTER, released.etag, released.size),)
            return Snapshot(name, "unreadable", f"{name}/", files, released.age_s, str(error))
        version = pointer[0].version if pointer else BY_HAND
    prefix = f"{name}/" if version == BY_HAND else f"{name}/versions/{version}/"
    mine = by_hand if version == BY_HAND else [blob for blob in blobs if blob.name.startswith(prefix)]
    return _snapshot(name, version, prefix, mine)


def _dropped_since(released: BlobInfo, by_hand: list[BlobInfo]) -> bool:
    """Whether a model was dropped by hand after the release, or only its weights, where they lie beside the graph:
    what is copied by its time leaves out a graph that did not change."""
    models = [blob for blob in by_hand if _is_model(blob)]
    weights = [blob for blob in by_hand if blob.name.endswith((".data", "_data", ".bin"))] if models else []
    return any(blob.modified > released.modified for blob in (*models, *weights))


def serving(storage: Storage, name: str) -> Snapshot | None:
    """What serves under this name right now."""
    return next((snapshot for snapshot in snapshots(storage) if snapshot.name == name), None)


def _by_hand(name: str, blobs: list[BlobInfo]) -> list[BlobInfo]:
    aside = (f"{name}/versions/", f"{name}/samples/", f"{name}/{POINTER}")
    return [blob for blob in blobs if not blob.name.startswith(aside)]


def _is_model(blob: BlobInfo) -> bool:
    path = PurePosixPath(blob.name)
    return is_onnx(path) or path.name == MANIFEST_FILE


def _snapshot(name: str, version: str, prefix: str, mine: list[BlobInfo]) -> Snapshot | None:
    if not any(map(_is_model, mine)):
        return None
    files = tuple(sorted((blob.name.removeprefix(prefix), blob.etag, blob.size) for blob in mine))
    return Snapshot(name, version, prefix, files, min(blob.age_s for blob in mine))


def remember_good(storage: Storage, snapshot: Snapshot, folder: Path) -> None:
    """Note that this snapshot was verified, and keep a copy of files that somebody may overwrite by hand."""
    by_hand = snapshot.version == BY_HAND
    version = f"hand-{snapshot.digest[:12]}" if by_hand else snapshot.version
    if _good_version(storage, snapshot.name) == version:
        return
    for relative, _, _ in snapshot.files if by_hand else ():
        with suppress(Conflict):  # another process keeps the same copy
            storage.write(MODELS, f"{snapshot.name}/versions/{version}/{relative}", folder / relative, if_absent=True)
    storage.write_json(STATE, _good(snapshot.name), {"version": version})


def _good(name: str) -> str:
    return f"models/good/{name}.json"


def _good_version(storage: Storage, name: str) -> str:
    stored = read_parsed(storage, STATE, _good(name), lambda document: str(document["version"]), BadModel)
    return stored[0] if stored else ""


def last_good(storage: Storage, name: str) -> Snapshot | None:
    """What was verified last under this name, by any process. Raises BadModel."""
    version = _good_version(storage, name)
    if not version:
        return None
    prefix = f"{name}/versions/{version}/"
    blobs = [blob for page in storage.pages(MODELS, prefix) for blob in page.blobs]
    return _snapshot(name, version, prefix, blobs)


def fetch(storage: Storage, snapshot: Snapshot, folder: Path) -> None:
    """Bring a snapshot's files below `folder`, in the versions that were listed.

    Raises LimitExceeded, BadModel for its problem and for paths that lead elsewhere, ServiceBusy where a file changed
    meanwhile.
    """
    if snapshot.problem:
        raise BadModel(snapshot.problem)
    total = sum(size for _, _, size in snapshot.files)
    if len(snapshot.files) > MAX_FILES or total > MAX_BYTES:
        raise LimitExceeded(
            f"model {snapshot.name!r} has {len(snapshot.files)} files of {total:,} bytes; at most {MAX_FILES} "
            f"files and {MAX_BYTES:,} bytes are taken"
        )
    for relative, etag, size in snapshot.files:
        path = PurePosixPath(relative)
        if path.is_absolute() or ".." in path.parts or "\\" in relative or ":" in relative:
            raise BadModel(f"model {snapshot.name!r}: the path {relative!r} leads out of its folder")
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            reading = storage.open(MODELS, snapshot.prefix + relative, etag)
            if reading is None:
                raise ServiceBusy(f"{snapshot.prefix}{relative} was deleted while it was fetched")
            with target.open("wb") as out:
                for chunk in reading.chunks(size):
                    out.write(chunk)
        except Conflict as error:
            raise ServiceBusy(f"{snapshot.prefix}{relative} was overwritten while it was fetched") from error


def release(storage: Storage, name: str, version: str, folder: Path, **facts: Any) -> Pointer:
    """Put the files of `folder` into the container as `version`, then let it serve.

    The pointer is written last and on condition of its version: readers see the old release or the new release.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        relative = path.relative_to(folder).as_posix()
        storage.write(MODELS, f"{name}/versions/{version}/{relative}", path)
    return _point(storage, name, version, facts)


def rollback(storage: Storage, name: str, beside: Collection[str] = ()) -> Pointer:
    """Serve what served before the current release, and never bring that release back by itself.

    beside: the models that the app has without the container. Raises BadModel where nothing is left to serve.
    """
    stored = read_pointer(storage, name)
    if stored is None or stored[0].version == BY_HAND:
        raise BadModel(f"model {name!r} has no release to go back from: nothing that was released serves")
    pointer = stored[0]
    now = serving(storage, name)
    if now and now.version == BY_HAND:
        raise BadModel(
            f"model {name!r}: a folder dropped by hand serves, not version {pointer.version}; remove that folder's "
            f"files, or `python -m cloud models deliver {name} --again` brings the newest version back"
        )
    if not pointer.previous or (
        pointer.previous[0] == BY_HAND and name not in beside and not _dropped_by_hand(storage, name)
    ):
        raise BadModel(f"model {name!r} has nothing to go back to: before version {pointer.version} nothing served")
    back = replace(
        pointer,
        version=pointer.previous[0],
        previous=pointer.previous[1:],
        rejected=(pointer.version, *pointer.rejected)[:_KEEP],
        at=datetime.now(UTC).isoformat(),
    )
    return _write_pointer(storage, name, back, stored)


def _dropped_by_hand(storage: Storage, name: str) -> bool:
    blobs = [blob for page in storage.pages(MODELS, f"{name}/") for blob in page.blobs]
    return any(map(_is_model, _by_hand(name, blobs)))


def _point(storage: Storage, name: str, version: str, facts: Mapping[str, Any]) -> Pointer:
    stored = read_pointer(storage, name)
    old = stored[0] if stored else Pointer(BY_HAND)
    previous = old.previous if old.version == version else (old.version, *old.previous)[:_KEEP]
    rejected = tuple(rejected for rejected in old.rejected if rejected != version)
    new = Pointer(version, previous, rejected, at=datetime.now(UTC).isoformat(), **facts)
    return _write_pointer(storage, name, new, stored)


def _write_pointer(storage: Storage, name: str, pointer: Pointer, read: tuple[Pointer, str] | None) -> Pointer:
    try:
        storage.write_json(MODELS, f"{name}/{POINTER}", pointer.to_json(), **unchanged(read))
    except Conflict as error:
        raise ServiceBusy(
            f"what serves {name!r} was changed by somebody else at this moment; look, and try again (the tick tries a "
            "delivery again by itself)"
        ) from error
    return pointer
