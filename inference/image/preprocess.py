"""Picture to tensor, and the way back from network pixels to picture pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.errors import BadModel
from inference.image.media import Picture
from inference.manifest import Preprocess
from inference.predictions import Floats

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Fit:
    """Where a picture (or a crop of it) lies in the network's input.

    picture: (width, height) of the full upright picture. network: (width, height) of the input tensor.
    scale, offset: picture = network * scale + offset, for x and y.
    crop: the part of the picture that was shown, xyxy in picture pixels.
    """

    picture: tuple[int, int]
    network: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]
    crop: Box

    def points(self, xy: Floats) -> Floats:
        """Network pixels (..., 2) to picture pixels, not clipped."""
        return xy * np.asarray(self.scale, np.float32) + np.asarray(self.offset, np.float32)

    def boxes(self, xyxy: Floats) -> Floats:
        """Network boxes (N, 4) to picture boxes, clipped to the part that was shown."""
        out = xyxy * np.asarray(self.scale * 2, np.float32) + np.asarray(self.offset * 2, np.float32)
        x1, y1, x2, y2 = self.crop
        out[:, 0::2] = out[:, 0::2].clip(x1, x2)
        out[:, 1::2] = out[:, 1::2].clip(y1, y2)
        return out

    def valid(self) -> Box:
        """The part of the network's input that holds the crop, xyxy in network pixels; the rest is padding."""
        x1, y1, x2, y2 = self.crop
        (sx, sy), (ox, oy) = self.scale, self.offset
        width, height = self.network
        return (
            max((x1 - ox) / sx, 0.0),
            max((y1 - oy) / sy, 0.0),
            min((x2 - ox) / sx, float(width)),
            min((y2 - oy) / sy, float(height)),
        )


@dataclass(frozen=True)
class InputSpec:
    """The picture's input tensor, read from the model: numpy dtype, layout, and height and width where fixed."""

    name: str
    dtype: np.dtype[Any]
    layout: str
    height: int | None
    width: int | None


# A free-size network gets the picture's own size; this bounds what a huge picture may ask of it.
MAX_FREE_PIXELS = 4_000_000


def prepare(picture: Picture, how: Preprocess, spec: InputSpec, box: Box | None = None) -> tuple[NDArray[Any], Fit]:
    """One input tensor with a batch axis, and its Fit.

    box: the crop to show, xyxy in picture pixels; it may reach over the edge (padded). None shows everything.
    """
    width, height = picture.size
    crop = box or (0.0, 0.0, float(width), float(height))
    if box:
        crop = widened(crop, how, spec)
    (net_w, net_h), (new_w, new_h), (left, top) = plan(crop[2] - crop[0], crop[3] - crop[1], how, spec)
    canvas = _resized(picture, crop, box is not None, (new_w, new_h), how)
    if (new_w, new_h, left, top) != (net_w, net_h, 0, 0):
        canvas = _placed(canvas, (net_w, net_h), (left, top), how)
    ratio_x, ratio_y = (crop[2] - crop[0]) / new_w, (crop[3] - crop[1]) / new_h
    if ratio := _letterbox_ratio(crop[2] - crop[0], crop[3] - crop[1], how, spec):
        ratio_x = ratio_y = 1 / ratio  # as in the paper, not the two that rounding to whole pixels leaves
    fit = Fit(
        picture.size, (net_w, net_h), (ratio_x, ratio_y), (crop[0] - left * ratio_x, crop[1] - top * ratio_y),
        (max(crop[0], 0.0), max(crop[1], 0.0), min(crop[2], float(width)), min(crop[3], float(height))),
    )  # fmt: skip
    return to_tensor(canvas, how, spec), fit


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
    """(network size, size after resizing, place of the resized picture in the network), all as (x, y)."""
    target = _target(how, spec)
    if not how.do_resize:
        new = (round(width), round(height))
    elif how.do_center_crop and "width" in how.size:
        new = (how.size["width"], how.size["height"])  # larger than the input, which gets the middle
    elif "shortest_edge" in how.size:
        new = _shortest_edge(width, height, how.size)
    elif how.resize_mode == "shortest_edge" and all(target):
        ratio = max(target[0] / width, target[1] / height)
        new = (max(round(width * ratio), target[0]), max(round(height * ratio), target[1]))
    elif fitting := _letterbox_ratio(width, height, how, spec):
        # Ultralytics, whose convention the centred kind is, rounds; YOLOX and YuNet cut off
        whole = round if how.resize_mode == "letterbox" else lambda side: int(side + 1e-6)
        new = (max(whole(width * fitting), 1), max(whole(height * fitting), 1))
    elif all(target):
        new = target
    else:
        new = _own_size(width, height)
    if how.do_center_crop:
        net = (how.crop_size.get("width") or target[0], how.crop_size.get("height") or target[1])
    elif spec.width and spec.height:
        net = (spec.width, spec.height)
    else:
        step = how.size_divisor
        net = target if all(target) else (-(-new[0] // step) * step, -(-new[1] // step) * step)
    if how.resize_mode == "letterbox_top_left" or not (how.do_center_crop or how.resize_mode != "stretch"):
        return net, new, (0, 0)
    return net, new, (_half(net[0] - new[0]), _half(net[1] - new[1]))


def _target(how: Preprocess, spec: InputSpec) -> tuple[int, int]:
    """(width, height) of the input where the file or the manifest says it, else 0."""
    return spec.width or how.size.get("width", 0), spec.height or how.size.get("height", 0)


def _letterbox_ratio(width: float, height: float, how: Preprocess, spec: InputSpec) -> float | None:
    """What a crop of this size is resized by to fit into the input as a whole; None where `how` asks for another size:
    a free input takes the crop's own, or that of its shortest edge, and pads it."""
    target = _target(how, spec)
    other = not how.do_resize or (how.do_center_crop and "width" in how.size) or "shortest_edge" in how.size
    if other or not how.resize_mode.startswith("letterbox") or not all(target):
        return None
    return min(target[0] / width, target[1] / height)


def _half(difference: int) -> int:
    # letterboxing rounds half a pixel down, centre crops too: the conventions of Ultralytics and torchvision
    return round(difference / 2 - 0.1) if difference >= 0 else -round(-difference / 2)


def _shortest_edge(width: float, height: float, size: Mapping[str, int]) -> tuple[int, int]:
    ratio = size["shortest_edge"] / min(width, height)
    if "longest_edge" in size:
        ratio = min(ratio, size["longest_edge"] / max(width, height))
    elif max(width, height) * ratio > 32 * size["shortest_edge"]:
        ratio = 32 * size["shortest_edge"] / max(width, height)  # a strip of 3000 x 3 must not become a gigapixel
    return max(round(width * ratio), 1), max(round(height * ratio), 1)


def _own_size(width: float, height: float) -> tuple[int, int]:
    ratio = min(1.0, (MAX_FREE_PIXELS / (width * height)) ** 0.5)
    return max(round(width * ratio), 1), max(round(height * ratio), 1)


def _resized(picture: Picture, crop: Box, cropped: bool, new: tuple[int, int], how: Preprocess) -> Pillow.Image:
    image = picture.native
    kx, ky = image.width / picture.size[0], image.height / picture.size[1]
    source = (crop[0] * kx, crop[1] * ky, crop[2] * kx, crop[3] * ky)
    if cropped and (source[0] < 0 or source[1] < 0 or source[2] > image.width or source[3] > image.height):
        return _resized_over_edge(picture, source, new, how)
    resample = Pillow.Resampling(how.resample)
    if not how.antialias:
        sx, sy = (source[2] - source[0]) / new[0], (source[3] - source[1]) / new[1]
        matrix = (sx, 0, source[0], 0, sy, source[1])
        return picture.srgb(image.transform(new, Pillow.Transform.AFFINE, matrix, resample))
    if not cropped:
        return picture.image if new == image.size else picture.srgb(image.resize(new, resample))
    return picture.srgb(image.resize(new, resample, box=source))


def _resized_over_edge(picture: Picture, source: Box, new: tuple[int, int], how: Preprocess) -> Pillow.Image:
    """Resize the part of `source` that lies in the image and put it on a padded canvas of size `new`.

    Only those pixels of the canvas are filled that lie wholly in the image: so the scale stays exact, and a person
    at the edge is not stretched by the fraction of a pixel that rounding would add.
    """
    image = picture.native
    kx, ky = (source[2] - source[0]) / new[0], (source[3] - source[1]) / new[1]
    canvas = Pillow.new("RGB", new, _pad_colour(how))
    left, top = max(math.ceil(-source[0] / kx), 0), max(math.ceil(-source[1] / ky), 0)
    right = min(math.floor((image.width - source[0]) / kx + 1e-6), new[0])
    bottom = min(math.floor((image.height - source[1]) / ky + 1e-6), new[1])
    if right > left and bottom > top:
        x1, y1 = max(source[0] + left * kx, 0.0), max(source[1] + top * ky, 0.0)
        x2, y2 = min(source[0] + right * kx, image.width), min(source[1] + bottom * ky, image.height)
        part = image.resize((right - left, bottom - top), Pillow.Resampling(how.resample), box=(x1, y1, x2, y2))
        canvas.paste(picture.srgb(part), (left, top))
    return canvas


def _pad_colour(how: Preprocess) -> tuple[int, int, int]:
    values = how.pad_value * 3 if len(how.pad_value) == 1 else how.pad_value
    r, g, b = (round(v) for v in values[:3])
    return (r, g, b)


def _placed(image: Pillow.Image, net: tuple[int, int], at: tuple[int, int], how: Preprocess) -> Pillow.Image:
    canvas = Pillow.new("RGB", net, _pad_colour(how))
    canvas.paste(image, at)
    return canvas


_GRAY = np.asarray([0.299, 0.587, 0.114], np.float32)  # BT.601 luma, as Pillow and OpenCV


def to_tensor(image: Pillow.Image, how: Preprocess, spec: InputSpec) -> NDArray[Any]:
    """(H, W, 3) uint8 RGB to the input's dtype, layout, colour order, scale and normalisation."""
    pixels: NDArray[Any] = np.asarray(image)
    if how.color_order in ("gray", "y"):
        pixels = np.asarray(image.convert("L"))[:, :, None]
    elif how.color_order == "bgr":
        pixels = pixels[:, :, ::-1]
    channels = pixels.shape[2]
    gain, bias = _affine(how, channels, spec)
    first = spec.layout.endswith("chw")
    if spec.dtype.kind in "iu":
        tensor = pixels.transpose(2, 0, 1) if first else pixels
        tensor = np.ascontiguousarray(tensor.astype(spec.dtype, copy=False))
    else:
        shape = (channels, *pixels.shape[:2]) if first else pixels.shape
        tensor = np.empty(shape, np.float32)
        for c in range(channels):
            plane = tensor[c] if first else tensor[:, :, c]
            np.multiply(pixels[:, :, c], gain[c], out=plane, casting="unsafe")
            if bias[c]:
                plane += bias[c]
        tensor = tensor.astype(spec.dtype, copy=False)
    return tensor[None] if spec.layout in ("nchw", "nhwc") else tensor


def _affine(how: Preprocess, channels: int, spec: InputSpec) -> tuple[Floats, Floats]:
    """(gain, bias) by channel: value * gain + bias is the rescaling and the normalisation together."""
    scale = how.rescale_factor if how.do_rescale else 1.0
    gain, bias = np.full(channels, scale), np.zeros(channels)
    if how.do_normalize:
        mean, std = (np.resize(np.asarray(v, float), channels) for v in (how.image_mean, how.image_std))
        gain, bias = gain / std, -mean / std
    return gain.astype(np.float32), bias.astype(np.float32)


def input_spec(name: str, dtype: np.dtype[Any], shape: Sequence[int | None], how: Preprocess) -> InputSpec:
    """Read layout and size from a tensor's shape. Raises BadModel where the shape is not a picture's."""
    layout = how.layout or _layout(shape)
    if layout not in ("nchw", "nhwc", "chw", "hwc"):
        raise BadModel(
            f"input {name!r} has shape {_shown(shape)}, expected a picture such as [1, 3, H, W] or [1, H, W, 3]; "
            "if it is a picture, say its layout in the manifest"
        )
    if len(shape) != len(layout):
        raise BadModel(f"input {name!r} has {len(shape)} axes {_shown(shape)}, layout {layout!r} needs {len(layout)}")
    size = dict(zip(layout, shape, strict=True))
    channels = 1 if how.color_order in ("gray", "y") else 3
    if size["c"] not in (None, channels):
        raise BadModel(
            f"input {name!r} {_shown(shape)} has {size['c']} channels, color_order {how.color_order!r} gives "
            f'{channels}; say "gray" or "y" for a single channel, "rgb" or "bgr" for three'
        )
    return InputSpec(name, dtype, layout, size["h"], size["w"])


def _layout(shape: Sequence[int | None]) -> str:
    colours = (1, 3, 4)
    if len(shape) == 4:
        return "nchw" if shape[1] in colours else "nhwc" if shape[3] in colours else "nchw" if shape[1] is None else "?"
    if len(shape) == 3:
        return "chw" if shape[0] in colours else "hwc" if shape[2] in colours else "?"
    return "?"


def _shown(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if s is None else str(s) for s in shape) + "]"
