"""Heads turn a model's raw output tensors into predictions: one small file per export family.

A head module defines `HEAD`. It is found by its file's name, which is the manifest's `head`, and is imported
only when a model asks for it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadManifest
from inference.image.media import Picture
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Predictions
from inference.tables import nearest

Outputs = Mapping[str, NDArray[Any]]
Shape = tuple[int | None, ...]


def no_count(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    """For heads whose number of classes does not show in the tensors."""
    return None


def no_signature(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    """For heads that take whatever outputs there are."""
    return None


@dataclass(frozen=True)
class Head:
    """What a head module exports.

    decode(outputs, fit, manifest) -> predictions: `outputs` by name, in the file's order, batch axis included;
        reads manifest.postprocess; boxes and points leave in picture pixels (through `fit`).
    classes(shapes, manifest): how many labels the tensors imply, or None; checked against the label list.
    misfit(shapes, manifest): why these outputs are not this family's, in words, or None.
    threshold: the score threshold where the manifest has none.
    params: the keys of postprocess.params that it reads; others are refused, as a misspelt one would be ignored.
    alone(picture, manifest) -> predictions: of heads that need no network; their manifests have no weights.
    """

    tasks: tuple[str, ...]
    decode: Callable[[Outputs, Fit, Manifest], Predictions]
    classes: Callable[[Mapping[str, Shape], Manifest], int | None] = no_count
    misfit: Callable[[Mapping[str, Shape], Manifest], str | None] = no_signature
    threshold: float = 0.0
    params: tuple[str, ...] = ()
    alone: Callable[[Picture, Manifest], Predictions] | None = None


@cache
def head_names() -> tuple[str, ...]:
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


@cache
def find_head(name: str) -> Head:
    """The head of that name. Raises BadManifest with the nearest known one."""
    if name not in head_names():
        raise BadManifest(f"unknown head {name!r}{nearest(name, head_names())}")
    head: Head = import_module(f"inference.heads.{name}").HEAD
    return head


def head_of(manifest: Manifest) -> Head:
    """The head of a model. Raises BadManifest where there is none, or it does another task or reads other params."""
    try:
        head = find_head(manifest.head)
    except BadManifest as error:
        raise BadManifest(f"{manifest.name}: {error}") from error
    if manifest.task not in head.tasks:
        raise BadManifest(
            f"{manifest.name}: head {manifest.head!r} does {' and '.join(head.tasks)}, not {manifest.task}"
        )
    check_params(manifest, head)
    return head


def check_params(manifest: Manifest, head: Head) -> None:
    """Raises BadManifest where postprocess.params has a key that the head does not read."""
    for key in manifest.postprocess.params:
        if key not in head.params:
            known = nearest(key, head.params) if head.params else f"; head {manifest.head!r} has none"
            raise BadManifest(f"{manifest.name}: unknown key {key!r} in postprocess.params{known}")


def threshold(manifest: Manifest, head: Head) -> float:
    value = manifest.postprocess.confidence_threshold
    return head.threshold if value is None else value


def part(outputs: Mapping[str, Any], manifest: Manifest, role: str, default: int | Sequence[str]) -> Any:
    """The output that plays `role`: named in postprocess.outputs, else by one of the names, else by position."""
    named = manifest.postprocess.outputs.get(role)
    if named is not None:
        if named not in outputs:
            raise BadManifest(f"postprocess.outputs.{role} = {named!r}{nearest(named, outputs)}")
        return outputs[named]
    if isinstance(default, int):
        return list(outputs.values())[default]
    for name in default:
        if name in outputs:
            return outputs[name]
    raise BadManifest(f"no output plays {role!r}: found {', '.join(outputs)}; name it in postprocess.outputs")


def label_ids(indices: NDArray[Any], manifest: Manifest) -> NDArray[np.int64]:
    """Class indices of the tensor to places in the label list."""
    return indices.astype(np.int64) + manifest.label_offset
