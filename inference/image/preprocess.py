"""Picture to tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.image.fit import Box as Box
from inference.image.fit import Fit as Fit
from inference.image.input_spec import InputSpec as InputSpec
from inference.image.input_spec import input_spec as input_spec
from inference.image.media import Picture
from inference.image.plan import MAX_FREE_PIXELS as MAX_FREE_PIXELS
from inference.image.plan import letterbox_ratio, plan
from inference.image.plan import wanted_side as wanted_side
from inference.image.plan import widened as widened
from inference.image.values import affine
from inference.manifest import Preprocess


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
    if ratio := letterbox_ratio(crop[2] - crop[0], crop[3] - crop[1], how, spec):
        ratio_x = ratio_y = 1 / ratio  # as in the paper, not the two that rounding to whole pixels leaves
    fit = Fit(
        picture.size, (net_w, net_h), (ratio_x, ratio_y), (crop[0] - left * ratio_x, crop[1] - top * ratio_y),
        (max(crop[0], 0.0), max(crop[1], 0.0), min(crop[2], float(width)), min(crop[3], float(height))),
    )  # fmt: skip
    return to_tensor(canvas, how, spec), fit


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


def to_tensor(image: Pillow.Image, how: Preprocess, spec: InputSpec) -> NDArray[Any]:
    """(H, W, 3) uint8 RGB to the input's dtype, layout, colour order, scale and normalisation."""
    pixels: NDArray[Any] = np.asarray(image)
    if how.color_order in ("gray", "y"):
        pixels = np.asarray(image.convert("L"))[:, :, None]
    elif how.color_order == "bgr":
        pixels = pixels[:, :, ::-1]
    channels = pixels.shape[2]
    first = spec.layout.endswith("chw")
    if spec.dtype.kind in "iu":
        tensor = _whole(pixels, spec)
        tensor = np.ascontiguousarray(tensor.transpose(2, 0, 1) if first else tensor)
    else:
        gain, bias = affine(how, channels)
        shape = (channels, *pixels.shape[:2]) if first else pixels.shape
        tensor = np.empty(shape, np.float32)
        for c in range(channels):
            plane = tensor[c] if first else tensor[:, :, c]
            np.multiply(pixels[:, :, c], gain[c], out=plane, casting="unsafe")
            if bias[c]:
                plane += bias[c]
        tensor = tensor.astype(spec.dtype, copy=False)
    return tensor[None] if spec.layout in ("nchw", "nhwc") else tensor


def _whole(pixels: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """(H, W, C) bytes to the whole numbers of the input."""
    if spec.levels is None:
        return pixels.astype(spec.dtype, copy=False)
    return np.stack([row[pixels[:, :, c]] for c, row in enumerate(spec.levels)], axis=2)
