"""A constant-velocity Kalman filter for every coordinate of every track at once.

With the diagonal noise that SORT and ByteTrack use, the coordinates of a box never mix: the filter over the
whole box (R. E. Kalman, 1960; as applied in Bewley et al., arXiv:1602.00763, and Wojke et al.,
arXiv:1703.07402) falls apart exactly into a two-state filter (value, velocity) per coordinate, whose 2x2
covariance is written out here. So N tracks cost a handful of array operations, no matrix is inverted.

Time is in steps of 1/30 s, the frame rate for which the noise constants of those papers were chosen; a clip at
8 frames a second predicts 3.75 steps at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEPS_PER_SECOND = 30.0


@dataclass
class States:
    """(N, D) arrays: values, their velocities per step, and the three entries of the 2x2 covariances."""

    value: Floats
    velocity: Floats
    var_value: Floats
    covar: Floats
    var_velocity: Floats

    @classmethod
    def start(cls, value: Floats, std_value: Floats, std_velocity: Floats) -> States:
        """New filters at rest at the values measured; standard deviations (N, D) or broadcastable."""
        zeros = np.zeros_like(value)
        return cls(
            value.copy(), zeros.copy(), np.broadcast_to(std_value**2, value.shape).copy(),
            zeros.copy(), np.broadcast_to(std_velocity**2, value.shape).copy(),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.value)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> States:
        """A copy of these rows."""
        return States(
            self.value[rows], self.velocity[rows], self.var_value[rows], self.covar[rows],
            self.var_velocity[rows],
        )  # fmt: skip

    def append(self, other: States) -> States:
        """Both, these rows first."""
        return States(
            np.concatenate([self.value, other.value]), np.concatenate([self.velocity, other.velocity]),
            np.concatenate([self.var_value, other.var_value]), np.concatenate([self.covar, other.covar]),
            np.concatenate([self.var_velocity, other.var_velocity]),
        )  # fmt: skip

    def predict(self, steps: float, std_value: Floats, std_velocity: Floats) -> None:
        """Moves all on by `steps`; the noise (N, D) is that of a single step and its variance grows with time."""
        self.value += self.velocity * steps
        self.var_value += steps * (2.0 * self.covar + steps * self.var_velocity) + steps * std_value**2
        self.covar += steps * self.var_velocity
        self.var_velocity += steps * std_velocity**2

    def update(self, rows: NDArray[np.intp], measured: Floats, std_measured: Floats) -> None:
        """Corrects these rows by their measurements (M, D) with their noise."""
        p00, p01 = self.var_value[rows], self.covar[rows]
        gain = 1.0 / (p00 + std_measured**2)
        k0, k1 = p00 * gain, p01 * gain
        error = measured - self.value[rows]
        self.value[rows] += k0 * error
        self.velocity[rows] += k1 * error
        self.var_velocity[rows] -= k1 * p01
        self.covar[rows] = p01 - k0 * p01
        self.var_value[rows] = p00 - k0 * p00
