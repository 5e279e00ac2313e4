"""CIE L*a*b* (D65) of sRGB and back: distances in it are about as large as they look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# sRGB's primaries and its white point, as OpenCV has them.
_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = np.array([0.950456, 1.0, 1.088754])
_TO_RELATIVE = (_TO_XYZ / _WHITE[:, None]).astype(np.float32).T
_FROM_RELATIVE = np.linalg.inv(_TO_XYZ / _WHITE[:, None]).astype(np.float32).T


def rgb_to_lab(rgb: NDArray[np.floating]) -> Floats:
    """(..., 3) sRGB in 0..1 to (..., 3) L* 0..100, a*, b*."""
    linear = np.where(rgb <= 0.04045, rgb / np.float32(12.92), ((rgb + np.float32(0.055)) / np.float32(1.055)) ** 2.4)
    xyz = linear.astype(np.float32) @ _TO_RELATIVE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), np.float32(7.787) * xyz + np.float32(16 / 116))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def lab_to_rgb(lab: NDArray[np.floating]) -> Floats:
    """(..., 3) L*, a*, b* to sRGB in 0..1; values outside sRGB are clipped by channel."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1).astype(np.float32)
    cube = np.where(f > np.float32(6 / 29), f**3, (f - np.float32(16 / 116)) / np.float32(7.787))
    linear = (cube @ _FROM_RELATIVE).clip(0, 1)
    rgb = np.where(linear <= 0.0031308, linear * np.float32(12.92), np.float32(1.055) * linear ** (1 / 2.4) - 0.055)
    return rgb.astype(np.float32)
