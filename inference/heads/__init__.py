"""Heads turn a model's raw output tensors into predictions: one small file per output family.

A head module defines `HEAD`. The manifest's `head` is its file's name, or an alias (_aliases.py); a module is
imported only when a model needs it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadManifest
from inference.heads._aliases import ALIASES, Alias
from inference.heads._params import check_values
from inference.image.media import Picture
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Predictions
from inference.tables import nearest

Outputs = Mapping[str, NDArray[Any]]
Shape = tuple[int | None, ...]
# What a graph says of an output by its last nodes (engine/graph_ends.py); None where it does not say.
PROBABILITIES, LOGITS = "probabilities", "logits"
Ending = Callable[[str], str | None]


class Output(Protocol):
    """An output of a file, as its head gets it: a batch of 1, floats where the graph states what its numbers mean."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...


def no_count(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    """For heads whose number of classes does not show in the tensors."""
    return None


def as_it_is(outputs: Mapping[str, Output], manifest: Manifest, ending: Ending) -> Manifest:
    """For heads that nothing in the graph tells more."""
    return manifest


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
    settle(outputs, manifest, ending): the manifest with what the graph decides of params that it leaves open, once, at
        load. Raises BadModel or BadManifest, with the line to write, where nothing decides.
    whole_numbers: whether decode reads outputs of whole numbers that the graph gives no scale for.
    mixed: whether an output holds boxes in pixels beside scores in 0..1.
    threshold: the score threshold where the manifest has none.
    params: the keys of postprocess.params that it reads; others are refused, as a misspelt one would be ignored.
    choices: the words that a key of it may have.
    alone(picture, manifest) -> predictions: of heads that need no network; their manifests have no weights.
    """

    tasks: tuple[str, ...]
    decode: Callable[[Outputs, Fit, Manifest], Predictions]
    classes: Callable[[Mapping[str, Shape], Manifest], int | None] = no_count
    misfit: Callable[[Mapping[str, Shape], Manifest], str | None] = no_signature
    settle: Callable[[Mapping[str, Output], Manifest, Ending], Manifest] = as_it_is
    whole_numbers: bool = False
    mixed: bool = False
    threshold: float = 0.0
    params: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    alone: Callable[[Picture, Manifest], Predictions] | None = None


@cache
def head_names() -> tuple[str, ...]:
    """The modules and the aliases: what a manifest may have as its `head`."""
    modules = (m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return tuple(sorted((*modules, *ALIASES)))


@cache
def find_head(name: str) -> Head:
    """The head of that name. Raises BadManifest with the nearest known one."""
    if name not in head_names():
        raise BadManifest(f"unknown head {name!r}{nearest(name, head_names())}")
    if name in ALIASES:
        return _aliased(ALIASES[name])
    head: Head = import_module(f"inference.heads.{name}").HEAD
    return head


def _aliased(alias: Alias) -> Head:
    """The head behind an alias; the alias's defaults are filled in where the manifest has none."""
    head = find_head(alias.head)

    def filled(manifest: Manifest) -> Manifest:
        post = manifest.postprocess
        limit = alias.threshold if post.confidence_threshold is None else post.confidence_threshold
        post = replace(post, confidence_threshold=limit, params={**alias.params, **post.params})
        return replace(manifest, postprocess=post)

    return replace(
        head,
        tasks=alias.tasks,
        threshold=alias.threshold,
        decode=lambda outputs, fit, manifest: head.decode(outputs, fit, filled(manifest)),
        classes=lambda shapes, manifest: head.classes(shapes, filled(manifest)),
        misfit=lambda shapes, manifest: head.misfit(shapes, filled(manifest)),
        settle=lambda outputs, manifest, ending: head.settle(outputs, filled(manifest), ending),
    )


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
    """Raises BadManifest where postprocess.params has a key, or a value, that the head does not know."""
    for key in manifest.postprocess.params:
        if key not in head.params:
            known = nearest(key, head.params) if head.params else f"; head {manifest.head!r} has none"
            raise BadManifest(f"{manifest.name}: unknown key {key!r} in postprocess.params{known}")
    for key, words in head.choices.items():
        if (word := manifest.postprocess.params.get(key, words[0])) not in words:
            raise BadManifest(f"{manifest.name}: postprocess.params.{key} is {word!r}, expected {' or '.join(words)}")
    try:
        check_values(manifest.postprocess.params)
    except ValueError as error:
        raise BadManifest(f"{manifest.name}: postprocess.params.{error}") from None


def threshold(manifest: Manifest, head: Head) -> float:
    value = manifest.postprocess.confidence_threshold
    return head.threshold if value is None else value


def part(outputs: Mapping[str, Any], manifest: Manifest, role: str, default: int | Sequence[str]) -> Any:
    """The output with this role: named in postprocess.outputs, else the first of the names, else by position."""
    if role in manifest.postprocess.outputs:
        return outputs[named_output(outputs, manifest, role)]
    if isinstance(default, int):
        return list(outputs.values())[default]
    for name in default:
        if name in outputs:
            return outputs[name]
    raise BadManifest(f"no output for {role!r}: found {', '.join(outputs)}; name it in postprocess.outputs")


def named_output(outputs: Mapping[str, Any], manifest: Manifest, role: str) -> str:
    """The name that postprocess.outputs gives for `role`. Raises BadManifest where the file has no such output."""
    name = manifest.postprocess.outputs[role]
    if name not in outputs:
        raise BadManifest(f"postprocess.outputs.{role} = {name!r}{nearest(name, outputs)}")
    return name


def name_of(outputs: Mapping[str, Any], manifest: Manifest, role: str, default: int | Sequence[str]) -> str:
    """The name of the output that `part` gives."""
    chosen = part(outputs, manifest, role, default)
    return next(name for name, value in outputs.items() if value is chosen)


def with_params(manifest: Manifest, **params: Any) -> Manifest:
    """The manifest with other postprocess.params."""
    post = replace(manifest.postprocess, params={**manifest.postprocess.params, **params})
    return replace(manifest, postprocess=post)


def label_ids(indices: NDArray[Any], manifest: Manifest) -> NDArray[np.int64]:
    """Label ids (places in the label list) from class indices of the tensor."""
    return indices.astype(np.int64) + manifest.label_offset


def map_labels(manifest: Manifest) -> tuple[tuple[str, ...], int | None]:
    """(names by class index, the index that means "nothing") of a map. Classes that an offset leaves without a line are
    named by their number, and class 0 then is the background where the manifest names no other."""
    labels, offset, background = manifest.labels, manifest.label_offset, manifest.postprocess.background
    if offset >= 0:
        return labels[offset:], background
    return (*map(str, range(-offset)), *labels), 0 if background is None else background
