"""Transparent masks with outlines, and maps that tint every pixel in its label's colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.draw.colours import Colour, palette, unit
from inference.draw.labels import named
from inference.predictions import LabelMap, Masks


def rim(bits: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels (H, W) of a mask that lie within `width` of its edge."""
    height, across = bits.shape
    padded = np.pad(bits, width)
    inner = bits.copy()
    for dy, dx in ((-width, 0), (width, 0), (0, -width), (0, width)):
        inner &= padded[width + dy : width + dy + height, width + dx : width + dx + across]
    return bits & ~inner


def rim_width(size: tuple[int, int]) -> int:
    """The width of an outline in pixels, for a picture of (width, height)."""
    return max(round(0.7 * unit(size)), 1)


def paint_masks(canvas: Pillow.Image, masks: Masks, shades: Sequence[Colour], order: Any, opacity: float) -> None:
    """Each mask as a tint and its outline at full strength. Draws on `canvas`."""
    width = rim_width(canvas.size)
    for i in map(int, order):
        bits = masks.bits[i]
        if not bits.size:
            continue
        strength = np.where(bits, round(opacity * 255), 0).astype(np.uint8)
        strength[rim(bits, width)] = 255
        corner = (int(masks.windows[i][0]), int(masks.windows[i][1]))
        canvas.paste(shades[i], corner, Pillow.fromarray(strength))


def paint_map(canvas: Pillow.Image, labels: LabelMap, opacity: float) -> list[tuple[str, Colour | None]]:
    """Tint `canvas` by its labels, the background left as it is; returns a legend, the largest area first."""
    ids = labels.ids
    names = [labels.names[i] if i < len(labels.names) else str(i) for i in range(int(ids.max()) + 1)]
    strength = [round(opacity * 255)] * 256
    if labels.background is not None and labels.background < 256:
        strength[labels.background] = 0
    # Pillow looks colours up several times faster than numpy's indexing; 256 labels are enough for it to draw.
    plane = Pillow.fromarray(np.minimum(ids, 255).astype(np.uint8))
    alpha = np.array(plane.point(strength))
    edge = np.zeros(ids.shape, bool)
    width = rim_width((ids.shape[1], ids.shape[0]))
    edge[width:] |= ids[width:] != ids[:-width]
    edge[:, width:] |= ids[:, width:] != ids[:, :-width]
    alpha[edge & (alpha > 0)] = 255
    shades = palette(tuple(names[:256]))
    plane.putpalette([part for shade in shades for part in shade])
    tint, mask = plane.convert("RGB"), Pillow.fromarray(alpha)
    if tint.size != canvas.size:
        tint, mask = (i.resize(canvas.size, Pillow.Resampling.NEAREST) for i in (tint, mask))
    canvas.paste(tint, mask=mask)
    legend: list[tuple[str, Colour | None]] = []
    for i, area in labels.areas():
        if i != labels.background and area >= ids.size / 200:
            legend.append((f"{named(names[i], i)}  {area / ids.size:.0%}", shades[min(i, 255)]))
    return legend[:8]
