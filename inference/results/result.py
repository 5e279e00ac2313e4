"""The result document `dropsight/1`: typed here, JSON only at the edge."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from inference.engine.session import ONNXRUNTIME_VERSION
from inference.errors import Permanent
from inference.predictions import Classes, Embedding, LabelMap, Objects, Predictions
from inference.results.prediction_docs import prediction_docs, score_of
from inference.results.skeletons import skeletons_of
from inference.timing import NO_TIME, Timing
from inference.version import __version__

if TYPE_CHECKING:
    from inference.results.document import ModelDoc, SkeletonDoc, SummaryDoc

SCHEMA = "dropsight/1"


@dataclass(frozen=True)
class Source:
    """The media a result belongs to. width, height: of the upright picture."""

    container: str = ""
    name: str = ""
    etag: str = ""
    bytes: int = 0
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    duration_s: float | None = None
    frames: int | None = None
    fps: float | None = None


@dataclass(frozen=True)
class ModelFacts:
    """The model of a step. provider: that ran; provider_asked: that was asked for, where another had to run.
    threshold: the score from which its answers count on their own; a route may let lower ones through."""

    name: str
    version: str
    sha256: str
    provider: str
    provider_asked: str | None = None
    threshold: float = 0.0

    def to_json(self) -> ModelDoc:
        """As the document names it."""
        document: ModelDoc = {
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "provider": self.provider,
        }
        if self.provider_asked is not None:
            document["provider_asked"] = self.provider_asked
        return document


@dataclass(frozen=True)
class StepResult:
    """The predictions of a step; none for a step on crops (`on`), whose predictions are attributes of the objects.
    skeleton: of a step over a clip, whose keypoints stand in the lines of the frames. renamed: what its model's labels
    are called here, where that is something else."""

    name: str
    task: str
    model: ModelFacts
    predictions: Predictions
    timing: Timing = NO_TIME
    on: str = ""
    skeleton: SkeletonDoc | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What an analysis took. cpu_s: seconds of this thread and the model's; peak_rss_mb: the process's highest, MiB;
    wall_ms: milliseconds."""

    cpu_s: float
    peak_rss_mb: int | None
    wall_ms: float


@dataclass(frozen=True)
class Result:
    """All results of a picture or video. files: names of files by (step, prediction), -1 for the step itself. crops:
    names of the files of objects that are saved as pictures, by the prediction's id. blurred: labels whose objects are
    unrecognisable in all files. extra: further top-level members of the document (timeline, tracks). notes: what was
    assumed or left out while the media was read, a sentence each."""

    source: Source
    route: str
    steps: tuple[StepResult, ...]
    artifacts: Mapping[str, str]
    cost: Cost
    status: Literal["ok", "partial"] = "ok"
    trace: str = ""
    files: Mapping[tuple[str, int], str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    crops: Mapping[str, str] = field(default_factory=dict)
    blurred: tuple[str, ...] = ()

    def summary(self) -> SummaryDoc:
        """Objects by label, and the names of the whole picture: those that are sure, apart from mere guesses.

        Several steps may detect the same thing: a label counts as often as the step that has most of it says.
        """
        objects: Counter[str] = Counter()
        scene: dict[str, float] = {}
        guesses: dict[str, float] = {}
        for step in self.steps:
            if isinstance(step.predictions, Objects):
                objects |= Counter(step.predictions.names)
            elif isinstance(step.predictions, Classes) and step.task == "image-classification":
                rows = dict(zip(step.predictions.names, map(score_of, step.predictions.scores), strict=True))
                sure = {name: score for name, score in rows.items() if score >= step.model.threshold}
                _keep_best(scene, sure)
                if not sure:
                    _keep_best(guesses, dict(list(rows.items())[:1]))
        return {
            "objects": dict(objects.most_common()),
            "scene": _best_first(scene),
            "guesses": _best_first({name: score for name, score in guesses.items() if name not in scene}),
        }

    def to_json(self) -> dict[str, Any]:
        """The document, ready for json.dumps."""
        skeletons = skeletons_of({step.name: step.predictions for step in self.steps})
        return {
            "schema": SCHEMA,
            "source": source_doc(self.source),
            "route": self.route,
            "status": self.status,
            "steps": [self._step(step, skeletons) for step in self.steps],
            "artifacts": dict(self.artifacts),
            **({"notes": list(self.notes)} if self.notes else {}),
            **({"blurred": list(self.blurred)} if self.blurred else {}),
            **self.extra,
            "summary": {**self.summary(), **self.extra.get("summary", {})},
            "cost": {
                "cpu_s": round(self.cost.cpu_s, 4),
                "peak_rss_mb": self.cost.peak_rss_mb,
                "wall_ms": round(self.cost.wall_ms, 1),
            },
            "trace": self.trace,
            "versions": versions(),
            "created": now(),
        }

    def _step(self, step: StepResult, skeletons: Mapping[str, SkeletonDoc]) -> dict[str, Any]:
        document: dict[str, Any] = {
            "name": step.name,
            "task": step.task,
            "model": step.model.to_json(),
            "threshold": round(step.model.threshold, 4),
            "predictions": prediction_docs(step.predictions, step.name),
            "ms": {k: round(v, 2) for k, v in vars(step.timing).items()},
        }
        if step.on:
            document["on"] = step.on
        if notes := getattr(step.predictions, "notes", ()):
            document["notes"] = list(notes)
        if step.renamed:
            document["renamed"] = dict(step.renamed)
        if left_out := getattr(step.predictions, "left_out", {}):
            document["left_out"] = dict(left_out)
        if skeleton := step.skeleton or skeletons.get(step.name):
            document["skeleton"] = skeleton
        if isinstance(step.predictions, LabelMap) and (step.name, -1) in self.files:
            document["map"] = self.files[step.name, -1]
        if isinstance(step.predictions, Embedding):
            document["embedding"] = {"dim": len(step.predictions.vector)}
            if (step.name, -1) in self.files:
                document["embedding"]["artifact"] = self.files[step.name, -1]
        for i, item in enumerate(document["predictions"]):
            if (step.name, i) in self.files:
                item["mask"] = self.files[step.name, i]
        if self.crops:
            _name_crops(document["predictions"], self.crops)
        return document


def _name_crops(predictions: Iterable[Any], crops: Mapping[str, str]) -> None:
    """Adds the names of their files to the predictions that have one, on crops too."""
    for item in predictions:
        if isinstance(item, dict):  # rows of numbers are what a head adds
            if item["id"] in crops:
                item["crop"] = crops[item["id"]]
            for answer in item.get("attributes", {}).values():
                if isinstance(answer, list):
                    _name_crops(answer, crops)


def _keep_best(scores: dict[str, float], more: Mapping[str, float]) -> None:
    """Adds scores by name; where a name has one already, the higher counts."""
    scores.update({name: max(score, scores.get(name, 0.0)) for name, score in more.items()})


def _best_first(scores: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def source_doc(source: Source) -> dict[str, Any]:
    return dict(vars(source))


def error_document(source: Source, error: BaseException, trace: str = "") -> dict[str, Any]:
    """What is recorded for media that could not be analysed."""
    return {
        "schema": SCHEMA,
        "source": source_doc(source),
        "status": "error",
        "error": {"class": type(error).__name__, "message": str(error), "permanent": isinstance(error, Permanent)},
        "trace": trace or new_trace(),
        "versions": versions(),
        "created": now(),
    }


def new_trace() -> str:
    """A trace id as W3C Trace Context writes it: 32 hex digits."""
    return os.urandom(16).hex()


@cache
def versions() -> dict[str, str]:
    """The releases that decide a result."""
    return {"dropsight": __version__, "onnxruntime": ONNXRUNTIME_VERSION}


def now() -> str:
    """The time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
