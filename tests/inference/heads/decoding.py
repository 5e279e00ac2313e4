"""What the tests of decoders share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from inference.image.preprocess import Fit
from inference.manifest import manifest_from
from inference.predictions import Objects
from tests.inference.heads import reference_decoders as reference

TESTS = Path(__file__).parents[2]


def fit(width: int, height: int) -> Fit:
    """The network's pixels are the picture's."""
    return Fit((width, height), (width, height), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0, float(width), float(height)))


def manifest(head: str, task: str = "object-detection", labels: int = 0, **post: Any) -> Any:
    table = {"name": "m", "head": head, "task": task, "labels": [f"label {i}" for i in range(labels)]}
    return manifest_from({**table, "postprocess": post}, "test")


def clipped(rows: list[reference.Row], width: float, height: float) -> list[reference.Row]:
    return [([min(max(b[0], 0), width), min(max(b[1], 0), height), min(max(b[2], 0), width), min(max(b[3], 0), height)],
             score, c) for b, score, c in rows]  # fmt: skip


def same(found: Objects, rows: list[reference.Row], width: float, height: float) -> None:
    assert len(rows) > 3, "the test says nothing about an empty answer"
    assert len(found) == len(rows)
    rows = clipped(rows, width, height)
    beside = [x1 >= x2 or y1 >= y2 for (x1, y1, x2, y2), *_ in rows]  # the picture: marked, and left out by the model
    assert np.isneginf(found.scores).tolist() == beside
    rows = [row for row, out in zip(rows, beside, strict=True) if not out]
    found = found.take(~np.asarray(beside))
    np.testing.assert_allclose(found.boxes, [r[0] for r in rows], atol=0.01)
    np.testing.assert_allclose(found.scores, [r[1] for r in rows], atol=1e-4)
    assert found.label_ids.tolist() == [r[2] for r in rows]


def noise(*shape: int, seed: int = 0, spread: float = 1.0) -> Any:
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(np.float32)


def xyxy(count: int, width: int, height: int) -> Any:
    low, size = np.random.default_rng(0).random((2, count, 2), np.float32)
    return np.concatenate([low * 0.7, low * 0.7 + size * 0.3], axis=1) * np.asarray([width, height] * 2, np.float32)


def joined(*columns: Any) -> Any:
    return np.column_stack(columns).astype(np.float32)


def bilinear(values: Any, x: float, y: float) -> float:
    height, width = values.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    x0, y0 = math.floor(x), math.floor(y)
    x1, y1, fx, fy = min(x0 + 1, width - 1), min(y0 + 1, height - 1), x - x0, y - y0
    top = values[y0, x0] * (1 - fx) + values[y0, x1] * fx
    return float(top * (1 - fy) + (values[y1, x0] * (1 - fx) + values[y1, x1] * fx) * fy)
