"""Public models of the catalog, put into the container `models`: where `models pull` puts them into a folder."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cloud.models.pointer import read_pointer
from cloud.settings import MODELS
from cloud.storage.containers import BlobInfo, Storage
from inference.engine.catalog import CatalogEntry
from inference.engine.pull import WEIGHTS_FILE, Source, is_installed, pull
from inference.engine.weights import public_folder
from inference.manifest import MANIFEST_FILE

STAMP = "dropsight_public"  # metadata of what was put here by this module: the sha256 of the file's content


def push(storage: Storage, entry: CatalogEntry, sources: Sequence[Source] = ()) -> str:
    """Put a model into the container and say what was done; exactly this model is not put there twice.

    A model of that name that came some other way (dropped by hand, released) is left as it is. sources: as in
    `pull`. Raises BadModel, ModelUnavailable, StorageUnavailable.
    """
    weights, manifest = (f"{entry.name}/{file}" for file in (WEIGHTS_FILE, MANIFEST_FILE))
    there = [storage.head(MODELS, name) for name in (weights, manifest)]
    if read_pointer(storage, entry.name) or any(blob and STAMP not in blob.metadata for blob in there):
        return f"{entry.name}: left as it is: the container has another model of this name"
    text = entry.model_toml().encode()
    stamps = [entry.sha256, hashlib.sha256(text).hexdigest()]
    if all(_is(blob, stamp) for blob, stamp in zip(there, stamps, strict=True)):
        return f"{entry.name}: already there"
    with tempfile.TemporaryDirectory(prefix="dropsight-public-") as temporary:
        pulled = public_folder() if is_installed(entry, public_folder()) else Path(temporary)
        folder = pull(entry, pulled, sources)
        storage.write(MODELS, weights, folder / WEIGHTS_FILE, metadata={STAMP: stamps[0]})
        storage.write(MODELS, manifest, text, metadata={STAMP: stamps[1]})
    return f"{entry.name}: put into the container ({entry.size / 1e6:.1f} MB, {entry.manifest['licence']})"


def _is(blob: BlobInfo | None, stamp: str) -> bool:
    return blob is not None and blob.metadata.get(STAMP) == stamp
