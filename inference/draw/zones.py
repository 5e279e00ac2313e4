"""Lines and areas on the frames of a clip, each with its name and what it has counted beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from inference.draw.colours import DARK, Colour, font, palette, unit
from inference.draw.labels import LEAST_LETTERS, Area, fitted_text, shared, written
from inference.regions import inside

Points = tuple[tuple[float, float], ...]
_FILL = 18  # opacity of an area, 0..255
_PLATE = (*DARK, 190)
# Outlines are drawn some times finer and scaled down, so that they are smooth; of so many pixels along the longer side.
_FINEST = 3840
_LEAST = 7  # pixels of letters where the picture is narrower than the counters
_COVERED = 0.25  # of the picture: if plates with names would cover more, they have none, and colours tell zones apart
_MOST_COVERED = 0.5  # if even those would cover more, only the first zones have any
_SAMPLES = 60  # of an outline, by which it is seen whether a plate covers it


@dataclass(frozen=True)
class ZoneMark:
    """A line (two points) or an area (three or more), relative (x, y), 0..1. counters: the words for what it has
    counted, which are never cut."""

    name: str
    points: Points
    counters: str


# Where a layer's corner belongs on the picture, and the layer: a zone on a transparent ground.
Layer = tuple[tuple[int, int], Pillow.Image]


class Layers:
    """The layers of a clip's zones, which do not change from frame to frame."""

    def __init__(self) -> None:
        self._kept: dict[tuple[tuple[int, int], Points, Colour], Layer] = {}

    def of(self, size: tuple[int, int], points: Points, shade: Colour) -> Layer:
        """The zone's layer for a picture of (width, height)."""
        key = size, points, shade
        if key not in self._kept:
            self._kept[key] = _layer(*key)
        return self._kept[key]


def draw_zones(canvas: Pillow.Image, zones: Sequence[ZoneMark], layers: Layers | None = None) -> None:
    """Draws outlines with a dark rim, areas with a light tint, lines with an arrow that crosses them inwards. layers:
    what is kept from frame to frame."""
    layers = layers or Layers()
    for zone, shade in zip(zones, _shades(zones), strict=True):
        corner, layer = layers.of(canvas.size, zone.points, shade)
        canvas.paste(layer, corner, layer)


def _shades(zones: Sequence[ZoneMark]) -> tuple[Colour, ...]:
    return palette(tuple(f"zone {zone.name}" for zone in zones))


def _layer(size: tuple[int, int], points: Points, shade: Colour) -> Layer:
    step, finer = unit(size), min(max(_FINEST // max(size), 1), 3)
    width, rim = max(round(0.9 * step), 2), max(round(0.3 * step), 1)
    places = _pixels(points, size, width / 2 + rim)
    arrow = _arrow(places, size, step) if len(points) == 2 else None
    every = np.concatenate([places, *([] if arrow is None else arrow)])
    low = np.maximum(np.floor(every.min(axis=0) - width - rim), 0).astype(int)
    high = np.minimum(np.ceil(every.max(axis=0) + width + rim) + 1, size).astype(int)
    target = (int(high[0] - low[0]), int(high[1] - low[1]))
    large = (target[0] * finer, target[1] * finer)
    rims, strokes = Pillow.new("L", large, 0), Pillow.new("L", large, 0)
    for sheet, grown in ((rims, 2 * rim), (strokes, 0)):
        pen = ImageDraw.Draw(sheet)
        outline = [tuple(p) for p in ((places - low) * finer).tolist()]
        outline = outline if len(points) == 2 else [*outline, outline[0], outline[1]]
        pen.line(outline, fill=255, width=(width + grown) * finer, joint="curve")
        for part in () if arrow is None else arrow:
            shape = [tuple(p) for p in ((part - low) * finer).tolist()]
            if len(shape) == 2:
                pen.line(shape, fill=255, width=(width + grown) * finer)
            else:
                pen.polygon(shape, fill=255, outline=255, width=max(grown * finer // 2, 1))
    rims, strokes = (sheet.resize(target, Pillow.Resampling.BOX) for sheet in (rims, strokes))
    layer = Pillow.new("RGBA", target, (*shade, 0))
    if len(points) > 2:
        ImageDraw.Draw(layer).polygon([tuple(p) for p in (places - low).tolist()], fill=(*shade, _FILL))
    layer.paste((*DARK, 255), mask=rims)
    layer.paste((*shade, 255), mask=strokes)
    return (int(low[0]), int(low[1])), layer


def _pixels(points: Points, size: tuple[int, int], margin: float) -> Any:
    """(P, 2) in pixels; what lies at the picture's border is moved inside, to be seen as wide as the rest."""
    places = np.asarray(points, np.float64) * size
    return np.clip(places, margin, np.maximum(np.array(size) - 1 - margin, margin))


def _arrow(line: Any, size: tuple[int, int], step: float) -> tuple[Any, Any]:
    """A shaft and a head that cross the line (2, 2) at its middle, towards its right-hand side as it is walked along,
    where a crossing `in` arrives."""
    along = line[1] - line[0]
    length = max(float(np.hypot(*along)), 1e-6)
    across = np.array([-along[1], along[0]]) / length
    reach = max(11.0 * step, 13.0)
    middle = line.mean(axis=0)
    ends = np.array([middle - 0.4 * reach * across, middle + reach * across])
    ends += np.maximum(3 - ends.min(axis=0), 0) - np.maximum(ends.max(axis=0) - (np.array(size) - 4), 0)
    tip, side = ends[1], 0.42 * reach * along / length
    neck = tip - 0.7 * reach * across
    return np.array([ends[0], neck]), np.array([tip, neck + side, neck - side])


def plates(canvas: Pillow.Image, zones: Sequence[ZoneMark]) -> list[tuple[Area, ZoneMark, str, Any, Colour]]:
    """Where the name and the counters of each zone stand: (area, zone, text, letters, colour); where there is no room
    for all, those of the first."""
    pen, pixels = ImageDraw.Draw(canvas), canvas.width * canvas.height
    named = [replace(zone, name=written(zone.name, f"zone {number}")) for number, zone in enumerate(zones, 1)]
    texts, sizes = _texts(pen, named, canvas.size)
    if sum(map(math.prod, sizes)) > _COVERED * pixels:
        texts, sizes = _texts(pen, [replace(zone, name="") for zone in zones], canvas.size)
    covered = accumulate(map(math.prod, sizes))
    sizes = [size for i, (size, total) in enumerate(zip(sizes, covered, strict=True))
             if i == 0 or total <= _MOST_COVERED * pixels]  # fmt: skip
    places = _places(canvas.size, tuple(zone.points for zone in zones[: len(sizes)]), tuple(sizes))
    return [
        ((x, y, x + width, y + height), zone, text, letters, shade)
        for (x, y), (width, height), zone, (text, letters), shade in zip(
            places, sizes, zones, texts, _shades(zones), strict=False
        )
    ]


def _texts(
    pen: ImageDraw.ImageDraw, zones: Sequence[ZoneMark], size: tuple[int, int]
) -> tuple[list[tuple[str, Any]], list[tuple[int, int]]]:
    """(text, letters) of each plate, and its (width, height) in pixels, on a picture of the (width, height) `size`."""
    step = unit(size)
    pad = max(round(step), 2)
    texts, sizes = [], []
    for zone in zones:
        text, letters = _text(pen, zone, size[0] - 6 * pad, max(round(7 * step), LEAST_LETTERS))
        # As wide as with other digits: the plate keeps its place while it counts.
        steady = "".join("0" if c.isdigit() else c for c in text)
        ascent, descent = letters.getmetrics()
        texts.append((text, letters))
        sizes.append((round(pen.textlength(steady, font=letters)) + 5 * pad, ascent + descent + pad))
    return texts, sizes


def _text(pen: ImageDraw.ImageDraw, zone: ZoneMark, width: float, size: int) -> tuple[str, Any]:
    """The name, cut where it is too long, and the counters, in smaller letters where even they are."""
    letters = font(size)
    own = pen.textlength(zone.counters, font=letters)
    if own > width:
        return zone.counters, font(max(int(size * width / own), _LEAST))
    # Names are for telling zones apart: one of a sentence would hide the picture.
    room = min(width - own, max(0.3 * width, own)) - pen.textlength("  ", font=letters)
    name = zone.name if own < 0.5 * width else ""  # on a small picture a colour is enough
    name = fitted_text(pen, name, letters, room)
    return (f"{name}  {zone.counters}" if name else zone.counters), letters


@lru_cache(maxsize=64)
def _places(
    size: tuple[int, int], zones: tuple[Points, ...], sizes: tuple[tuple[int, int], ...]
) -> tuple[tuple[float, float], ...]:
    """The upper left corner of each zone's plate: beside its outline, inside the picture, not over another."""
    taken: list[Area] = []
    for points, (width, height) in zip(zones, sizes, strict=True):
        outline = _outline(points, size)
        gap = 2.0 * unit(size)
        candidates = [
            (x + (gap if right else -gap - width), y + (gap if below else -gap - height))
            for x, y in _pixels(points, size, 0).tolist() + ([] if len(points) > 2 else outline[[15, 45]].tolist())
            for right in (True, False)
            for below in (True, False)
        ]
        best, least = (0.0, 0.0), float("inf")
        for wish in candidates:
            x = min(max(wish[0], gap), max(size[0] - width - gap, 0))
            y = min(max(wish[1], gap), max(size[1] - height - gap, 0))
            area = (x, y, x + width, y + height)
            cost = _cost(area, points, outline, size, taken) + (abs(x - wish[0]) + abs(y - wish[1])) / width
            if cost < least:
                best, least = (x, y), cost
        taken.append((*best, best[0] + width, best[1] + height))
    return tuple((area[0], area[1]) for area in taken)


def _outline(points: Points, size: tuple[int, int]) -> Any:
    """(_SAMPLES, 2) points along the outline, in pixels."""
    places = np.asarray(points, np.float64) * size
    closed = places if len(points) == 2 else np.concatenate([places, places[:1]])
    at = np.linspace(0, len(closed) - 1, _SAMPLES)
    return np.column_stack([np.interp(at, np.arange(len(closed)), closed[:, k]) for k in (0, 1)])


def _cost(area: Area, points: Points, outline: Any, size: tuple[int, int], taken: Sequence[Area]) -> float:
    x1, y1, x2, y2 = area
    whole = (x2 - x1) * (y2 - y1)
    cost = 4 * sum(shared(area, other) for other in taken) / whole
    covered = (outline >= (x1, y1)).all(axis=1) & (outline <= (x2, y2)).all(axis=1)
    cost += 6 * float(covered.mean())
    middle = np.array([[(x1 + x2) / 2 / size[0], (y1 + y2) / 2 / size[1]]])
    if len(points) > 2 and not inside(middle, np.asarray(points, np.float64))[0]:
        cost += 0.4
    # Captions stand at the lower left.
    cost += 0.6 * float(y2 > 0.8 * size[1] and x1 < 0.5 * size[0])
    return cost + 0.2 * y1 / size[1]


def draw_plates(canvas: Pillow.Image, placed: Sequence[tuple[Area, ZoneMark, str, Any, Colour]]) -> None:
    """Draws what `plates` gives."""
    pen = ImageDraw.Draw(canvas, "RGBA")
    pad = max(round(unit(canvas.size)), 2)
    for (x1, y1, x2, y2), _, text, letters, shade in placed:
        pen.rectangle((x1, y1, x2, y2), fill=_PLATE)
        pen.rectangle((x1, y1, x1 + 1.5 * pad, y2), fill=shade)
        pen.text((x1 + 3 * pad, y1 + pad / 2), text, fill="white", font=letters)
