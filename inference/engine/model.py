"""A loaded model: manifest, session and head put together, and the run over a picture."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engine.finite import odd_outputs, refuse_none, usable, without_infinity, without_nan
from inference.engine.graph_ends import ending, scale_of_input, scale_of_output, step_of_output
from inference.engine.session import Session
from inference.engine.side_inputs import SIDE_INPUTS, side_input
from inference.engine.tensors import Tensor
from inference.errors import BadManifest, BadModel
from inference.heads import Head, Shape, head_of
from inference.heads import threshold as head_threshold
from inference.image.media import Picture, cropped
from inference.image.preprocess import Box, Fit, InputSpec, input_spec, prepare
from inference.image.values import Quantization
from inference.manifest import MOST_INPUT_PIXELS, Manifest
from inference.placeholders import is_placeholder
from inference.predictions import Classes, Objects, Predictions
from inference.timing import Timing

_COARSEST_SCORES = 0.1


class Loaded:
    """A model in memory, of whatever kind, to be used from any number of threads at once.

    manifest: with what the graph decides of what it leaves open. batch: of the file; more than 1 where it is fixed so.
    scales: of the outputs of whole numbers that `infer` turns into floats. digest: as `Registry.digest`, of just what
    was loaded; empty where no registry has loaded it.
    """

    digest = ""

    def __init__(self, manifest: Manifest, session: Session, sha256: str) -> None:
        """Checks that the tensors are what the manifest says. Raises BadModel or BadManifest."""
        self.manifest, self.session, self.sha256 = manifest, session, sha256
        session.name = manifest.name
        self.head: Head = head_of(manifest)
        self.batch, self.scales = 1, dict[str, Quantization]()
        if self.head.alone:
            return
        if not session.outputs:
            raise BadManifest(
                f"{manifest.name}: file is empty, but head {manifest.head!r} needs the weights of a network"
            )
        self.batch = _batch(manifest.name, session)
        self.scales = _scales(session, self.head)
        outputs = {o.name: self._as_the_head_gets_it(o) for o in session.outputs}
        self._check_outputs(outputs)
        self._refuse_coarse()
        self.manifest = self.head.settle(outputs, self.manifest, lambda name: ending(session.graph, name))

    def _as_the_head_gets_it(self, output: Tensor) -> Tensor:
        shape = (1, *output.shape[1:]) if self.batch > 1 else output.shape
        return Tensor(output.name, np.dtype(np.float32) if output.name in self.scales else output.dtype, shape)

    def _check_outputs(self, outputs: Mapping[str, Tensor]) -> None:
        """Raises BadModel where they are not the head's, or are whole numbers that nothing says the meaning of."""
        shapes: dict[str, Shape] = {o.name: o.shape for o in outputs.values()}
        name, listed = self.manifest.name, "; ".join(map(str, self.session.outputs))
        if problem := self.head.misfit(shapes, self.manifest):
            raise BadModel(f"{name}: {problem}; the file's outputs are {listed}")
        read = [*self.manifest.postprocess.outputs.values()] or [next(iter(outputs))]
        whole = next((outputs[n] for n in read if n in outputs and outputs[n].dtype.kind in "iub"), None)
        if whole is not None and not self.head.whole_numbers:
            raise BadModel(
                f"{name}: output {whole} holds whole numbers, and no QuantizeLinear before it states their scale, "
                f"while head {self.manifest.head!r} reads floats; export it with float outputs"
            )
        self._check_labels(self.head.classes(shapes, self.manifest))

    def _refuse_coarse(self) -> None:
        """Raises BadModel where quantisation gave boxes in pixels and scores one scale, which leaves nothing of these:
        steps of 640 / 255 pixels make 0 of every score (microsoft/onnxruntime#14233, meituan/YOLOv6#969)."""
        if not self.head.mixed:
            return
        name = next(iter(self.manifest.postprocess.outputs.values()), self.session.outputs[0].name)
        step = step_of_output(self.session.graph, name)
        if step and step > _COARSEST_SCORES:
            raise BadModel(
                f"{self.manifest.name}: output {name!r} is quantised in steps of {step:.3g}, boxes and scores alike, "
                "which leaves nothing of scores in 0..1; quantise it without its last nodes, from the Concat of boxes "
                "and scores on (nodes_to_exclude of onnxruntime's quantize_static), or export it with floats"
            )

    def infer(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name for inputs of a batch of 1: repeated where the file's batch is larger, and floats where the
        file states what its whole numbers mean. Raises BadModel, OutOfMemory."""
        if self.batch > 1:
            feeds = {name: np.repeat(value, self.batch, axis=0) for name, value in feeds.items()}
        outputs = self.session.run(feeds)
        if self.batch > 1:
            outputs = {name: value[:1] for name, value in outputs.items()}
        for name, scale in self.scales.items():
            outputs[name] = scale.values(outputs[name])
        return outputs

    def quantization(self, tensor: Tensor) -> Quantization | None:
        """What the whole numbers of an input stand for, where the graph says so."""
        if tensor.dtype.kind == "f":
            return None
        return scale_of_input(self.session.graph, tensor.name)

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
                f"{_other_offset(classes, self.manifest, self.head)}"
            )


def _other_offset(classes: int, manifest: Manifest, head: Head) -> str:
    """The label_offset with which the list would fit, where that may be meant."""
    labels = manifest.labels
    if len(labels) == classes - 1:
        last = ", postprocess.params.no_object = true if the last class is none" if "no_object" in head.params else ""
        return f", or say label_offset = -1 if class 0 is a background that has no line{last}"
    if len(labels) == classes + 1 and is_placeholder(labels[0]):
        return f", or say label_offset = 1 if the first line, {labels[0]!r}, stands for no class"
    return ""


# Of what is to be blurred, so many are found in a picture (of objects with masks, which need memory) even where the
# result has room for fewer.
_MOST_UNSURE, _MOST_MASKS = 1000, 300


class Model(Loaded):
    """A model of pictures: a picture, or a crop of it, goes in; predictions come out.

    hides_from: a score, 0..1; objects that reach it and are not in the answer are `hidden` beside it. None: no such.
    """

    hides_from: float | None = None

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
        picture = pictures[0]
        how, numbers = self.manifest.preprocess, self.quantization(picture)
        spec = input_spec(picture.name, picture.dtype, picture.shape, how, numbers)
        pixels = (spec.height or 1) * (spec.width or 1) * self.batch
        if pixels > MOST_INPUT_PIXELS:
            raise BadModel(
                f"{self.manifest.name}: input {picture} takes {pixels:,} pixels, expected at most "
                f"{MOST_INPUT_PIXELS:,} (8192 x 8192); export it for a smaller input, or with batch=1"
            )
        return spec

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
        try:
            outputs, fit, timing = self.forward(picture, box)
            start = time.perf_counter()
            predictions = self.decode(outputs, fit, threshold)
            if self.hides_from is not None and isinstance(predictions, Objects):
                predictions = self._with_unsure(predictions, outputs, fit, threshold, self.hides_from)
        except (BadModel, BadManifest) as error:  # heads know no names, and a route may have several models
            if self.manifest.name in str(error):
                raise
            raise type(error)(f"{self.manifest.name}: {error}") from error
        return predictions, replace(timing, postprocess=(time.perf_counter() - start) * 1e3)

    def forward(self, picture: Picture, box: Box | None) -> tuple[dict[str, NDArray[Any]], Fit, Timing]:
        """(raw outputs by name, where the picture or its crop lies in the input, time without postprocessing)."""
        start = time.perf_counter()
        tensor, fit = prepare(picture, self.manifest.preprocess, self.spec, box)
        ready = time.perf_counter()
        outputs = self.infer(self.feeds(tensor, fit))
        return outputs, fit, Timing((ready - start) * 1e3, (time.perf_counter() - ready) * 1e3, 0.0)

    def decode(self, outputs: dict[str, NDArray[Any]], fit: Fit, threshold: float | None = None) -> Predictions:
        """The head on raw outputs. threshold overrides the manifest's. Half floats are widened: sums of them drift.

        What rests on NaN or infinity is left out, with a note; raises BadModel where nothing else is there."""
        outputs = {k: v.astype(np.float32) if _is_half(v) else v for k, v in outputs.items()}
        manifest = self.manifest if threshold is None else with_threshold(self.manifest, threshold)
        odd = odd_outputs(outputs)
        maps = manifest.task in ("image-segmentation", "depth-estimation") and "object-detection" not in self.head.tasks
        if odd and maps:  # which have no rows to leave out
            refuse_none(outputs, odd, manifest.name)
            outputs = without_nan(outputs, odd)
        elif odd and manifest.task != "image-to-image":
            outputs = without_infinity(outputs, odd)
        with np.errstate(all="ignore"):  # what is no number is left out below, and is no warning on the console
            decoded = self.head.decode(outputs, fit, manifest)
        return _unnamed_said(usable(decoded, odd, manifest.name), len(manifest.labels))

    def _with_unsure(
        self, found: Objects, outputs: dict[str, NDArray[Any]], fit: Fit, threshold: float | None, low: float
    ) -> Objects:
        """The objects, with those hidden that reach `low` alone, or for which max_detections has no room."""
        post = self.manifest.postprocess
        limit = head_threshold(self.manifest, self.head) if threshold is None else threshold
        if limit <= low and len(found) < post.max_detections:
            return found
        wide = copy.copy(self)
        most = max(post.max_detections, _MOST_MASKS if found.masks is not None else _MOST_UNSURE)
        wide.manifest = replace(self.manifest, postprocess=replace(post, max_detections=most))
        every = wide.decode(outputs, fit, min(low, limit))
        assert isinstance(every, Objects)
        known = {*zip(found.label_ids.tolist(), map(tuple, found.boxes.tolist()), strict=True)}
        rows = zip(every.label_ids.tolist(), map(tuple, every.boxes.tolist()), strict=True)
        more = every.take([i for i, row in enumerate(rows) if row not in known])
        return replace(found, hidden=replace(more, masks=None, corners=None, notes=()))

    def feeds(self, tensor: NDArray[Any], fit: Fit) -> dict[str, NDArray[Any]]:
        """The inputs by name: the prepared picture, and the side inputs that the file asks for."""
        feeds = {self.spec.name: tensor}
        for side in self.session.inputs:
            if side.name in SIDE_INPUTS:
                feeds[side.name] = side_input(side, fit)
        return feeds


def _unnamed_said(predictions: Predictions, labels: int) -> Predictions:
    """With a note where a class has no line in the label list: some files do not show how many classes they have."""
    if not labels or not isinstance(predictions, Objects | Classes) or not len(predictions):
        return predictions
    ids = predictions.label_ids
    if ids.min() >= 0 and ids.max() < labels:
        return predictions
    numbers = ", ".join(str(i) for i in sorted({*ids.tolist()}) if not 0 <= i < labels)[:60]
    note = f"label {numbers} has no name: the list has {labels}, from 0; correct labels or label_offset"
    return replace(predictions, notes=(*predictions.notes, note))


def _is_half(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float16


def with_threshold(manifest: Manifest, threshold: float) -> Manifest:
    """The manifest with another score threshold."""
    return replace(manifest, postprocess=replace(manifest.postprocess, confidence_threshold=threshold))


def _batch(model: str, session: Session) -> int:
    """The batch that the file is fixed at; 1 where it is free. Raises BadModel where no single picture can be run."""
    for tensor in session.inputs:
        if 0 in tensor.shape:
            raise BadModel(
                f"{model}: input {tensor} has an axis of size 0, which nothing fits; export it again with batch=1"
            )
    batch = max((t.shape[0] or 1 for t in session.inputs if len(t.shape) in (4, 5)), default=1)
    if batch == 1:
        return 1
    for tensor in (*session.inputs, *session.outputs):
        if tensor.shape[:1] != (batch,):
            raise BadModel(
                f"{model}: its batch is fixed at {batch}, and {tensor} does not have it as its first axis, so that the "
                "answer for one picture cannot be told; export it again with batch=1 or dynamic=True"
            )
    return batch


def _scales(session: Session, head: Head) -> dict[str, Quantization]:
    """What the whole numbers of outputs stand for, where the graph says so. Pictures in bytes are what they are."""
    bytes_are_pictures = "image-to-image" in head.tasks
    whole = [o for o in session.outputs if o.dtype.kind in "iu" and o.dtype.itemsize <= 2]
    asked = [o.name for o in whole if not (bytes_are_pictures and o.dtype == np.uint8)]
    return {name: scale for name in asked if (scale := scale_of_output(session.graph, name))}
