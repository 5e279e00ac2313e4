"""What is kept of a route's models, and of their work, so that what comes after detection needs none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from inference.results.result import ModelFacts
from inference.timing import NO_TIME, Timing
from inference.video.actions import ClipFacts, Window


@dataclass(frozen=True)
class StepFacts:
    """One step and its model; `clip` where that is a model over clips. threshold: from which score on it answers."""

    name: str
    task: str
    model: ModelFacts
    on: str = ""
    threshold: float = 0.0
    clip: ClipFacts | None = None


@dataclass(frozen=True)
class RouteFacts:
    """All steps, those over clips last. `tracked`: the one whose detections are tracked, if any, and `threshold`:
    the score from which one of them counts by itself."""

    steps: tuple[StepFacts, ...]
    tracked: str | None
    threshold: float

    def to_json(self) -> dict[str, Any]:
        """For the plan of a job."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RouteFacts:
        """The way back."""
        steps = tuple(
            StepFacts(**{**step, "model": ModelFacts(**step["model"]), "clip": _clip(step["clip"])})
            for step in document["steps"]
        )
        return cls(steps, document["tracked"], document["threshold"])


def _clip(document: Mapping[str, Any] | None) -> ClipFacts | None:
    return ClipFacts(**{**document, "labels": tuple(document["labels"])}) if document else None


@dataclass
class Work:
    """What the models did: Timing by step, the windows of each step over clips; seconds of processor."""

    timings: dict[str, Timing] = field(default_factory=dict)
    windows: list[list[Window]] = field(default_factory=list)
    cpu_s: float = 0.0

    def time(self, step: str, timing: Timing) -> None:
        """Adds one run."""
        self.timings[step] = self.timings.get(step, NO_TIME) + timing

    def to_json(self) -> dict[str, Any]:
        """For the last line of a part (arrays as they are: see `stored`)."""
        windows = [[(w.start_s, w.end_s, w.scores) for w in windows] for windows in self.windows]
        timings = {step: vars(timing) for step, timing in self.timings.items()}
        return {"windows": windows, "timings": timings, "cpu_s": self.cpu_s}

    def add(self, document: Mapping[str, Any]) -> None:
        """Adds what a part stored."""
        for step, timing in document["timings"].items():
            self.time(step, Timing(**timing))
        self.windows = self.windows or [[] for _ in document["windows"]]
        for windows, stored in zip(self.windows, document["windows"], strict=True):
            windows += [Window(*window) for window in stored]
        self.cpu_s += document["cpu_s"]
