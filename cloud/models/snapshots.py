"""What lies in the container `models`, which files of it serve, and which were verified last."""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from cloud.models.model_entry import NAME
from cloud.models.model_files import check_files, layout_of, without_folders
from cloud.models.pointer import BY_HAND, POINTER, Pointer, Release, read_pointer, text
from cloud.settings import MODELS, STATE
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.parsed_json import read_parsed
from inference.clutter import is_clutter_folder
from inference.engine.other_formats import is_onnx, kind_by_name, what_is_in
from inference.errors import BadModel, Permanent, ServiceBusy
from inference.manifest import MANIFEST_FILE

log = logging.getLogger(__name__)

HAND = "hand-"  # begins the name of the copy of what was dropped by hand, and of no release
# A delivery writes the pointer two or three times.
_LOOKS = 5


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

    @property
    def layout(self) -> str:
        """As `layout_of`, of its files."""
        return layout_of((relative, size) for relative, _, size in self.files)

    @property
    def was_by_hand(self) -> bool:
        """Whether it was dropped by hand, or is the copy of what was."""
        return self.version == BY_HAND or self.version.startswith(HAND)

    def is_whole(self, release: Release) -> bool:
        """Whether these are the files of the release, no more and no fewer; where that is not known, they are."""
        return release.layout in ("", self.layout)


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
            elif _is_aside(blob.name):
                continue
            elif words := _badly_named(name) if rest else _out_of_place(name):
                unused[name] = words
    serving = []
    for name, blobs in groups.items():
        if snapshot := _serving(storage, name, without_folders(blobs)):
            serving.append(snapshot)
        elif words := what_is_in(sorted(blob.name.removeprefix(f"{name}/") for blob in _by_hand(name, blobs))):
            unused[name] = f"no .onnx file here; {words}"
    return serving, _some(unused)


def _is_aside(blob: str) -> bool:
    """Whether systems put it beside what people drop: the shadows of macOS (`._best.onnx`), `__MACOSX/`, `.git/`."""
    *folders, name = blob.split("/")
    return name.startswith("._") or any(map(is_clutter_folder, folders))


def _badly_named(folder: str) -> str:
    meant = _name_for(folder)
    how = f", to {meant} for example" if meant else ""
    return (
        f"a model's folder is named by 1 to 64 of the letters A-Z and a-z, digits, dots, hyphens and underscores; "
        f"rename it{how}"
    )


def _out_of_place(name: str) -> str:
    """What to do about a blob that lies in no folder; empty where it is nothing that was to be a model."""
    path = PurePosixPath(name)
    if is_onnx(path):
        return f"a model lies in a folder of its own: put it at {_name_for(path.stem) or 'NAME'}/{name}"
    if name == MANIFEST_FILE:
        return f"it lies in no model's folder: put it beside its model, at NAME/{name}"
    return (words := kind_by_name(name)) and f"it is {words}"


def _name_for(text: str) -> str:
    """The nearest name of a model's folder; empty where nothing of it can stay."""
    plain = (
        unicodedata.normalize("NFKD", unicodedata.normalize("NFC", text).translate(_UMLAUTS))
        .encode("ascii", "ignore")
        .decode()
    )
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:64]


_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


def _some(unused: dict[str, str]) -> dict[str, str]:
    """The first of them: whoever fills the container with something else is to be told, and not of every blob."""
    more = len(unused) - _MOST_UNUSED
    some = dict(islice(unused.items(), _MOST_UNUSED))
    return some | {"...": f"{more} more of such files and folders"} if more > 0 else some


_MOST_UNUSED = 100


def serving(storage: Storage, name: str) -> Snapshot | None:
    """What serves under this name right now."""
    return _serving(storage, name, files_at(storage, f"{name}/"))


def files_at(storage: Storage, prefix: str) -> list[BlobInfo]:
    """The blobs below a prefix of the container that are files."""
    return without_folders([blob for page in storage.pages(MODELS, prefix) for blob in page.blobs])


def _serving(storage: Storage, name: str, blobs: Sequence[BlobInfo]) -> Snapshot | None:
    for _ in range(_LOOKS):
        released = next((blob for blob in blobs if blob.name == f"{name}/{POINTER}"), None)
        by_hand = _by_hand(name, blobs)
        # What came last serves: a folder that is dropped over a release counts as a wish to change it.
        if released is None or _dropped_since(released, by_hand):
            return _snapshot(name, BY_HAND, f"{name}/", by_hand)
        try:
            stored = read_pointer(storage, name)
        except Permanent as error:  # the other models go on
            return _unknown(name, "unreadable", released, str(error))
        if stored and stored[1] == released.etag:
            return _released(name, stored[0], blobs, released)
        # It moved after the listing, which may show a half-written folder where a whole one lies now.
        blobs = files_at(storage, f"{name}/")
    raise ServiceBusy(f"what serves {name!r} changes all the time; it is looked at again later")


def _released(name: str, pointer: Pointer, blobs: Sequence[BlobInfo], released: BlobInfo) -> Snapshot | None:
    if pointer.version == BY_HAND:
        return _snapshot(name, BY_HAND, f"{name}/", _by_hand(name, blobs))
    prefix = f"{name}/versions/{pointer.version}/"
    snapshot = _snapshot(name, pointer.version, prefix, [blob for blob in blobs if blob.name.startswith(prefix)])
    if snapshot and snapshot.is_whole(pointer.release):
        return snapshot
    holds = "other files than were released" if snapshot else "no model"
    there = ", ".join(versions_with_files(name, blobs))
    others = f", `python -m cloud models rollback {name} --to VERSION` takes one of {there}" if there else ""
    why = (
        f"{MODELS}/{name}/{POINTER} says version {pointer.version}, but {prefix} holds {holds}: `python -m cloud "
        f"models deliver {name} --again` brings the newest registered version{others}"
    )
    return _unknown(name, pointer.version, released, why)


def _unknown(name: str, version: str, released: BlobInfo, why: str) -> Snapshot:
    files = ((POINTER, released.etag, released.size),)
    return Snapshot(name, version, f"{name}/", files, released.age_s, why)


def versions_with_files(name: str, blobs: Sequence[BlobInfo]) -> list[str]:
    """The folders below `versions/` that hold a model."""
    prefix = f"{name}/versions/"
    models = (blob.name.removeprefix(prefix) for blob in blobs if blob.name.startswith(prefix) and _is_model(blob))
    return list(dict.fromkeys(rest.partition("/")[0] for rest in models))


def _dropped_since(released: BlobInfo, by_hand: list[BlobInfo]) -> bool:
    """Whether a model was dropped by hand after the release, or only its weights, where they lie beside the graph:
    what is copied by its time leaves out a graph that did not change."""
    models = [blob for blob in by_hand if _is_model(blob)]
    weights = [blob for blob in by_hand if blob.name.endswith((".data", "_data", ".bin"))] if models else []
    return any(blob.modified > released.modified for blob in (*models, *weights))


def _by_hand(name: str, blobs: Sequence[BlobInfo]) -> list[BlobInfo]:
    aside = (f"{name}/versions/", f"{name}/samples/", f"{name}/{POINTER}")
    return [blob for blob in blobs if not blob.name.startswith(aside)]


def _is_model(blob: BlobInfo) -> bool:
    path = PurePosixPath(blob.name)
    return is_onnx(path) or path.name == MANIFEST_FILE


def _snapshot(name: str, version: str, prefix: str, mine: Sequence[BlobInfo]) -> Snapshot | None:
    if not any(map(_is_model, mine)):
        return None
    files = tuple(sorted((blob.name.removeprefix(prefix), blob.etag, blob.size) for blob in mine))
    return Snapshot(name, version, prefix, files, min(blob.age_s for blob in mine))


def snapshot_of(storage: Storage, name: str, version: str) -> Snapshot | None:
    """The files of a version (BY_HAND: those dropped by hand), whether they serve or not; None without a model."""
    if version == BY_HAND:
        return _snapshot(name, BY_HAND, f"{name}/", _by_hand(name, files_at(storage, f"{name}/")))
    prefix = f"{name}/versions/{version}/"
    return _snapshot(name, version, prefix, files_at(storage, prefix))


@dataclass(frozen=True)
class Good:
    """`models/good/NAME.json`. digest: of the snapshot that was verified; empty in older documents."""

    version: str
    digest: str = ""

    @classmethod
    def by_hand(cls, snapshot: Snapshot) -> Good:
        """Of files dropped by hand: of their copy, which is named by its content."""
        return cls(f"{HAND}{snapshot.digest[:12]}")

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Good:
        """As it was stored. Raises TypeError."""
        return cls(str(document["version"]), text(document, "digest"))


def remember_good(storage: Storage, snapshot: Snapshot, folder: Path) -> None:
    """Note that this snapshot was verified, and keep a copy of files that somebody may overwrite by hand."""
    by_hand = snapshot.version == BY_HAND
    good = Good.by_hand(snapshot) if by_hand else Good(snapshot.version, snapshot.digest)
    if good_version(storage, snapshot.name) == good:
        return
    for relative, _, _ in snapshot.files if by_hand else ():
        with suppress(Conflict):  # another process keeps the same copy
            path = f"{snapshot.name}/versions/{good.version}/{relative}"
            storage.write(MODELS, path, folder / relative, if_absent=True)
    write_good(storage, snapshot.name, good)


def write_good(storage: Storage, name: str, good: Good) -> None:
    """Note what was verified last."""
    storage.write_json(STATE, _good(name), vars(good))


def _good(name: str) -> str:
    return f"models/good/{name}.json"


def good_version(storage: Storage, name: str) -> Good | None:
    """What was verified last; None also where the note cannot be read, which the next verification writes anew."""
    try:
        stored = read_parsed(storage, STATE, _good(name), Good.from_json, BadModel, "it is written anew")
    except BadModel as error:
        log.warning("%s", error)
        return None
    return stored[0] if stored else None


def last_good(storage: Storage, name: str) -> Snapshot | None:
    """What was verified last under this name, by any process; None where its files are not those any more."""
    good = good_version(storage, name)
    snapshot = snapshot_of(storage, name, good.version) if good else None
    return snapshot if snapshot and good and good.digest in ("", snapshot.digest) else None


def fetch(storage: Storage, snapshot: Snapshot, folder: Path) -> None:
    """Bring a snapshot's files below `folder`, in the versions that were listed.

    Raises LimitExceeded, BadModel for its problem and for paths that lead elsewhere, ServiceBusy where a file changed
    meanwhile.
    """
    if snapshot.problem:
        raise BadModel(snapshot.problem)
    check_files(snapshot.name, ((relative, size) for relative, _, size in snapshot.files))
    for relative, etag, size in snapshot.files:
        try:
            reading = storage.open(MODELS, snapshot.prefix + relative, etag)
            if reading is None:
                raise ServiceBusy(f"{snapshot.prefix}{relative} was deleted while it was fetched")
            reading.save(folder / relative, size)
        except Conflict as error:
            raise ServiceBusy(f"{snapshot.prefix}{relative} was overwritten while it was fetched") from error
