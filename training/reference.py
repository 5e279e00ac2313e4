"""The public face detector (YuNet) whose boxes on the test photos stand in for boxes drawn by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training import boxes, export
from training.pictures import as_input

STRIDES = (8, 16, 32)


def yunet(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """At native size and threshold 0.7: a picture -> boxes (n, 4), best first."""
    run = export.session(path)
    names = [o.name for o in run.get_outputs()]

    def detect(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = (-(-v // 32) * 32 for v in picture.shape[:2])
        padded = np.zeros((height, width, 3), np.uint8)
        padded[: picture.shape[0], : picture.shape[1]] = picture[..., ::-1]
        outputs = dict(zip(names, run.run(None, {"input": as_input(padded)}), strict=True))
        raw, cls, obj = (np.concatenate([outputs[f"{k}_{s}"][0] for s in STRIDES]) for k in ("bbox", "cls", "obj"))
        score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))[:, 0]
        # YuNet's cells are counted from their corner, as YOLOX's are
        xyxy = boxes.decode(torch.from_numpy(raw), boxes.grid(height, width, STRIDES)).numpy()[score >= 0.7]
        return np.asarray(xyxy[boxes.nms(xyxy, score[score >= 0.7], 0.3)])

    return detect
