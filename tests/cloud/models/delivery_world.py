"""A workspace with registered models, an account with the container `models`, and what a reader of it sees."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.__main__ import main
from cloud.models import deliveries
from cloud.models.model_entry import ModelEntry
from cloud.models.pointer import Pointer, read_pointer
from cloud.models.registered_models import Registered, deliver
from cloud.models.snapshots import serving
from cloud.pipelines_file import Pipelines
from cloud.storage.containers import Storage
from inference.engine.registry import BUILT_IN
from tests.cloud.azureml.server import Service

PATHS = "azureml://datastores/workspaceblobstore/paths/"


@dataclass
class Delivery:
    """storage: with the containers; scratch: an empty folder of the test."""

    storage: Storage
    registered: Registered
    service: Service
    scratch: Path
    patch: pytest.MonkeyPatch

    def make(self, version: str, name: str = "sketch", **files: str) -> Path:
        """A folder with a model that needs no weights, called `name`; files: others beside it, by stem."""
        folder = self.scratch / f"{name}-{len(list(self.scratch.iterdir()))}" / name
        folder.mkdir(parents=True)
        shutil.copy(BUILT_IN / "sketch" / "model.onnx", folder)
        text = (BUILT_IN / "sketch" / "model.toml").read_text().replace('name = "sketch"', f'name = "{name}"', 1)
        (folder / "model.toml").write_text(text.replace('version = "1"', f'version = "{version}"', 1))
        for stem, content in files.items():
            (folder / f"{stem}.txt").write_text(content)
        return folder

    def upload(self, folder: Path, where: str) -> None:
        """The files, as they lie in the workspace's datastore."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.storage.write("azureml", f"{where}/{path.relative_to(folder).as_posix()}", path)

    def register(self, name: str, version: str, where: str) -> None:
        """A version whose files lie there."""
        self.registered.register(name, f"{PATHS}{where}", version)

    def put(self, name: str, version: str, folder: Path, where: str = "") -> str:
        """Upload and register; where the files lie."""
        where = where or f"LocalUpload/{name}-{version}"
        self.upload(folder, where)
        self.register(name, version, where)
        return where

    def deliver(self, entry: ModelEntry, **options: Any) -> str:
        return deliver(self.storage, self.registered, entry, **options)

    def pointer(self, name: str = "sketch") -> Pointer:
        stored = read_pointer(self.storage, name)
        assert stored
        return stored[0]

    def entries(self, *entries: ModelEntry) -> None:
        """What pipelines.toml holds, for the timer and the command line."""
        self.patch.setattr(deliveries, "pipelines", lambda: Pipelines(models=entries))
        self.patch.setattr("cloud.pipelines_file.pipelines", lambda: Pipelines(models=entries))
        self.patch.setattr(deliveries, "registered", lambda: self.registered)
        self.patch.setattr(deliveries, "default_storage", lambda: self.storage)
        self.patch.setattr("cloud.storage.containers.default_storage", lambda: self.storage)

    def command(self, *words: str) -> int:
        """`python -m cloud models ...`: its exit status."""
        return main(["models", *words])


def container_of(account: BlobServiceClient) -> Any:
    """Opens the container of a datastore in that account."""
    return lambda datastore: account.get_container_client(datastore["containerName"])


def served(storage: Storage, name: str = "sketch") -> dict[str, int]:
    """What a process that looks now would serve: the bytes of every file."""
    snapshot = serving(storage, name)
    assert snapshot and not snapshot.problem, "nothing serves"
    return {relative: size for relative, _, size in snapshot.files}


def sizes(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
