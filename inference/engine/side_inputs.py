"""Inputs beside the picture that exporters add."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engine.tensors import Tensor
from inference.image.preprocess import Fit

# They are filled from the Fit.
SIDE_INPUTS = ("scale_factor", "im_shape", "orig_target_sizes", "image_shape", "pixel_mask")


def side_input(side: Tensor, fit: Fit) -> NDArray[Any]:
    """What PaddleDetection, D-FINE, DETR and keras YOLOv3 exports want to know about the resizing.

    They get values that keep the outputs in network pixels, so that Fit is the way back for every head.
    """
    width, height = fit.network
    if side.name == "pixel_mask":
        return _pixel_mask(side, fit)
    values = {
        "scale_factor": [1.0, 1.0],
        "im_shape": [height, width],
        "orig_target_sizes": [width, height],
        "image_shape": [height, width],
    }[side.name]
    return np.asarray([values], side.dtype)


def _pixel_mask(side: Tensor, fit: Fit) -> NDArray[Any]:
    """Which cells show the picture, and which are padding: [1, H, W] of the input, or the smaller map that optimum
    exports DETR with."""
    rows, columns = (n or own for n, own in zip(side.shape[-2:], fit.network[::-1], strict=True))
    x1, y1, x2, y2 = fit.valid()
    across = _shown(columns, x1 / fit.network[0], x2 / fit.network[0])
    down = _shown(rows, y1 / fit.network[1], y2 / fit.network[1])
    before = [1] * (len(side.shape) - 2)
    return (down[:, None] & across).reshape(*before, rows, columns).astype(side.dtype)


def _shown(cells: int, first: float, last: float) -> NDArray[np.bool_]:
    """Which of the cells along an axis lie, by their centres, between two shares of it; one at least."""
    centres = (np.arange(cells) + 0.5) / cells
    shown: NDArray[np.bool_] = (centres >= first) & (centres <= last)
    shown[min(int((first + last) / 2 * cells), cells - 1)] = True
    return shown
