"""Azure Custom Vision detectors of the S1 domains: suppression is done in the graph.

detected_boxes [1, n, 4] x1, y1, x2, y2 in 0..1 of the input, detected_classes [1, n], detected_scores [1, n]
(the batch axis may be missing). The compact domains end in a grid: head yolo_grid.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import best_first, in_network, objects
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Objects


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    boxes = part(outputs, manifest, "boxes", ("detected_boxes",)).reshape(-1, 4).astype(np.float32, copy=False)
    labels = part(outputs, manifest, "labels", ("detected_classes",)).ravel()
    scores = part(outputs, manifest, "scores", ("detected_scores",)).ravel().astype(np.float32, copy=False)
    keep = np.flatnonzero(scores > threshold(manifest, HEAD))
    keep = keep[best_first(scores[keep], manifest)]
    return objects(in_network(boxes[keep], fit), scores[keep], np.rint(labels[keep]), fit, manifest)


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    if part(outputs, manifest, "boxes", ("detected_boxes",))[-1] not in (4, None):
        return "head custom_vision expects detected_boxes [1, n, 4]"
    return None


HEAD = Head(("object-detection",), decode, misfit=misfit, threshold=0.3)
