"""Words on the picture: a label per object where it hides no other, and a caption in the corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image as Pillow
from PIL import ImageDraw

from inference.draw.colours import Colour, font, ink, unit

Area = tuple[float, float, float, float]
# Letters of a picture are never smaller than this, in pixels.
LEAST_LETTERS = 12
# With more tags than this they would hide the picture: small objects of a colour are then named once.
CROWD = 30


@dataclass(frozen=True)
class Tag:
    """A label that wants to stand at a box (xyxy)."""

    text: str
    box: Area
    colour: Colour


def draw_tags(pen: ImageDraw.ImageDraw, size: tuple[int, int], tags: Sequence[Tag]) -> None:
    """Draw the tags, the first ones taking the best places; a tag without a free place goes where it hides least.

    In a crowd, an object smaller than its tag has none where another of its colour has a tag.
    """
    step = unit(size)
    pad = max(round(step), 2)
    taken: list[Area] = []
    named: set[Colour] = set()
    written: list[tuple[Tag, Any, float, float]] = []
    for tag in tags:
        letters = _letters(pen, tag.text, max(round(7 * step), LEAST_LETTERS), size[0] - 2 * pad)
        left, top, right, bottom = pen.textbbox((0, 0), tag.text, font=letters)
        width, height = right - left + 2 * pad, bottom - top + 2 * pad
        if len(tags) > CROWD and tag.colour in named and _shared(tag.box, tag.box) < width * height:
            continue
        named.add(tag.colour)
        x, y = _place(tag.box, (width, height), size, taken)
        taken.append((x, y, x + width, y + height))
        written.append((tag, letters, x + pad - left, y + pad - top))
    for area, (tag, letters, x, y) in reversed(list(zip(taken, written, strict=True))):  # the first ones end on top
        pen.rectangle(area, fill=tag.colour)
        pen.text((x, y), tag.text, fill=ink(tag.colour), font=letters)


def _letters(pen: ImageDraw.ImageDraw, text: str, size: int, width: float) -> Any:
    """Letters of the wanted size, or the largest in which the text is no wider than the picture."""
    letters = font(size)
    if size <= LEAST_LETTERS or len(text) * size < width:  # no letter is wider than it is high
        return letters
    wide = pen.textlength(text, font=letters)
    return letters if wide <= width else font(max(int(size * width / wide), LEAST_LETTERS))


def _place(box: Area, tag: tuple[float, float], size: tuple[int, int], taken: Sequence[Area]) -> tuple[float, float]:
    """Above the box, inside it at its top or bottom, below it, or at its right edge: the first that is free."""
    x1, y1, x2, y2 = box
    width, height = tag
    wishes = [
        (x1, y1 - height), (x1, y1), (x1, y2 - height), (x1, y2), (x2 - width, y1 - height), (x2 - width, y1),
        (x2 - width, y2 - height), (x2 - width, y2),
    ]  # fmt: skip
    best, least = (0.0, 0.0), float("inf")
    for wish in wishes:
        x = min(max(wish[0], 0), max(size[0] - width, 0))
        y = min(max(wish[1], 0), max(size[1] - height, 0))
        hidden = sum(_shared((x, y, x + width, y + height), other) for other in taken)
        moved = abs(x - wish[0]) + abs(y - wish[1])
        if hidden + 0.01 * moved < least:
            best, least = (x, y), hidden + 0.01 * moved
        if not hidden and not moved:
            break
    return best


def _shared(a: Area, b: Area) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def caption(canvas: Pillow.Image, lines: Sequence[tuple[str, Colour | None]]) -> None:
    """Draw lines on a dark strip at the lower left of `canvas`, with a patch of their colour where they have any."""
    pen = ImageDraw.Draw(canvas, "RGBA")
    step = unit(canvas.size)
    pad = round(3 * step)
    longest = max((text for text, _ in lines), key=lambda t: pen.textlength(t, font=font(20)))
    letters = _letters(pen, longest, max(round(10 * step), LEAST_LETTERS), canvas.width - 4 * pad)
    ascent, descent = letters.getmetrics()
    row = ascent + descent + pad // 2
    patch = row - pad if any(shade for _, shade in lines) else 0
    fitting = lines[: max((canvas.height - 2 * pad) // row, 1)]
    width = max(pen.textlength(text, font=letters) for text, _ in fitting) + 2 * pad + (patch and patch + pad)
    top = canvas.height - row * len(fitting) - 2 * pad
    pen.rectangle((0, top, width, canvas.height), fill=(0, 0, 0, 165))
    for i, (text, shade) in enumerate(fitting):
        y = top + pad + i * row
        if shade:
            pen.rectangle((pad, y + pad / 3, pad + patch, y + pad / 3 + patch), fill=shade, outline=(255, 255, 255))
        pen.text((pad + (patch and patch + pad), y), text, fill="white", font=letters)
