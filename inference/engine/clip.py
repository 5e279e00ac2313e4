"""Models over clips: T frames at once, prepared and stacked as the file wants them.

NCTHW, NTCHW or NTHWC, read from the tensor (the axis of 3), or two of them (SlowFast: Feichtenhofer et al.,
arXiv:1812.03982), where the slow input gets every n-th frame of the fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engine.model import Loaded
from inference.engine.session import Session
from inference.engine.tensors import Tensor
from inference.errors import HALF, BadModel
from inference.heads import part
from inference.heads.classifier import probabilities
from inference.image.media import Picture
from inference.image.preprocess import InputSpec, input_spec, prepare
from inference.image.values import Quantization
from inference.manifest import Manifest
from inference.predictions import Floats

# Rate at which the frame counts of published recipes (T frames, every n-th) were counted.
_RECIPE_FPS = 30.0
_LAYOUTS = ("ncthw", "ntchw", "nthwc")


@dataclass(frozen=True)
class ClipInput:
    """An input tensor: its layout, its number of frames `count`, and the input of a single frame."""

    name: str
    layout: str
    count: int
    frame: InputSpec

    def stack(self, frames: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """`count` of the prepared frames (1, ...), evenly spaced, as a batch of 1 in the layout of this input."""
        chosen = np.linspace(0, len(frames) - 1, self.count).round().astype(int)
        clip = np.stack([frames[i][0] for i in chosen])
        return np.ascontiguousarray(clip.transpose(1, 0, 2, 3) if self.layout == "ncthw" else clip)[None]


class ClipModel(Loaded):
    """A model over clips. `count` frames cover `window_s` seconds."""

    def __init__(self, manifest: Manifest, session: Session, sha256: str) -> None:
        """As Loaded; the inputs must be clips, and T stand in the file or in the manifest."""
        super().__init__(manifest, session, sha256)
        self.inputs = [_clip_input(tensor, manifest, self.quantization(tensor)) for tensor in session.inputs]
        self.count = max(clip.count for clip in self.inputs)
        sides = {(clip.frame.layout, clip.frame.height, clip.frame.width) for clip in self.inputs}
        if len(sides) > 1:
            raise BadModel(f"{manifest.name}: its inputs want frames of different sizes or layouts: {sides}")
        params = manifest.postprocess.params
        recipe_s = self.count * manifest.preprocess.sampling_rate / _RECIPE_FPS
        if "skip_first" in params:
            raise BadModel(f"{manifest.name}: skip_first is for pictures; say label_offset, or labels for all classes")
        self.window_s, self.overlap = float(params.get("window_s", recipe_s)), float(params.get("overlap", 0.5))

    def frame(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """One frame as the model sees it, (1, ...) in the layout of its frames."""
        return prepare(Picture.of(pixels), self.manifest.preprocess, self.inputs[0].frame)[0]

    def run(self, frames: Sequence[NDArray[Any]]) -> Floats:
        """A probability per class (C,) for prepared frames in order; too few are repeated."""
        outputs = self.infer({clip.name: clip.stack(frames) for clip in self.inputs})
        row = part(outputs, self.manifest, "scores", 0)[0].ravel()
        scores: Floats = np.asarray(probabilities(row, self.manifest), np.float32)
        if not np.isfinite(scores).all():
            raise BadModel(f"{self.manifest.name}: it answers NaN or infinity for a clip; {HALF}")
        labels = len(self.manifest.labels)
        if labels and labels != len(scores) + self.manifest.label_offset:
            raise BadModel(f"{self.manifest.name}: {len(scores)} classes in the model, {labels} labels in the manifest")
        return scores


def _clip_input(tensor: Tensor, manifest: Manifest, numbers: Quantization | None) -> ClipInput:
    shape = tensor.shape
    said = manifest.preprocess.layout
    layout = said if said in _LAYOUTS else _layout(shape)
    if len(shape) != 5 or layout is None:
        raise BadModel(
            f"{manifest.name}: input {tensor} is no clip; expected five axes, with 3 colours on an axis "
            f"({', '.join(_LAYOUTS)}), or say layout in the manifest"
        )
    size = dict(zip(layout, shape, strict=True))
    count = size["t"] or manifest.preprocess.num_frames
    if not count:
        raise BadModel(f"{manifest.name}: input {tensor} takes any number of frames; say num_frames in the manifest")
    frame = replace(manifest.preprocess, layout="nhwc" if layout == "nthwc" else "nchw")
    sides = [{**size, "n": 1}[axis] for axis in frame.layout]
    return ClipInput(tensor.name, layout, count, input_spec(tensor.name, tensor.dtype, sides, frame, numbers))


def _layout(shape: Sequence[int | None]) -> str | None:
    if len(shape) != 5:
        return None
    return "ncthw" if shape[1] == 3 else "ntchw" if shape[2] == 3 else "nthwc" if shape[4] == 3 else None
