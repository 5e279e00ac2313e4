"""Sizes of an image processor: to what a picture is resized and cropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.errors import BadManifest
from inference.recognize._fields import side
from inference.recognize._image_processor.reader import Reader, shown
from inference.recognize._image_processor.shares import by_share, dpt, multiples

# Pillow's numbers; the words are those of torchvision's InterpolationMode and Pillow's Resampling.
_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5, "nearest-exact": 0}
_SIZES = ({"height", "width"}, {"shortest_edge"}, {"shortest_edge", "longest_edge"}, {"longest_edge"})
_SIZES_TOLD = (
    "a side in pixels, or a table of height and width, shortest_edge (and longest_edge), longest_edge, or max_height "
    "and max_width"
)


def crop_and_resize(reader: Reader, how: dict[str, Any]) -> None:
    """Sets size, resample and the crop. Raises BadManifest where they are not done here or do not fit the input."""
    crop = _crop(reader)
    _resize(reader, how, crop)
    if crop and "crop_size" not in how:
        how.update(do_center_crop=True, crop_size=crop)
    elif crop and crop != how["crop_size"] and reader.default.special == "convnext":
        raise reader.cannot("crop_size", f"{reader.name} has cropped to {shown(how['crop_size'])} before")
    _check_input(reader, how)


def _resize(reader: Reader, how: dict[str, Any], crop: Mapping[str, int]) -> None:
    special, fields = reader.default.special, reader.fields
    if special == "swin2sr":
        return None
    if not fields.flag("do_affine_transform" if special == "vitpose" else "do_resize", True):
        return _not_resized(reader, how, crop)
    how["resample"] = _resample(reader)
    if not reader.default.antialias:
        how["antialias"] = False
    if special == "glpn":
        return multiples(reader, how)
    size = _size(reader, how)
    if special == "dpt":
        return dpt(reader, how, size)
    if special in ("convnext", "poolformer", "levit", "perceiver"):
        size = by_share(reader, how, size, crop)
    if size:
        how["size"] = size
    if special in ("", "multiple"):
        multiples(reader, how)
    return None


def _not_resized(reader: Reader, how: dict[str, Any], crop: Mapping[str, int]) -> None:
    if crop and reader.default.special == "perceiver":
        raise reader.cannot("do_resize", f"the crop of {reader.name} is done here with its resizing only")
    if crop:
        how["do_resize"] = False
    elif reader.fixed:
        reader.assume(
            f"do_resize is false, but the input is fixed: pictures are stretched to {shown(reader.fixed)}; "
            'preprocess.resize_mode = "letterbox" keeps their aspect'
        )


def _resample(reader: Reader) -> int:
    value = reader.fields.get("resample")
    if value is None:
        if reader.known is None:
            reader.assume("resample is left out: bilinear (2) is assumed; preprocess.resample = 3 is bicubic")
        else:
            reader.missing("resample")
        return reader.default.resample
    if isinstance(value, str):
        value = _RESAMPLE.get(value.rpartition(".")[2].lower().replace("_", "-"))
    if isinstance(value, bool) or value not in range(6):
        reader.fields.refuse("resample", "a number from 0 to 5, or nearest, lanczos, bilinear, bicubic, box or hamming")
    return int(value)


def _size(reader: Reader, how: dict[str, Any]) -> dict[str, int]:
    """size as the manifest has it: {height, width} or {shortest_edge[, longest_edge]}; empty is the input's own."""
    fields, value = reader.fields, reader.fields.get("size")
    longest = side(fields.whole("max_size") or fields.whole("_max_size"))
    if value is None:
        if reader.fixed and reader.known is None:
            reader.assume(
                f"size is left out: pictures are stretched to the input, {shown(reader.fixed)}; "
                'preprocess.resize_mode = "letterbox" keeps their aspect'
            )
            return {}
        reader.missing("size")
        return {**reader.default.size, **({"longest_edge": longest} if longest else {})}
    if one := side(value):
        return _one_side(reader, one, longest)
    if isinstance(value, list):
        value = dict(zip(("height", "width"), value, strict=True)) if len(value) == 2 else {}
    found = {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else {}
    sides = {k: length for k, v in found.items() if (length := side(v))}
    if set(sides) != set(found) or set(sides) not in (*_SIZES, {"max_height", "max_width"}):
        fields.refuse("size", _SIZES_TOLD)
    if "max_height" in sides:
        return _within(reader, how, sides["max_height"], sides["max_width"])
    # the longer side alone: no other limit than that
    return {"shortest_edge": sides["longest_edge"], **sides} if set(sides) == {"longest_edge"} else sides


def _one_side(reader: Reader, length: int, longest: int | None) -> dict[str, int]:
    if reader.known is None and reader.fields.get("default_to_square") is None:
        raise BadManifest(
            f"{reader.fields.where}: size is {length}, and whether {reader.name} means a square or the shorter side is "
            "not known here; write it as a table of height and width, or of shortest_edge"
        )
    if reader.fields.flag("default_to_square", reader.default.square):
        return {"height": length, "width": length}
    longest = longest or reader.default.longest
    return {"shortest_edge": length, **({"longest_edge": longest} if longest else {})}


def _within(reader: Reader, how: dict[str, Any], height: int, width: int) -> dict[str, int]:
    if height == width:
        return {"shortest_edge": height, "longest_edge": height}
    if reader.fixed != {"height": height, "width": width}:
        raise reader.cannot("size", "two different limits are met only by a model exported with that fixed size")
    how["resize_mode"] = "letterbox_top_left"
    return {"height": height, "width": width}


def _crop(reader: Reader) -> dict[str, int]:
    """{height, width} of the centre crop; empty where there is none."""
    fields, default = reader.fields, reader.default
    if not fields.flag("do_center_crop", default.center_crop):
        return {}
    if fields.get("do_center_crop") is None:
        reader.missing("do_center_crop")
    value = fields.get("crop_size")
    if value is None:
        if not default.crop:
            fields.refuse("crop_size", "a side, or a table of height and width, as do_center_crop is true")
        return _default_crop(reader)
    if isinstance(value, Mapping):
        given = {k: v for k, v in value.items() if v is not None}
        found = [given.get("height"), given.get("width")] if set(given) == {"height", "width"} else []
    else:
        found = value if isinstance(value, list) else [value, value]
    sides = [length for v in found if (length := side(v))]
    if len(sides) != 2 or len(found) != 2:
        fields.refuse("crop_size", "a side, or a table of height and width, in pixels")
    return {"height": sides[0], "width": sides[1]}


def _default_crop(reader: Reader) -> dict[str, int]:
    """The class's own crop, unless the file's input is fixed at another size."""
    crop = {"height": reader.default.crop, "width": reader.default.crop}
    if reader.fixed and reader.fixed != crop and reader.default.special != "perceiver":
        reader.assume(
            f"crop_size is left out, and {reader.name}'s own does not fit the input: {shown(reader.fixed)} is assumed; "
            "preprocess.crop_size says another"
        )
        return reader.fixed
    reader.missing("crop_size")
    return crop


def _check_input(reader: Reader, how: Mapping[str, Any]) -> None:
    """The file's fixed input beats a size to stretch to; a crop must be of that size. Raises BadManifest."""
    size, crop, fixed = how.get("size", {}), how.get("crop_size", {}), reader.fixed
    if crop and fixed and crop != fixed:
        raise BadManifest(
            f"{reader.fields.where}: pictures are cropped to {shown(crop)}, but the file's input is {shown(fixed)}; "
            "put the preprocessor_config.json of this export beside it, or write a model.toml"
        )
    if fixed and not crop and "height" in size and size != fixed:
        reader.assume(
            f"the side file says size {shown(size)}, the file's input is {shown(fixed)}: pictures are stretched to "
            "that; export again for another size"
        )
