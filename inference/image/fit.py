"""Where a picture lies in a network's input, and the way back from network pixels to picture pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.predictions import Floats

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Fit:
    """Where a picture (or a crop of it) lies in the network's input.

    picture: (width, height) of the full upright picture. network: (width, height) of the input tensor.
    scale, offset: picture = network * scale + offset, for x and y.
    crop: the part of the picture that was shown, xyxy in picture pixels.
    """

    picture: tuple[int, int]
    network: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]
    crop: Box

    def points(self, xy: Floats) -> Floats:
        """Network pixels (..., 2) to picture pixels, not clipped."""
        return xy * np.asarray(self.scale, np.float32) + np.asarray(self.offset, np.float32)

    def boxes(self, xyxy: Floats) -> Floats:
        """Network boxes (N, 4) to picture boxes, clipped to the part that was shown."""
        out = xyxy * np.asarray(self.scale * 2, np.float32) + np.asarray(self.offset * 2, np.float32)
        x1, y1, x2, y2 = self.crop
        out[:, 0::2] = out[:, 0::2].clip(x1, x2)
        out[:, 1::2] = out[:, 1::2].clip(y1, y2)
        return out

    def valid(self) -> Box:
        """The part of the network's input that holds the crop, xyxy in network pixels; the rest is padding."""
        x1, y1, x2, y2 = self.crop
        (sx, sy), (ox, oy) = self.scale, self.offset
        width, height = self.network
        return (
            max((x1 - ox) / sx, 0.0),
            max((y1 - oy) / sy, 0.0),
            min((x2 - ox) / sx, float(width)),
            min((y2 - oy) / sy, float(height)),
        )
