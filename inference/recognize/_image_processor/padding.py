"""Padding of an image processor: on the right and below, after normalising, with the colour that becomes 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from inference.recognize._fields import side
from inference.recognize._image_processor.reader import Reader, shown


def pad(reader: Reader, how: dict[str, Any]) -> None:
    """Sets size_divisor and pad_value. Raises BadManifest for padding that is not done here."""
    fields, default = reader.fields, reader.default
    pads = fields.flag("do_pad", fields.flag("pad_and_return_pixel_mask", default.pad))
    if pads and default.special == "swin2sr":
        divisor = fields.whole("pad_size") or fields.whole("size_divisor") or default.multiple
        how["size_divisor"] = divisor
        reader.assume(
            f"sides are padded to multiples of {divisor} in black, where Swin2SR mirrors the picture's border; export "
            "with a fixed size for tiles without padding"
        )
    elif pads and default.special == "dpt":
        _around(reader, how)
    elif pads and default.special == "eomt":
        _eomt(reader, how)
    elif pads:
        _to_pad_size(reader, how)
    padded = pads or "size_divisor" in how or "shortest_edge" in how.get("size", {})
    if padded and how.get("do_normalize") and default.special != "eomt":
        factor = how.get("rescale_factor", 1 / 255) if how["do_rescale"] else 1.0
        centred = pads and default.special == "dpt"
        if centred or not how.get("do_center_crop"):  # a crop is padded before rescaling, with black
            how["pad_value"] = [round(min(max(mean / factor, 0.0), 255.0), 1) for mean in how["image_mean"]]


def _around(reader: Reader, how: dict[str, Any]) -> None:
    """ZoeDepth mirrors the border of the whole picture, DPT pads around it to a multiple."""
    if reader.default.pad:
        return reader.assume(
            "do_pad (ZoeDepth's mirrored border) is left out: depth at the edges is less exact; do_pad = false in the "
            "side file says so too"
        )
    divisor, size = reader.fields.whole("size_divisor") or 1, how.get("size", {})
    if divisor == 1 or reader.fixed:
        return None
    if "height" in size:  # a crop that is larger than what it is cut from is padded around it
        padded = {k: -(-length // divisor) * divisor for k, length in size.items()}
        how.update({"do_center_crop": True, "crop_size": padded} if padded != size else {})
        return None
    how["size_divisor"] = math.lcm(divisor, how.get("size_divisor", 1))
    return reader.assume(
        f"sides are padded to multiples of {divisor} on the right and below, where {reader.name} pads around the "
        "picture; preprocess.size = { height, width } fixes the sides"
    )


def _eomt(reader: Reader, how: dict[str, Any]) -> None:
    """EoMT pads to shortest_edge by longest_edge, in black."""
    size = how.get("size", {})
    sides = {size.get("shortest_edge"), size.get("longest_edge", size.get("shortest_edge"))}
    if not reader.fixed:
        if len(sides) != 1 or None in sides:
            raise reader.cannot("do_pad", "padding to unequal sides is done only for a model exported with that size")
        how["size_divisor"] = size["shortest_edge"]


def _to_pad_size(reader: Reader, how: dict[str, Any]) -> None:
    """do_pad without pad_size pads to the largest picture of a batch: nothing for one."""
    value = reader.fields.get("pad_size")
    if value is None:
        return
    found = [value.get("height"), value.get("width")] if isinstance(value, Mapping) else [value, value]
    height, width = map(side, found)
    if not height or not width:
        reader.fields.refuse("pad_size", "a table of height and width, in pixels")
    size = {"height": height, "width": width}
    if reader.fixed:
        if size != reader.fixed:
            raise reader.cannot("pad_size", f"the file's input is {shown(reader.fixed)}")
    elif "height" in how.get("size", {}) or height != width:
        if size != how.get("size"):
            raise reader.cannot("pad_size", "it is met only by a model that was exported with that fixed size")
    else:
        how["size_divisor"] = height
