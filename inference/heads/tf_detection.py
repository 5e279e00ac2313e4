"""TensorFlow Object Detection API and TFLite post-processing: NMS runs inside the graph.

Boxes [1, n, 4] are ymin, xmin, ymax, xmax in 0..1 of the input; classes [1, n] are floats; a count says how many
rows are real. Names are those of tf2onnx; TFLite's four outputs come as boxes, classes, scores, count.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import objects
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Objects

_LITE = "TFLite_Detection_PostProcess"
_NAMES = {
    "boxes": ("detection_boxes", "detection_boxes:0", _LITE),
    "classes": ("detection_classes", "detection_classes:0", f"{_LITE}:1"),
    "scores": ("detection_scores", "detection_scores:0", f"{_LITE}:2"),
    "count": ("num_detections", "num_detections:0", f"{_LITE}:3"),
}


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    boxes, classes, scores, count = (part(outputs, manifest, role, names) for role, names in _NAMES.items())
    real = slice(0, int(count.ravel()[0]))
    boxes, classes, scores = boxes[0, real], classes[0, real], scores[0, real]
    keep = np.flatnonzero(scores > threshold(manifest, HEAD))
    keep = keep[np.argsort(-scores[keep], kind="stable")][: manifest.postprocess.max_detections]
    width, height = fit.network
    corners = boxes[keep][:, [1, 0, 3, 2]] * np.asarray([width, height, width, height], np.float32)
    return objects(corners, scores[keep], np.rint(classes[keep]), fit, manifest)


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    if len(part(outputs, manifest, "boxes", _NAMES["boxes"])) != 3:
        return "head tf_detection expects detection_boxes [1, n, 4]"
    return None


HEAD = Head(("object-detection",), decode, misfit=misfit, threshold=0.3)
