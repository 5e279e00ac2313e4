"""The starter models as they lie in models/: small enough, described, and what their builders make. No PyTorch."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from inference.manifest import Manifest, read_manifest

pytestmark = pytest.mark.slow
MODELS = Path(__file__).parents[2] / "models"
FOLDERS = sorted(path.parent for path in MODELS.glob("*/model.toml"))
MEGABYTE = 1_000_000
PUBLIC = {"embed-mobilenetv2"}  # manifests of files that only `models pull` brings
MANY = {"classify": 200, "street": 11, "cells": 3, "faces": 1, "expression": 5}


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def manifest(request: pytest.FixtureRequest) -> Manifest:
    return read_manifest(request.param / "model.toml")


def weights(manifest: Manifest) -> Path:
    assert manifest.folder is not None
    return (manifest.folder / manifest.file).resolve()


def test_the_manifest_names_this_very_file(manifest: Manifest) -> None:
    if not manifest.file:
        return  # no network at all
    file = weights(manifest)
    if not file.is_file():  # a manifest of another model's file
        file = next((p for p in MODELS.glob("*/model.onnx") if _digest(p) == manifest.sha256), Path())
        if manifest.name in PUBLIC and not file.is_file():
            return
    assert _digest(file) == manifest.sha256
    assert len(manifest.labels) == MANY.get(manifest.name, 0)


def test_every_model_has_a_card_and_a_licence(manifest: Manifest) -> None:
    assert manifest.folder is not None
    assert manifest.licence
    assert (manifest.folder / "README.md").is_file()
    assert f"`{manifest.name}`" in (MODELS / "LICENSES.md").read_text()


def test_models_are_small() -> None:
    sizes = {path.parent.name: path.stat().st_size for path in MODELS.glob("*/*.onnx")}
    assert {name: size for name, size in sizes.items() if size > 3 * MEGABYTE} == {}
    assert sum(sizes.values()) <= 15 * MEGABYTE


def test_trained_files_say_what_they_are() -> None:
    for path in MODELS.glob("*/model.onnx"):
        model = onnx.load(path)
        assert model.ir_version <= 10
        assert {o.version for o in model.opset_import if not o.domain} == {17}
        facts = {p.key: p.value for p in model.metadata_props}
        if path.parent.name not in ("classify", "sketch", "cartoon"):
            assert facts["name"] == path.parent.name
            assert facts["metrics"].startswith("{")
            assert facts["licence"]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_cartoon_is_what_its_builder_makes() -> None:
    spec = importlib.util.spec_from_file_location("cartoon_build", MODELS / "cartoon" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.build().graph == onnx.load(MODELS / "cartoon" / "model.onnx").graph


@pytest.mark.parametrize("size", [(8, 8), (33, 50), (120, 60)])
def test_a_cartoon_of_any_size_smooths_noise_and_keeps_edges(size: tuple[int, int]) -> None:
    height, width = size
    rng = np.random.default_rng(0)
    picture = np.full((1, 3, height, width), 60, np.float32)
    picture[..., width // 2 :] = 200
    noisy = (picture + rng.normal(0, 4, picture.shape)).astype(np.float32)
    drawn = ort.InferenceSession(str(MODELS / "cartoon" / "model.onnx")).run(None, {"image": noisy})[0]
    assert drawn.shape == picture.shape
    assert drawn.min() >= 0
    assert drawn.max() <= 255
    if width >= 50:
        left, right = drawn[..., : width // 2 - 8], drawn[..., width // 2 + 8 :]
        assert left.std() < 2
        assert right.mean() - left.mean() > 90
        assert drawn[..., width // 2 - 3 : width // 2].mean() < 0.5 * left.mean()  # an inked line on the dark side
