"""What the tests of recognition share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from inference.engine.model import Model
from inference.engine.session import Session
from inference.engine.weights import sha256_of
from inference.image.media import Picture
from inference.manifest import Manifest
from inference.predictions import Objects, Predictions
from inference.recognize import examine, manifest_of

WIDE = Picture(Pillow.new("RGB", (128, 64), (10, 20, 30)), (128, 64))  # into a square of 64: 32 rows in the middle

# Of a PaddleDetection export, as infer_cfg.yml and inference.yml have it.
INFER_CFG = """
mode: paddle
draw_threshold: 0.4
arch: YOLO
Preprocess:
- {interp: 2, keep_ratio: false, target_size: [64, 64], type: Resize}
- {is_scale: true, mean: [0.485, 0.456, 0.406], norm_type: mean_std, std: [0.229, 0.224, 0.225], type: NormalizeImage}
- {type: Permute}
label_list: [cat, dog]
"""


def answer(folder: Path, picture: Picture = WIDE) -> tuple[str, Manifest, Predictions]:
    """(family, manifest, predictions) of an export that is recognised and run."""
    export, draft = examine(folder)
    manifest = manifest_of(export, draft)
    model = Model(manifest, Session(export.file), sha256_of(export.file))
    return draft.family, manifest, model.run(picture)[0]


def boxes(predictions: Predictions) -> list[tuple[str, float, list[float]]]:
    assert isinstance(predictions, Objects)
    rows = zip(predictions.names, predictions.scores.tolist(), predictions.boxes.tolist(), strict=True)
    return [(n, round(s, 4), [round(v, 2) for v in b]) for n, s, b in rows]


def floats(*values: Any) -> Any:
    return np.asarray(values, np.float32)
