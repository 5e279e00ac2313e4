"""Changes made to training pictures: crops with their labels, and colours. Values stay floats 0..255."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def colour(x: Tensor, rng: np.random.Generator, strength: float = 0.3) -> Tensor:
    """Brightness, contrast, saturation and a tint of one picture (3, H, W), each by a random factor."""
    gain, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    tint = torch.tensor(rng.uniform(1 - strength / 3, 1 + strength / 3, (3, 1, 1)), dtype=torch.float32)
    grey = x.mean(0, keepdim=True)
    x = grey + (x - grey) * float(saturation)
    mean = grey.mean()
    return ((mean + (x - mean) * float(contrast)) * float(gain) * tint).clamp(0, 255)


def crop(x: Tensor, box: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
    """The part top, left, height, width of one picture of bytes (3, H, W), resampled to `size` (height, width)."""
    top, left, height, width = box
    part = x[:, top : top + height, left : left + width].float()[None]
    resized: Tensor = F.interpolate(part, size, mode="bilinear", antialias=True, align_corners=False)[0]
    return resized


def crop_labels(y: Tensor, box: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
    """The same part of a label map (H, W), without inventing labels between two."""
    top, left, height, width = box
    part = y[top : top + height, left : left + width].float()[None, None]
    return F.interpolate(part, size, mode="nearest")[0, 0].long()
