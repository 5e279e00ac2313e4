"""The sizes between a picture and a network's input: how large it is shown, and where in the input it lies."""

from __future__ import annotations

from collections.abc import Mapping

from inference.image.fit import Box
from inference.image.input_spec import InputSpec
from inference.manifest import Preprocess

# A free-size network gets the picture's own size; this bounds what a huge picture may ask of it.
MAX_FREE_PIXELS = 4_000_000
# ... and this where the manifest asks for more: the shape of an upload must not decide how much memory a model takes.
_MOST_FREE = 1 << 24


def wanted_side(how: Preprocess, spec: InputSpec) -> int | None:
    """The shorter side below which a picture loses detail for this model; None where it wants every pixel."""
    sides = [s for s in (spec.height, spec.width, *how.size.values()) if s]
    return max(sides) if sides and how.do_resize else None


def widened(crop: Box, how: Preprocess, spec: InputSpec) -> Box:
    """What a model is shown of the picture for a crop (xyxy in picture pixels): more by crop_scale, and then as much
    as the input's aspect needs. It may reach over the picture's edge."""
    x1, y1, x2, y2 = crop
    width, height = max(x2 - x1, 1.0) * how.crop_scale, max(y2 - y1, 1.0) * how.crop_scale
    if how.crop_scale != 1 and spec.width and spec.height:
        aspect = spec.width / spec.height
        width, height = max(width, height * aspect), max(height, width / aspect)
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    return (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)


def plan(
    width: float, height: float, how: Preprocess, spec: InputSpec
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(network size, size after resizing, place of the resized picture in the network), all as (x, y).

    All of the picture is shown unless do_center_crop asks for its middle: where the size that the manifest asks for is
    larger than the input, the picture is shrunk to fit, with its aspect, and the rest is padding.
    """
    target = _target(how, spec)
    new = _asked_for(width, height, how, target)
    if how.do_center_crop:
        net = (how.crop_size.get("width") or target[0], how.crop_size.get("height") or target[1])
    else:
        step = how.size_divisor
        net = _bounded((target[0] or -(-new[0] // step) * step, target[1] or -(-new[1] // step) * step), target, step)
        if new[0] > net[0] or new[1] > net[1]:
            ratio = min(net[0] / width, net[1] / height)
            new = (min(max(round(width * ratio), 1), net[0]), min(max(round(height * ratio), 1), net[1]))
    if how.resize_mode == "letterbox_top_left" or not (how.do_center_crop or how.resize_mode != "stretch"):
        return net, new, (0, 0)
    return net, new, (_half(net[0] - new[0]), _half(net[1] - new[1]))


def _bounded(net: tuple[int, int], target: tuple[int, int], step: int) -> tuple[int, int]:
    """(width, height), less where a free side makes it too many pixels; multiples of `step` stay so."""
    if net[0] * net[1] <= _MOST_FREE or all(target):
        return net
    ratio = (_MOST_FREE / (net[0] * net[1])) ** 0.5
    width, height = (side or max(int(own * ratio) // step, 1) * step for side, own in zip(target, net, strict=True))
    if not target[0]:
        width = max(min(width, _MOST_FREE // height // step * step), step)
    if not target[1]:
        height = max(min(height, _MOST_FREE // width // step * step), step)
    return width, height


def _asked_for(width: float, height: float, how: Preprocess, target: tuple[int, int]) -> tuple[int, int]:
    """(width, height) that a crop of this size is to be resized to, by the manifest and the sides of the input."""
    if not how.do_resize:
        return round(width), round(height)
    if how.do_center_crop and "width" in how.size:
        return how.size["width"], how.size["height"]  # larger than the input, which gets the middle
    if "shortest_edge" in how.size:
        return _shortest_edge(width, height, how.size)
    if how.resize_mode == "shortest_edge" and all(target):
        ratio = max(target[0] / width, target[1] / height)
        return max(round(width * ratio), target[0]), max(round(height * ratio), target[1])
    if fitting := _letterbox_ratio(width, height, how, target):
        # Ultralytics, whose convention the centred kind is, rounds; YOLOX and YuNet cut off
        whole = round if how.resize_mode == "letterbox" else lambda side: int(side + 1e-6)
        return max(whole(width * fitting), 1), max(whole(height * fitting), 1)
    if all(target):
        return target
    if any(target):  # one side is fixed, the other follows
        ratio = target[0] / width if target[0] else target[1] / height
        most = MAX_FREE_PIXELS // max(target)
        free = [min(max(round(side * ratio), 1), most) for side in (width, height)]
        return target[0] or free[0], target[1] or free[1]
    return _own_size(width, height)


def _target(how: Preprocess, spec: InputSpec) -> tuple[int, int]:
    """(width, height) of the input where the file or the manifest says it, else 0."""
    return spec.width or how.size.get("width", 0), spec.height or how.size.get("height", 0)


def letterbox_ratio(width: float, height: float, how: Preprocess, spec: InputSpec) -> float | None:
    """What a crop of this size is resized by to fit into the input as a whole; None where `how` asks for another size:
    a free input takes the crop's own, or that of its shortest edge, and pads it."""
    return _letterbox_ratio(width, height, how, _target(how, spec))


def _letterbox_ratio(width: float, height: float, how: Preprocess, target: tuple[int, int]) -> float | None:
    other = not how.do_resize or (how.do_center_crop and "width" in how.size) or "shortest_edge" in how.size
    if other or not how.resize_mode.startswith("letterbox") or not all(target):
        return None
    return min(target[0] / width, target[1] / height)


def _half(difference: int) -> int:
    # letterboxing rounds half a pixel down, centre crops too: the conventions of Ultralytics and torchvision
    return round(difference / 2 - 0.1) if difference >= 0 else -round(-difference / 2)


def _shortest_edge(width: float, height: float, size: Mapping[str, int]) -> tuple[int, int]:
    shortest = size["shortest_edge"]
    # A strip of 3000 x 3 must not become a gigapixel.
    longest = min(32 * shortest, max(shortest, _MOST_FREE // shortest), size.get("longest_edge", 32 * shortest))
    ratio = min(shortest / min(width, height), longest / max(width, height))
    return max(round(width * ratio), 1), max(round(height * ratio), 1)


def _own_size(width: float, height: float) -> tuple[int, int]:
    ratio = min(1.0, (MAX_FREE_PIXELS / (width * height)) ** 0.5)
    return max(round(width * ratio), 1), max(round(height * ratio), 1)
