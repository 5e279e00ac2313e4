"""One tiny epoch of every recipe, to the file that would be shipped."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="PyTorch is not installed (training/requirements.txt)")

from training import data, evaluate, export, loop, paintings  # noqa: E402
from training.cli import RECIPES  # noqa: E402
from training.recipe import Recipe  # noqa: E402

pytestmark = pytest.mark.slow
MEGABYTE = 1_000_000


def small(name: str, datasets: Path, monkeypatch: pytest.MonkeyPatch, steps: int = 1) -> Recipe:
    kind = RECIPES[name]
    monkeypatch.setattr(kind, "steps", steps)
    monkeypatch.setattr(kind, "batch_size", 2)
    return kind(datasets, limit=3)


@pytest.fixture(scope="session")
def little_imagenet(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder laid out like Tiny ImageNet, of held-out pictures: good enough to see the recipe run."""
    root = tmp_path_factory.mktemp("data")
    shutil.copy(datasets / "tiny_imagenet_val4000.zip", root)
    wnids = (datasets.parent / "starter" / "classify" / "wnids.txt").read_text().split()
    folder = root / "tiny-imagenet-200"
    with zipfile.ZipFile(datasets / "tiny_imagenet_val4000.zip") as archive:
        for name, index in list(json.loads(archive.read("labels.json")).items())[:40]:
            images = folder / "train" / wnids[index] / "images"
            images.mkdir(parents=True, exist_ok=True)
            (images / name).write_bytes(archive.read(name))
    (folder / "wnids.txt").write_text("\n".join(wnids))
    return root


@pytest.fixture(autouse=True)
def little_painting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The style picture takes seconds at its full size."""
    monkeypatch.setattr(RECIPES["style-brush"], "painting", staticmethod(lambda: paintings.brush(64)))


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_trains_exports_and_measures(
    name: str, datasets: Path, little_imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(name, little_imagenet if name == "classify" else datasets, monkeypatch)

    network = loop.fit(recipe, tmp_path, epochs=1)
    metrics = export.publish(recipe, network, tmp_path)

    assert float(str(metrics["parity"])) <= export.PARITY
    path = tmp_path / "model.onnx"
    assert path.stat().st_size <= 3 * MEGABYTE
    stated = evaluate.stated(path)
    shipped = metrics["shipped"]
    measured = metrics[str(shipped)]
    assert isinstance(measured, dict)
    assert stated == {key: round(value, 4) for key, value in measured.items()}
    assert json.loads((tmp_path / "metrics.json").read_text())["shipped"] == shipped


@pytest.mark.needs_shared
def test_a_resumed_training_ends_where_an_unbroken_one_does(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small("expression", datasets, monkeypatch, steps=2)
    whole = loop.fit(recipe, tmp_path / "whole", epochs=2).state_dict()
    loop.fit(recipe, tmp_path / "broken", epochs=2, stop_after=1)
    resumed = loop.fit(recipe, tmp_path / "broken", epochs=2).state_dict()

    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    first = json.loads((tmp_path / "whole" / "log.json").read_text())
    second = json.loads((tmp_path / "broken" / "log.json").read_text())
    assert [row["loss"] for row in first] == [row["loss"] for row in second]


@pytest.mark.needs_shared
def test_a_checkpoint_of_another_schedule_is_refused(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small("expression", datasets, monkeypatch)
    loop.fit(recipe, tmp_path, epochs=2, stop_after=1)
    with pytest.raises(SystemExit, match="was begun with epochs=2"):
        loop.fit(recipe, tmp_path, epochs=3)


@pytest.mark.needs_shared
def test_nobody_and_nothing_is_in_two_splits(datasets: Path) -> None:
    files = [row["file"] for row in json.loads((datasets / "faces" / "index.json").read_text())]
    people = {
        split: {data.person(f) for f in files if data.face_split(f) == split} for split in ("train", "val", "test")
    }
    assert not people["train"] & people["test"]
    assert not people["train"] & people["val"]
    assert not people["val"] & people["test"]
    assert 0.07 < len(people["test"]) / sum(map(len, people.values())) < 0.13

    with zipfile.ZipFile(datasets / "bccd" / "bccd.zip") as archive:
        lists = {s: set(archive.read(f"ImageSets/Main/{s}.txt").decode().split()) for s in ("trainval", "test")}
    assert lists["test"]
    assert not lists["trainval"] & lists["test"]

    assert not _pictures_of(datasets, "test") & (_pictures_of(datasets, "train") | _pictures_of(datasets, "val"))


def _pictures_of(datasets: Path, split: str) -> set[bytes]:
    with zipfile.ZipFile(datasets / "camvid" / "camvid.zip") as archive:
        return {archive.read(n) for n in archive.namelist() if n.startswith(f"{split}/") and not n.endswith("/")}


def test_a_style_picture_is_the_same_every_time() -> None:
    assert np.array_equal(paintings.brush(48), paintings.brush(48))
    assert not np.array_equal(paintings.brush(48, seed=1), paintings.brush(48, seed=2))


def test_pictures_keep_their_size_unless_another_is_requested() -> None:
    def encoded(pixels: NDArray[np.uint8]) -> bytes:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    source = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    assert np.array_equal(data.picture(encoded(source)), source)
    assert data.picture(encoded(source), "L", (4, 2)).shape == (2, 4)
