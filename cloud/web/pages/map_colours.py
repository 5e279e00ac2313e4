"""The colours of a map of labels: those that the annotated picture has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cloud.web.pages import services
from cloud.web.pages.shapes import hexadecimal
from inference.draw.colours import colour, palette

Row = Mapping[str, Any]
_NUMBERS = 256


def mapped(step: Row) -> Iterator[tuple[Row, str]]:
    """The predictions of a step with the colours that they have on its map."""
    labels = services.labels_of(str((step.get("model") or {}).get("name", "")))
    shades = palette(labels[:_NUMBERS])
    for item in step["predictions"]:
        number, label = item.get("label_id"), str(item.get("label", ""))
        known = isinstance(number, int) and 0 <= number < len(shades) and labels[number] == label
        yield item, hexadecimal(shades[number] if known else colour(label))


def map_colours(step: Row) -> dict[str, list[Any]]:
    """Label and colour by the number that a map's pixels have."""
    return {
        str(item["label_id"]): [str(item.get("label", "")), tint]
        for item, tint in mapped(step)
        if isinstance(item.get("label_id"), int) and 0 <= item["label_id"] < _NUMBERS
    }
