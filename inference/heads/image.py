"""Image to image: an output [1, C, H, W] (or NHWC, or without batch axis) with a picture or one plane of it.

params: kind (default "rgb"): what the output holds; image_to_image.py composes it with the picture accordingly:
    "rgb"    the new picture; "gray" one plane of it
    "y"      its luma; chroma is the picture's, scaled up by Lanczos (super-resolution)
    "chroma" an RGB picture of which only the colours count; luma is the picture's (colorization)
    "ab"     the a and b of CIE Lab; L is the picture's (colorization; Zhang et al., 2016, arXiv:1603.08511)
    "alpha"  probability of the foreground (background removal)
scale (factor from output values to 0..255; default 255 where do_rescale is on, else 1; "ab": 1) and offset
(added after scaling); color_order = "rgb" | "bgr" (default: as the input); activation = "sigmoid" | "softmax"
(over the channels); channel = index of the channel to use; stretch = true: minimum..maximum of the whole picture
becomes 0..255; invert = true: 255 minus that.
source_type = what the files say of their origin, a term of IPTC's digitalsourcetype: "algorithmicallyEnhanced" (default
for "gray", "y" and "alpha"; say it of a graph that was not trained) | "compositeWithTrainedAlgorithmicMedia".
output = index of the output, where there are several (default 0; -1 is the last). tile, overlap, whole: see
inference/engine/image_to_image.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from inference.errors import HALF, BadModel
from inference.heads import PROBABILITIES, Ending, Head, Output, Outputs, Shape, name_of, part, with_params
from inference.heads.classifier import sigmoid, softmax
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Bytes, Floats, Origin, OutputImage, SourceType

KINDS = {"rgb": 3, "gray": 1, "y": 1, "chroma": 3, "ab": 2, "alpha": 1}
# The kinds whose pixels, or colours, a network makes up.
_MADE_UP = ("rgb", "chroma", "ab")


def kind_of(manifest: Manifest) -> str:
    return str(manifest.postprocess.params.get("kind", "rgb"))


def origin_of(manifest: Manifest) -> Origin:
    """What the files of this model's pictures say of how they came about."""
    made_up = kind_of(manifest) in _MADE_UP
    usual: SourceType = "compositeWithTrainedAlgorithmicMedia" if made_up else "algorithmicallyEnhanced"
    return Origin(manifest.name, manifest.version, manifest.postprocess.params.get("source_type", usual))


def planes(outputs: Outputs, fit: Fit, manifest: Manifest) -> Floats:
    """(h, w, C) float32 in 0..255, not clipped, without padding."""
    params = manifest.postprocess.params
    values = _channels_last(part(outputs, manifest, "image", int(params.get("output", 0))), fit, manifest)
    if values.dtype == np.uint8:
        scaled: Floats = values.astype(np.float32)
    else:
        values = values.astype(np.float32)
        with np.errstate(all="ignore"):
            odd = not np.isfinite(np.dot(values.ravel(), values.ravel()))
        if odd and not np.isfinite(values).any():
            raise BadModel(f"{manifest.name}: it answers no numbers for this picture (NaN); {HALF}")
        values = _activated(np.nan_to_num(values, copy=False) if odd else values, params.get("activation"))
        usual = 1.0 if kind_of(manifest) == "ab" else 255.0 if manifest.preprocess.do_rescale else 1.0
        scaled = values * np.float32(params.get("scale", usual)) + np.float32(params.get("offset", 0.0))
    if "channel" in params:
        scaled = scaled[:, :, int(params["channel"]), None]
    if scaled.shape[2] == 3 and params.get("color_order", manifest.preprocess.color_order) == "bgr":
        scaled = scaled[:, :, ::-1]
    height, width = scaled.shape[:2]
    kx, ky = width / fit.network[0], height / fit.network[1]  # super-resolution: the output is larger than the input
    x1, y1, x2, y2 = fit.valid()
    left, top = min(round(x1 * kx), width - 1), min(round(y1 * ky), height - 1)  # a narrow strip is a pixel at least
    return scaled[top : max(round(y2 * ky), top + 1), left : max(round(x2 * kx), left + 1)]


def _channels_last(raw: NDArray[Any], fit: Fit, manifest: Manifest) -> NDArray[Any]:
    """(h, w, C). Where either the first or the last axis may be the channels, as in a picture a few pixels wide, the
    others have the ratio of the input's sides; the first, as ONNX has it, where both do."""
    image = raw[0] if raw.ndim == 4 else raw
    if image.ndim == 2:
        return image[:, :, None]
    width, height = fit.network

    def unlikely(channels: int, sides: tuple[int, ...]) -> tuple[bool, float]:
        other = channels > 4 and "channel" not in manifest.postprocess.params
        return other, abs(math.log(sides[0] * width / (sides[1] * height)))

    first, last = unlikely(image.shape[0], image.shape[1:]), unlikely(image.shape[2], image.shape[:2])
    return image.transpose(1, 2, 0) if first <= last else image


def _activated(values: Floats, activation: Any) -> Floats:
    if activation == "sigmoid":
        return sigmoid(values)
    return softmax(values) if activation == "softmax" else values


def to_bytes(values: Floats, manifest: Manifest) -> Bytes:
    """Planes of a whole picture to uint8: stretched and inverted where the manifest asks, and always clipped."""
    params = manifest.postprocess.params
    if params.get("stretch", False):
        low, high = float(values.min()), float(values.max())
        values = (values - low) * (255 / max(high - low, 1e-6))
    if params.get("invert", False):
        values = 255 - values
    pixels: Bytes = np.rint(values.clip(0, 255)).astype(np.uint8)
    return pixels


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> OutputImage:
    """The output by itself; Model.run composes it with the picture."""
    pixels = to_bytes(planes(outputs, fit, manifest), manifest)
    if pixels.shape[2] != 3:
        pixels = np.repeat(pixels[:, :, :1], 3, axis=2)
    return OutputImage(np.ascontiguousarray(pixels), origin_of(manifest))


def settle(outputs: Mapping[str, Output], manifest: Manifest, ending: Ending) -> Manifest:
    """No activation where the graph has its own; bytes are a picture, other whole numbers need the graph's scale."""
    name = name_of(outputs, manifest, "image", int(manifest.postprocess.params.get("output", 0)))
    if outputs[name].dtype.kind in "iub" and outputs[name].dtype != np.uint8:
        raise BadModel(
            f"{manifest.name}: output {name!r} holds {outputs[name].dtype} without a scale, expected a picture in "
            "bytes or floats; export it with one of these"
        )
    applied = "activation" in manifest.postprocess.params and ending(name) == PROBABILITIES
    return with_params(manifest, activation="none") if applied else manifest


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    if kind_of(manifest) not in KINDS:
        return f"head image knows the kinds {', '.join(KINDS)}, found {kind_of(manifest)!r}"
    shape = part(outputs, manifest, "image", int(manifest.postprocess.params.get("output", 0)))
    if len(shape) not in (3, 4):
        return f"head image expects one output [1, 3, H, W], found {list(shape)}"
    return None


HEAD = Head(
    ("image-to-image",), decode, misfit=misfit, settle=settle, whole_numbers=True,
    params=("kind", "scale", "offset", "color_order", "activation", "channel", "stretch", "invert", "source_type",
            "output", "tile", "overlap", "whole"),
    choices={"activation": ("none", "sigmoid", "softmax"), "color_order": ("rgb", "bgr"),
             "source_type": get_args(SourceType)},
)  # fmt: skip
