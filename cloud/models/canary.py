"""Trying a model before it serves: it loads, it keeps its contract, it runs, it agrees with the model that serves."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.analysis import analyze
from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.errors import BadModel
from inference.results.result import Source
from inference.routes import Route, Step

_SAME_BOX = 0.5  # intersection over union above which two boxes are the same object

Prediction = Mapping[str, Any]


def verify(root: Path, name: str, samples: Mapping[str, bytes] | None = None) -> dict[str, list[Prediction]]:
    """Load the model called `name` from the folder `root` that holds its folder, and run it on the samples.

    Checks the weights' sha256 against the manifest, the tensors against the head, and that it runs at all
    (on a plain picture where there are no samples). Returns the predictions by sample. Raises BadModel,
    BadManifest.
    """
    registry = Registry([root], weights=Weights([]))
    names = [entry.name for entry in registry.list()]
    if name not in names:
        raise BadModel(f"model {name!r}: its folder holds {names or 'no model'}; the manifest's name must be {name!r}")
    model = registry.load(name)
    if not isinstance(model, Model):
        return {}  # it takes clips, of which there are no samples: what loading checks has to do
    # The best name counts, however unsure: two classifiers that keep quiet agree about nothing.
    threshold = 0.0 if model.manifest.task == "image-classification" else None
    route = Route("canary", (Step(name, threshold=threshold),))
    predictions = {}
    for sample, data in (samples or {"plain picture": _plain_picture()}).items():
        result = analyze(data, route, registry, Source(name=sample), artifacts=False).result
        predictions[sample] = list(result.to_json()["steps"][0]["predictions"])
    return predictions


def agreement(new: Mapping[str, Sequence[Prediction]], old: Mapping[str, Sequence[Prediction]]) -> float:
    """How far two versions agree on the same samples: the mean Dice coefficient of their predictions, 0 to 1.

    Classified pictures are compared by their best label, objects by label and IoU.
    """
    shares = []
    for sample, ours in new.items():
        theirs = list(old.get(sample, []))
        if ours and "box" not in ours[0]:
            ours, theirs = ours[:1], theirs[:1]
        matched = 0
        rest = list(theirs)
        for prediction in ours:
            same = next((other for other in rest if _same(prediction, other)), None)
            if same is not None:
                rest.remove(same)
                matched += 1
        total = len(ours) + len(theirs)
        shares.append(2 * matched / total if total else 1.0)
    return sum(shares) / len(shares) if shares else 1.0


def _same(a: Prediction, b: Prediction) -> bool:
    if a.get("label") != b.get("label"):
        return False
    return "box" not in a or "box" not in b or _iou(a["box"], b["box"]) >= _SAME_BOX


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def _plain_picture() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "PNG")
    return out.getvalue()
