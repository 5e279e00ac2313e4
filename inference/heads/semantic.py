"""Semantic segmentation: a label for every pixel.

The output is scores [1, C, h, w] or [1, h, w, C] at any stride, resized to the picture before the argmax; or label
ids [1, h, w] / [1, 1, h, w] as whole numbers, also as floats, where the argmax is in the graph; or one channel with
the probability of the foreground (labels 0 and 1).
postprocess: background (the label id that means "nothing"). params: channels_last = true | false (default: by
the label list, else by the shape); foreground = threshold of a one-channel output (default 0.5);
activation = "sigmoid" for one-channel logits, "none" for probabilities (default: sigmoid where the graph ends in a
layer with weights; what it has applied itself is never applied again).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.errors import BadManifest
from inference.heads import LOGITS, PROBABILITIES, Ending, Head, Output, Outputs, Shape, map_labels, part, with_params
from inference.heads.classifier import sigmoid
from inference.image.preprocess import Box, Fit
from inference.manifest import Manifest
from inference.predictions import Floats, LabelMap

# Resizing scores costs time per label and pixel. Above this many values, the argmax is taken on a smaller map, whose
# labels are then repeated; it is still finer than the network's own grid.
MAX_VALUES = 32_000_000

NAMES = ("logits", "out", "output", "masks")


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> LabelMap:
    raw = _main(outputs, manifest)
    if raw.dtype.kind in "iub" and not (raw.ndim == 4 and _channels(raw.shape, manifest)[0] > 1):
        if raw.dtype.itemsize <= 2 and raw.min(initial=0) < 0:
            raise BadManifest(
                f"whole numbers down to {raw.min()}, expected label ids, and the file states no scale for scores; "
                "export it with float outputs"
            )
        ids = resized(plane_of(raw, fit).astype(np.int32), fit, fit_size(fit), Pillow.Resampling.NEAREST)
    else:
        ids = _argmax(raw, fit, manifest)
    narrow = np.uint8 if ids.max(initial=0) < 256 else np.int32
    return LabelMap(on_picture(ids.astype(narrow), fit), *map_labels(manifest))


def _main(outputs: Mapping[str, Any], manifest: Manifest) -> Any:
    """The output named in the manifest, else an output with a usual name, else the first."""
    if "map" in manifest.postprocess.outputs or not any(n in outputs for n in NAMES):
        return part(outputs, manifest, "map", 0)
    return part(outputs, manifest, "map", NAMES)


def _argmax(raw: Floats, fit: Fit, manifest: Manifest) -> NDArray[Any]:
    count, last = _channels(raw.shape, manifest)
    scores = plane_of(raw, fit)[None] if count == 1 else raw[0].transpose(2, 0, 1) if last else raw[0]
    scores = scores.astype(np.float32, copy=False)
    if len(scores) == 1:
        params = manifest.postprocess.params
        values = sigmoid(scores[0]) if params.get("activation") == "sigmoid" else scores[0]
        limit = float(params.get("foreground", 0.5))
        if "foreground" not in params and values.max() > 1.01:
            if (values >= 0).all() and (values == np.rint(values)).all():  # label ids, written as floats
                return resized(values.astype(np.int32), fit, fit_size(fit), Pillow.Resampling.NEAREST)
            raise BadManifest(
                f"one channel with values up to {values.max():.4g}, expected probabilities of the foreground: say "
                'postprocess.params.activation = "sigmoid" for logits, or foreground = the value from which it begins'
            )
        return (resized(values, fit, fit_size(fit)) > limit).astype(np.int32)
    width, height = fit_size(fit)
    shrink = min(1.0, (MAX_VALUES / (len(scores) * width * height)) ** 0.5)
    small = max(round(width * shrink), 1), max(round(height * shrink), 1)
    ids = argmax_labels(scores, fit, small)
    return ids if small == (width, height) else np.asarray(Pillow.fromarray(ids).resize((width, height), 0))


def argmax_labels(scores: Floats, fit: Fit, size: tuple[int, int]) -> NDArray[Any]:
    """Label ids (height, width) at `size` from scores (C, h, w), resized bilinearly, label by label."""
    best = resized(scores[0], fit, size)
    ids = np.zeros(best.shape, np.uint8 if len(scores) < 257 else np.int32)
    for label in range(1, len(scores)):
        if scores[label].max() <= best.min():
            continue  # interpolation stays below its maximum
        values = resized(scores[label], fit, size)
        np.copyto(ids, label, where=values > best, casting="unsafe")
        np.maximum(best, values, out=best)
    return ids


def plane_of(raw: NDArray[Any], fit: Fit) -> NDArray[Any]:
    """(h, w) of a map with one value a pixel: the axes beside each other that hold all of it, the others being 1. Where
    a picture one pixel wide or high leaves two ways, the ratio of the input's sides decides. Raises BadManifest."""
    width, height = fit.network
    pairs = [pair for pair in zip(raw.shape, raw.shape[1:], strict=False) if pair[0] * pair[1] == raw.size > 0]
    if not pairs:
        raise BadManifest(f"the map has the shape {list(raw.shape)}, expected one value a pixel: [1, h, w]")
    return raw.reshape(min(reversed(pairs), key=lambda pair: abs(math.log(pair[0] * width / (pair[1] * height)))))


def fit_size(fit: Fit) -> tuple[int, int]:
    """(width, height) of the crop in picture pixels."""
    x1, y1, x2, y2 = fit.crop
    return max(round(x2) - round(x1), 1), max(round(y2) - round(y1), 1)


def resized(
    values: NDArray[Any], fit: Fit, size: tuple[int, int], resample: int = Pillow.Resampling.BILINEAR
) -> NDArray[Any]:
    """The part of a map (h, w) that shows the picture, without padding, at another size."""
    kx, ky = values.shape[1] / fit.network[0], values.shape[0] / fit.network[1]
    x1, y1, x2, y2 = fit.valid()
    box: Box = (x1 * kx, y1 * ky, min(x2 * kx, values.shape[1]), min(y2 * ky, values.shape[0]))
    image = Pillow.fromarray(np.ascontiguousarray(values))
    return np.array(image.resize(size, Pillow.Resampling(resample), box=box))


def on_picture(ids: NDArray[Any], fit: Fit) -> NDArray[Any]:
    """The map of a crop laid into the whole picture (label 0 elsewhere)."""
    width, height = fit.picture
    if ids.shape == (height, width):
        return ids
    whole = np.zeros((height, width), ids.dtype)
    x, y = round(fit.crop[0]), round(fit.crop[1])
    whole[y : y + ids.shape[0], x : x + ids.shape[1]] = ids[: height - y, : width - x]
    return whole


def _channels(shape: Shape, manifest: Manifest) -> tuple[int, bool]:
    """(number of scores per pixel, whether they are on the last axis)."""
    if len(shape) != 4:
        return 1, False
    first, last, labels = shape[1] or 0, shape[3] or 0, len(manifest.labels) - manifest.label_offset
    last_axis = manifest.postprocess.params.get("channels_last")
    if last_axis is None:
        last_axis = (
            last == labels != first
            if labels > 0 and labels in (first, last)
            else 0 < last < min(first or 1 << 30, shape[2] or 1 << 30)
        )
    return (last, True) if last_axis else (first, False)


def settle(outputs: Mapping[str, Output], manifest: Manifest, ending: Ending) -> Manifest:
    """Whether the classes are on the last axis, by the graph's shape: that of a picture a few pixels wide may look like
    either; and whether one channel is a logit."""
    output = _main(outputs, manifest)
    if len(output.shape) == 4 and output.shape[1] != output.shape[3]:
        manifest = with_params(manifest, channels_last=_channels(output.shape, manifest)[1])
    stated = manifest.postprocess.params.get("activation")
    several = len(output.shape) == 4 and _channels(output.shape, manifest)[0] > 1
    if several or output.dtype.kind != "f" or stated == "none":
        return manifest
    kind = ending(next(name for name, value in outputs.items() if value is output))
    if kind == PROBABILITIES and stated:
        return with_params(manifest, activation="none")
    if kind == LOGITS and not stated and "foreground" not in manifest.postprocess.params:
        return with_params(manifest, activation="sigmoid")
    return manifest


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    count = _channels(_main(outputs, manifest), manifest)[0]
    return count if count > 1 else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = _main(outputs, manifest)
    if len(shape) not in (3, 4):
        return f"head semantic expects scores [1, C, h, w] or labels [1, h, w], found {list(shape)}"
    return None


HEAD = Head(
    ("image-segmentation",),
    decode,
    classes,
    misfit,
    settle,
    whole_numbers=True,
    params=("activation", "channels_last", "foreground"),
    choices={"activation": ("none", "sigmoid")},
)
