"""`python -m cloud models push`: public models in the container, once, and never over somebody's own."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.__main__ import main
from cloud.models import serving_models
from cloud.models.public_models import push
from cloud.models.serving_models import ServingModels
from cloud.storage.containers import Storage
from inference.engine import catalog
from inference.engine.catalog import Catalog, CatalogEntry
from inference.engine.registry import BUILT_IN, Registry
from inference.errors import ModelUnavailable

pytestmark = pytest.mark.slow
CONTENT = (BUILT_IN / "sketch/model.onnx").read_bytes()
ENTRY = CatalogEntry(
    name="drawn",
    purpose="sketch",
    url="http://127.0.0.1:9/nobody",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    page="https://example.org",
    verified=True,
    figure="drawn here",
    recommended=True,
    manifest={"task": "image-to-image", "head": "image", "licence": "MIT", "preprocess": {"do_rescale": False}},
)


@pytest.fixture
def storage(storage_account: str) -> Storage:
    return Storage(BlobServiceClient.from_connection_string(storage_account))


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/any").write_bytes(CONTENT)
    return tmp_path / "mirror"


def test_a_pushed_model_serves_and_is_put_there_once(
    storage: Storage, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert push(storage, ENTRY, [mirror]) == "drawn: put into the container (0.0 MB, MIT)"
    assert push(storage, ENTRY) == "drawn: already there"  # without asking for the file again
    monkeypatch.setattr(serving_models, "STILL_S", -5.0)
    monkeypatch.setattr(serving_models, "PARTLY_S", -5.0)
    registry = Registry([BUILT_IN])
    serving = ServingModels(storage, registry, 0)  # its folder lives as long as it does
    serving.refresh()
    assert not serving.refused
    assert registry.model("drawn").manifest.sha256 == ENTRY.sha256
    # A catalog that says more of it replaces what the last push wrote.
    newer = replace(ENTRY, manifest={**ENTRY.manifest, "description": "as a pencil would"})
    assert "put into the container" in push(storage, newer, [mirror])
    with pytest.raises(ModelUnavailable, match="drawn: no connection"):
        push(storage, ENTRY)


def test_a_model_of_that_name_from_elsewhere_is_left_alone(storage: Storage, mirror: Path) -> None:
    storage.ensure_containers("models")
    storage.write("models", "drawn/model.onnx", b"mine")
    assert push(storage, ENTRY, [mirror]) == "drawn: left as it is: the container has another model of this name"
    reading = storage.read("models", "drawn/model.onnx")
    assert reading and reading[0] == b"mine"


def test_the_command_pushes_the_pack_and_goes_on_after_what_it_cannot_get(
    storage_account: str, mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", storage_account)
    absent = replace(ENTRY, name="absent", sha256="0" * 64)
    monkeypatch.setattr(catalog, "load_catalog", lambda: Catalog((absent, ENTRY)))
    assert main(["models", "push", "--recommended", "--from", str(mirror)]) == 1
    said = capsys.readouterr()
    assert "absent: no file of" in said.err and "drawn: put into the container" in said.out
    assert main(["models", "push", "drawn"]) == 0
    assert "drawn: already there" in capsys.readouterr().out
