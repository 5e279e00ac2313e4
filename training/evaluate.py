"""Measures the shipped models again, and compares with the figures in the metadata of their files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from training import export
from training.recipe import Recipe

MODELS = Path(__file__).parents[1] / "models"
# Another processor's int8 kernels may round differently in the last place.
SLACK = 0.005


def stated(path: Path) -> dict[str, float]:
    """The figures in the file's metadata; empty where it has none, as in `classify`."""
    facts = {p.key: p.value for p in onnx.load(path, load_external_data=False).metadata_props}
    figures = json.loads(facts.get("metrics", "{}"))
    return {k: float(v) for k, v in figures.items() if not isinstance(v, str)}


def run(recipes: Sequence[Recipe], models: Path) -> int:
    """Print every figure, measured beside stated; 1 where any differs by more than SLACK of its size, or where a
    model or the data of a stated figure is not there."""
    wrong = 0
    for recipe in recipes:
        path = models / recipe.name / "model.onnx"
        if not path.is_file():
            sys.stdout.write(f"{recipe.name}: {path} is not there; nothing was measured\n")
            wrong += 1
            continue
        claims = stated(path) or recipe.stated
        measured = recipe.measure(export.predictor(path))
        for key in claims.keys() - measured.keys():
            sys.stdout.write(f"{recipe.name:14}{key:34}NOT MEASURED: its photos are not beside the data\n")
            wrong += 1
        for key, value in measured.items():
            claim = claims.get(key)
            differs = claim is not None and abs(value - claim) > SLACK * max(1.0, abs(claim))
            wrong += differs
            shown = "(not stated)" if claim is None else f"{claim:9.4f}"
            sys.stdout.write(f"{recipe.name:14}{key:34}{value:9.4f}  stated {shown}{'  DIFFERS' if differs else ''}\n")
            sys.stdout.flush()
    return 1 if wrong else 0
