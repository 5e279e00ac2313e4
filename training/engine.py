"""The same figures through the app's own engine: its decoding, resizing and heads instead of training's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.image.media import Picture
from inference.predictions import Classes, LabelMap, Objects
from inference.routes import Route, Step
from training import data
from training.recipes.cells import LEAST_SCORE, Cells, Detections
from training.recipes.expression import PHOTOS
from training.recipes.street import Street


def cells(registry: Registry, root: Path) -> dict[str, float]:
    model = registry.model("cells")

    def detect(pixels: NDArray[np.uint8]) -> Detections:
        objects, _ = model.run(Picture.of(pixels), threshold=LEAST_SCORE)
        assert isinstance(objects, Objects)
        order = np.argsort(-objects.scores, kind="stable")
        return objects.boxes[order], objects.scores[order], objects.label_ids[order]

    return {"map50": Cells(root).score(detect)["map50"]}


def street(registry: Registry, root: Path) -> dict[str, float]:
    model = registry.model("street")

    def segment(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        labels, _ = model.run(Picture.of(pixels))
        assert isinstance(labels, LabelMap)
        return labels.ids.astype(np.int64)

    return {"mean_iou": Street(root).score(segment)["mean_iou"]}


def classify(registry: Registry, root: Path) -> dict[str, float]:
    model, right = registry.model("classify"), []
    for pixels, truth in zip(*data.tiny_imagenet_held_out(root), strict=True):
        classes, _ = model.run(Picture.of(pixels), threshold=0.0)
        assert isinstance(classes, Classes)
        right.append(classes.label_ids[:5] == truth)
    hits = np.array(right)
    return {"top1": float(hits[:, 0].mean()), "top5": float(hits.any(1).mean())}


def expression(registry: Registry, root: Path) -> dict[str, float]:
    """How many of the labelled photos get their label on the surest face that our own `faces` detects, by the best
    expression, however low its score; none where the face is too small or too uncertain for any."""
    route, right = Route("faces", (Step("faces"), Step("expression", on="face", threshold=0.0))), 0
    for name, label in PHOTOS.items():
        photo = data.required_file(root.parent / "media" / "faces" / f"{name}.jpg")
        faces = analyze(photo, route, registry, artifacts=False).result.to_json()["steps"][0]
        surest = max(faces["predictions"], key=lambda face: float(face["score"]), default=None)
        named = surest["attributes"].get("expression", []) if surest else []
        right += any(answer["label"] == label for answer in named[:1])
    return {"photos_right_on_own_boxes": float(right)}


MEASURES = {"cells": cells, "classify": classify, "expression": expression, "street": street}


def run(names: list[str], root: Path, models: Path) -> None:
    """Print the figures of those models that have a measure here."""
    registry = Registry([models], allow_research=True)
    for name in names:
        if name in MEASURES:
            for key, value in MEASURES[name](registry, root).items():
                sys.stdout.write(f"{name:14}{key:34}{value:9.4f}  through the engine\n")
                sys.stdout.flush()
