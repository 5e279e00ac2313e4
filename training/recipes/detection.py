"""What the two detectors share: the network, how boxes travel in a batch, the loss, and the form of the file."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import boxes
from training.net import AnchorFree, Scored, load_backbone
from training.recipe import Recipe

SIDE = 256  # of the pictures to train on


class Detection(Recipe):
    """A recipe for boxes. Subclasses have `sample` in place of `batch`."""

    task = "object-detection"
    rate = 1.5e-3
    outputs = ["boxes"]
    output_axes = {1: "cells"}
    keep = [f"{part}.{level}.weight" for part in ("box", "kind") for level in range(3)]
    grey = False

    def network(self) -> nn.Module:
        return load_backbone(AnchorFree(len(self.labels), self.grey), self.checkpoint)

    def sample(self, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float32]]:
        """A picture (3, SIDE, SIDE), the classes (n,) of what is in it, and their boxes (n, 4)."""
        raise NotImplementedError

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Pictures, then all boxes as rows (picture, class, x1, y1, x2, y2)."""
        pictures, rows = [], []
        for i in range(self.batch_size):
            picture, kinds, truth = self.sample(rng)
            pictures.append(picture)
            rows.append(np.column_stack([np.full(len(truth), i), kinds, truth]).astype(np.float32))
        return torch.stack(pictures), torch.from_numpy(np.concatenate(rows))

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        pictures, rows = batch
        raw = network(pictures).float()
        mine = [rows[rows[:, 0] == i] for i in range(len(pictures))]
        cells = boxes.grid(SIDE, SIDE, AnchorFree.strides).to(raw.device)
        with torch.autocast(raw.device.type, enabled=False):
            return boxes.detection_loss(raw, [m[:, 2:] for m in mine], [m[:, 1].long() for m in mine], cells)

    def export_form(self, network: nn.Module) -> nn.Module:
        return Scored(network)
