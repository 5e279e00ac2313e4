"""Time per picture through the engine, against the same work written inline, pair by pair."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageOps

from benchmarks import SHARED, Row, reference_models, spread, timed
from inference.analysis import analyze
from inference.routes import Route, Step

MODEL = "det-yolox-nano"
BAR_SHARE, BAR_MS = 0.05, 0.5
LEAST_PICTURES = 200


def photos() -> list[bytes]:
    files = sorted((SHARED / "media/coco/val2017").glob("*.jpg")) + sorted((SHARED / "media/imagenet").glob("*.jpg"))
    return [f.read_bytes() for f in files]


def inline(session: ort.InferenceSession) -> Callable[[bytes], int]:
    """YOLOX as one writes it in a notebook."""
    ys_xs = [np.mgrid[0 : 416 // s, 0 : 416 // s].reshape(2, -1)[::-1].T for s in (8, 16, 32)]
    cells = np.concatenate(ys_xs).astype(np.float32)
    strides = np.concatenate([np.full((len(c), 1), s, np.float32) for c, s in zip(ys_xs, (8, 16, 32), strict=True)])

    def detect(data: bytes) -> int:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        ratio = min(416 / image.width, 416 / image.height)
        small = image.resize((int(image.width * ratio), int(image.height * ratio)), Image.Resampling.BILINEAR)
        canvas = Image.new("RGB", (416, 416), (114, 114, 114))
        canvas.paste(small, (0, 0))
        x = np.ascontiguousarray(np.asarray(canvas)[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
        raw = session.run(None, {"images": x})[0][0]
        scores = raw[:, 4:5] * raw[:, 5:]
        classes = scores.argmax(1)
        best = scores[np.arange(len(scores)), classes]
        keep = best > 0.3
        centre = (raw[keep, :2] + cells[keep]) * strides[keep]
        half = np.exp(raw[keep, 2:4]) * strides[keep] / 2
        boxes = np.concatenate([centre - half, centre + half], 1) / ratio
        return len(nms_by_class(boxes, best[keep], classes[keep]))

    return detect


def nms_by_class(boxes: Any, scores: Any, classes: Any, limit: float = 0.6) -> list[int]:
    kept: list[int] = []
    for c in np.unique(classes):
        order = np.flatnonzero(classes == c)
        order = order[np.argsort(-scores[order])]
        while len(order):
            i, order = order[0], order[1:]
            kept.append(int(i))
            low, high = np.maximum(boxes[i, :2], boxes[order, :2]), np.minimum(boxes[i, 2:], boxes[order, 2:])
            inside = np.prod(np.clip(high - low, 0, None), axis=1)
            areas = np.prod(boxes[order, 2:] - boxes[order, :2], axis=1) + np.prod(boxes[i, 2:] - boxes[i, :2])
            order = order[inside <= limit * (areas - inside)]
    return kept


def run() -> list[Row]:
    if not SHARED.is_dir():
        return [Row("engine time per picture", "not run: no ../shared")]
    registry = reference_models()
    route = Route("benchmark", (Step(MODEL),))
    detect = inline(registry.model(MODEL).session._session)  # one session for both: only our own work differs

    def ours(data: bytes) -> int:
        return len(analyze(data, route, registry, artifacts=False).result.steps[0].predictions)  # type: ignore[arg-type]

    pictures = photos()
    assert len(pictures) >= LEAST_PICTURES
    for data in pictures[:10]:
        ours(data), detect(data)
    rows = [tuple(timed(partial(work, data)) for work in (ours, detect, ours, detect)) for data in pictures]
    assert sum(a[1] == b[1] for a, b, _, _ in rows) > 0.97 * len(rows), "both must detect as many objects"
    overhead = [(a + c - b - d) / 2 for (a, _), (b, _), (c, _), (d, _) in rows]
    itself = [b - d for _, (b, _), _, (d, _) in rows]
    base = median(b for _, (b, _), _, _ in rows)
    bar = max(BAR_SHARE * base, BAR_MS)
    return [
        Row(
            f"engine over inline, ms per picture ({MODEL})",
            spread(overhead),
            f"<= {bar:.2f}",
            median(overhead) <= bar,
            f"inline {base:.1f} ms; inline against itself {spread(itself)}; {len(rows)} pictures, interleaved",
        )
    ]
