"""Detections as lines of JSON: they come back bit for bit."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.predictions import Classes, Embedding, LabelMap, Masks, Objects
from inference.video.stored import from_line, to_line
from tests.inference.properties import examples as cases
from tests.inference.properties import masks as window_masks


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


TEXT = st.text(st.sampled_from('ab"\\\n\r\x85\u2028é') | st.characters(exclude_categories=["Cs"]), max_size=6)
DTYPES = st.sampled_from(["f4", "f8", "f2", "i8", "i4", "u1", "?", ">f4"])


@st.composite
def arrays(draw: st.DrawFn, *shape: int) -> np.ndarray[Any, Any]:
    """Any bits, so also NaN, infinities, -0.0 and subnormal numbers."""
    dtype = np.dtype(draw(DTYPES))
    count = int(np.prod(shape)) * dtype.itemsize
    bits = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, 2 if dtype.kind == "b" else 256, count)
    plain = np.frombuffer(bits.astype(np.uint8).tobytes(), dtype).reshape(shape)
    if dtype.kind != "f" or plain.size == 0:
        return plain
    odd = plain.copy()
    odd.flat[0] = draw(st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1e-7, 0.1]))
    return odd


@st.composite
def detections(draw: st.DrawFn, depth: int = 2) -> Objects:
    count = draw(st.integers(0, 3))
    masks = draw(st.none() | window_masks())
    if masks is not None:
        masks = masks.take(np.arange(count) % len(masks))
    inner = st.dictionaries(TEXT, answers(depth - 1), max_size=2) if depth else st.just({})
    return Objects(
        draw(arrays(count, 4)), draw(arrays(count)), draw(arrays(count)),
        tuple(draw(st.lists(TEXT, min_size=count, max_size=count))), masks,
        draw(st.none() | arrays(count, 5, 3)), draw(st.none() | TEXT), draw(st.none() | arrays(count, 4, 2)),
        draw(st.none() | arrays(count)),
        tuple(draw(st.lists(inner, min_size=count, max_size=count))) if draw(st.booleans()) else (),
    )  # fmt: skip


def answers(depth: int) -> st.SearchStrategy[Any]:
    classes = st.builds(lambda i, s, n: Classes(i, s, tuple(n)), arrays(2), arrays(2), st.lists(TEXT, max_size=2))
    plain = st.recursive(st.floats(allow_nan=False) | TEXT | st.none(), lambda v: st.lists(v, max_size=2), max_leaves=4)
    kinds = classes | plain | st.builds(Embedding, arrays(7)) | arrays(0, 2)
    return kinds | detections(depth) if depth else kinds


@pytest.mark.slow
@given(detections(), st.dictionaries(TEXT, answers(1), max_size=2))
@cases(40)
def test_whatever_is_stored_is_a_line_and_comes_back(objects: Objects, others: dict[str, Any]) -> None:
    line = to_line({"steps": {"s": objects, **others}})
    assert list(io.StringIO(line)) == [line] and line.endswith("\n")
    line.encode("utf-8")
    assert_same(from_line(line)["steps"], {"s": objects, **others})


def test_steps_may_have_any_name() -> None:
    """Also the names by which a line's own parts are told."""
    pose = Objects.empty()
    person = Objects(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), ("person",),
                     attributes=({"kind": pose, "dtype": pose, "array": pose},))  # fmt: skip
    steps = {"kind": person, "dtype": pose, "packed": pose}
    assert_same(from_line(to_line({"steps": steps}))["steps"], steps)


def assert_same(a: Any, b: Any) -> None:
    if isinstance(b, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert np.array_equal(a, b, equal_nan=b.dtype.kind == "f")
        if b.dtype.kind == "f":
            assert np.array_equal(np.signbit(np.nan_to_num(a)), np.signbit(np.nan_to_num(b)))
    elif isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            assert_same(a[key], b[key])
    elif isinstance(b, Masks | Objects | Classes | LabelMap | Embedding):
        assert type(a) is type(b)
        assert_same(vars(a), vars(b))
    elif isinstance(b, tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_same(left, right)
    else:
        assert a == b
