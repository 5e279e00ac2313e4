"""style-brush: a photo redrawn in the manner of a picture that the project painted itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training import augment, data, paintings
from training.net import Backbone, Stylist, load_backbone
from training.pictures import as_input
from training.recipe import Predict, Recipe, to_tensor

SIDE = 192


def gram(features: Tensor) -> Tensor:
    """Correlations between channels (N, C, C), averaged over the picture."""
    flat = features.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


class Brush(Recipe):
    """Johnson et al., 2016, with the stages of our classifier where the paper has VGG's layers."""

    name = "style-brush"
    task = "image-to-image"
    source = "portraits (muxspace/facial_expressions), BCCD pictures, made-up pictures; judged by classify's features"
    licence = "MIT and Apache-2.0 data; the judging network was trained on ImageNet pictures"
    painting: ClassVar[Callable[[], NDArray[np.uint8]]] = staticmethod(paintings.brush)
    content: ClassVar[float] = 1.0
    epochs = 6
    steps = 50
    batch_size = 4
    rate = 2e-3
    weight_decay = 0.0
    average = 0.98
    example = (256, 256)
    outputs = ["picture"]
    quantise = False
    main = "style_left"
    less_is_better = True

    def load(self) -> None:
        self.portraits = torch.from_numpy(data.faces(self.root, "train", self.limit or 2000)[0])
        self.smears = to_tensor(data.cells(self.root, "trainval", self.limit or 60)[0])
        self._judge()

    def _judge(self) -> None:
        self.judge = load_backbone(Backbone((2, 2, 2)), self.checkpoint).eval().requires_grad_(False)
        painted = to_tensor(type(self).painting()[None]).float()
        with torch.no_grad():
            self.wanted = [gram(f) for f in self.judge(painted)]

    def network(self) -> nn.Module:
        return Stylist()

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        return (torch.stack([self._content(rng) for _ in range(self.batch_size)]),)

    def _content(self, rng: np.random.Generator) -> Tensor:
        kind = rng.random()
        if kind < 0.5:
            picture = torch.from_numpy(paintings.leaves(SIDE, rng)).permute(2, 0, 1).float()
        elif kind < 0.85:
            portrait = self.portraits[int(rng.integers(len(self.portraits)))].expand(3, -1, -1)
            picture = augment.crop(portrait, (0, 0, 144, 144), (SIDE, SIDE))
            picture = picture + torch.from_numpy(rng.normal(0, 5, (1, SIDE, SIDE))).float()
        else:
            smear = self.smears[int(rng.integers(len(self.smears)))]
            top, left = int(rng.integers(480 - 300)), int(rng.integers(640 - 300))
            picture = augment.crop(smear, (top, left, 300, 300), (SIDE, SIDE))
        return augment.colour(picture, rng, 0.5)

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        (pictures,) = batch
        self.judge.to(pictures.device)
        made = network(pictures).float()
        seen, original = self.judge(made), self.judge(pictures)
        content = F.mse_loss(seen[1].float(), original[1].float()) / original[1].float().pow(2).mean()
        style = sum(self._distances(seen), made.new_zeros(()))
        rough = (made.diff(dim=2).abs().mean() + made.diff(dim=3).abs().mean()) / 255
        return self.content * content + 4.0 * style + 0.3 * rough

    def _distances(self, seen: list[Tensor]) -> list[Tensor]:
        """Per stage, how far the correlations are from the painting's, as a share of the painting's."""
        return [
            F.mse_loss(gram(f), w.to(f.device).expand(len(f), -1, -1)) / w.pow(2).mean().item()
            for f, w in zip(seen, self.wanted, strict=True)
        ]

    def measure(self, predict: Predict) -> dict[str, float]:
        """The share of the distance in style between photo and painting that is left, and of content kept."""
        self._judge()
        left, kept = [], []
        for picture in data.street(self.root, ("test",), self.limit)[0][::12]:
            image = torch.from_numpy(as_input(picture))
            made = torch.from_numpy(predict(image.numpy())[0])
            with torch.no_grad():
                before, after = self.judge(image), self.judge(made)
            ratio = [a / b for a, b in zip(self._distances(after), self._distances(before), strict=True)]
            left.append(float(torch.stack(ratio).mean()))
            kept.append(float(F.cosine_similarity(before[2].flatten(), after[2].flatten(), 0)))
        return {"style_left": float(np.mean(left)), "content_kept": float(np.mean(kept))}

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        rng = np.random.default_rng(0)
        return [as_input(paintings.leaves(SIDE, rng)) for _ in range(min(count, 3))]
