"""Public models that training leans on: YuNet, whose boxes on the test photos stand in for boxes drawn by hand, and
a model of expressions as a teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from inference.image.nms import nms
from training import boxes, data, export
from training.pictures import as_input

STRIDES = (8, 16, 32)
# The classes of FER2013 in the teacher's order, in our words.
FER2013 = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]


def yunet(photos: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """At native size and threshold 0.7: a picture -> boxes (n, 4), best first. The file lies in ../../models as seen
    from the folder of the photos."""
    run = export.session(data.required_file(photos.parents[1] / "models" / "face-yunet-n-dynamic" / "model.onnx"))
    names = [o.name for o in run.get_outputs()]

    def detect(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = (-(-v // 32) * 32 for v in picture.shape[:2])
        padded = np.zeros((height, width, 3), np.uint8)
        padded[: picture.shape[0], : picture.shape[1]] = picture[..., ::-1]
        outputs = dict(zip(names, run.run(None, {"input": as_input(padded)}), strict=True))
        raw, cls, obj = (np.concatenate([outputs[f"{k}_{s}"][0] for s in STRIDES]) for k in ("bbox", "cls", "obj"))
        score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))[:, 0]
        # YuNet's cells are counted from their corner, as YOLOX's are
        xyxy, sure = boxes.decode(torch.from_numpy(raw), boxes.grid(height, width, STRIDES)).numpy(), score >= 0.7
        return np.asarray(xyxy[sure][nms(xyxy[sure], score[sure], None, 0.3, boxes.MOST)])

    return detect


def mini_xception(path: Path) -> Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float64]]:
    """Grey portraits (N, h, w) and face boxes (N, 4) -> probabilities of our expressions (N, 5)."""
    run, order = export.session(data.required_file(path)), [FER2013.index(label) for label in data.EXPRESSIONS]

    def see(pictures: NDArray[np.uint8], faces: NDArray[np.float32]) -> NDArray[np.float64]:
        rows = []
        for picture, box in zip(pictures, faces, strict=True):
            border = max(picture.shape) // 2  # its crops are squares and may reach beyond the portrait
            x, y = (box[:2] + box[2:]) / 2 + border
            half = 1.1 * max(box[2:] - box[:2]) / 2
            wide = Image.fromarray(np.pad(picture, border, "edge"))
            small = wide.resize((64, 64), Image.Resampling.BILINEAR, (x - half, y - half, x + half, y + half))
            face = (np.array(small, np.float32) / 255 - 0.5) * 2
            both = np.stack([face, face[:, ::-1]])[..., None]
            rows.append(run.run(None, {"input_1": both})[0].mean(0)[order])
        seen = np.array(rows, np.float64)
        return np.asarray(seen / seen.sum(1, keepdims=True))

    return see
