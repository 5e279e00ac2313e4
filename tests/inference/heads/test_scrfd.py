"""SCRFD: distances from the upper left corners of cells, two anchors each, against a loop and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inference.errors import BadModel
from inference.heads import find_head
from inference.predictions import Objects
from tests.inference.heads.decoding import fit, manifest, same


def outputs(width: int, height: int, strides: tuple[int, ...], anchors: int, kps: bool = True) -> dict[str, Any]:
    random = np.random.default_rng(0)
    rows = [anchors * (width // s) * (height // s) for s in strides]
    kinds = (("score", 1), ("bbox", 4), ("kps", 10)) if kps else (("score", 1), ("bbox", 4))
    return {f"{kind}_{s}": random.uniform(0, 1, (n, w)).astype(np.float32) * (1 if w == 1 else 3)
            for kind, w in kinds for s, n in zip(strides, rows, strict=True)}  # fmt: skip


def loop(values: dict[str, Any], width: int, strides: tuple[int, ...], anchors: int, limit: float) -> Any:
    rows, points = [], []
    for s in strides:
        for i, score in enumerate(values[f"score_{s}"][:, 0]):
            if score > limit:
                x, y = i // anchors % (width // s) * s, i // anchors // (width // s) * s
                left, top, right, bottom = (float(v) * s for v in values[f"bbox_{s}"][i])
                rows.append(([x - left, y - top, x + right, y + bottom], float(score), 0))
                points.append([(x + dx * s, y + dy * s) for dx, dy in values[f"kps_{s}"][i].reshape(5, 2)])
    order = sorted(range(len(rows)), key=lambda i: -rows[i][1])
    return [rows[i] for i in order], [points[i] for i in order]


@pytest.mark.parametrize(("strides", "anchors"), [((8, 16, 32), 2), ((8, 16, 32, 64, 128), 1)])
def test_scrfd_as_a_loop_has_it(strides: tuple[int, ...], anchors: int) -> None:
    values = outputs(256, 128, strides, anchors)
    rows, points = loop(values, 256, strides, anchors, 0.98)
    how = manifest("scrfd", labels=0, confidence_threshold=0.98, nms_execute=False, max_detections=1000)
    batched = {str(i): v[None] for i, v in enumerate(reversed(values.values()))}
    for given in (values, batched):  # the order, the names and a batch axis say nothing
        found = find_head("scrfd").decode(given, fit(256, 128), how)
        assert isinstance(found, Objects) and found.keypoints is not None and found.skeleton == "face5"
        same(found, rows, 256, 128)
        np.testing.assert_allclose(found.keypoints[:, :, :2], points, atol=0.01)


def test_scrfd_by_hand() -> None:
    values = {name: np.zeros_like(v) for name, v in outputs(64, 64, (8, 16, 32), 2, kps=False).items()}
    row = 2 * (2 * 8 + 3) + 1  # stride 8, line 2, column 3, second anchor: the corner is (24, 16)
    values["score_8"][row], values["bbox_8"][row] = 0.75, (1, 0.5, 2, 1)
    found = find_head("scrfd").decode(values, fit(64, 64), manifest("scrfd"))
    assert isinstance(found, Objects) and found.keypoints is None
    assert (found.scores.tolist(), found.boxes.tolist()) == ([0.75], [[16, 12, 40, 24]])


def test_a_persons_points_are_no_landmarks() -> None:
    how = manifest("scrfd", labels=1, confidence_threshold=0.9)
    found = find_head("scrfd").decode(outputs(64, 64, (8, 16, 32), 2), fit(64, 64), how)
    assert isinstance(found, Objects) and len(found) and found.keypoints is None and found.skeleton is None


def test_scrfd_refuses_other_sizes_and_logits() -> None:
    values = outputs(64, 64, (8, 16, 32), 2)
    with pytest.raises(BadModel, match=r"score_8 \[128, 1\].* of 672 rows in all for \(128, 128\)"):
        find_head("scrfd").decode(values, fit(128, 128), manifest("scrfd"))
    values["score_16"] -= 4
    with pytest.raises(BadModel, match="expected 0..1"):
        find_head("scrfd").decode(values, fit(64, 64), manifest("scrfd"))
    assert find_head("scrfd").misfit({"a": (1, 9), "b": (1, 2)}, manifest("scrfd"))
