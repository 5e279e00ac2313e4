"""The same figures through the app's own engine: its decoding, resizing and heads instead of training's."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.image.media import Picture, decode
from inference.predictions import Classes, LabelMap, Objects
from inference.routes import Route, Step
from training import boxes, data
from training.recipes.expression import PHOTOS


def upright(pixels: NDArray[np.uint8]) -> Picture:
    """Pixels as the engine would have them from a file without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return decode(buffer.getvalue())


def cells(registry: Registry, root: Path) -> dict[str, float]:
    model, split = registry.model("cells"), data.cells(root, ("test",))
    count = len(data.CELL_LABELS)
    found: list[list[tuple[float, bool]]] = [[] for _ in range(count)]
    truths = np.zeros(count, int)
    for pixels, truth, kinds in zip(split.pictures, split.boxes, split.classes, strict=True):
        seen, _ = model.run(upright(pixels), threshold=0.01)
        assert isinstance(seen, Objects)
        order = np.argsort(-seen.scores, kind="stable")
        for kind in range(count):
            mine = order[seen.label_ids[order] == kind]
            right = boxes.match(np.asarray(seen.boxes[mine], np.float32), truth[kinds == kind], 0.5)
            found[kind] += list(zip(seen.scores[mine].tolist(), right.tolist(), strict=True))
        truths += np.bincount(kinds, minlength=count)
    points = [
        boxes.average_precision(np.array([s for s, _ in f]), np.array([r for _, r in f], bool), int(n))
        for f, n in zip(found, truths, strict=True)
    ]
    return {"map50": float(np.mean(points))}


def street(registry: Registry, root: Path) -> dict[str, float]:
    model, split = registry.model("street"), data.street(root, ("test",))
    n = len(data.STREET_LABELS)
    confusion = np.zeros((n, n), np.int64)
    for pixels, truth in zip(split.pictures, split.labels, strict=True):
        seen, _ = model.run(upright(pixels))
        assert isinstance(seen, LabelMap)
        known = truth < n
        confusion += np.bincount(truth[known] * n + seen.ids[known].astype(np.int64), minlength=n * n).reshape(n, n)
    hits = np.diag(confusion)
    return {"mean_iou": float((hits / (confusion.sum(0) + confusion.sum(1) - hits)).mean())}


def classify(registry: Registry, root: Path) -> dict[str, float]:
    model, split = registry.model("classify"), data.tiny_imagenet_held_out(root)
    right = []
    for pixels, truth in zip(split.pictures, split.classes, strict=True):
        seen, _ = model.run(upright(pixels), threshold=0.0)
        assert isinstance(seen, Classes)
        right.append(list(seen.label_ids[:5] == truth))
    hits = np.array(right)
    return {"top1": float(hits[:, 0].mean()), "top5": float(hits.any(1).mean())}


def expression(registry: Registry, root: Path) -> dict[str, float]:
    """How many of the labelled photos get their label on the surest face that our own `faces` finds."""
    steps = (Step("faces"), Step("expression", on="face"))
    right = 0
    for name, label in PHOTOS.items():
        photo = data.there(root.parent / "media" / "faces" / f"{name}.jpg")
        faces = analyze(photo, Route("faces", steps), registry, artifacts=False).result.to_json()["steps"][0]
        surest = max(faces["predictions"], key=lambda face: float(face["score"]), default=None)
        right += surest is not None and surest["attributes"]["expression"][0]["label"] == label
    return {"photos_right_on_own_boxes": float(right)}


MEASURES: dict[str, Callable[[Registry, Path], dict[str, float]]] = {
    "cells": cells,
    "classify": classify,
    "expression": expression,
    "street": street,
}


def run(names: list[str], root: Path, models: Path) -> None:
    """Print the figures of those models that have a measure here."""
    registry = Registry([models], allow_research=True)
    for name in names:
        if name in MEASURES:
            for key, value in MEASURES[name](registry, root).items():
                sys.stdout.write(f"{name:14}{key:34}{value:9.4f}  through the engine\n")
                sys.stdout.flush()
