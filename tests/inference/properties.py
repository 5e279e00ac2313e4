"""What tests share that let hypothesis choose their cases."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from inference.predictions import Masks


def examples(most: int) -> settings:
    """At most that many cases, the same ones in every run: a build does not fail by luck."""
    return settings(max_examples=most, derandomize=True, deadline=None, database=None)


SIDES = st.sampled_from([1, 2, 3, 8]) | st.integers(1, 40)


@st.composite
def masks(draw: st.DrawFn, most: int = 3) -> Masks:
    """Masks in windows of any size, empty ones too, that often end at the picture's borders."""
    height, width = draw(SIDES), draw(SIDES)
    windows, bits = [], []
    for _ in range(draw(st.integers(1, most))):
        x1, x2 = _span(draw, width)
        y1, y2 = _span(draw, height)
        windows.append((x1, y1, x2, y2))
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        bits.append(generator.random((y2 - y1, x2 - x1)) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])))
    return Masks((height, width), np.asarray(windows, np.int64), tuple(bits))


def _span(draw: st.DrawFn, length: int) -> tuple[int, int]:
    places = st.sampled_from([0, length]) | st.integers(0, length)
    first, last = sorted((draw(places), draw(places)))
    return first, last
