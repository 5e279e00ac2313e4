"""What the vectors of the embedding models are worth: whether a picture's nearest other shows the same kind of thing.

On pictures from elsewhere, none of which was in a training: 200 photos of ten groceries (GroceryStoreDataset), and
COCO's photos that show something besides people, where two are of a kind if they share a category (people left out).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import ROOT, SHARED, Row
from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.image.media import decode
from inference.predictions import Embedding, Floats
from inference.similar import Index

MODELS = ("embed", "embed-mobilenetv2")
Labelled = tuple[tuple[Path, frozenset[str]], ...]


def groceries() -> Labelled:
    """(photo, its kind) of all groceries."""
    folder = SHARED / "datasets" / "groceries"
    items = json.loads((folder / "index.json").read_text("utf-8"))["items"]
    return tuple((folder / item["file"], frozenset([item["label"]])) for item in items)


def everyday() -> Labelled:
    """(photo, its categories but for people) of COCO's photos that have any."""
    folder = SHARED / "media" / "coco"
    truth = json.loads((folder / "instances.json").read_text("utf-8"))
    names = {category["id"]: category["name"] for category in truth["categories"]}
    kinds: dict[int, set[str]] = {image["id"]: set() for image in truth["images"]}
    for annotation in truth["annotations"]:
        kinds[annotation["image_id"]].add(names[annotation["category_id"]])
    files = {image["id"]: folder / "val2017" / image["file_name"] for image in truth["images"]}
    others = ((files[number], frozenset(found - {"person"})) for number, found in kinds.items())
    return tuple((file, found) for file, found in others if found)


def share(model: Model, labelled: Labelled) -> float:
    """The share of photos whose nearest other one is of the same kind."""
    vectors = []
    for file, _ in labelled:
        predictions, _ = model.run(decode(file.read_bytes()))
        assert isinstance(predictions, Embedding)
        vectors.append(predictions.vector)
    return _same(vectors, [kinds for _, kinds in labelled])


def _same(vectors: Sequence[Floats], kinds: Sequence[frozenset[str]]) -> float:
    index = Index.of([str(i) for i in range(len(vectors))], vectors)
    nearest = [next(int(n) for n, _ in index.search(v, 2) if n != str(i)) for i, v in enumerate(vectors)]
    return float(np.mean([bool(kinds[i] & kinds[j]) for i, j in enumerate(nearest)]))


def by_chance(labelled: Labelled) -> float:
    """The share where the other photo is drawn by lot."""
    kinds = [found for _, found in labelled]
    pairs = [bool(a & b) for i, a in enumerate(kinds) for j, b in enumerate(kinds) if i != j]
    return float(np.mean(pairs))


def run() -> list[Row]:
    registry = Registry([ROOT / "models"], weights=Weights([SHARED / "models"]))
    rows = []
    for what, labelled in (("groceries", groceries()), ("everyday photos", everyday())):
        for name in MODELS:
            value = f"{share(registry.model(name), labelled):.0%}"
            note = f"{len(labelled)} photos; by chance {by_chance(labelled):.0%}"
            rows.append(Row(f"{what}: nearest by `{name}` is of the same kind", value, note=note))
    return rows
