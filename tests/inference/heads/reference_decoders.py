"""Decoders written as the papers and the exporters' documents put it: one loop a step, no cleverness.

They share no code with the engine; the tests hold its answers against theirs on the same tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Row = tuple[list[float], float, int]  # box xyxy in network pixels, score, class


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def suppress(rows: list[Row], threshold: float, most: int) -> list[Row]:
    kept: list[Row] = []
    for row in sorted(rows, key=lambda r: -r[1]):
        if all(k[2] != row[2] or overlap(k[0], row[0]) <= threshold for k in kept):
            kept.append(row)
    return kept[:most]


def centred(cx: float, cy: float, width: float, height: float) -> list[float]:
    return [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softmax(values: Sequence[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def yolox(raw: Any, size: int, limit: float) -> list[Row]:
    rows: list[Row] = []
    i = 0
    for stride in (8, 16, 32):
        for y in range(size // stride):
            for x in range(size // stride):
                tx, ty, tw, th, objectness, *scores = (float(v) for v in raw[i])
                i += 1
                best = max(range(len(scores)), key=lambda c: scores[c])
                score = objectness * scores[best]
                if score > limit:
                    box = centred((tx + x) * stride, (ty + y) * stride, math.exp(tw) * stride, math.exp(th) * stride)
                    rows.append((box, score, best))
    return rows


def yolo_raw(raw: Any, classes: int, limit: float) -> list[Row]:
    rows: list[Row] = []
    for column in raw.T:
        scores = [float(s) for s in column[4 : 4 + classes]]
        best = max(range(classes), key=lambda c: scores[c])
        if scores[best] > limit:
            rows.append((centred(*(float(v) for v in column[:4])), scores[best], best))
    return rows


def yolo_v5(raw: Any, classes: int, limit: float) -> list[Row]:
    rows: list[Row] = []
    for row in raw:
        scores = [float(row[4]) * float(s) for s in row[5 : 5 + classes]]
        best = max(range(classes), key=lambda c: scores[c])
        if scores[best] > limit:
            rows.append((centred(*(float(v) for v in row[:4])), scores[best], best))
    return rows


def gfl(scores: Sequence[Any], sides: Sequence[Any], size: int, strides: Sequence[int], limit: float) -> list[Row]:
    rows: list[Row] = []
    for stride, cls, dis in zip(strides, scores, sides, strict=True):
        across = math.ceil(size / stride)
        for i in range(len(cls)):
            for c, score in enumerate(float(s) for s in cls[i]):
                if score <= limit:
                    continue
                x, y = (i % across + 0.5) * stride, (i // across + 0.5) * stride
                reach = []
                for side in range(4):
                    shares = softmax([float(v) for v in dis[i][side * 8 : side * 8 + 8]])
                    reach.append(sum(k * share for k, share in enumerate(shares)) * stride)
                box = [x - reach[0], y - reach[1], x + reach[2], y + reach[3]]
                rows.append(([min(max(v, 0), size) for v in box], score, c))
    return rows


def yunet(outputs: Any, size: int, limit: float) -> list[tuple[list[float], float, list[list[float]]]]:
    rows = []
    for stride in (8, 16, 32):
        across = size // stride
        for i in range(across * across):
            column, line = i % across, i // across
            cls = min(max(float(outputs[f"cls_{stride}"][0, i, 0]), 0), 1)
            obj = min(max(float(outputs[f"obj_{stride}"][0, i, 0]), 0), 1)
            score = math.sqrt(cls * obj)
            if score <= limit:
                continue
            b = [float(v) for v in outputs[f"bbox_{stride}"][0, i]]
            k = [float(v) for v in outputs[f"kps_{stride}"][0, i]]
            box = centred((column + b[0]) * stride, (line + b[1]) * stride, math.exp(b[2]) * stride,
                          math.exp(b[3]) * stride)  # fmt: skip
            points = [[(k[2 * n] + column) * stride, (k[2 * n + 1] + line) * stride] for n in range(5)]
            rows.append((box, score, points))
    return rows


def ultraface(scores: Any, boxes: Any, size: tuple[int, int], limit: float) -> list[Row]:
    width, height = size
    rows: list[Row] = []
    for score, box in zip(scores, boxes, strict=True):
        if score[1] > limit:
            x1, y1, x2, y2 = (float(v) for v in box)
            rows.append(([x1 * width, y1 * height, x2 * width, y2 * height], float(score[1]), 0))
    return rows


def detr(logits: Any, boxes: Any, size: tuple[int, int], limit: float, kind: str) -> list[Row]:
    width, height = size
    rows: list[Row] = []
    for q in range(len(logits)):
        values = [float(v) for v in logits[q]]
        if kind == "softmax":
            shares = softmax(values)[:-1]
            best = max(range(len(shares)), key=lambda c: shares[c])
            found = [(best, shares[best])]
        else:
            found = [(c, sigmoid(v)) for c, v in enumerate(values)]
        cx, cy, w, h = (float(v) for v in boxes[q])
        box = centred(cx * width, cy * height, w * width, h * height)
        rows += [(box, score, c) for c, score in found if score > limit]
    return sorted(rows, key=lambda r: -r[1])


def grid_v2(raw: Any, anchors: Sequence[Sequence[float]], stride: int, limit: float) -> list[Row]:
    depth, lines, columns = raw.shape
    per = depth // len(anchors)
    rows: list[Row] = []
    for a, (aw, ah) in enumerate(anchors):
        for y in range(lines):
            for x in range(columns):
                v = [float(n) for n in raw[a * per : (a + 1) * per, y, x]]
                shares = softmax(v[5:])
                best = max(range(len(shares)), key=lambda c: shares[c])
                score = sigmoid(v[4]) * shares[best]
                if score > limit:
                    box = centred((sigmoid(v[0]) + x) * stride, (sigmoid(v[1]) + y) * stride,
                                  math.exp(v[2]) * aw * stride, math.exp(v[3]) * ah * stride)  # fmt: skip
                    rows.append((box, score, best))
    return rows


def grid_v4(raws: Sequence[Any], anchors: Any, scales: Sequence[float], size: int, limit: float) -> list[Row]:
    rows: list[Row] = []
    for raw, sizes, scale in zip(raws, anchors, scales, strict=True):
        lines, columns = raw.shape[:2]
        stride = size // columns
        for y in range(lines):
            for x in range(columns):
                for a, (aw, ah) in enumerate(sizes):
                    v = [float(n) for n in raw[y, x, a]]
                    best = max(range(len(v) - 5), key=lambda c: v[5 + c])
                    score = v[4] * v[5 + best]
                    if score > limit:
                        cx = (sigmoid(v[0]) * scale - 0.5 * (scale - 1) + x) * stride
                        cy = (sigmoid(v[1]) * scale - 0.5 * (scale - 1) + y) * stride
                        rows.append((centred(cx, cy, math.exp(v[2]) * aw, math.exp(v[3]) * ah), score, best))
    return rows
