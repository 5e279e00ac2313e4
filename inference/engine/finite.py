"""Numbers that are none: what of a model's answer is left out because of them, and the words for it.

Graphs in half precision overflow (65,504 is the largest float16) and answer NaN or infinity for some rows or all; a
result must hold neither, as JSON has no such numbers and no threshold is meant for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import HALF, BadModel
from inference.heads._detection import sound_boxes
from inference.predictions import Classes, Embedding, LabelMap, Objects, OutputImage, Predictions


def odd_outputs(outputs: Mapping[str, NDArray[Any]]) -> list[str]:
    """The outputs with NaN or plus infinity. Minus infinity alone is how logits are masked.

    The sum of squares is not finite either where there is any, and costs a tenth of looking at every number.
    """
    floats = {n: v for n, v in outputs.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"}  # ZipMap: a list
    with np.errstate(all="ignore"):
        suspects = [n for n, v in floats.items() if not np.isfinite(np.dot(v.ravel(), v.ravel()))]
    return [n for n in suspects if (np.isnan(outputs[n]) | np.isposinf(outputs[n])).any()]


def refuse_none(outputs: Mapping[str, NDArray[Any]], odd: list[str], model: str) -> None:
    """Raises BadModel where an odd output holds no number at all, so that nothing can be made of it."""
    empty = [name for name in odd if not np.isfinite(outputs[name]).any()]
    if empty:
        raise BadModel(f"{model}: it answers no numbers for this picture (NaN in {_named(empty)}); {HALF}")


def without_nan(outputs: Mapping[str, NDArray[Any]], odd: list[str]) -> dict[str, NDArray[Any]]:
    """The outputs with minus infinity in place of NaN, which would win every argmax."""
    return {n: np.where(np.isnan(v), -np.inf, v).astype(v.dtype) if n in odd else v for n, v in outputs.items()}


def without_infinity(outputs: Mapping[str, NDArray[Any]], odd: list[str]) -> dict[str, NDArray[Any]]:
    """The outputs with NaN in place of plus infinity, which a sigmoid would make the surest answer of all."""
    return {n: np.where(np.isposinf(v), np.nan, v).astype(v.dtype) if n in odd else v for n, v in outputs.items()}


def usable(predictions: Predictions, odd: list[str], model: str) -> Predictions:
    """The predictions whose numbers are all finite, with a note of what was left out.

    odd: the outputs with NaN or infinity. Raises BadModel for a vector that holds such.
    """
    notes = (f"the model's answer holds NaN or infinity in {_named(odd)}, left out here; {HALF}",) if odd else ()
    if isinstance(predictions, Objects):
        return _objects(predictions, notes)
    if isinstance(predictions, Classes) and notes:
        keep = np.isfinite(predictions.scores)
        names = tuple(name for name, kept in zip(predictions.names, keep.tolist(), strict=True) if kept)
        return Classes(predictions.label_ids[keep], predictions.scores[keep], names, (*predictions.notes, *notes))
    if isinstance(predictions, Embedding) and notes and not np.isfinite(predictions.vector).all():
        raise BadModel(f"{model}: its vector for this picture holds NaN or infinity; {HALF}")
    if isinstance(predictions, LabelMap | OutputImage) and notes:
        return replace(predictions, notes=notes)
    return predictions


def _objects(objects: Objects, notes: tuple[str, ...]) -> Objects:
    keep = np.isfinite(objects.scores) & sound_boxes(objects.boxes)
    for column in (objects.keypoints, objects.corners):
        if column is not None:
            keep &= np.isfinite(column).all(axis=(1, 2))
    if keep.all() and not notes:
        return objects
    wrong = np.count_nonzero(~keep & ~np.isneginf(objects.scores))  # others lie beside the picture
    if wrong and not notes:
        notes = (f"{wrong} of its boxes have no size (NaN, infinity or x2 < x1), left out here",)
    return replace(objects.take(keep), notes=(*objects.notes, *notes))


def _named(outputs: list[str]) -> str:
    return ", ".join(map(repr, outputs[:4]))
