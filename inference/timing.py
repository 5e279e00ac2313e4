"""What one run of a model took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one run."""

    preprocess: float
    inference: float
    postprocess: float

    def __add__(self, other: Timing) -> Timing:
        return Timing(
            self.preprocess + other.preprocess,
            self.inference + other.inference,
            self.postprocess + other.postprocess,
        )


NO_TIME = Timing(0.0, 0.0, 0.0)
