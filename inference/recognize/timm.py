"""timm through optimum or transformers' TimmWrapper: config.json with pretrained_cfg.

The defaults and the resizing are those of timm's resolve_data_config and transforms_imagenet_eval.
"""

from __future__ import annotations

import math
from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import IMAGENET, Draft, Export
from inference.recognize._fields import Fields, side

_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
_CROPS = ("center", "squash", "border")
Size = dict[str, int]


def recognize(export: Export, config: dict[str, Any]) -> Draft:
    """Raises BadManifest where a value is none, or the file's tensors are not what it says."""
    model = Fields(config, f"{export.folder}: config.json")
    facts = Fields(config["pretrained_cfg"], f"{export.folder}: config.json, pretrained_cfg")
    assumed: list[str] = []
    channels = _check_input(export, facts)
    names = facts.words("label_names") or model.words("label_names")
    classes = _classes(export, model, facts, names)
    table: dict[str, Any] = {"preprocess": _preprocess(export, facts, channels, assumed)}
    if classes == 0:
        table.update(task="image-feature-extraction", head="embedding")
    else:
        table.update(task="image-classification", head="classifier")
        labels: Any = names or export.labels(None)
        if not labels and export.shape()[-1] == 1000:
            labels = "builtin:imagenet1000"
            assumed.append(
                "no label_names in config.json: ImageNet's 1,000 are assumed; put labels.txt there for others"
            )
        if labels:
            table["labels"] = labels
    why = f"config.json: pretrained_cfg of {model.text('architecture') or 'a timm model'}"
    return Draft("timm", table, (why,), tuple(assumed))


def _check_input(export: Export, facts: Fields) -> int:
    """Channels of the input, which timm has first."""
    picture = export.picture
    if len(picture.shape) != 4 or (picture.shape[3] in (1, 3) and picture.shape[1] not in (1, 3)):
        raise _another_file(
            export,
            facts,
            f"timm's models take [n, channels, height, width], the file's input is {picture}; such a file (the taggers "
            'of SmilingWolf are) may want layout = "nhwc", color_order = "bgr", do_rescale = false, resize_mode = '
            '"letterbox", pad_value = 255 and labels in a labels.txt',
        )
    said, found = _input_size(facts, "input_size"), picture.shape[1]
    if said and found and said[0] != found:
        raise _another_file(export, facts, f"input_size has {said[0]} channels, the file's input {picture} has {found}")
    channels = found or (said[0] if said else 3)
    if channels not in (1, 3):
        raise _another_file(export, facts, f"the input {picture} has {channels} channels, a picture has 1 or 3")
    return channels


def _classes(export: Export, model: Fields, facts: Fields, names: list[str]) -> int | None:
    """num_classes, of the model before that of the weights it began with; 0: it answers with features."""
    shape = export.shape()
    classes = model.whole("num_classes", 0)
    classes = facts.whole("num_classes", 0) if classes is None else classes
    if len(shape) != 2:
        raise _another_file(export, facts, f"a classifier or its features are [n, count], the output is {list(shape)}")
    if classes and shape[1] and shape[1] != classes and len(names) != shape[1]:
        raise _another_file(export, facts, f"num_classes is {classes}, the output {list(shape)} has {shape[1]}")
    return classes


def _another_file(export: Export, facts: Fields, why: str) -> BadManifest:
    return BadManifest(
        f"{facts.where}: {why}: is this config.json another file's? Put that of this export beside {export.file.name}, "
        "or write a model.toml"
    )


def _input_size(facts: Fields, name: str) -> tuple[int, int, int] | None:
    """(channels, height, width)."""
    value = facts.get(name)
    if value is None:
        return None
    sides = [side(v) for v in value] if isinstance(value, list) else []
    if len(sides) != 3 or None in sides:
        facts.refuse(name, "[channels, height, width]")
    channels, height, width = (length or 0 for length in sides)
    return channels, height, width


def _preprocess(export: Export, facts: Fields, channels: int, assumed: list[str]) -> dict[str, Any]:
    words = {name: facts.text(name) for name in ("interpolation", "crop_mode")}
    if words["interpolation"] and words["interpolation"] not in _RESAMPLE:
        facts.refuse("interpolation", " or ".join(_RESAMPLE))
    if words["crop_mode"] and words["crop_mode"] not in _CROPS:
        facts.refuse("crop_mode", " or ".join(_CROPS))
    mean = facts.numbers("mean", channels) or IMAGENET["image_mean"][:channels]
    how: dict[str, Any] = {
        "resample": _RESAMPLE[words["interpolation"] or "bicubic"],
        "do_normalize": True,
        "image_mean": mean,
        "image_std": facts.numbers("std", channels, above=0.0) or IMAGENET["image_std"][:channels],
    }
    if channels == 1:
        how["color_order"] = "gray"
    size, share = _size_and_share(export, facts, assumed)
    how.update(_resize(facts, size, share, words["crop_mode"] or "center", mean, export.size()))
    return how


def _size_and_share(export: Export, facts: Fields, assumed: list[str]) -> tuple[Size, float]:
    """({height, width} of the input, crop_pct). The file's own size comes first, as timm's validate --img-size does."""
    said, test = _input_size(facts, "input_size"), _input_size(facts, "test_input_size")
    share, fixed = facts.number("crop_pct") or 0.875, export.size()
    if fixed and test and (not said or said[1:] != test[1:]) and test[1:] == (fixed["height"], fixed["width"]):
        return fixed, facts.number("test_crop_pct") or share
    if said is None and not fixed:
        assumed.append("no input_size in config.json: timm's 224 is assumed; preprocess.size says another")
    height, width = said[1:] if said else (224, 224)
    if fixed and said and (height, width) != (fixed["height"], fixed["width"]):
        assumed.append(
            f"input_size is {height}x{width} in config.json; the file's own {fixed['height']}x{fixed['width']} is "
            f"used, with crop_pct {share:g}; preprocess.size and crop_size say another"
        )
    return fixed or {"height": height, "width": width}, share


def _resize(facts: Fields, size: Size, share: float, mode: str, mean: list[float], fixed: Size) -> dict[str, Any]:
    """Resized to 1 / crop_pct of the input, of which the middle is cut out; the crop mode says how."""
    if share > 4 or share < 0.05:
        facts.refuse("crop_pct", "a share of the side such as 0.875")
    scaled = {k: math.floor(v / share) for k, v in size.items()}
    crop = {"do_center_crop": True, "crop_size": size}
    if mode == "squash":
        return {"size": scaled, **crop}
    if size["height"] == size["width"]:
        edge = scaled["height"]
        if mode == "border":  # the longer side fits, the rest has the mean's colour
            pad = [float(round(255 * value)) for value in mean]
            return {"size": {"shortest_edge": edge, "longest_edge": edge}, "pad_value": pad, **crop}
        return {"size": {"shortest_edge": edge}, **crop}
    if mode == "border" and scaled == size:
        return {"size": size, "resize_mode": "letterbox", "pad_value": [float(round(255 * v)) for v in mean]}
    if mode == "center" and scaled == size == fixed:  # the input's own size is covered, and the rest cut off
        return {"resize_mode": "shortest_edge", **crop}
    raise BadManifest(
        f"{facts.where}: crop_mode {mode} with crop_pct {share:g} for an input that is {size['height']} high and "
        f"{size['width']} wide is done here only with crop_pct 1 and a fixed input; export it so, or write a model.toml"
    )
