"""A loaded model: manifest, session and head put together, and the run over a picture."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engine.session import Session, Tensor
from inference.errors import BadManifest, BadModel
from inference.heads import Head, Shape, head_of
from inference.image.media import Picture, cropped
from inference.image.preprocess import Box, Fit, InputSpec, input_spec, prepare
from inference.manifest import Manifest
from inference.predictions import Predictions
from inference.timing import Timing

# Inputs beside the picture that exporters add; they are filled from the Fit.
SIDE_INPUTS = ("scale_factor", "im_shape", "orig_target_sizes", "image_shape", "pixel_mask")


class Loaded:
    """A model in memory, of whatever kind, to be used from any number of threads at once."""

    def __init__(self, manifest: Manifest, session: Session, sha256: str) -> None:
        """Checks that the tensors are what the manifest says. Raises BadModel or BadManifest."""
        self.manifest, self.session, self.sha256 = manifest, session, sha256
        self.head: Head = head_of(manifest)
        if self.head.alone:
            return
        if not session.outputs:
            raise BadManifest(
                f"{manifest.name}: file is empty, but head {manifest.head!r} needs the weights of a network"
            )
        shapes: dict[str, Shape] = {o.name: o.shape for o in session.outputs}
        problem = self.head.misfit(shapes, manifest)
        if problem:
            outputs = "; ".join(map(str, session.outputs))
            raise BadModel(f"{manifest.name}: {problem}; the file's outputs are {outputs}")
        self._check_labels(self.head.classes(shapes, manifest))

    def _check_labels(self, classes: int | None) -> None:
        labels, offset = len(self.manifest.labels), self.manifest.label_offset
        if "" in self.manifest.labels:
            if not classes or labels != classes + offset:
                empty = self.manifest.labels.index("") + 1
                raise BadModel(
                    f"{self.manifest.name}: line {empty} of its label list is empty, and {labels} lines are not its "
                    f"{classes or 'unknown number of'} classes; remove the line, or give the class a name"
                )
            names = tuple(name or str(i) for i, name in enumerate(self.manifest.labels))
            self.manifest = replace(self.manifest, labels=names)
        if classes and labels and labels != classes + offset:
            raise BadModel(
                f"{self.manifest.name}: the model has {classes} classes, the label list {labels} names"
                f"{f' less an offset of {offset}' if offset else ''}; give the labels that this model was trained with"
            )


class Model(Loaded):
    """A model of pictures: a picture, or a crop of it, goes in; predictions come out."""

    def __init__(self, manifest: Manifest, session: Session, sha256: str) -> None:
        """As Loaded; the file must take exactly 1 picture, too."""
        super().__init__(manifest, session, sha256)
        alone = self.head.alone is not None
        self.spec = InputSpec("", np.dtype(np.uint8), "hwc", None, None) if alone else self._picture_input()

    def _picture_input(self) -> InputSpec:
        pictures = [t for t in self.session.inputs if t.name not in SIDE_INPUTS and len(t.shape) >= 3]
        if len(pictures) != 1:
            inputs = "; ".join(map(str, self.session.inputs))
            raise BadModel(f"{self.manifest.name}: expected 1 picture input, but the inputs are {inputs}")
        others = [t for t in self.session.inputs if t is not pictures[0] and t.name not in SIDE_INPUTS]
        if others:
            raise BadModel(
                f"{self.manifest.name}: it also asks for {'; '.join(map(str, others))}, which no picture answers; "
                "export it without, or with a constant in its place"
            )
        return input_spec(pictures[0].name, pictures[0].dtype, pictures[0].shape, self.manifest.preprocess)

    def run(
        self, picture: Picture, box: Box | None = None, threshold: float | None = None
    ) -> tuple[Predictions, Timing]:
        """Predictions in picture pixels, for the whole picture or the crop `box` (xyxy in picture pixels).

        threshold: in place of the manifest's confidence_threshold. Raises BadModel, BadManifest, OutOfMemory.
        """
        if self.head.alone:
            start = time.perf_counter()
            alone = self.head.alone(cropped(picture, box) if box else picture, self.manifest)
            return alone, Timing(0.0, 0.0, (time.perf_counter() - start) * 1e3)
        outputs, fit, timing = self.forward(picture, box)
        start = time.perf_counter()
        predictions = self.decode(outputs, fit, threshold)
        return predictions, replace(timing, postprocess=(time.perf_counter() - start) * 1e3)

    def forward(self, picture: Picture, box: Box | None) -> tuple[dict[str, NDArray[Any]], Fit, Timing]:
        """(raw outputs by name, where the picture or its crop lies in the input, time without postprocessing)."""
        start = time.perf_counter()
        tensor, fit = prepare(picture, self.manifest.preprocess, self.spec, box)
        ready = time.perf_counter()
        outputs = self.session.run(self.feeds(tensor, fit))
        return outputs, fit, Timing((ready - start) * 1e3, (time.perf_counter() - ready) * 1e3, 0.0)

    def decode(self, outputs: dict[str, NDArray[Any]], fit: Fit, threshold: float | None = None) -> Predictions:
        """The head on raw outputs. threshold overrides the manifest's. Half floats are widened: sums of them drift."""
        outputs = {k: v.astype(np.float32) if _is_half(v) else v for k, v in outputs.items()}
        manifest = self.manifest if threshold is None else with_threshold(self.manifest, threshold)
        return self.head.decode(outputs, fit, manifest)

    def feeds(self, tensor: NDArray[Any], fit: Fit) -> dict[str, NDArray[Any]]:
        """The inputs by name: the prepared picture, and the side inputs that the file asks for."""
        feeds = {self.spec.name: tensor}
        for side in self.session.inputs:
            if side.name in SIDE_INPUTS:
                feeds[side.name] = _side_input(side, fit)
        return feeds


def _is_half(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float16


def with_threshold(manifest: Manifest, threshold: float) -> Manifest:
    """The manifest with another score threshold."""
    return replace(manifest, postprocess=replace(manifest.postprocess, confidence_threshold=threshold))


def _side_input(side: Tensor, fit: Fit) -> NDArray[Any]:
    """What PaddleDetection, D-FINE, DETR and keras YOLOv3 exports want to know about the resizing.

    They get values that keep the outputs in network pixels, so that Fit is the way back for every head.
    """
    width, height = fit.network
    if side.name == "pixel_mask":  # DETR through optimum: every pixel counts, as nothing is padded
        return np.ones([1, *(n or own for n, own in zip(side.shape[1:], (height, width), strict=True))], side.dtype)
    values = {
        "scale_factor": [1.0, 1.0],
        "im_shape": [height, width],
        "orig_target_sizes": [width, height],
        "image_shape": [height, width],
    }[side.name]
    return np.asarray([values], side.dtype)
