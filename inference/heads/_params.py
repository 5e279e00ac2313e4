"""What the values of postprocess.params may be, whatever the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.ranges import check_range, check_share

_FLAGS = ("channels_last", "decoded", "invert", "no_object", "normalize", "normalized", "obb", "stretch", "whole")
_WHOLE = ("bins", "channel", "count", "output", "seed", "skip_first", "tile")
_NUMBERS = (*_WHOLE, "foreground", "mask_threshold", "offset", "overlap", "point", "scale", "shift", "shown",
            "split_ratio", "window_s")  # fmt: skip
_LEAST = {"bins": 2, "count": 1, "seed": 0, "skip_first": 0, "tile": 0}
_TOO_LARGE = 1e30  # infinity and NaN, too
_ABOVE_0 = ("split_ratio", "window_s")


def check_values(params: Mapping[str, Any]) -> None:
    """Raises ValueError for a value that is of another type, or beyond the range of its key."""
    for key, value in params.items():
        if key in _FLAGS and not isinstance(value, bool):
            raise ValueError(f"{key} is {value!r}, expected true or false")
        if key in _NUMBERS:
            _check_number(key, value)
    strides = params.get("strides", [1])
    if not isinstance(strides, list | tuple) or not all(type(each) is int and each > 0 for each in strides):
        raise ValueError(f"strides is {strides!r}, expected a list of whole numbers, each at least 1")


def _check_number(key: str, value: Any) -> None:
    kinds = int if key in _WHOLE else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not abs(value) < _TOO_LARGE:
        raise ValueError(f"{key} is {value!r}, expected a {'whole ' if key in _WHOLE else ''}number")
    if key in ("overlap", "shown"):
        check_share(key, value, below_one=key == "overlap")
    elif key in _ABOVE_0:
        check_range(key, value, 0, above=True)
    elif key in _LEAST:
        check_range(key, value, _LEAST[key])
