"""Classes whose size is not what a picture is resized to: a share of it, or the nearest multiple."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.recognize._image_processor.reader import Reader, shown


def by_share(reader: Reader, how: dict[str, Any], size: Mapping[str, int], crop: Mapping[str, int]) -> dict[str, int]:
    """ConvNeXt, PoolFormer, LeViT and Perceiver resize to more than their size, and crop then."""
    special, fields = reader.default.special, reader.fields
    if special == "levit":
        return {"shortest_edge": int(256 / 224 * size["shortest_edge"])} if "shortest_edge" in size else dict(size)
    if special == "perceiver":
        return _perceiver(reader, how, size, crop)
    share = fields.number("crop_pct")
    if share is None:
        reader.missing("crop_pct")
        share = reader.default.crop_pct
    if special == "poolformer":
        if "height" in size and size["height"] == size["width"]:
            return {"shortest_edge": int(size["height"] / share)}
        return {k: int(v / share) for k, v in size.items()}
    if set(size) != {"shortest_edge"}:
        fields.refuse("size", "shortest_edge, as this class takes no other")
    edge = size["shortest_edge"]
    if edge >= 384:  # small pictures are cut, large ones stretched
        return {"height": edge, "width": edge}
    how.update(do_center_crop=True, crop_size={"height": edge, "width": edge})
    return {"shortest_edge": int(edge / share)}


def _perceiver(reader: Reader, how: dict[str, Any], size: Mapping[str, int], crop: Mapping[str, int]) -> dict[str, int]:
    """It cuts the middle out first (size / crop_size of the shorter side) and resizes that: the same geometry."""
    if not crop:
        return dict(size)
    if len(set(size.values())) != 1 or "height" not in size or crop["height"] != crop["width"]:
        raise reader.cannot("size", "this class's crop is done here for squares only")
    how.update(do_center_crop=True, crop_size=dict(size))
    return {"shortest_edge": crop["height"]}


def multiples(reader: Reader, how: dict[str, Any]) -> None:
    """Classes that stretch a picture to whole multiples; a free input is padded up to them here."""
    names = ("size_divisor", "size_divisibility")
    said = [value for name in names if (value := reader.fields.whole(name, 0)) is not None]
    divisor = said[0] if said else reader.default.multiple
    if divisor > 1 and not reader.fixed:
        how["size_divisor"] = divisor
        reader.assume(
            f"sides are padded up to multiples of {divisor}, where {reader.name} stretches the picture to them; "
            "preprocess.size = { height, width } fixes the sides"
        )


def dpt(reader: Reader, how: dict[str, Any], size: Mapping[str, int]) -> None:
    """DPT, Depth Anything, ZoeDepth: near to a size, with or without the picture's aspect, in whole multiples."""
    fields = reader.fields
    if "height" not in size:
        fields.refuse("size", "a table of height and width, as this class takes no other")
    multiple = fields.whole("ensure_multiple_of") or reader.default.multiple
    height, width = (max(round(size[k] / multiple), 1) * multiple for k in ("height", "width"))
    keeps = fields.flag("keep_aspect_ratio", reader.default.keep_aspect_ratio)
    if not keeps or reader.fixed:
        how["size"] = {"height": height, "width": width}
        if keeps:
            reader.assume(
                f"keep_aspect_ratio is true, but the input is fixed: pictures are stretched to {shown(reader.fixed)}; "
                "export with free sides to keep their aspect"
            )
        return
    how["size"] = {"shortest_edge": min(height, width)}
    if multiple > 1:
        how["size_divisor"] = multiple
    reader.assume(
        f"the shorter side becomes {min(height, width)}, padded up to multiples of {multiple}, where {reader.name} "
        "takes the side that changes least, and stretches to the nearest multiple; preprocess.size says another"
    )
