"""The input of a model that takes pictures: its layout, its size, and what a pixel's value becomes in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadModel
from inference.image.values import Quantization, levels
from inference.manifest import Preprocess


@dataclass(frozen=True)
class InputSpec:
    """The picture's input tensor, read from the model: numpy dtype, layout, and height and width where fixed.

    levels: (channels, 256) of the dtype, what each pixel value becomes; None for floats and for pixels as they are.
    """

    name: str
    dtype: np.dtype[Any]
    layout: str
    height: int | None
    width: int | None
    levels: NDArray[Any] | None = field(default=None, compare=False)


def input_spec(
    name: str,
    dtype: np.dtype[Any],
    shape: Sequence[int | None],
    how: Preprocess,
    quantization: Quantization | None = None,
) -> InputSpec:
    """Read layout and size from a tensor's shape. quantization: of whole numbers, where the graph states it.

    Raises BadModel where the shape is not a picture's, or no preprocessing of ours can fill it.
    """
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
    if (size["c"] or 1) not in (1, 3):
        raise BadModel(
            f'input {name!r} {_shown(shape)} has {size["c"]} channels, a picture gives 3 ("rgb", "bgr") or 1 '
            '("gray", "y"); export it for one of these'
        )
    if size["c"] not in (None, channels):
        raise BadModel(
            f"input {name!r} {_shown(shape)} has {size['c']} channels, color_order {how.color_order!r} gives "
            f'{channels}; say "gray" or "y" for a single channel, "rgb" or "bgr" for three'
        )
    spec = InputSpec(name, dtype, layout, size["h"], size["w"], levels(name, dtype, how, channels, quantization))
    _refuse_another_crop(spec, how)
    return spec


def _refuse_another_crop(spec: InputSpec, how: Preprocess) -> None:
    """Raises BadModel where do_center_crop asks for a crop of no size, or of another size than the input's."""
    for side, own in (("height", spec.height), ("width", spec.width)):
        said = how.crop_size.get(side, own or how.size.get(side))
        if how.do_center_crop and not said:
            raise BadModel(
                f"input {spec.name!r} has a free {side}, and do_center_crop no crop_size; say how large it is"
            )
        if how.do_center_crop and own and said != own:
            raise BadModel(
                f"input {spec.name!r} has a fixed {side} of {own}, but crop_size says {said}; leave crop_size out for "
                "the input's own size, or export the model again for the other"
            )


def _layout(shape: Sequence[int | None]) -> str:
    colours = (1, 3, 4)
    if len(shape) == 4:
        return "nchw" if shape[1] in colours else "nhwc" if shape[3] in colours else "nchw" if shape[1] is None else "?"
    if len(shape) == 3:
        return "chw" if shape[0] in colours else "hwc" if shape[2] in colours else "?"
    return "?"


def _shown(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if s is None else str(s) for s in shape) + "]"
