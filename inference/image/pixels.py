"""What the samples of a decoded file mean, as 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow


def to_rgb(image: Pillow.Image) -> Pillow.Image:
    """The pixels as 8-bit RGB: transparency over white, deep grey scaled. Raises what Pillow's decoders raise."""
    if image.mode == "RGB" and not image.has_transparency_data:
        image.load()
        return image
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        return Pillow.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        white = Pillow.new("RGB", over.size, (255, 255, 255))
        white.paste(over, mask=over.getchannel("A"))
        return white
    return image.convert("RGB")


def _to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale a 16-bit, 32-bit or float grey picture to 0..255 without clipping it to white."""
    grey = values.astype(np.float32)
    if not np.isfinite(grey).all():
        raise ValueError("it has pixels that are not finite numbers")
    low, high = float(grey.min()), float(grey.max())
    kind = values.dtype.kind
    if kind == "u" or (kind == "i" and low >= 0 and 255 < high <= 65535):  # all unsigned ones have 16 bits
        return (grey * (255 / 65535)).round().astype(np.uint8)
    if low >= 0 and high <= 255:
        return (grey * (255 if high <= 1 and kind == "f" else 1)).round().astype(np.uint8)
    if low == high:
        return np.full(grey.shape, 128, np.uint8)  # a single value and no scale to read it by
    # Halves: the difference of the largest floats is none.
    return ((grey / 2 - low / 2) * (255 / (high / 2 - low / 2))).round().astype(np.uint8)
