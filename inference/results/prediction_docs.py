"""Predictions as the document and the lines of frames.jsonl list them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inference.predictions import Classes, Embedding, LabelMap, Objects, OutputImage, Predictions

if TYPE_CHECKING:
    from inference.results.document import PredictionDoc, VectorDoc


def prediction_docs(predictions: Predictions, step: str, parent: str = "") -> list[PredictionDoc]:
    """The predictions of a step, best first.

    Each has an id, unique among the predictions of its document and the same for equal inputs: the step's name and the
    place in its list, "faces/0"; on the crop of an object after the object's own id (`parent`), "faces/0/expression/1".
    """
    stem = id_stem(step, parent)
    if isinstance(predictions, Objects):
        return _objects(predictions, stem)
    if isinstance(predictions, Classes):
        rows = zip(predictions.names, _plain(predictions.label_ids), _plain(predictions.scores), strict=True)
        return [
            {"id": f"{stem}{i}", "label": name, "label_id": int(number), "score": round(score, 4)}
            for i, (name, number, score) in enumerate(rows)
        ]
    if isinstance(predictions, LabelMap):
        names, present = predictions.names, [row for row in predictions.areas() if row[0] != predictions.background]
        return [
            {"id": f"{stem}{i}", "label": names[k] if k < len(names) else str(k), "label_id": k, "area": area}
            for i, (k, area) in enumerate(present)
        ]
    assert isinstance(predictions, OutputImage | Embedding)
    return []


def id_stem(step: str, parent: str = "") -> str:
    """What the ids of a step's predictions have before their place in its list; parent: the id of the object on whose
    crop they are."""
    # With these two escaped no step's name can look like another's id.
    return (f"{parent}/" if parent else "") + step.replace("%", "%25").replace("/", "%2F") + "/"


def _objects(objects: Objects, stem: str) -> list[PredictionDoc]:
    """A column at a time: numpy's numbers are turned into Python's by the array, not one by one."""
    rows = zip(objects.names, _plain(objects.label_ids), _plain(objects.scores), _plain(objects.boxes), strict=True)
    documents: list[PredictionDoc] = [
        {"id": f"{stem}{i}", "label": name, "label_id": int(number), "score": round(score, 4), "box": _rounded(box)}
        for i, (name, number, score, box) in enumerate(rows)
    ]
    if objects.corners is not None:
        for document, corners in zip(documents, _plain(objects.corners), strict=True):
            document["corners"] = [_rounded(point) for point in corners]
    if objects.keypoints is not None:
        for document, points in zip(documents, _plain(objects.keypoints), strict=True):
            document["keypoints"] = [[*_rounded(place), round(score, 4)] for *place, score in points]
    if objects.masks is not None:
        from inference.results.rle import encode  # lazily: most results have no masks

        for i, document in enumerate(documents):
            document["mask_rle"] = encode(objects.masks, i)
            document["area"] = objects.masks.area(i)
    if objects.tracks is not None:
        for document, track in zip(documents, objects.tracks.tolist(), strict=True):
            if track >= 0:
                document["track"] = track
    for document, answers in zip(documents, objects.attributes, strict=False):
        if answers:
            document["attributes"] = {n: _attribute(answer, n, document["id"]) for n, answer in answers.items()}
    return documents


def _attribute(answer: Any, step: str, parent: str) -> Any:
    """The predictions on a crop, or what a head adds to an object, as the document has them."""
    if isinstance(answer, Embedding):
        vector: VectorDoc = {"dim": len(answer.vector), "vector": [round(v, 5) for v in answer.vector.tolist()]}
        return vector
    return prediction_docs(answer, step, parent) if isinstance(answer, Predictions) else answer


def score_of(value: Any) -> float:
    """A score to the places that the document has."""
    return round(float(value), 4)


def _plain(values: Any) -> Any:
    """Lists of Python's floats."""
    return np.asarray(values, np.float64).tolist()


def _rounded(place: list[float]) -> list[float]:
    return [round(v, 2) for v in place]
