"""expression: neutral, happiness, surprise, sadness or anger on the crop of a face."""

from __future__ import annotations

import copy
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
from training.reference import mini_xception, yunet

SIDE = 64
# How much the teacher's logits count beside those learnt from labels; chosen on the val split's persons.
TRUST = 0.3
# What the teacher says on average of as many training faces of each class: it prefers some, which is taken back.
TEACHER_MEAN = (0.147, 0.218, 0.109, 0.214, 0.311)


class Expression(Recipe):
    name = "expression"
    task = "image-classification"
    labels = data.EXPRESSIONS
    source = "muxspace/facial_expressions, persons of the train split (80 % of the persons); a FER2013 model as teacher"
    licence = "Apache-2.0 data, MIT teacher; the backbone was trained on ImageNet pictures: research use"
    epochs = 16
    steps = 50
    batch_size = 64
    rate = 1.5e-3
    weight_decay = 0.05
    average = 0.995
    example = (SIDE, SIDE)
    input_axes = {0: "batch"}
    output_axes = {0: "batch"}
    outputs = ["logits"]
    keep = ["head.weight"]
    main = "balanced_accuracy"
    tolerance = 0.04  # the test split has so few of the rare classes that two faces are 0.033

    def load(self) -> None:
        pictures, self.boxes, expressions = data.faces(self.root, "train", self.limit)
        self.pictures = torch.from_numpy(pictures)
        self.members = [np.flatnonzero(np.array(expressions) == label) for label in self.labels]
        teacher = mini_xception(self.root.parent / "models" / "fer-mini-xception" / "model.onnx")
        self.seen = torch.from_numpy(teacher(pictures, self.boxes)).float()

    def network(self) -> nn.Module:
        network = Classifier(2 * len(self.labels), last_blocks=1, dropout=0.3, grey=True)
        return load_backbone(network, self.checkpoint)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Every class equally often: the rare ones are a twelfth of the frequent ones."""
        present = [k for k, rows in enumerate(self.members) if len(rows)]
        kinds = rng.choice(present, self.batch_size)
        rows = np.array([rng.choice(self.members[k]) for k in kinds])
        labels = F.one_hot(torch.from_numpy(kinds), len(self.labels)).float()
        x, y = self._faces(rows, rng), torch.stack([labels, self.seen[torch.from_numpy(rows)]], 1)
        other = torch.from_numpy(rng.permutation(len(x)))
        share = float(rng.beta(0.2, 0.2))
        return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]

    def _faces(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Faces with a border that varies as detectors' boxes do, turned a little, at any sharpness and light."""
        n = len(rows)
        box = self.boxes[rows] / 72 - 1  # -1..1 over the portrait, as grid_sample has it
        half = (box[:, 2:] - box[:, :2]) / 2 * rng.uniform(0.92, 1.18, (n, 1)) * rng.uniform(0.95, 1.05, (n, 2))
        centre = (box[:, 2:] + box[:, :2]) / 2 + rng.normal(0, 0.03, (n, 2))
        angle, flip = rng.normal(0, 0.12, n), rng.choice([-1.0, 1.0], n)
        c, s = np.cos(angle), np.sin(angle)
        across = np.stack([flip * half[:, 0] * c, -half[:, 1] * s, centre[:, 0]], 1)
        down = np.stack([flip * half[:, 0] * s, half[:, 1] * c, centre[:, 1]], 1)
        theta = np.stack([across, down], 1)
        # one sharpness for the whole batch: fewer calls, and it varies from step to step
        fine = int(rng.choice([SIDE, SIDE, 44, 32, 24]))
        grid = F.affine_grid(torch.from_numpy(theta).float(), [n, 1, 2 * fine, 2 * fine], align_corners=False)
        whole = self.pictures[torch.from_numpy(rows)][:, None].float()
        x = F.avg_pool2d(F.grid_sample(whole, grid, padding_mode="border", align_corners=False), 2)
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False).clamp(0, 255)
        gamma, contrast, gain = (
            torch.from_numpy(np.exp(rng.uniform(-r, r, (n, 1, 1, 1)))).float() for r in (0.4, 0.3, 0.25)
        )
        x = 255 * (x / 255) ** gamma * _side_light(n, rng)
        mean = x.mean((2, 3), keepdim=True)
        x = (((x - mean) * contrast + mean) * gain).clamp(0, 255)
        for i in np.flatnonzero(rng.random(n) < 0.25):
            top, left, height, width = *rng.integers(0, SIDE - 12, 2), *rng.integers(6, 20, 2)
            x[i, :, top : top + height, left : left + width] = float(rng.uniform(0, 255))
        return x.expand(-1, 3, -1, -1)

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """The labels, and beside them, as a task of its own on the same features, what the teacher sees."""
        pictures, targets = batch
        own, taught = network(pictures).float().chunk(2, 1)
        return F.cross_entropy(own, targets[:, 0], label_smoothing=0.1) + F.cross_entropy(taught, targets[:, 1])

    def measure(self, predict: Predict) -> dict[str, float]:
        """Recall per class and their means (balanced accuracy) on the test split's persons."""
        right: list[list[bool]] = [[] for _ in self.labels]
        for picture, box, label in zip(*data.faces(self.root, "test", self.limit), strict=True):
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
        pictures, boxes, _ = data.faces(self.root, "train", self.limit or 8 * count)
        return [crop(p, b) for p, b in zip(pictures[::8], boxes[::8], strict=True)]

    def export_form(self, network: nn.Module) -> nn.Module:
        return Mirrored(merged(network))


def _side_light(n: int, rng: np.random.Generator) -> Tensor:
    """Factors (n, 1, 64, 64) that rise or fall evenly across the picture."""
    slope = torch.from_numpy(rng.normal(0, 0.2, (n, 2, 1, 1, 1))).float()
    across = torch.linspace(-1, 1, SIDE)
    return (slope[:, 0] * across + slope[:, 1] * across[:, None]).exp()


def merged(network: nn.Module) -> nn.Module:
    """The same network with one linear layer for both tasks: the labels' logits and a part of the teacher's."""
    both = copy.deepcopy(network)
    head, classes = both.head, both.head.out_features // 2
    mix = torch.cat([torch.eye(classes), TRUST * torch.eye(classes)], 1).to(head.weight.device)
    preferred = TRUST * torch.tensor(TEACHER_MEAN, device=mix.device).log()
    both.head = nn.Linear(head.in_features, classes)
    both.head.weight.data, both.head.bias.data = mix @ head.weight.data, mix @ head.bias.data - preferred
    return both


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
    detect = yunet(photos)
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
