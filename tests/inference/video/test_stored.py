"""Detections as lines of JSON: they come back bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from inference.predictions import Classes, LabelMap, Masks, Objects
from inference.video.stored import from_line, to_line


def examples() -> Iterator[Any]:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 1000, (3, 4)).astype(np.float32)
    bits = (rng.uniform(size=(5, 7)) > 0.5, np.ones((2, 3), np.bool_), np.zeros((0, 0), np.bool_))
    masks = Masks((20, 30), np.array([[1, 2, 8, 7], [0, 0, 3, 2], [0, 0, 0, 0]]), bits)
    names = ("a", "b", "b")
    label = Classes(np.arange(1), boxes[0, :1], ("z",))
    inner = Objects(boxes[:1], boxes[:1, 0], np.arange(1), ("c",), attributes=({"y": label},))
    attributes: Any = ({"x": inner, "world": [[0.5, 1.0]]}, {}, {})
    yield Objects(boxes, rng.uniform(size=3).astype(np.float32), np.arange(3), names)
    yield Objects(
        boxes, boxes[:, 0], np.arange(3), names, masks, boxes.reshape(3, 2, 2), "coco", None, np.arange(3), attributes
    )
    yield Objects.empty()
    yield Classes(np.arange(2), np.array([0.1, 0.7], np.float32), ("é", "b"))
    yield LabelMap(rng.integers(0, 9, (120, 160)).astype(np.uint8), ("a", "b"), background=0)


@pytest.mark.parametrize("predictions", list(examples()), ids=lambda p: type(p).__name__)
def test_what_is_stored_comes_back_bit_for_bit(predictions: Any) -> None:
    back = from_line(to_line({"steps": {"s": predictions}}))["steps"]["s"]
    assert_same(back, predictions)


def assert_same(a: Any, b: Any) -> None:
    if isinstance(b, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    elif isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            assert_same(a[key], b[key])
    elif isinstance(b, Masks | Objects | Classes | LabelMap):
        assert type(a) is type(b)
        assert_same(vars(a), vars(b))
    elif isinstance(b, tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_same(left, right)
    else:
        assert a == b
