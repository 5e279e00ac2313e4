"""Boxes: the targets of an anchor-free detector, its loss, and average precision. All boxes are xyxy in pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from inference.image.nms import iou as iou_matrix
from inference.image.nms import nms

Array = NDArray[np.float32]
MOST = 10_000  # boxes kept of one picture: no limit in practice


def pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """(n, 4) and (m, 4) -> IoU (n, m)."""
    low, high = torch.maximum(a[:, None, :2], b[:, :2]), torch.minimum(a[:, None, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1)
    return shared / (area_a[:, None] + area_b - shared).clamp(min=1e-6)


def giou_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - generalised IoU (Rezatofighi et al., 2019), row by row."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return 1 - shared / union.clamp(min=1e-6) + (hull - union) / hull.clamp(min=1e-6)


def grid(height: int, width: int, strides: Sequence[int]) -> Tensor:
    """Column, row and stride of every cell, (A, 3): row by row, one stride after the other."""
    cells = []
    for stride in strides:
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        cells.append(torch.stack([x, y, torch.full_like(x, stride)], -1).reshape(-1, 3))
    return torch.cat(cells).float()


def decode(raw: Tensor, cells: Tensor) -> Tensor:
    """YOLOX (Ge et al., 2021): centre = (xy + cell) * stride, size = exp(wh) * stride; (..., A, 4) -> xyxy."""
    stride = cells[:, 2:]
    centre = (raw[..., :2] + cells[:, :2]) * stride
    half = raw[..., 2:4].clamp(max=8).exp() * stride / 2
    return torch.cat([centre - half, centre + half], -1)


def assign(boxes: Tensor, logits: Tensor, truth: Tensor, kinds: Tensor, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """SimOTA (Ge et al., 2021): which cells are trained on which true box, chosen by what they predict now.

    A cell is a candidate if its centre lies within 1.5 strides of the box's centre and its stride fits the box's
    size. Of these, each box takes as many of the cheapest as its ten best IoUs add up to; a cell wanted by two goes
    to the cheaper. Returns the cells' indices, their boxes' indices, and their IoU.
    """
    size = (truth[:, 2:] - truth[:, :2]).amax(1)
    middle = (truth[:, 2:] + truth[:, :2]) / 2
    stride = cells[:, 2]
    points = (cells[:, :2] + 0.5) * stride[:, None]
    near = (points[None] - middle[:, None]).abs().amax(2) < 1.5 * stride
    small, large = stride == stride.min(), stride == stride.max()
    fits = ((size[:, None] >= 2 * stride) | small) & ((size[:, None] <= 12 * stride) | large)
    candidates = near & fits
    iou = pair_iou(truth, boxes)
    chance = (logits[:, 1:].sigmoid() * logits[:, :1].sigmoid()).sqrt().clamp(1e-6, 1 - 1e-6)
    wanted = F.one_hot(kinds, logits.shape[1] - 1).float()
    cost_class = -(wanted @ chance.log().T + (1 - wanted) @ (1 - chance).log().T)
    cost = cost_class - 3 * (iou + 1e-8).log() + 1e5 * ~candidates
    count = (iou * candidates).topk(min(10, iou.shape[1]), 1).values.sum(1).int().clamp(min=1)
    matched = torch.zeros_like(iou, dtype=torch.bool)
    for box, k in enumerate(count.tolist()):
        matched[box, cost[box].topk(k, largest=False).indices] = True
    matched &= candidates
    doubled = matched.sum(0) > 1
    if doubled.any():
        best = cost[:, doubled].argmin(0)
        matched[:, doubled] = False
        matched[best, doubled.nonzero()[:, 0]] = True
    owner, cell = matched.nonzero(as_tuple=True)
    return cell, owner, iou[owner, cell]


def detection_loss(raw: Tensor, truths: Sequence[Tensor], kinds: Sequence[Tensor], cells: Tensor) -> Tensor:
    """Objectness over all cells, class and box over the assigned ones. `raw` is (N, A, 5 + classes), logits."""
    boxes = decode(raw, cells)
    objectness = torch.zeros_like(raw[..., 4])
    total = raw.new_zeros(())
    positives = 0
    for i, (truth, kind) in enumerate(zip(truths, kinds, strict=True)):
        if not len(truth):
            continue
        with torch.no_grad():
            cell, owner, iou = assign(boxes[i], raw[i, :, 4:], truth, kind, cells)
        objectness[i, cell] = 1.0
        positives += len(cell)
        target = F.one_hot(kind[owner], raw.shape[2] - 5) * iou[:, None]
        total = total + F.binary_cross_entropy_with_logits(raw[i, cell, 5:], target, reduction="sum")
        total = total + 3 * giou_loss(boxes[i, cell], truth[owner]).sum()
    total = total + F.binary_cross_entropy_with_logits(raw[..., 4], objectness, reduction="sum")
    return total / max(1, positives)


def detections(
    output: Array, side: int, strides: Sequence[int], threshold: float, iou: float
) -> tuple[Array, Array, NDArray[np.int64]]:
    """The exported file's (A, 5 + classes) of a picture (side, side), scores already 0..1 -> boxes (n, 4), scores and
    classes (n,) after NMS per class, best first."""
    scores = output[:, 4:5] * output[:, 5:]
    rows = np.flatnonzero(scores.max(1) >= threshold)
    boxes = decode(torch.from_numpy(output), grid(side, side, strides)).numpy()[rows]
    classes, best = scores[rows].argmax(1), scores[rows].max(1)
    kept = nms(boxes, best, classes, iou, MOST)
    return boxes[kept], best[kept], classes[kept]


def cut(boxes: Array, side: int, share: float) -> tuple[Array, NDArray[np.bool_]]:
    """The boxes (n, 4) cut at the border of a picture (side, side), and which of them keep more than `share` of their
    area."""
    inside = boxes.clip(0, side)
    return inside, (inside[:, 2:] - inside[:, :2]).prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1) > share


class Matches:
    """The detections of one class over many pictures, and which of them are right: a true box is given to the first
    detection that overlaps it by `iou` or more, and only once."""

    def __init__(self, iou: float) -> None:
        self.iou, self.truths = iou, 0
        self._scores: list[NDArray[np.floating]] = []
        self._right: list[NDArray[np.bool_]] = []

    def add(self, boxes: NDArray[np.floating], scores: NDArray[np.floating], truth: Array) -> None:
        """One picture: boxes (n, 4) and scores (n,), best first, and the true boxes (m, 4)."""
        right, free = np.zeros(len(boxes), bool), np.ones(len(truth), bool)
        if len(truth):
            for i, row in enumerate(iou_matrix(boxes, truth)):
                j = int(np.argmax(np.where(free, row, -1)))
                if free[j] and row[j] >= self.iou:
                    right[i], free[j] = True, False
        self._scores.append(scores)
        self._right.append(right)
        self.truths += len(truth)

    @property
    def ranked(self) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        """Scores and which are right, best first over all pictures."""
        scores, right = np.concatenate(self._scores), np.concatenate(self._right)
        order = np.argsort(-scores, kind="stable")
        return scores[order], right[order]

    @property
    def precision(self) -> Array:
        """Of the first 1, 2, ... of the ranked detections."""
        hits = np.cumsum(self.ranked[1])
        return np.asarray(hits / np.arange(1, len(hits) + 1))

    @property
    def recall(self) -> Array:
        """Of the first 1, 2, ... of the ranked detections."""
        return np.asarray(np.cumsum(self.ranked[1]) / max(1, self.truths))

    @property
    def average_precision(self) -> float:
        """Area under the precision-recall curve, precision made monotone (Pascal VOC 2010 and later)."""
        monotone = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float(np.sum(np.diff(self.recall, prepend=0.0) * monotone))
