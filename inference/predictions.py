"""Predictions of models: columnar numpy arrays, a class for every kind of output.

All coordinates are pixels of the upright picture, xyxy, as floats. `N` is the number of predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Classes:
    """Labels of the whole picture, best first.

    label_ids (N,) int, scores (N,) float in 0..1, names: N labels. notes: what of the model's answer was left out.
    left_out: how many the route's options left out, by option.
    """

    label_ids: Ints
    scores: Floats
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Masks:
    """Instance masks, stored only inside their own windows of the picture.

    size is the picture's (height, width); windows (N, 4) int xyxy; bits[i] is a bool array of the
    window's shape. Full-size arrays of a hundred objects would not fit in memory.
    """

    size: tuple[int, int]
    windows: Ints
    bits: tuple[NDArray[np.bool_], ...]

    def __len__(self) -> int:
        return len(self.bits)

    def full(self, i: int) -> NDArray[np.bool_]:
        """Mask `i` as a bool array (height, width)."""
        whole = np.zeros(self.size, bool)
        x1, y1, x2, y2 = (int(v) for v in self.windows[i])
        whole[y1:y2, x1:x2] = self.bits[i]
        return whole

    def area(self, i: int) -> int:
        """Number of pixels of mask `i`."""
        return int(np.count_nonzero(self.bits[i]))

    def take(self, keep: Ints) -> Masks:
        """The masks at the given indices, in that order."""
        return Masks(self.size, self.windows[keep], tuple(self.bits[int(i)] for i in keep))


@dataclass(frozen=True)
class Objects:
    """Objects with a place.

    boxes (N, 4) float xyxy; scores (N,) float; label_ids (N,) int; names: N labels;
    keypoints (N, K, 3) float x, y, score, or (N, K, 4) x, y, z, score; skeleton: its name in skeletons.py;
    corners (N, 4, 2) float for oriented boxes; tracks (N,) int, -1 where none; attributes: a dict per
    prediction, by step: the Predictions of later steps that ran on its crop (plain JSON where a head adds its own).
    notes: what of the model's answer was left out. left_out: as of Classes. hidden: what was left out so and is to be
    blurred all the same; it is in no result.
    """

    boxes: Floats
    scores: Floats
    label_ids: Ints
    names: tuple[str, ...]
    masks: Masks | None = None
    keypoints: Floats | None = None
    skeleton: str | None = None
    corners: Floats | None = None
    tracks: Ints | None = None
    attributes: tuple[dict[str, Any], ...] = field(default=())
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    hidden: Objects | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @staticmethod
    def empty() -> Objects:
        """No objects."""
        return Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ())

    def take(self, keep: Sequence[int] | Ints | NDArray[np.bool_]) -> Objects:
        """The predictions at the given indices (or where the mask is true), in that order."""
        index = np.asarray(keep)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        arrays = {k: v[index] for k in _ARRAYS if (v := getattr(self, k)) is not None}
        return replace(
            self,
            **arrays,
            names=tuple(self.names[int(i)] for i in index),
            masks=None if self.masks is None else self.masks.take(index),
            attributes=tuple(self.attributes[int(i)] for i in index) if self.attributes else (),
        )


# The columns of Objects that are arrays, with a row per object.
_ARRAYS = ("boxes", "scores", "label_ids", "keypoints", "corners", "tracks")


def joined(parts: Sequence[Objects]) -> Objects:
    """Several Objects of the same model together, in order."""
    notes = tuple(dict.fromkeys(note for p in parts for note in p.notes))
    parts = [p for p in parts if len(p)] or list(parts[:1])
    if len(parts) <= 1:
        return replace(parts[0], notes=notes) if parts else Objects.empty()
    columns = {k: [v for p in parts if (v := getattr(p, k)) is not None] for k in _ARRAYS}
    arrays: dict[str, Any] = {k: np.concatenate(values) for k, values in columns.items() if values}
    masks = [p.masks for p in parts if p.masks is not None]
    attributes = (a for p in parts for a in p.attributes or ({},) * len(p))
    return replace(
        parts[0],
        **arrays,
        names=tuple(n for p in parts for n in p.names),
        masks=_joined_masks(masks) if masks else None,
        attributes=tuple(attributes) if any(p.attributes for p in parts) else (),
        notes=notes,
    )


def _joined_masks(parts: Sequence[Masks]) -> Masks:
    return Masks(parts[0].size, np.concatenate([m.windows for m in parts]), tuple(b for m in parts for b in m.bits))


@dataclass(frozen=True)
class LabelMap:
    """A label for every pixel: ids (height, width) uint8 or int32, names indexed by id.

    background: the id that means "nothing", left out of summaries; None where every label counts. notes: as of Objects.
    left_out: labels that lost area, by option.
    """

    ids: NDArray[np.integer[Any]]
    names: tuple[str, ...]
    background: int | None = None
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def areas(self) -> list[tuple[int, int]]:
        """(label id, pixels) of the labels present, the largest first."""
        counts = np.bincount(self.ids.ravel(), minlength=1)
        present = np.flatnonzero(counts)
        return sorted(((int(i), int(counts[i])) for i in present), key=lambda pair: -pair[1])


SourceType = Literal["compositeWithTrainedAlgorithmicMedia", "algorithmicallyEnhanced"]


@dataclass(frozen=True)
class Origin:
    """What made or altered a picture: a model, its version, and the IPTC digital source type of what comes out."""

    model: str
    version: str
    source_type: SourceType


@dataclass(frozen=True)
class OutputImage:
    """The output of an image-to-image model: pixels (H, W, 3) or, with transparency, (H, W, 4) uint8 RGB(A).

    origin: None for pictures of which nothing needs to be said, such as a frame with boxes drawn on it. notes: as of
    Objects.
    """

    pixels: Bytes
    origin: Origin | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Embedding:
    """A vector that stands for the picture: (D,) float32, of length 1 unless the manifest says otherwise."""

    vector: Floats


Predictions = Classes | Objects | LabelMap | OutputImage | Embedding
