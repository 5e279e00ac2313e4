"""What a recipe is: data, a network, a loss, and how to say how good the result is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Predict = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


class Recipe:
    """One starter model. Subclasses are data (the class attributes) and a few short methods.

    An epoch is a fixed number of `steps`: most recipes make their pictures up as they go, so that there is no
    natural end to the data. `load` is called once, before `batch` or `loss`; `measure` may be called alone.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1.0.0"
    task: ClassVar[str]
    labels: ClassVar[list[str]] = []
    source: ClassVar[str]
    licence: ClassVar[str]
    epochs: ClassVar[int]
    steps: ClassVar[int] = 100
    batch_size: ClassVar[int] = 8
    rate: ClassVar[float] = 1e-3
    backbone_rate: ClassVar[float] = 0.5
    weight_decay: ClassVar[float] = 0.02
    average: ClassVar[float] = 0.99
    example: ClassVar[tuple[int, int]]
    input_axes: ClassVar[dict[int, str]] = {2: "height", 3: "width"}
    """The dynamic axes of the file's input, by number; none where it is empty."""
    output_axes: ClassVar[dict[int, str]] = input_axes
    outputs: ClassVar[list[str]]
    quantise: ClassVar[bool] = True
    keep: ClassVar[list[str]] = []
    main: ClassVar[str]
    less_is_better: ClassVar[bool] = False
    """Of the main figure."""
    tolerance: ClassVar[float] = 0.01
    stated: ClassVar[dict[str, float]] = {}
    """The figures of a shipped file that does not carry them itself."""

    progress: float = 0.0
    """How much of the training is done, 0..1; the loop sets it before every batch."""

    def __init__(self, data: Path, limit: int | None = None) -> None:
        self.root = data
        self.limit = limit
        self.checkpoint = data.parent / "starter" / "classify" / "checkpoint_fp16.pt"

    def load(self) -> None:
        """Read the training split into memory."""
        raise NotImplementedError

    def network(self) -> nn.Module:
        """The network, its backbone filled from the classifier's checkpoint where it has one."""
        raise NotImplementedError

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Pictures (N, 3, H, W) as floats 0..255 first, then whatever `loss` needs."""
        raise NotImplementedError

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        raise NotImplementedError

    def measure(self, predict: Predict) -> dict[str, float]:
        """The card's numbers, on the held-out split, from any callable that maps pictures to outputs."""
        raise NotImplementedError

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        """Training pictures, shaped as the exported file takes them, for the quantiser to see ranges on."""
        raise NotImplementedError

    def export_form(self, network: nn.Module) -> nn.Module:
        """The network as the file shall have it (a detector decodes its boxes only there)."""
        return network


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) bytes -> (N, 3, H, W) bytes, a view."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)
