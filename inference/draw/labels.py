"""Words on the picture: a label per object where it hides no other, and a caption in the corner."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image as Pillow
from PIL import ImageDraw

from inference.draw.colours import Colour, font, ink, unit

Area = tuple[float, float, float, float]
# Letters of a picture are never smaller than this, in pixels.
LEAST_LETTERS = 12
MOST_LETTERS = 120  # of a text: more are never read
# A tag may cover so much of another: tags would hop from frame to frame for a pixel.
_COVERS = 0.05
_SPELT = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d",
                        "ı": "i", "–": "-", "—": "-", "×": "x"})  # fmt: skip
_UNKNOWN = re.compile(r"[^ -~«»°±·‘’“”…‹›™]+")
_SPACES = re.compile(r"\s+")
# With more tags than this they would hide the picture: small objects of a colour are then named once.
CROWD = 30


@dataclass(frozen=True)
class Tag:
    """A label that wants to stand at a box (xyxy)."""

    text: str
    box: Area
    colour: Colour


def plain(text: str) -> str:
    """A name as it can be written in a line, whatever stands in the file that it comes from.

    The letters that Pillow brings along are those of ASCII: others lose their accents, and for those of other scripts
    stands a question mark. Two spaces stay two: they keep numbers apart.
    """
    text = unicodedata.normalize("NFKD", text[: 4 * MOST_LETTERS].translate(_SPELT))
    text = "".join(c for c in text if c.isspace() or unicodedata.category(c)[0] not in "MC")
    text = _UNKNOWN.sub("?", _SPACES.sub(lambda run: "  " if run[0] == "  " else " ", text.strip()))
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 3]}..."


def written(name: str, instead: str) -> str:
    """The name as it can be written; `instead` where no letter of it can be."""
    text = plain(name)
    return text if any(c.isalnum() for c in text) or (text and "?" not in text) else instead


def named(label: str, number: int) -> str:
    """A label as it can be written; one in another script by its place in the model's list: `label_3`."""
    return written(label, f"label_{number}")


def fitted_text(pen: ImageDraw.ImageDraw, text: str, letters: Any, width: float) -> str:
    """The text, or as much of its beginning as is no wider than that, with dots; nothing where that is nothing."""
    if pen.textlength(text, font=letters) <= width:
        return text
    low, high = 0, len(text) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if pen.textlength(f"{text[:middle].rstrip()}...", font=letters) <= width:
            low = middle
        else:
            high = middle - 1
    return f"{text[:low].rstrip()}..." if low else ""


def draw_tags(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], tags: Sequence[Tag], besides: Sequence[Area] = ()
) -> None:
    """Draw the tags, the first ones taking the best places; a tag without a free place goes where it hides least.
    besides: what else they must not hide.

    In a crowd, an object smaller than its tag has none where another of its colour has a tag.
    """
    step = unit(size)
    pad = max(round(step), 2)
    taken: list[Area] = []
    named: set[Colour] = set()
    written: list[tuple[Tag, Any, float, float]] = []
    for tag in tags:
        tag = replace(tag, text=plain(tag.text))
        letters = _letters(pen, tag.text, max(round(7 * step), LEAST_LETTERS), size[0] - 2 * pad)
        left, top, right, bottom = pen.textbbox((0, 0), tag.text, font=letters)
        width, height = right - left + 2 * pad, bottom - top + 2 * pad
        if len(tags) > CROWD and tag.colour in named and shared(tag.box, tag.box) < width * height:
            continue
        named.add(tag.colour)
        x, y = _place(tag.box, (width, height), size, [*besides, *taken])
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
    """Above the box, below it, inside it at its bottom, or so at its right edge: the first that is free; inside at its
    top, where persons have their faces, comes last."""
    x1, y1, x2, y2 = max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])
    width, height = tag
    wishes = [
        (x1, y1 - height), (x1, y2), (x1, y2 - height), (x2 - width, y1 - height), (x2 - width, y2),
        (x2 - width, y2 - height), (x1, y1), (x2 - width, y1),
    ]  # fmt: skip
    best, least = (0.0, 0.0), float("inf")
    for wish in wishes:
        x = min(max(wish[0], 0), max(size[0] - width, 0))
        y = min(max(wish[1], 0), max(size[1] - height, 0))
        hidden = sum(shared((x, y, x + width, y + height), other) for other in taken)
        moved = abs(x - wish[0]) + abs(y - wish[1])
        # Where the box leaves the picture, the tag stops at the edge, rather than to jump to another side.
        if hidden <= _COVERS * width * height and moved <= height + 1:
            return x, y
        if hidden + 0.01 * moved < least:
            best, least = (x, y), hidden + 0.01 * moved
    return best


def shared(a: Area, b: Area) -> float:
    """The area that both have."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def caption(canvas: Pillow.Image, lines: Sequence[tuple[str, Colour | None]]) -> None:
    """Draw lines on a dark strip at the lower left of `canvas`, with a patch of their colour where they have any."""
    pen = ImageDraw.Draw(canvas, "RGBA")
    step = unit(canvas.size)
    pad = round(3 * step)
    lines = [(plain(text), shade) for text, shade in lines]
    longest = max((text for text, _ in lines), key=lambda t: pen.textlength(t, font=font(20)))
    letters = _letters(pen, longest, max(round(10 * step), LEAST_LETTERS), canvas.width - 4 * pad)
    ascent, descent = letters.getmetrics()
    row = ascent + descent + pad // 2
    patch = row - pad if any(shade for _, shade in lines) else 0
    fitting = lines[: max((canvas.height // 2 - 2 * pad) // row, 1)]
    width = max(pen.textlength(text, font=letters) for text, _ in fitting) + 2 * pad + (patch and patch + pad)
    top = canvas.height - row * len(fitting) - 2 * pad
    pen.rectangle((0, top, width, canvas.height), fill=(0, 0, 0, 165))
    for i, (text, shade) in enumerate(fitting):
        y = top + pad + i * row
        if shade:
            pen.rectangle((pad, y + pad / 3, pad + patch, y + pad / 3 + patch), fill=shade, outline=(255, 255, 255))
        pen.text((pad + (patch and patch + pad), y), text, fill="white", font=letters)
