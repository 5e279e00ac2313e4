"""The predictions for a frame, as a line of JSON that gives back the very same numbers.

Between the parts of a long video detections lie in storage; tracks must not depend on that. A float32 written as
the decimal of its double and read again is the same float32.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.predictions import Classes, Embedding, LabelMap, Masks, Objects, OutputImage, Predictions


def to_line(members: Mapping[str, Any]) -> str:
    """One line; arrays and predictions may stand anywhere in it."""
    return json.dumps(members, default=_plain, ensure_ascii=False) + "\n"


def from_line(line: str) -> dict[str, Any]:
    """The members of a line, arrays and predictions as they were."""
    members = json.loads(line, object_hook=_rich)
    assert isinstance(members, dict)
    return members


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype == np.float32 or value.dtype == np.float64 or value.dtype.kind in "iu" and value.size < 10_000:
            return {"array": value.tolist(), "dtype": value.dtype.str, "shape": value.shape}
        packed = base64.b64encode(zlib.compress(np.ascontiguousarray(value).tobytes(), 1)).decode()
        return {"packed": packed, "dtype": value.dtype.str, "shape": value.shape}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, OutputImage):
        raise TypeError("pictures that a step made are not stored between the parts of a video")
    if isinstance(value, Objects | Classes | LabelMap | Embedding | Masks):
        return {"kind": type(value).__name__, **vars(value)}
    raise TypeError(f"{type(value).__name__} cannot be stored")


_KINDS: dict[str, Callable[..., Any]] = {kind.__name__: kind for kind in (Objects, Classes, LabelMap, Embedding, Masks)}


def _rich(value: dict[str, Any]) -> Any:
    # Steps may be called "kind" or "dtype", whose predictions stand there then.
    if isinstance(value.get("dtype"), str) and ("array" in value or "packed" in value):
        return _array(value)
    name = value.get("kind")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        return value
    # JSON has no tuples; the columnar types have.
    members = {name: tuple(v) if isinstance(v, list) else v for name, v in value.items() if name != "kind"}
    return kind(**members)


def _array(value: Mapping[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(value["dtype"])
    if "array" in value:
        return np.array(value["array"], dtype).reshape(value["shape"])
    return np.frombuffer(zlib.decompress(base64.b64decode(value["packed"])), dtype).reshape(value["shape"])


def stored(predictions: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """The predictions that are kept: in place of a picture that a step made, no predictions."""
    return {name: Objects.empty() if isinstance(p, OutputImage) else p for name, p in predictions.items()}
