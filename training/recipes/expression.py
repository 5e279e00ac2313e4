"""expression: neutral, happiness, surprise, sadness or anger on the crop of a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training import data
from training.net import Classifier, Mirrored, load_backbone
from training.pictures import as_input, resized
from training.recipe import Predict, Recipe
from training.reference import yunet

SIDE = 64


class Expression(Recipe):
    name = "expression"
    task = "image-classification"
    labels = data.EXPRESSIONS
    source = "muxspace/facial_expressions, persons of the train split (80 % of the persons)"
    licence = "Apache-2.0 data; the backbone was trained on ImageNet pictures: research use"
    epochs = 8
    steps = 45
    batch_size = 64
    rate = 1.5e-3
    weight_decay = 0.05
    average = 0.995
    example = (SIDE, SIDE)
    dynamic = False
    dynamic_batch = True
    outputs = ["logits"]
    keep = ["head.weight"]
    main = "balanced_accuracy"
    tolerance = 0.02

    def load(self) -> None:
        split = data.faces(self.root, ("train",), self.limit)
        self.pictures, self.boxes = torch.from_numpy(split.pictures), split.boxes
        self.members = [np.array([i for i, e in enumerate(split.expressions) if e == label]) for label in self.labels]

    def network(self) -> nn.Module:
        network = Classifier(len(self.labels), (2, 2, 2, 1), dropout=0.3, grey=True)
        load_backbone(network.backbone, self.checkpoint)
        return network

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Every class equally often: the rare ones are a twelfth of the frequent ones."""
        present = [k for k, rows in enumerate(self.members) if len(rows)]
        kinds = rng.choice(present, self.batch_size)
        x, y = self._faces(np.array([rng.choice(self.members[k]) for k in kinds]), rng), torch.from_numpy(kinds)
        other = torch.from_numpy(rng.permutation(len(x)))
        share = float(rng.beta(0.2, 0.2))
        return share * x + (1 - share) * x[other], y, y[other], torch.tensor(share)

    def _faces(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Faces with a border that varies as detectors' boxes do, turned a little, at any sharpness and light."""
        n = len(rows)
        box = self.boxes[rows] / 72 - 1  # -1..1 over the portrait, as grid_sample has it
        half = (box[:, 2:] - box[:, :2]) / 2 * rng.uniform(0.94, 1.16, (n, 2))
        centre = (box[:, 2:] + box[:, :2]) / 2 + rng.normal(0, 0.03, (n, 2))
        angle, flip = rng.normal(0, 0.12, n), rng.choice([-1.0, 1.0], n)
        c, s = np.cos(angle), np.sin(angle)
        theta = np.stack(
            [
                np.stack([flip * half[:, 0] * c, -half[:, 1] * s, centre[:, 0]], 1),
                np.stack([flip * half[:, 0] * s, half[:, 1] * c, centre[:, 1]], 1),
            ],
            1,
        )
        # one sharpness for the whole batch: fewer calls, and it varies from step to step
        side = int(rng.choice([SIDE, SIDE, 44, 32]))
        grid = F.affine_grid(torch.from_numpy(theta).float(), [n, 1, 2 * side, 2 * side], align_corners=False)
        whole = self.pictures[torch.from_numpy(rows)][:, None].float()
        x = F.avg_pool2d(F.grid_sample(whole, grid, padding_mode="border", align_corners=False), 2)
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False).clamp(0, 255)
        gamma, contrast, gain = (
            torch.from_numpy(np.exp(rng.uniform(-r, r, (n, 1, 1, 1)))).float() for r in (0.4, 0.3, 0.25)
        )
        x = 255 * (x / 255) ** gamma
        mean = x.mean((2, 3), keepdim=True)
        x = (((x - mean) * contrast + mean) * gain).clamp(0, 255)
        for i in np.flatnonzero(rng.random(n) < 0.25):
            top, left, height, width = *rng.integers(0, SIDE - 12, 2), *rng.integers(6, 20, 2)
            x[i, :, top : top + height, left : left + width] = float(rng.uniform(0, 255))
        return x.expand(-1, 3, -1, -1)

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        pictures, targets, others, share = batch
        logits = network(pictures).float()
        one = F.cross_entropy(logits, targets, label_smoothing=0.1)
        other = F.cross_entropy(logits, others, label_smoothing=0.1)
        return share * one + (1 - share) * other

    def measure(self, predict: Predict) -> dict[str, float]:
        """Recall per class and their means (balanced accuracy) on the test split's persons."""
        split = data.faces(self.root, ("test",), self.limit)
        right: list[list[bool]] = [[] for _ in self.labels]
        for picture, box, label in zip(split.pictures, split.boxes, split.expressions, strict=True):
            if label in self.labels:
                kind = self.labels.index(label)
                right[kind].append(int(predict(crop(picture, box))[0][0].argmax()) == kind)
        recalls = [float(np.mean(r)) if r else 0.0 for r in right]
        photos = self.root.parent / "media" / "faces"
        seen = {"photos_right": float(photos_right(predict, photos))} if photos.is_dir() and not self.limit else {}
        return seen | {
            "balanced_accuracy": float(np.mean(recalls)),
            "balanced_accuracy_first_three": float(np.mean(recalls[:3])),
            **{f"recall_{label}": r for label, r in zip(self.labels, recalls, strict=True)},
            **{f"pictures_{label}": float(len(r)) for label, r in zip(self.labels, right, strict=True)},
        }

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        split = data.faces(self.root, ("train",), self.limit or 8 * count)
        return [crop(p, b) for p, b in zip(split.pictures[::8], split.boxes[::8], strict=True)]

    def export_form(self, network: nn.Module) -> nn.Module:
        return Mirrored(network)

    def output_axes(self, axes: dict[int, str]) -> dict[int, str]:
        return {0: "batch"}


# The labelled photos of single faces, in the words of this model's labels.
PHOTOS = {
    "angry_man": "anger",
    "happy": "happiness",
    "neutral": "neutral",
    "neutral_girl": "neutral",
    "sad_baby": "sadness",
    "surprised_boy": "surprise",
}


def photos_right(predict: Predict, photos: Path) -> int:
    """How many of the six labelled photos get their label, on the box of the surest face."""
    detect = yunet(photos.parent.parent / "models" / "face-yunet-n-dynamic" / "model.onnx")
    right = 0
    for name, label in PHOTOS.items():
        picture = data.picture((photos / f"{name}.jpg").read_bytes())
        scale = 640 / max(picture.shape)
        small = resized(picture, round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        guess = predict(crop(picture, detect(small)[0] / scale))[0][0].argmax()
        right += data.EXPRESSIONS[int(guess)] == label
    return right


def crop(picture: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.float32]:
    """The box of a grey or colour picture, stretched to the input: (1, 3, 64, 64)."""
    height, width = picture.shape[:2]
    x1, y1 = max(0, int(box[0])), max(0, int(box[1]))
    x2, y2 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    part = picture[y1:y2, x1:x2]
    colour = part if part.ndim == 3 else np.repeat(part[..., None], 3, 2)
    return as_input(resized(colour, SIDE, SIDE))
