"""Pictures as the exported files take them: (1, 3, H, W) floats 0..255, RGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Input = NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def as_input(picture: NDArray[np.uint8]) -> Input:
    """(H, W, 3) bytes -> (1, 3, H, W) floats."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)


def evenly(pictures: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """At least `count` of the pictures (N, ...), evenly chosen, or all where there are fewer."""
    return pictures[:: max(1, len(pictures) // count)]


def resized(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Bilinear, antialiased when shrinking."""
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def letterbox(picture: NDArray[np.uint8], side: int, pad: int = 114) -> tuple[Input, float]:
    """Fit into a square from its top left corner; returns the input and the scale (input pixels per picture's)."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    canvas = np.full((side, side, 3), pad, np.uint8)
    small = resized(picture, max(1, int(width * scale + 1e-6)), max(1, int(height * scale + 1e-6)))
    canvas[: small.shape[0], : small.shape[1]] = small
    return as_input(canvas), scale
