"""What the index says of a result, read from its document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inference.results.summary import labels_of


def facts_of(document: Mapping[str, Any], *, folder: str = "", blurred: bool = False) -> dict[str, Any]:
    """The members of an Entry that a result document has. Raises ValueError, LookupError, TypeError or AttributeError
    for what is no result."""
    source, steps, labels = document["source"], document["steps"], labels_of(document)
    shown = {**dict.fromkeys(labels.objects, 0.0), **labels.scene}
    for label, score in _scored(document):
        if label in shown:
            shown[label] = max(shown[label], score)
    return {
        "state": "partial" if document.get("status") == "partial" else "done",
        "route": str(document.get("route", "")),
        "media_type": str(source.get("media_type") or ""),
        "width": source.get("width"),
        "height": source.get("height"),
        "duration_s": source.get("duration_s"),
        "objects": dict(labels.objects),
        "scene": dict(labels.scene),
        "scores": shown,
        "tasks": tuple(dict.fromkeys(str(step["task"]) for step in steps)),
        "models": tuple(dict.fromkeys(str(step["model"]["name"]) for step in steps)),
        "folder": folder,
        "blurred": blurred,
    }


def _scored(document: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every label with a score: of predictions, of the tracks and of the time ranges of a clip."""
    rows = [prediction for step in document["steps"] for prediction in step["predictions"]]
    for row in (*rows, *document.get("tracks", ()), *document.get("timeline", ())):
        label, score = row.get("label"), row.get("score")
        if isinstance(label, str) and isinstance(score, int | float):
            yield label, float(score)
