"""The command line of training/: what it refuses, and Tiny ImageNet as published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

torch = pytest.importorskip("torch", reason="PyTorch is not installed (training/requirements.txt)")

from training import data, evaluate, export, loop  # noqa: E402
from training.cli import RECIPES, main  # noqa: E402
from training.recipes.classify import Classify  # noqa: E402
from training.recipes.style import Brush  # noqa: E402

pytestmark = pytest.mark.slow
COLOURS = {"n09000001": (200, 30, 30), "n01000002": (30, 200, 30), "n05000003": (30, 30, 200)}


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """A dataset folder with pictures of the first three classes of a Tiny ImageNet, whose wnids.txt is not sorted."""
    folder, rng = tmp_path / data.TINY_IMAGENET, np.random.default_rng(0)
    rows = []
    for wnid, colour in COLOURS.items():
        (folder / "train" / wnid / "images").mkdir(parents=True)
        (folder / "val" / "images").mkdir(parents=True, exist_ok=True)
        for number in range(4):
            pixels = np.clip(np.array(colour) + rng.normal(0, 20, (64, 64, 3)), 0, 255).astype(np.uint8)
            name = f"{wnid}_{number}.JPEG"
            Image.fromarray(pixels).save(folder / "train" / wnid / "images" / name)
            Image.fromarray(pixels).save(folder / "val" / "images" / name)
            rows.append(f"{name}\t{wnid}\t0\t0\t62\t62")
    (folder / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")
    others = [f"n1{number:07}" for number in range(197)]
    (folder / "wnids.txt").write_text("\n".join([*COLOURS, *others]) + "\n")
    return tmp_path


def test_classify_trains_on_tiny_imagenet_as_published(
    imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classify, "steps", 1)
    monkeypatch.setattr(Classify, "batch_size", 8)
    assert main(["classify", "--data", str(imagenet), "--out", str(tmp_path / "o"), "--epochs", "1"]) == 0
    facts = {p.key: p.value for p in onnx.load(tmp_path / "o" / "model.onnx").metadata_props}
    assert json.loads(facts["labels"]) == Classify.labels
    assert set(json.loads(facts["metrics"])) == {"shipped", "top1", "top5", "nearest_same_class"}


def test_other_classes_than_those_of_tiny_imagenet_are_refused(imagenet: Path) -> None:
    (imagenet / data.TINY_IMAGENET / "wnids.txt").write_text("\n".join(COLOURS))
    with pytest.raises(SystemExit, match="3 classes; expected the 200 of Tiny ImageNet.*python -m training.pipeline"):
        Classify(imagenet).load()


def test_classes_are_numbered_as_the_labels_are_whatever_the_order_of_wnids(imagenet: Path) -> None:
    recipe = Classify(imagenet)
    recipe.load()
    for picture, kind in zip(recipe.pictures, recipe.classes, strict=True):
        assert int(picture.float().mean((1, 2)).argmax()) == [1, 2, 0][int(kind)]  # n01 green, n05 blue, n09 red

    def sees_the_colour(pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        means = pictures.mean((2, 3))
        return [means[:, [1, 2, 0]], means]

    assert recipe.measure(sees_the_colour) == {"top1": 1.0, "top5": 1.0, "nearest_same_class": 1.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["street", "--epochs", "0"], "'0' must be a whole number of at least 1"),
        (["street", "--stop-after", "-1"], "'-1' must be a whole number of at least 1"),
        (["street", "--device", "nowhere"], "argument --device: 'nowhere'"),
        (["evaluate", "nothing"], "nothing: no such recipe; there are cells,"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = [] if arguments[0] == "evaluate" else ["--out", str(tmp_path)]
    with pytest.raises(SystemExit) as refused:
        main([*arguments, "--data", str(tmp_path), *rest])
    assert refused.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cells", "classify", "expression", "faces", "street", "style-brush"])
def test_missing_data_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--data must be the folder of the datasets|unpack Tiny ImageNet-200 there"):
        main([name, "--data", str(tmp_path), "--out", str(tmp_path / "o")])
    with pytest.raises(SystemExit, match="--data must be the folder of the datasets"):
        main(["evaluate", name, "--data", str(tmp_path)])


def test_a_model_that_is_not_there_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "street", "--data", str(tmp_path), "--models", str(tmp_path)]) == 1
    assert "nothing was measured" in capsys.readouterr().out


def test_figures_that_differ_or_cannot_be_measured_are_no_success(
    imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(evaluate.MODELS / "classify", tmp_path / "classify")
    figures = {"top1": 0.51, "top5": 0.76}
    monkeypatch.setattr(Classify, "measure", lambda self, predict: figures)
    for stated, status, said in (
        ({"top1": 0.511}, 0, "(not stated)"),
        ({"top1": 0.52}, 1, "DIFFERS"),
        ({"top3": 0.5}, 1, "NOT MEASURED"),
    ):
        monkeypatch.setattr(Classify, "stated", stated)
        assert main(["evaluate", "classify", "--data", str(imagenet), "--models", str(tmp_path)]) == status
        assert said in capsys.readouterr().out


def test_a_checkpoint_that_names_no_recipe_goes_on(
    imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classify, "steps", 1)
    monkeypatch.setattr(Classify, "batch_size", 8)
    loop.fit(Classify(imagenet), tmp_path / "o", epochs=2, stop_after=1)
    path = tmp_path / "o" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    del state["recipe"]
    torch.save(state, path)
    with pytest.raises(SystemExit, match=r"was begun with epochs=2 seed=0 recipe=\?"):
        loop.fit(Classify(imagenet), tmp_path / "o", epochs=3)
    loop.fit(Classify(imagenet), tmp_path / "o", epochs=2)
    assert torch.load(path, weights_only=True)["epoch"] == 2


def test_a_checkpoint_of_another_recipe_is_refused(
    imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classify, "steps", 1)
    monkeypatch.setattr(Classify, "batch_size", 8)
    loop.fit(Classify(imagenet), tmp_path / "o", epochs=2, stop_after=1)
    monkeypatch.setattr(Classify, "name", "other")
    with pytest.raises(SystemExit, match="was begun with epochs=2 seed=0 recipe=classify"):
        loop.fit(Classify(imagenet), tmp_path / "o", epochs=2)


@pytest.mark.parametrize(("half", "shipped"), [(0.055, "half"), (0.3, "float")])
def test_a_smaller_file_is_shipped_only_if_its_figure_is_no_worse(
    half: float, shipped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([0.05, half])  # the share of the style's distance that is left: less is better
    monkeypatch.setattr(Brush, "measure", lambda self, predict: {"style_left": next(figures)})
    recipe = RECIPES["style-brush"](tmp_path)
    assert export.publish(recipe, recipe.network(), tmp_path)["shipped"] == shipped
