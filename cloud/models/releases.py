"""How what serves from the container `models` changes: a release, and the way back to the one before.

The files of a release lie in `versions/NUMBER/`. Another release of that number whose files are still needed moves to
a folder of its own first. Before anything that lies there is deleted, the pointer is written, on condition of its
version: whoever else works on the same folder can then no longer point to it. Readers take a folder only by a pointer
that has not moved since they listed the files, and each file only in the version that was listed, so that they see the
old release or the new one; what a killed delivery left behind is cleared by the next. The pointer says of which names
and sizes the release is: a folder that somebody else wrote into, or cleared, at the very moment serves nobody.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloud.models.canary import verify
from cloud.models.model_files import are_equal, check_files, files_below, in_our_words, layout_of
from cloud.models.pointer import BY_HAND, KEEP, POINTER, Pointer, Release, read_pointer, write_pointer
from cloud.models.snapshots import (
    Good,
    Snapshot,
    fetch,
    files_at,
    good_version,
    serving,
    snapshot_of,
    versions_with_files,
    write_good,
)
from cloud.models.trials import Trials
from cloud.settings import MODELS
from cloud.storage.containers import Conflict, Storage
from inference.errors import BadModel, Permanent, ServiceBusy, Transient

# What a version is called is the name of its folder.
_VERSION = re.compile(r"\w[^/\\:\x00-\x1f]{0,254}")

# A pointer and its ETag, None where it is not there yet.
_Read = tuple[Pointer, str | None]


def release(
    storage: Storage,
    name: str,
    new: Release,
    folder: Path,
    *,
    canary: Mapping[str, Any] | None = None,
    again: bool = False,
) -> Pointer:
    """Put the files of `folder` into the container, in `versions/` and the release's number, then let them serve.

    again: a pointer that cannot be read is written anew. Raises BadModel, LimitExceeded, StorageUnavailable, and
    ServiceBusy where somebody else changes the same model.
    """
    if not _VERSION.fullmatch(new.version) or new.version == BY_HAND:
        raise BadModel(f"the version {new.version!r} cannot be the name of a folder; register it as another version")
    files = [(relative, path.stat().st_size) for relative, path in files_below(folder)]
    check_files(name, files)
    new = replace(new, layout=layout_of(files))
    read = _now(storage, name, again)
    with tempfile.TemporaryDirectory(prefix="dropsight-release-") as scratch:
        kept = Path(scratch)
        old = _kept(storage, name, new.version, read[0], kept)
        if old is None or not are_equal(kept, folder):
            if old:
                read = _set_aside(storage, old, kept, read)
            read = _cleared(storage, name, new.version, read)
            _write(storage, name, new.version, folder, read[1])
    pointer, etag = read
    previous = [before for before in (pointer.release, *pointer.previous) if before.version != new.version]
    rejected = tuple(other for other in pointer.rejected if not other.is_same(new))
    at = datetime.now(UTC).isoformat()
    return write_pointer(storage, name, Pointer(new, tuple(previous[:KEEP]), rejected, canary, at), etag)[0]


def _now(storage: Storage, name: str, again: bool) -> _Read:
    """The pointer as it is to be gone back to: by hand, where a folder was dropped over the release."""
    try:
        stored = read_pointer(storage, name)
    except BadModel:
        there = storage.head(MODELS, f"{name}/{POINTER}")
        if not again or there is None:
            raise
        good = good_version(storage, name)
        return Pointer(Release(good.version if good else BY_HAND)), there.etag
    if stored is None:
        return Pointer(Release(BY_HAND)), None
    pointer, etag = stored
    now = serving(storage, name) if pointer.version != BY_HAND else None
    if now and now.version == BY_HAND:
        pointer = replace(pointer, release=Release(BY_HAND), previous=(pointer.release, *pointer.previous)[:KEEP])
    return pointer, etag


def _kept(storage: Storage, name: str, version: str, pointer: Pointer, folder: Path) -> Snapshot | None:
    """The model in that folder of the container, fetched, where it serves or may serve again."""
    good = good_version(storage, name)
    if not pointer.refers_to(version) and not (good and good.version == version):
        return None
    old = snapshot_of(storage, name, version)
    known = next((known for known in (pointer.release, *pointer.previous) if known.version == version), None)
    if old and known and not old.is_whole(known):
        return None
    try:
        if old:
            fetch(storage, old, folder)
    except Permanent:  # no process can have it, so that nothing serves it
        return None
    return old


def _set_aside(storage: Storage, old: Snapshot, folder: Path, read: _Read) -> _Read:
    """Let the old files serve, or be gone back to, from a folder of their own; named so that a second try finds it."""
    name, aside = old.name, f"{old.version}-{old.digest[:8]}"
    for relative, _, _ in old.files:
        with suppress(Conflict):  # it is there already, and whole
            storage.write(MODELS, f"{name}/versions/{aside}/{relative}", folder / relative, if_absent=True)
    pointer, etag = read
    read = write_pointer(storage, name, pointer.renamed(old.version, aside), etag)
    good = good_version(storage, name)
    if good and good.version == old.version:
        kept = snapshot_of(storage, name, aside)
        write_good(storage, name, Good(aside, kept.digest if kept else ""))
    return read


def _cleared(storage: Storage, name: str, version: str, read: _Read) -> _Read:
    """Delete what lies in a folder that nothing refers to: the rest of an earlier delivery."""
    prefix = f"{name}/versions/{version}/"
    there = [blob for page in storage.pages(MODELS, prefix) for blob in page.blobs]
    if there:
        read = write_pointer(storage, name, *read)
    for blob in there:
        try:
            storage.delete(MODELS, blob.name, blob.etag)
        except Conflict as error:
            raise _busy(prefix) from error
    return read


def _write(storage: Storage, name: str, version: str, folder: Path, pointer: str | None) -> None:
    """Fill an empty folder, as long as nobody else does and the pointer keeps that ETag."""
    prefix = f"{name}/versions/{version}/"
    written = {}
    for relative, path in files_below(folder):
        try:
            written[prefix + relative] = storage.write(MODELS, prefix + relative, path, if_absent=True)
        except Conflict as error:
            raise _busy(prefix) from error
        now = storage.head(MODELS, f"{name}/{POINTER}")
        if (now.etag if now else None) != pointer:  # what was written last may lie among another release's files
            with suppress(Conflict):
                storage.delete(MODELS, prefix + relative, written[prefix + relative])
            raise _busy(prefix)
    if {blob.name: blob.etag for blob in files_at(storage, prefix)} != written:
        raise _busy(prefix)


def _busy(prefix: str) -> ServiceBusy:
    return ServiceBusy(f"another delivery writes {MODELS}/{prefix} at this moment; it is tried again")


def rollback(storage: Storage, name: str, beside: Collection[str] = (), to: str = "") -> Pointer:
    """Serve what served before the current release, and never bring that release back by itself.

    beside: the models that the app has without the container. to: a version further back, or any whose files are in
    the container. The version is fetched and verified before anything changes. Raises BadModel, and Transient where
    that cannot be tried now.
    """
    stored = read_pointer(storage, name)
    if stored is None or stored[0].version == BY_HAND:
        raise BadModel(f"model {name!r} has no release to go back from: nothing that was released serves")
    pointer, etag = stored
    now = serving(storage, name)
    if now and now.version == BY_HAND:
        raise BadModel(
            f"model {name!r}: a folder dropped by hand serves, not version {pointer.version}; remove that folder's "
            f"files, or `python -m cloud models deliver {name} --again` brings the newest version back"
        )
    target, further = _target(name, pointer, to)
    target = _verified(storage, name, target, beside, pointer)
    back = replace(
        pointer,
        release=target,
        previous=further,
        rejected=(pointer.release, *(other for other in pointer.rejected if other.version != target.version))[:KEEP],
        canary=None,
    )
    return write_pointer(storage, name, back, etag)[0]


def _target(name: str, pointer: Pointer, to: str) -> tuple[Release, tuple[Release, ...]]:
    """The release to go back to, and what is before it."""
    if to == pointer.version:
        raise BadModel(f"model {name!r}: version {to} is what serves now; name another version")
    for number, before in enumerate(pointer.previous):
        if to in ("", before.version):
            return before, pointer.previous[number + 1 :]
    if not to:
        raise BadModel(f"model {name!r} has nothing to go back to: before version {pointer.version} nothing served")
    return next((known for known in pointer.rejected if known.version == to), Release(to)), pointer.previous


def _verified(storage: Storage, name: str, target: Release, beside: Collection[str], pointer: Pointer) -> Release:
    """With the layout of the files that were verified. Raises BadModel where the release would not serve, Transient
    where that cannot be seen now."""
    snapshot = snapshot_of(storage, name, target.version)
    by_hand = target.version == BY_HAND
    if snapshot is None and by_hand and name in beside:
        return target
    before = "the folder dropped by hand" if by_hand else f"version {target.version}"
    if snapshot is None and by_hand:
        why = f"has nothing to go back to: before version {pointer.version} nothing served"
    elif snapshot is None:
        why = f"cannot go back to {before}: {MODELS}/{name}/versions/{target.version}/ holds no model"
    elif not snapshot.is_whole(target):
        why = f"cannot go back to {before}: {snapshot.prefix} holds other files than were released"
    elif problem := _problem(storage, snapshot):
        why = f"cannot go back to {before}, which does not verify: {problem}"
    else:
        return replace(target, layout="" if by_hand else snapshot.layout)
    raise BadModel(f"model {name!r} {why}; {_ways_on(storage, name, pointer, target)}")


def _problem(storage: Storage, snapshot: Snapshot) -> str:
    try:
        with tempfile.TemporaryDirectory(prefix="dropsight-rollback-") as scratch:
            fetch(storage, snapshot, Path(scratch) / snapshot.name)
            Trials(storage).require(Path(scratch) / snapshot.name)
            verify(Path(scratch), snapshot.name)
    except Exception as error:
        known = in_our_words(error)
        if isinstance(known, Transient):
            raise known from error
        return str(known)
    return ""


def _ways_on(storage: Storage, name: str, pointer: Pointer, target: Release) -> str:
    there = versions_with_files(name, files_at(storage, f"{name}/versions/"))
    now = f"version {pointer.version} serves on" if pointer.version in there else "nothing is changed"
    others = ", ".join(version for version in there if version not in (pointer.version, target.version))
    to = f"`python -m cloud models rollback {name} --to VERSION` takes one of {others}; " if others else ""
    return f"{now}; {to}`python -m cloud models deliver {name} --again` brings the newest registered version"
