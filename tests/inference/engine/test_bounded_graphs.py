"""What a graph may ask of the process that runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.errors import OutOfMemory
from inference.image.media import Picture
from inference.machine import memory_limit
from tests.inference import hostile

DARK = Picture.of(np.zeros((8, 8, 3), np.uint8))


def test_a_tensor_beyond_the_memory_of_networks_ends_its_run_and_not_the_process(tmp_path: Path) -> None:
    """Less than the machine has, so that the system would promise it."""
    registry = Registry([hostile.hungry(tmp_path / "hungry", memory_limit() // 32 * 7)], weights=Weights([]))
    with pytest.raises(OutOfMemory, match=r"memory ran out while the model ran on x float32 \[1, 3, 8, 8\]"):
        registry.model("hungry").run(DARK)
