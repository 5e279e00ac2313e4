"""The duration of a run of a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a run."""

    preprocess: float
    inference: float
    postprocess: float

    def __add__(self, other: Timing) -> Timing:
        return Timing(
            self.preprocess + other.preprocess, self.inference + other.inference, self.postprocess + other.postprocess
        )


NO_TIME = Timing(0.0, 0.0, 0.0)
