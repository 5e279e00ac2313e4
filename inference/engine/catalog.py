"""Public models as data (models/catalog.toml): their address, their manifest, whether they were run here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.engine.weights import BUILT_IN, hash_of_state, state_of
from inference.errors import BadManifest, BadModel
from inference.heads import head_names
from inference.manifest import Manifest, manifest_from
from inference.tables import build, nearest, read_toml, to_toml

CATALOG = BUILT_IN / "catalog.toml"
MOST_BYTES = 4 * 2**30  # of a file that is pulled
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")  # folders are called so, on every system
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class CatalogEntry:
    """A model of the catalog.

    purpose: what it is for, in finer words than its task. size: bytes. page: the source of its manifest.
    also: further addresses of the same file. verified: the file with this sha256 was run here, and reached `figure`.
    recommended: belongs to the pack for the default route. missing: why it cannot be run; empty where it can.
    """

    name: str
    purpose: str
    url: str
    sha256: str
    size: int
    page: str
    manifest: Mapping[str, Any]
    also: tuple[str, ...] = ()
    verified: bool = False
    figure: str = ""
    recommended: bool = False
    missing: str = ""

    def full_manifest(self) -> Manifest:
        """Raises BadManifest."""
        return manifest_from(self.table(), f"{CATALOG.name}: {self.name}")

    def table(self) -> dict[str, Any]:
        """What its model.toml says."""
        return {"name": self.name, "sha256": self.sha256, **self.manifest}

    def model_toml(self) -> str:
        """The manifest as the text of a file."""
        return to_toml(self.table())

    def obstacle(self) -> str:
        """Why this version cannot run it; empty where it can."""
        head = str(self.manifest["head"])
        return self.missing or ("" if head in head_names() else f"this version has no head {head!r}")


@dataclass(frozen=True)
class Catalog:
    """The models of the catalog, in the order of the file."""

    model: tuple[CatalogEntry, ...] = field(default=())

    def named(self, name: str) -> CatalogEntry:
        """The entry of that name. Raises BadModel with the nearest name."""
        for entry in self.model:
            if entry.name == name:
                return entry
        raise BadModel(f"the catalog has no model {name!r}{nearest(name, [m.name for m in self.model])}")

    def wanted(self, names: Iterable[str], recommended: bool) -> list[CatalogEntry]:
        """The models of these names, and those of the pack. Raises BadModel for a name that leads nowhere, for a model
        that cannot be run, and where nothing is asked for."""
        wanted = [self.named(name) for name in names]
        for entry in wanted:
            if entry.obstacle():
                raise BadModel(f"{entry.name} cannot be run: {entry.obstacle()}")
        if recommended:
            wanted += [m for m in self.recommended() if m not in wanted]
        if not wanted:
            raise BadModel("name models of the catalog, or say --recommended; `models list` shows what there is")
        return wanted

    def recommended(self) -> list[CatalogEntry]:
        """The pack: one runnable model for each purpose that the default route has."""
        return [m for m in self.model if m.recommended and not m.obstacle()]


def names_in(path: Path = CATALOG) -> list[str]:
    """The names of the catalog's models, without reading it in full."""
    return re.findall(r'^name = "(.+)"$', path.read_text("utf-8"), re.MULTILINE) if path.is_file() else []


def load_catalog(path: Path = CATALOG) -> Catalog:
    """Raises BadManifest where the catalog, or a manifest in it, is wrong."""
    catalog = build(Catalog, read_toml(path), str(path))
    names = [m.name for m in catalog.model]
    for entry in catalog.model:
        if names.count(entry.name) > 1 or not _NAME.fullmatch(entry.name):
            raise BadManifest(f"{path}: {entry.name!r} is not a usable name, or two models have it")
        if not _SHA256.fullmatch(entry.sha256) or not 0 < entry.size <= MOST_BYTES:
            raise BadManifest(f"{path}: {entry.name}: expected a sha256 of 64 hex digits, 1 to {MOST_BYTES:,} bytes")
        for url in (entry.url, *entry.also):
            if not url.startswith("https://"):
                raise BadManifest(f"{path}: {entry.name}: its url is {url!r}, expected https://...")
        if entry.verified != bool(entry.figure):
            raise BadManifest(f"{path}: {entry.name}: `verified` and `figure` go together")
        entry.full_manifest()
    return catalog


def known_file(file: Path, path: Path = CATALOG) -> CatalogEntry | None:
    """The catalog's entry for exactly this file; where several share it, the one that has the file's or folder's name.

    A file is hashed only where its size is that of a model of the catalog. Raises ModelUnavailable where it cannot be
    read.
    """
    state = state_of(file)
    if not path.is_file() or f"size = {state.size}\n" not in path.read_text("utf-8"):
        return None
    digest = hash_of_state(state)
    entries = [m for m in load_catalog(path).model if m.sha256 == digest]
    return next((m for m in entries if m.name in (file.stem, file.parent.name)), entries[0] if entries else None)
