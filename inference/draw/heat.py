"""Heat maps: how long something stood where, painted over a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from inference.draw.colours import DARK, Colour, font, unit
from inference.draw.labels import LEAST_LETTERS

# From short to long, ever lighter, so that it reads the same without colours. What is below _FROM of the scale is left
# as it is; from _FULL on the ground shines through by _THROUGH.
_SCALE: tuple[Colour, ...] = ((45, 35, 165), (140, 30, 165), (215, 70, 110), (248, 145, 55), (250, 240, 90))
_FROM, _FULL, _THROUGH = 0.06, 0.5, 0.25


def heat_picture(seconds: NDArray[np.floating], ground: Pillow.Image) -> Pillow.Image:
    """Seconds (rows, columns), over all of the RGB picture: the longer, the lighter, with a legend.

    The scale is that of the square root: else whatever is parked would hide all that walks.
    """
    picture, most = ground.copy(), float(seconds.max(initial=0.0))
    if most <= 0:
        return picture
    strength = np.sqrt(np.maximum(seconds, 0) / most) * 255
    plane = Pillow.fromarray(np.round(strength).astype(np.uint8)).resize(picture.size, Pillow.Resampling.BICUBIC)
    opacity = plane.point([round(255 * _opacity(level / 255)) for level in range(256)])
    plane.putpalette([part for level in range(256) for part in _shade(level / 255)])
    picture.paste(plane.convert("RGB"), mask=opacity)
    _legend(picture, most)
    return picture


def _opacity(strength: float) -> float:
    share = min(max((strength - _FROM) / (_FULL - _FROM), 0.0), 1.0)
    return (1 - _THROUGH) * share * share * (3 - 2 * share)


def _shade(strength: float) -> Colour:
    at = np.linspace(0, 1, len(_SCALE))
    r, g, b = (round(float(np.interp(strength, at, [shade[k] for shade in _SCALE]))) for k in range(3))
    return r, g, b


def _legend(picture: Pillow.Image, most: float) -> None:
    """A bar of the colours at the lower right, with the seconds at its ends and in its middle; none where it would be
    cut off or hide the map."""
    pen, step = ImageDraw.Draw(picture, "RGBA"), unit(picture.size)
    letters, pad = font(max(round(7 * step), LEAST_LETTERS)), max(round(2 * step), 2)
    words = ("0", duration(most / 4), duration(most))
    lengths = [pen.textlength(word, font=letters) for word in words]
    width = round(max(60 * step, lengths[1] + 2 * lengths[2] + 8 * pad))
    high = sum(letters.getmetrics())
    bar = max(round(5 * step), 5)
    right, bottom = picture.width - 2 * pad, picture.height - 2 * pad
    left, top = right - width, bottom - high - bar - pad
    if left < 2 * pad or top < picture.height / 2:
        return
    pen.rectangle((left - 2 * pad, top - 2 * pad, picture.width, picture.height), fill=(*DARK, 190))
    for column in range(width):
        x = left + column
        pen.line((x, top, x, top + bar), fill=_shade(column / max(width - 1, 1)))
    at = (left, left + (width - lengths[1]) / 2, right - lengths[2])
    for word, start in zip(words, at, strict=True):
        pen.text((start, top + bar + pad), word, fill="white", font=letters)


def duration(seconds: float) -> str:
    """As short as it can be read: 0.4 s, 12 s, 3:05 min, 2:10 h."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"
