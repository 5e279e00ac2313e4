"""The inputs and outputs of an ONNX file, as onnxruntime describes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.errors import BadModel


@dataclass(frozen=True)
class Tensor:
    """One input or output: shape has None where an axis is free, 0 where the file says that it holds nothing."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        shape = ", ".join("?" if s is None else str(s) for s in self.shape)
        return f"{self.name} {self.dtype} [{shape}]"


_SAME_NAME = ("float16", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool")
_DTYPES: dict[str, Any] = {"float": np.float32, "double": np.float64, "string": np.str_, **{n: n for n in _SAME_NAME}}


def tensor_of(arg: Any) -> Tensor:
    """Of onnxruntime's NodeArg."""
    kind = arg.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(s if isinstance(s, int) and s >= 0 else None for s in arg.shape or ())
    return Tensor(arg.name, np.dtype(_DTYPES.get(kind, object)), shape)


def refuse_unknown_floats(path: Path, args: Iterable[Any]) -> None:
    """Raises BadModel for inputs and outputs of numbers that NumPy does not have: bfloat16, float8, 4 bits."""
    for arg in args:
        kind = arg.type.removeprefix("tensor(").removesuffix(")")
        if kind.startswith(("bfloat", "float8", "float4", "int4", "uint4", "complex")):
            raise BadModel(
                f"{path}: {arg.name} holds {kind}, which is not read here; export it with float32 or float16"
            )
