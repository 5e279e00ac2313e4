"""colorize: plausible colours for a black-and-white picture of a street."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training import augment, data
from training.net import Colorizer, load_backbone
from training.pictures import LUMA, as_input, evenly
from training.recipe import Predict, Recipe, to_tensor

CROP = 192


def chroma(x: Tensor) -> Tensor:
    """RGB 0..255 (N, 3, H, W) -> Cb and Cr round 0 (N, 2, H, W)."""
    y = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    return torch.stack([(x[:, 2] - y) * 0.564, (x[:, 0] - y) * 0.713], 1)


class Colorize(Recipe):
    name = "colorize"
    task = "image-to-image"
    source = "CamVid, train and val splits (468 pictures)"
    licence = "CC BY-NC 4.0 data and an ImageNet-trained backbone: research and demonstration"
    epochs = 8
    steps = 50
    rate = 2e-3
    average = 0.99
    example = (192, 256)
    outputs = ["colour"]
    keep = ["head.weight"]
    main = "psnr"
    tolerance = 0.3

    def load(self) -> None:
        self.pictures = to_tensor(data.street(self.root, ("train", "val"), self.limit)[0])

    def network(self) -> nn.Module:
        return load_backbone(Colorizer(), self.checkpoint)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        pictures = []
        height, width = self.pictures.shape[2:]
        for _ in range(self.batch_size):
            side = int(min(height, CROP / math.exp(rng.uniform(math.log(0.55), math.log(1.3)))))
            box = (int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1)), side, side)
            picture = augment.crop(self.pictures[int(rng.integers(len(self.pictures)))], box, (CROP, CROP))
            picture = (picture * float(rng.uniform(0.75, 1.25))).clamp(0, 255)
            pictures.append(picture.flip(2) if rng.random() < 0.5 else picture)
        return (torch.stack(pictures),)

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Chroma, with more weight where there is much of it: most of a street is grey."""
        (pictures,) = batch
        truth = chroma(pictures)
        weight = 1 + truth.abs().sum(1, keepdim=True) / 6
        difference = F.smooth_l1_loss(chroma(network(pictures).float()), truth, beta=3.0, reduction="none")
        return (difference * weight).mean()

    def measure(self, predict: Predict) -> dict[str, float]:
        """PSNR of RGB (median over pictures) beside that of the grey picture itself, and how colourful both are."""
        pictures, _ = data.street(self.root, ("test",), self.limit)
        rows = []
        for picture in pictures[::3]:
            truth = picture.astype(np.float32)
            grey = np.repeat((truth @ LUMA)[..., None], 3, 2)
            made = predict(as_input(np.rint(grey).astype(np.uint8)))[0][0].transpose(1, 2, 0)
            rows.append([_psnr(made, truth), _psnr(grey, truth), _spread(made), _spread(truth)])
        medians = np.median(np.array(rows), 0).tolist()
        return dict(zip(("psnr", "psnr_of_grey", "chroma", "chroma_of_truth"), medians, strict=True))

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        pictures, _ = data.street(self.root, ("train",), self.limit)
        return [as_input(picture) for picture in evenly(pictures, count)]


def _psnr(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a - b) ** 2)))


def _spread(picture: NDArray[np.float32]) -> float:
    """Mean distance of a pixel's colour from grey, in levels."""
    return float(np.abs(picture - (picture @ LUMA)[..., None]).mean())
