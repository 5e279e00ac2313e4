"""What a fourth channel means, and pictures without it."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow
from PIL import ImageChops

# Above this share of partly transparent pixels, in more than this many steps, a TIFF's fourth channel is a measurement
# (infrared): a mask is 0 or 255 nearly everywhere, a veil has one value.
_PARTLY, _STEPS = 0.5, 16
# Alpha that nowhere exceeds this hides all: nobody sees the difference, and 1 for opaque is a mask that was not scaled.
_NOTHING = 2


def opaque(image: Pillow.Image, kind: str | None, premultiplied: bool, notes: list[str]) -> Pillow.Image:
    """The picture, of a file of Pillow's format `kind`, laid over white, RGB.

    premultiplied: its colours are, by its alpha; of the modes that say so Pillow undoes it.
    Transparency that means nothing is ignored, and `notes` says so: a 32-bit BMP whose alpha nobody filled is shown
    opaque, as Windows does, and so is any picture that is transparent everywhere (or all but), if there is anything to
    be seen.
    """
    if image.mode == "La":
        image = image.convert("LA")
    over = image.convert("RGBA")
    alpha = over.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return over.convert("RGB")
    if (most := max(value for value, count in enumerate(alpha.histogram()) if count)) <= _NOTHING:
        hidden = over.convert("RGB")
        if kind == "BMP":
            notes.append(f"the BMP's alpha is {'at most ' if most else ''}{most} everywhere and was ignored")
            return hidden
        if len(hidden.getcolors(2) or (0, 0)) > 1:
            notes.append("it is transparent everywhere: what its transparency hides is shown")
            return hidden
        notes.append("it is transparent everywhere and hides nothing: shown as white")
    elif kind == "TIFF" and _is_measurement(alpha):
        notes.append("its fourth channel is called alpha but reads like a measurement (infrared): ignored")
        return over.convert("RGB")
    if premultiplied and _can_be(over):
        return ImageChops.add(over.convert("RGB"), ImageChops.invert(alpha.convert("RGB")))
    white = Pillow.new("RGB", over.size, (255, 255, 255))
    white.paste(over, mask=alpha)
    return white


def _can_be(over: Pillow.Image) -> bool:
    """Whether the colours are nowhere lighter than their alpha, as premultiplied ones must be; rounding aside."""
    red, green, blue, alpha = over.split()
    above = ImageChops.subtract(ImageChops.lighter(ImageChops.lighter(red, green), blue), alpha)
    return sum(above.histogram()[3:]) <= above.width * above.height // 100


def _is_measurement(alpha: Pillow.Image) -> bool:
    counts = np.asarray(alpha.histogram())
    partly = counts[1:255]
    return bool(partly.sum() > _PARTLY * counts.sum() and (partly > 0).sum() > _STEPS)
