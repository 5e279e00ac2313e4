"""street: what every pixel of a street scene is, eleven classes (CamVid)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training import augment, data
from training.net import Segmenter, load_backbone
from training.pictures import as_input, evenly
from training.recipe import Predict, Recipe, to_tensor

CROP = 256
THIN = (2, 6, 7, 9, 10)  # pole, sign, fence, pedestrian, bicyclist: together under a tenth of the pixels
# Square root of (median class frequency / class frequency) over the training pixels, rounded.
WEIGHTS = (0.6, 0.5, 2.2, 0.45, 1.2, 0.75, 2.2, 2.0, 0.9, 2.4, 2.4)


class Street(Recipe):
    name = "street"
    task = "image-segmentation"
    labels = data.STREET_LABELS
    source = "CamVid, train and val splits (468 pictures)"
    licence = "CC BY-NC 4.0 data and an ImageNet-trained backbone: research and demonstration"
    epochs = 18
    rate = 2e-3
    average = 0.995
    example = (360, 480)
    outputs = ["logits"]
    keep = ["head.weight"]
    main = "mean_iou"

    def load(self) -> None:
        pictures, labels = data.street(self.root, ("train", "val"), self.limit)
        self.pictures, self.targets = to_tensor(pictures), torch.from_numpy(labels)
        self.places = [{c: np.argwhere(m == c)[::97] for c in THIN if (m == c).sum() > 150} for m in labels]

    def network(self) -> nn.Module:
        return load_backbone(Segmenter(len(self.labels)), self.checkpoint)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        pictures, targets = [], []
        for _ in range(self.batch_size):
            i = int(rng.integers(len(self.pictures)))
            box = self._box(i, rng)
            x = augment.colour(augment.crop(self.pictures[i], box, (CROP, CROP)), rng)
            y = augment.crop_labels(self.targets[i], box, (CROP, CROP))
            flip = rng.random() < 0.5
            pictures.append(x.flip(2) if flip else x)
            targets.append(y.flip(1) if flip else y)
        return torch.stack(pictures), torch.stack(targets)

    def _box(self, i: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """A crop of any scale; every other one round a pixel of a thin class, so that these are seen."""
        height, width = self.targets.shape[1:]
        side = CROP / np.exp(rng.uniform(np.log(0.72), np.log(1.7)))
        stretch = np.exp(rng.uniform(-0.1, 0.1))
        h, w = min(height, int(side * stretch)), min(width, int(side / stretch))
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        if self.places[i] and rng.random() < 0.5:
            spots = self.places[i][int(rng.choice(list(self.places[i])))]
            y, x = spots[rng.integers(len(spots))]
            top = np.clip(y - rng.integers(h), 0, height - h)
            left = np.clip(x - rng.integers(w), 0, width - w)
        return int(top), int(left), h, w

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        pictures, targets = batch
        logits = network(pictures).float()
        weight = torch.tensor(WEIGHTS, device=logits.device)
        return F.cross_entropy(logits, targets, weight, ignore_index=data.UNLABELLED, label_smoothing=0.02)

    def measure(self, predict: Predict) -> dict[str, float]:
        return self.score(lambda picture: predict(as_input(picture))[0][0].argmax(0))

    def score(self, segment: Callable[[NDArray[np.uint8]], NDArray[np.int64]]) -> dict[str, float]:
        """Mean IoU over the classes and pixel accuracy on the 233 test pictures at 480x360, from any callable that maps
        a picture (H, W, 3) to its label map (H, W)."""
        n = len(self.labels)
        confusion = np.zeros((n, n), np.int64)
        for picture, truth in zip(*data.street(self.root, ("test",), self.limit), strict=True):
            guess, known = segment(picture), truth < n
            confusion += np.bincount(truth[known] * n + guess[known], minlength=n * n).reshape(n, n)
        hits = np.diag(confusion)
        iou = hits / np.maximum(1, confusion.sum(0) + confusion.sum(1) - hits)
        figures = {"mean_iou": float(iou.mean()), "pixel_accuracy": float(hits.sum() / confusion.sum())}
        return figures | {f"iou_{label}": float(v) for label, v in zip(self.labels, iou, strict=True)}

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        pictures, _ = data.street(self.root, ("train",), self.limit)
        return [as_input(picture) for picture in evenly(pictures, count)]
