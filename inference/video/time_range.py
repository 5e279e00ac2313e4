"""A label over a time range of a clip: an action of its windows, or a scene of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class TimeRange:
    """What a step says of the clip from `start_s` to `end_s` (seconds of its clock); `score` is the mean over them."""

    kind: Literal["action", "scene"]
    step: str
    label: str
    label_id: int
    start_s: float
    end_s: float
    score: float

    def to_json(self) -> dict[str, Any]:
        """As the timeline holds it."""
        return {
            "kind": self.kind,
            "step": self.step,
            "label": self.label,
            "label_id": self.label_id,
            "score": round(self.score, 4),
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
        }
