"""What is kept of a route's models, of their work and of a clip, so that what comes after detection needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inference.results.result import Cost, ModelFacts, Result, Source, StepResult
from inference.routes import Route
from inference.steps import Analysis
from inference.tables import build
from inference.timing import NO_TIME, Timing
from inference.video.actions import ClipFacts, Window
from inference.video.frames import MOST_SIDE
from inference.video.sights import crop_name
from inference.video.stored import from_line, to_line

TOO_WIDE = f"its pictures are scaled down in its videos, which are at most {MOST_SIDE} pixels wide and high"
# What the document calls files whose name alone does not tell them apart.
_NAMES = {"tracks.mot.txt": "mot", "tracks.csv": "csv", "tracks.vtt": "chapters"}


@dataclass(frozen=True)
class StepFacts:
    """One step and its model; `clip` where that is a model over clips. threshold: from which score on it answers;
    thresholds: by label. renamed: what the model's labels are called."""

    name: str
    task: str
    model: ModelFacts
    on: str = ""
    threshold: float = 0.0
    clip: ClipFacts | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def sure(self) -> float:
        """The score from which its answers count as sure."""
        return max(self.model.threshold, self.threshold)


@dataclass(frozen=True)
class RouteFacts:
    """All steps, those over clips last. `tracked`: the step whose detections are tracked, if any, and `threshold`:
    the score from which a detection counts by itself; thresholds: by label."""

    steps: tuple[StepFacts, ...]
    tracked: str | None
    threshold: float
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RouteFacts:
        """From the plan of a job, where it lies as `asdict` gives it. Raises BadManifest."""
        return build(cls, document, "the models' facts in a job's plan")


@dataclass
class Work:
    """What the models did: Timing by step, the windows of each step over clips; seconds of processor."""

    timings: dict[str, Timing] = field(default_factory=dict)
    windows: list[list[Window]] = field(default_factory=list)
    cpu_s: float = 0.0

    def time(self, step: str, timing: Timing) -> None:
        """Adds a run."""
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


@dataclass(frozen=True)
class Summary:
    """The result but for its files. extra: the members that a video adds to the document. poster, thumbnails: the
    frames to be drawn for them, by index; heat: the cells of the heat map, which is painted over the poster's. cpu_s:
    what the models' work took. notes: what was assumed of its pictures. sights: (track, frame) of the tracks that are
    saved as pictures."""

    source: Source
    steps: tuple[StepResult, ...]
    status: Literal["ok", "partial"]
    extra: dict[str, Any]
    poster: int | None
    thumbnails: list[int]
    heat: NDArray[np.float64] | None = None
    cpu_s: float = 0.0
    notes: Sequence[str] = ()
    sights: Sequence[Sequence[int]] = ()

    def sight(self, track: int) -> int | None:
        """The frame of which the track is saved; None where it is not."""
        return next((frame for number, frame in self.sights if number == track), None)

    def to_line(self) -> str:
        """As a job stores it."""
        steps = [{**vars(step), "model": vars(step.model), "timing": vars(step.timing)} for step in self.steps]
        return to_line({**vars(self), "source": vars(self.source), "steps": steps})

    @classmethod
    def from_line(cls, line: str) -> Summary:
        """The way back; members that it does not know are left out."""
        members = from_line(line)
        steps = tuple(
            StepResult(**{**step, "model": ModelFacts(**step["model"]), "timing": Timing(**step["timing"])})
            for step in members["steps"]
        )
        known = {name: value for name, value in members.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "source": Source(**members["source"]), "steps": steps})

    def analysis(
        self, files: Mapping[str, bytes | Path], route: Route, trace: str, cost: Cost, dropped_sound: str | None
    ) -> Analysis:
        """The analysis of the clip, with the files that came of it. dropped_sound: what of its sound they lack."""
        extra = dict(self.extra)
        if dropped_sound:
            extra["sound"] = dropped_sound
        if thumbnails := sorted(name for name in files if name.startswith("thumbnails/")):
            extra["thumbnails"] = thumbnails
        if tracks := extra.get("tracks"):
            extra["tracks"] = [
                {**track, "crop": name} if (name := crop_name(track["id"])) in files else track for track in tracks
            ]
        shown = any(name.endswith(".mp4") for name in files)
        wide = max(self.source.width or 0, self.source.height or 0) > MOST_SIDE
        result = Result(
            source=self.source,
            route=route.name,
            steps=self.steps,
            artifacts={_NAMES.get(name, Path(name).stem): name for name in sorted(files) if "/" not in name},
            cost=cost,
            status=self.status,
            trace=trace,
            extra=extra,
            notes=(*self.notes, *((TOO_WIDE,) if shown and wide else ())),
            blurred=route.draw.blur,
        )
        return Analysis(result, files)
