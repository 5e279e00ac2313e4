"""Values and colours of an image processor: rescaling, normalising, the order of the channels."""

from __future__ import annotations

from typing import Any

from inference.recognize._image_processor.reader import Reader

_TO_ONE, _TO_TWO = 1 / 255, 1 / 127.5


def rescale_and_normalize(reader: Reader, how: dict[str, Any]) -> None:
    """rescale, offset, normalise and include_top as one rescale_factor, image_mean and image_std.

    value * factor - offset, minus mean, through std, and for EfficientNet's include_top through std once more
    (EfficientNetImageProcessor and VivitImageProcessor; before transformers 4.32 an offset was taken away before the
    factor, which is the same for 1/127.5).
    """
    fields, default = reader.fields, reader.default
    rescale = fields.flag("do_rescale", True)
    if fields.get("do_rescale") is None and not (reader.known is None and fields.get("rescale_factor")):
        reader.missing("do_rescale")
    normalize = _normalizes(reader)
    factor = fields.number("rescale_factor") or default.rescale_factor
    offset = fields.flag("rescale_offset", fields.flag("offset", default.offset)) and rescale
    top = fields.flag("include_top", default.include_top)
    mean = _by_channel(reader, "image_mean", default.mean, normalize)
    std = _by_channel(reader, "image_std", default.std, normalize or top)
    how["do_rescale"] = rescale
    if rescale and factor != _TO_ONE:
        how["rescale_factor"] = factor
    if offset and reader.known and not (default.offset or default.include_top):
        reader.follow("rescale_offset" if fields.get("rescale_offset") else "offset", "do_normalize")
    if offset and abs(factor / _TO_TWO - 1) > 1e-3:
        reader.assume(
            f"1 is taken away after rescaling by {factor:.6g}, as transformers does since 4.32; preprocess.image_mean "
            "= [0.5] is what it did before"
        )
    if normalize or offset or top:
        how["do_normalize"] = True
        how["image_mean"] = [float(offset) + (m if normalize else 0.0) for m in mean]
        how["image_std"] = [(s if normalize else 1.0) * (s if top else 1.0) for s in std]


def _normalizes(reader: Reader) -> bool:
    fields, default = reader.fields, reader.default
    asked = fields.flag("do_normalize", default.normalize)
    if fields.get("do_normalize") is None and (default.normalize or reader.known is None):
        reader.missing("do_normalize")
    if asked and (default.flip or default.special == "swin2sr"):
        reader.assume(f"do_normalize is true, but {reader.name} never normalises; preprocess.do_normalize = true does")
        return False
    return asked


def _by_channel(reader: Reader, name: str, default: tuple[float, ...], used: bool) -> list[float]:
    """A value per channel; the class's where the field is left out."""
    found = reader.fields.numbers(name, reader.channels, above=0.0 if name == "image_std" else None)
    if found is None and used:
        reader.missing(name)
    return found or list(default[: reader.channels])


def colours(reader: Reader, how: dict[str, Any]) -> None:
    """The order of the channels: MobileViT's is blue first (its do_flip_channel_order)."""
    fields = reader.fields
    named = fields.get("do_flip_channel_order", "do_flip_channels") is not None
    flips = fields.flag("do_flip_channel_order", fields.flag("do_flip_channels", reader.default.flip))
    if reader.default.flip and not named:
        reader.missing("do_flip_channel_order")
    if fields.flag("do_grayscale", False) and reader.channels != 1:
        raise reader.cannot("do_grayscale", "a grey picture in three channels is not made here")
    if reader.channels == 1:
        how["color_order"] = "gray"
    elif flips:
        how["color_order"] = "bgr"
        if reader.known and not reader.default.flip:
            reader.follow("do_flip_channel_order", "color_order")
