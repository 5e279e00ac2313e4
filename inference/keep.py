"""What is kept of a step's answer: names, labels, scores, sizes and places, by the options of the route.

What is left out is counted by option and, where the route blurs its label, stays beside the result for that alone: no
option may publish a face.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inference.engine.model import Model
from inference.heads import head_of
from inference.heads import threshold as default_threshold
from inference.image.nms import iou_above, suppress
from inference.label_lists import merged_ids, shown_names
from inference.manifest import Manifest
from inference.predictions import Classes, Floats, Ints, LabelMap, Objects, Predictions
from inference.regions import Look, feet, pixels_of
from inference.routes import Step

Flags = NDArray[np.bool_]
# Of the score from which a model's answers count: what is as likely a face as not costs more when it is shown than
# something else does when it is blurred.
BLURRED_FROM = 2 / 3


def hide(objects: Objects, keep: Flags, reason: str) -> Objects:
    """The objects where `keep` (N,) is true; the others are counted under `reason` and stay hidden."""
    if keep.all():
        return objects
    gone = objects.take(~keep)
    counts = Counter(objects.left_out) + Counter({reason: len(gone)})
    return with_hidden(replace(objects.take(keep), left_out=counts), gone)


def with_hidden(objects: Objects, more: Objects) -> Objects:
    """The objects, with more hidden ones: their places, names and what is on their crops."""
    if not len(more):
        return objects
    more = replace(more, masks=None, corners=None, tracks=None, notes=(), left_out={}, hidden=objects.hidden)
    return replace(objects, hidden=more)


@dataclass
class Sieve:
    """Keeps what a route wants of a step's predictions; `left_out` counts over all that it is given.

    base: the score from which the step's answers count. floor: that from which a tracker wants them, which then looks
    at the labels' own thresholds itself; None without one. look: None for a step on crops, where the parent's place has
    decided. size: of the picture, (width, height). held: labels that must be blurred, or lead to such; blur: the first,
    which are from the score `blurred_from` on, and however many there are.
    """

    step: Step
    manifest: Manifest
    base: float
    floor: float | None
    look: Look | None
    size: tuple[int, int]
    held: Collection[str] = ()
    blur: Collection[str] = ()
    blurred_from: float = 1.0
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def lowest(self) -> float:
        """The score that the model has to run down to."""
        return min([self.base, *self.step.thresholds.values(), *([] if self.floor is None else [self.floor])])

    @property
    def gives_held(self) -> bool:
        """Whether its objects may be some of those."""
        return gives_any(self.manifest, self.step, self.held)

    def widened(self, model: Model) -> Model:
        """The model, which gives all names instead of the best few where only some of them are wanted, and hides the
        objects that are only to be blurred."""
        count = len(self.manifest.labels)
        wide = copy.copy(model)
        wide.hides_from = self.blurred_from if self.gives_held else None
        if self.manifest.task != "image-classification" or not self.step.filters or not count:
            return wide
        wide.manifest = replace(model.manifest, postprocess=replace(model.manifest.postprocess, topk=count))
        return wide

    def __call__(self, predictions: Predictions) -> Predictions:
        """What is kept, under its new names."""
        kept: Objects | Classes | LabelMap
        if isinstance(predictions, Objects):
            kept = self._objects(predictions)
        elif isinstance(predictions, Classes):
            kept = self._classes(predictions)
        elif isinstance(predictions, LabelMap):
            kept = self._map(predictions)
        else:
            return predictions
        self.left_out.update(kept.left_out)
        return kept

    def _objects(self, objects: Objects) -> Objects:
        sources, besides = objects.names, self._besides(objects.hidden)
        names, ids = self._renamed(objects.names, objects.label_ids)
        objects = replace(objects, names=names, label_ids=ids, hidden=besides)
        limits = self._limits(names)
        reasons = self._reasons(objects, limits, sources)
        # What only a low threshold of another label let through was never an answer, and is not left out.
        gone = (reasons != "") & (objects.scores >= np.minimum(limits, self._usual))
        counts = Counter(objects.left_out) + Counter(reasons[gone].tolist())
        kept = replace(objects.take(reasons == ""), left_out=counts)
        unsure = (objects.scores >= self.blurred_from) & (objects.scores < limits)
        hidden = [
            i for i, name in enumerate(names) if (gone[i] and name in self.held) or (unsure[i] and name in self.blur)
        ]
        return with_hidden(kept, objects.take(hidden))

    def _besides(self, hidden: Objects | None) -> Objects | None:
        """What the model hid, under its new names: of what leads to something only what counts."""
        if hidden is None:
            return None
        names, ids = self._renamed(hidden.names, hidden.label_ids)
        counts = hidden.scores >= min(self.base, default_threshold(self.manifest, head_of(self.manifest)))
        kept = [i for i, name in enumerate(names) if name in self.blur or (name in self.held and counts[i])]
        return replace(hidden, names=names, label_ids=ids).take(kept) if kept else None

    def _reasons(self, objects: Objects, limits: Floats, sources: Sequence[str]) -> NDArray[np.str_]:
        """Why each is left out (N,), by the first option that does; empty where it is kept."""
        step, boxes = self.step, np.asarray(objects.boxes, np.float64)
        named = np.array([not step.labels or name in step.labels for name in objects.names], bool)
        high = np.asarray(objects.scores >= (limits if self.floor is None else np.minimum(limits, self.floor)))
        fits = self._fits((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) / (self.size[0] * self.size[1]))
        seen = np.ones(len(objects), bool) if self.look is None else self.look.holds(feet(boxes, self.size))
        once = self._once(objects, sources, named & high & fits & seen)
        return np.select([~named, ~high, ~fits, ~seen, ~once], ["label", "threshold", "size", "region", "merged"], "")

    def _fits(self, share: Floats) -> Flags:
        small, large = share < self.step.min_size, (share > self.step.max_size) & (self.step.max_size < 1)
        return np.asarray(~small & ~large)

    def _once(self, objects: Objects, sources: Sequence[str], candidates: Flags) -> Flags:
        """Without those that a label of the same new name has found already: a car that is also a truck is one."""
        once = np.ones(len(objects), bool)
        rows = np.flatnonzero(candidates)
        found = {(sources[i], objects.names[i]) for i in rows.tolist()}
        if len(found) == len({name for _, name in found}):
            return once
        number = {name: i for i, name in enumerate(dict.fromkeys(sources))}
        source = np.array([number[name] for name in sources], np.float32)
        shapes = np.column_stack([objects.boxes, source])[rows]
        iou = self.manifest.postprocess.iou_threshold
        kept = suppress(shapes, objects.scores[rows], objects.label_ids[rows], iou, len(rows), _called_otherwise)
        once[np.setdiff1d(rows, rows[kept])] = False
        return once

    def _classes(self, classes: Classes) -> Classes:
        """Of several labels with one name the best counts."""
        names, ids = self._renamed(classes.names, classes.label_ids)
        most = self.manifest.postprocess.topk or 5
        # Of what the model would have given without the options, that is said which is not there.
        usual = (np.arange(len(names)) < most) & (classes.scores >= self.base)
        named = np.array([not self.step.labels or name in self.step.labels for name in names], bool)
        high = np.asarray(classes.scores >= self._limits(names))
        best = {name: i for i, name in reversed([*enumerate(names)])}
        first = np.array([best[name] == i for i, name in enumerate(names)], bool)
        keep = np.flatnonzero(named & high & first)[:most]
        counts = Counter({"label": int((usual & ~named).sum()), "threshold": int((usual & named & ~high).sum())})
        return replace(
            classes, label_ids=ids[keep], scores=classes.scores[keep], names=tuple(names[i] for i in keep),
            left_out=+counts,
        )  # fmt: skip

    def _map(self, found: LabelMap) -> LabelMap:
        names = shown_names(found.names, self.step.rename)
        count = max(len(names), int(found.ids.max(initial=0)) + 1)
        kind = found.ids.dtype if count < 256 else np.int32
        table = np.arange(count + 1, dtype=kind)
        for one, other in merged_ids(found.names, self.step.rename).items():
            table[one] = other
        nothing = count if found.background is None else int(table[found.background])
        ids, left_out = table[found.ids], Counter[str]()
        seen = None if self.look is None else pixels_of(self.look, ids.shape[1], ids.shape[0])
        if seen is not None and not seen.all():
            left_out["region"] = len({*np.unique(ids[~seen]).tolist()} - {nothing})
            ids[~seen] = nothing
        sizes = np.bincount(ids.ravel(), minlength=count + 1) / max(ids.size, 1)
        all_names = (*names, *map(str, range(len(names), count)), "background")
        named = np.array([not self.step.labels or name in self.step.labels for name in all_names], bool)
        fits, there = self._fits(sizes), sizes > 0
        named[nothing] = fits[nothing] = True
        left_out.update(label=int((there & ~named).sum()), size=int((there & named & ~fits).sum()))
        ids = np.where(named & fits, np.arange(count + 1), nothing).astype(kind)[ids]
        if found.background is None and (ids == nothing).any():
            names, found = all_names, replace(found, background=nothing)
        return replace(found, ids=ids, names=names, left_out=+left_out)

    def _renamed(self, names: tuple[str, ...], ids: Ints) -> tuple[tuple[str, ...], Ints]:
        if not self.step.rename:
            return names, ids
        one = merged_ids(self.manifest.labels, self.step.rename)
        same = np.array([one.get(i, i) for i in ids.tolist()], ids.dtype)
        return shown_names(names, self.step.rename), same

    def _limits(self, names: Sequence[str]) -> Floats:
        """The score from which each counts."""
        return np.array([self.step.thresholds.get(name, self._usual) for name in names], np.float32)

    @property
    def _usual(self) -> float:
        """The score from which the model's answers count without thresholds of their own; it has seen to that itself
        where it did not run down further."""
        return self.base if self.lowest < self.base else 0.0


def _called_otherwise(a: Floats, b: Floats, threshold: float) -> Flags:
    return iou_above(a[:, :4], b[:, :4], threshold) & np.not_equal(a[:, None, 4], b[None, :, 4])


def sieve_of(
    step: Step,
    model: Model,
    threshold: float | None,
    floor: float | None,
    look: Look | None,
    size: tuple[int, int],
    held: Collection[str],
    blur: Collection[str] = (),
) -> Sieve:
    """threshold: the step's, None for the model's own; the rest as of Sieve."""
    own = default_threshold(model.manifest, model.head)
    base = own if threshold is None else threshold
    blurred_from = min(base, BLURRED_FROM * own)
    return Sieve(step, model.manifest, base, floor, None if step.on else look, size, held, blur, blurred_from)


def gives_any(manifest: Manifest, step: Step, labels: Collection[str]) -> bool:
    """Whether the step's objects may be called one of these."""
    gives = shown_names(manifest.labels, step.rename)
    return bool(labels) and (not gives or not {*labels}.isdisjoint(gives))


def leading_to(steps: Sequence[Step], manifests: Sequence[Manifest], blur: Collection[str]) -> list[frozenset[str]]:
    """For each step the labels whose objects, left out, are still needed: those to blur, and those on whose crops a
    later step may find some."""
    wanted, needed = frozenset(blur), []
    for step, manifest in zip(reversed(steps), reversed(manifests), strict=True):
        needed.append(wanted)
        gives = shown_names(manifest.labels, step.rename)
        if step.on and wanted and (not gives or wanted.intersection(gives)):
            wanted |= {step.on}
    return needed[::-1]
