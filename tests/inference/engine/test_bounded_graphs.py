"""What a graph may ask of the process that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.registry import Registry
from inference.engine.session import Session
from inference.engine.weights import Weights
from inference.errors import BadModel, OutOfMemory, TookTooLong
from inference.image import nms as suppression
from inference.image.input_spec import InputSpec
from inference.image.media import Picture
from inference.image.plan import plan
from inference.machine import memory_limit
from inference.manifest import Preprocess
from inference.time_limits import within
from tests.inference import hostile
from tests.inference.engine.test_time_limits import MANIFEST
from tests.inference.graphs import save

DARK = Picture.of(np.zeros((8, 8, 3), np.uint8))


def test_a_tensor_beyond_the_memory_of_networks_ends_its_run_and_not_the_process(tmp_path: Path) -> None:
    """Less than the machine has, so that the system would promise it."""
    registry = Registry([hostile.hungry(tmp_path / "hungry", memory_limit() // 32 * 7)], weights=Weights([]))
    with pytest.raises(OutOfMemory, match=r"memory ran out while the model ran on x float32 \[1, 3, 8, 8\]"):
        registry.model("hungry").run(DARK)


@pytest.mark.parametrize("shape", [[1, 3, 100_000, 100_000], [2000, 3, 224, 224]])
def test_an_input_that_fills_the_memory_is_refused_before_a_picture_comes(shape: list[int], tmp_path: Path) -> None:
    scores = np.full((shape[0], 2), 0.5, np.float32)
    save(tmp_path / "m" / "model.onnx", {"x": ("float32", shape)}, {"scores": scores})
    (tmp_path / "m" / "model.toml").write_text(MANIFEST)
    with pytest.raises(BadModel, match=r"takes [\d,]+ pixels, expected at most 67,108,864 \(8192 x 8192\)"):
        Registry([tmp_path / "m"], weights=Weights([])).model("m")


@pytest.mark.parametrize("sides", [{"height": 10_000, "width": 10_000}, {"shortest_edge": 10_000}])
def test_a_manifest_asks_for_no_such_input_either(sides: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="asks for 10000 x 10000, 100,000,000 pixels, expected at most"):
        Preprocess(size=sides)


@pytest.mark.parametrize(
    ("how", "picture", "free", "network"),
    [
        (Preprocess(size={"shortest_edge": 800}), (640, 480), (None, None), (1067, 800)),
        (Preprocess(size={"shortest_edge": 2000}), (3200, 100), (None, None), (8388, 262)),  # 2^24 / 2000 = 8388.6
        (Preprocess(size={"shortest_edge": 8000}), (64, 64), (None, None), (4096, 4096)),
        (Preprocess(do_resize=False), (6000, 4000), (None, None), (5016, 3344)),  # 2^24 / 24e6 = 0.836^2
        (Preprocess(size_divisor=4096), (6000, 4000), (None, None), (4096, 4096)),
        (Preprocess(do_resize=False), (30_000, 1000), (None, 4096), (4096, 1000)),
    ],
)
def test_no_shape_of_a_picture_makes_a_free_input_larger_than_16_megapixels(
    how: Preprocess, picture: tuple[int, int], free: tuple[int | None, int | None], network: tuple[int, int]
) -> None:
    spec = InputSpec("x", np.dtype(np.float32), "nchw", *free)
    net, new, _ = plan(*picture, how, spec)
    assert net == network and net[0] * net[1] <= 1 << 24 and new[0] <= net[0] and new[1] <= net[1]


def test_suppression_looks_at_the_best_candidates_and_at_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression, "MOST_CANDIDATES", 2)
    boxes = np.asarray([[0, 0, 1, 1], [5, 0, 6, 1], [9, 0, 10, 1]], np.float32)
    scores = np.asarray([0.2, 0.9, 0.5], np.float32)
    assert suppression.nms(boxes, scores, None, 0.5, 10**9).tolist() == [1, 2]
    with within(-1, "a picture may take 120 s (PICTURE_SECONDS)"), pytest.raises(TookTooLong, match="PICTURE_SECONDS"):
        suppression.nms(boxes, scores, None, 0.5, 10**9)


def test_a_model_for_which_no_memory_is_left_takes_that_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        hostile.healthy(tmp_path / name)
    registry = Registry([tmp_path], weights=Weights([]))
    first = registry.load("a")

    class Full(Session):
        def __init__(self, *arguments: Any) -> None:
            if registry._loaded.get("a"):
                raise OutOfMemory("memory ran out while it was loaded")
            super().__init__(*arguments)

    monkeypatch.setattr("inference.engine.registry.Session", Full)
    assert registry.load("b").digest and registry.load("a") is not first


def test_a_file_larger_than_the_memory_is_not_even_read(tmp_path: Path) -> None:
    path = hostile.healthy(tmp_path / "pets") / "model.onnx"
    with path.open("r+b") as file:
        file.truncate(memory_limit() + 1)  # sparse: it takes no disk
    (entry,) = Registry([tmp_path], weights=Weights([])).list()
    assert entry.reason and f"MiB, more than the {memory_limit() >> 20:,} MiB of memory here" in entry.reason
