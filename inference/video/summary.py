"""All that the frames of a clip gave, and how it becomes the analysis once the files are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inference.results.result import Cost, ModelFacts, Result, Source, StepResult
from inference.steps import Analysis
from inference.timing import Timing
from inference.video.stored import from_line, to_line

# What the document calls files whose name alone does not tell them apart.
_NAMES = {"tracks.mot.txt": "mot", "tracks.csv": "csv", "tracks.vtt": "chapters"}


@dataclass(frozen=True)
class Summary:
    """The result but for its files. extra: the members that a video adds to the document. poster, thumbnails: the
    frames to be drawn for them, by index; last: the last frame analysed, over which `heat`, the cells of the heat map,
    is painted. cpu_s: what the models' work took."""

    source: Source
    steps: tuple[StepResult, ...]
    status: Literal["ok", "partial"]
    extra: dict[str, Any]
    poster: int | None
    thumbnails: list[int]
    last: int = -1
    heat: NDArray[np.float64] | None = None
    cpu_s: float = 0.0

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
        self, files: Mapping[str, bytes | Path], route: str, trace: str, cost: Cost, dropped_sound: str | None
    ) -> Analysis:
        """The analysis of the clip, with the files that came of it. dropped_sound: why its videos are mute, if so."""
        extra = dict(self.extra)
        if dropped_sound:
            extra["sound"] = dropped_sound
        if thumbnails := sorted(name for name in files if name.startswith("thumbnails/")):
            extra["thumbnails"] = thumbnails
        result = Result(
            source=self.source,
            route=route,
            steps=self.steps,
            artifacts={_NAMES.get(name, Path(name).stem): name for name in sorted(files) if "/" not in name},
            cost=cost,
            status=self.status,
            trace=trace,
            extra=extra,
        )
        return Analysis(result, files)
