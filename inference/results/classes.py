"""The numbers of classes in exports: the same whichever pictures are exported, and in whatever order they come.

A model's class is its place in the model's full list of labels; in COCO's files that place + 1, or the data set's own
number (1 to 90) where the labels are COCO's 80. The lists of several models follow each other: COCO's, then the longest
first; a label that an earlier list has keeps the number that it has there. All models of the results count, whichever
step is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from inference.label_lists import labels_in, merged_ids
from inference.manifest import LABEL_SETS

Document = Mapping[str, Any]
# (name, sha256 of the weights, what a route calls its labels) of a model.
Model = tuple[str, str, tuple[tuple[str, str], ...]]
# (label id, or -1 where the document has none, label) of a prediction.
Seen = tuple[int, str]
# The full list of labels of a model by its name and sha256; None where it is not to be had.
LabelsOf = Callable[[str, str], tuple[str, ...] | None]

_BOXES = ("object-detection", "keypoint-detection", "image-segmentation")
_NAMELESS = ("", "???", "N/A")
_BACKGROUND = ("background", "__background__", "_background_")
# Beyond this a number is not taken for a place in a list, whose gaps would have to be filled.
_MOST_PLACES = 10_000


def no_labels(_name: str, _sha256: str) -> None:
    """A LabelsOf that knows no model."""


def model_of(step: Document) -> Model:
    """The model of a step of a document."""
    model = step.get("model") or {}
    renamed = step.get("renamed") or {}
    table = tuple(sorted((str(label), str(name)) for label, name in renamed.items()))
    return str(model.get("name", step["name"])), str(model.get("sha256") or ""), table


def is_area(prediction: Document) -> bool:
    """Whether a prediction is a label's share of a map, and no object."""
    return "area" in prediction and "box" not in prediction and "label" in prediction


@dataclass
class Survey:
    """The models of the results that give boxes or maps, and which of their labels were seen. Grows with the number of
    labels, not of documents."""

    boxes: dict[Model, set[Seen]] = field(default_factory=dict)
    maps: dict[Model, set[Seen]] = field(default_factory=dict)

    def add_step(self, step: Document) -> None:
        """A step of a document, also one that found nothing: numbers do not depend on what was found."""
        if "map" in step:
            self.maps.setdefault(model_of(step), set())
        elif step["task"] in _BOXES:
            self.boxes.setdefault(model_of(step), set())

    def add(self, step: Document, prediction: Document) -> None:
        """A prediction of a step."""
        if "box" in prediction:
            self.boxes.setdefault(model_of(step), set()).add(_seen(prediction))
        elif is_area(prediction):
            self.maps.setdefault(model_of(step), set()).add(_seen(prediction))

    def models(self, maps: bool) -> dict[Model, set[Seen]]:
        """The labels seen of each model; with those of maps, or of objects alone."""
        # a step of segmentation that found no object anywhere may as well have made maps
        boxes = {m: seen for m, seen in self.boxes.items() if seen or m not in self.maps}
        if not maps:
            return boxes
        return {m: boxes.get(m, set()) | self.maps.get(m, set()) for m in (*boxes, *self.maps)}


def _seen(prediction: Document) -> Seen:
    number = prediction.get("label_id")
    return -1 if number is None else number, str(prediction["label"] or "")


@dataclass(frozen=True)
class ClassList:
    """names: of the classes by number, in order of the numbers; unknown: names of the models whose list of labels was
    not to be had, so that only the labels seen have names; loose: labels that have no place in any list and are
    numbered after all others, by name: these numbers are this export's own."""

    names: Mapping[int, str]
    unknown: tuple[str, ...]
    loose: tuple[str, ...]
    numbers: Mapping[tuple[Model, Seen], int]

    def number(self, step: Document, prediction: Document) -> int:
        """The class of a prediction that has a label. Raises KeyError for one that was not surveyed."""
        return self.numbers[model_of(step), _seen(prediction)]


def class_list(survey: Survey, labels_of: LabelsOf, *, coco: bool) -> ClassList:
    """The classes of an export. coco: COCO's numbers, from 1 on, with the classes of maps and without places that have
    no name; else YOLO's, from 0 on without a gap."""
    making = _Making(coco)
    unknown = []
    lists = {m: (_labels(m, seen, labels_of), seen) for m, seen in survey.models(maps=coco).items()}

    def order(model: Model) -> Any:
        labels = lists[model][0] or ()
        return not labels, not is_coco(labels), sum(name in _NAMELESS for name in labels), -len(labels), model

    for model in sorted(lists, key=order):
        labels, seen = lists[model]
        if labels is not None:
            making.add(model, labels, seen)
        elif making.add_unknown(model, seen):
            unknown.append(model[0])
    return making.done(tuple(dict.fromkeys(unknown)))


def _labels(model: Model, seen: set[Seen], labels_of: LabelsOf) -> tuple[str, ...] | None:
    """The full list of a model, as its results name it; None where there is none, or it is not the one with which the
    results were made."""
    labels = _renamed(labels_of(*model[:2]) or (), model)
    named = set(labels)
    if labels and all(name in named or name == str(number) for number, name in seen):
        return labels
    # The ids of what was seen tell COCO's lists, with and without the data set's gaps, from others; 0 alone does not.
    for coco in (_renamed(_builtin("coco80"), model), _renamed(_builtin("coco91"), model)):
        fits = {number for number, name in seen if 0 <= number < len(coco) and coco[number] == name}
        if len(fits) == len(seen) and fits - {0}:
            return coco
    return None


def _renamed(labels: tuple[str, ...], model: Model) -> tuple[str, ...]:
    """The list with the names that the results have; labels of one name have one place, and leave the others empty."""
    table = dict(model[2])
    one = merged_ids(labels, table)
    return tuple(table.get(label, label) if one.get(i, i) == i else "" for i, label in enumerate(labels))


@cache
def _builtin(name: str) -> tuple[str, ...]:
    return tuple(labels_in((LABEL_SETS / f"{name}.txt").read_text("utf-8")))


@cache
def _coco_numbers() -> dict[str, int]:
    """COCO's own numbers by name."""
    return {name: number for number, name in enumerate(_builtin("coco91")) if name not in _NAMELESS}


def is_coco(labels: tuple[str, ...] | None) -> bool:
    """Whether a model's labels are COCO's 80, in whatever order."""
    real = {name for name in labels or () if name not in (*_NAMELESS, *_BACKGROUND)}
    return real == set(_coco_numbers())


class _Making:
    """A ClassList while lists are added to it, each after the last number of those before."""

    def __init__(self, coco: bool) -> None:
        self._coco = coco
        self._next = 1 if coco else 0
        self._names: dict[int, str] = {}
        self._taken: dict[str, int] = {}
        self._numbers: dict[tuple[Model, Seen], int] = {}
        self._loose: dict[str, list[tuple[Model, Seen]]] = {}

    def add(self, model: Model, labels: tuple[str, ...], seen: set[Seen]) -> None:
        """A model whose full list is known."""
        by_place = dict(enumerate(self._places(labels)))
        for item in seen:
            number, name = item
            place = number if 0 <= number < len(labels) and labels[number] == name else -1
            place = labels.index(name) if place < 0 and name in labels else place
            if by_place.get(place, -1) >= 0:
                self._keep(model, item, by_place[place], name)
            else:
                self._loose.setdefault(name, []).append((model, item))

    def _places(self, labels: tuple[str, ...]) -> Iterator[int]:
        """The number of each place of a list; -1 for those without a name, but in the first list, where numbers are
        places."""
        official = self._coco and is_coco(labels)
        base, earlier, own = self._next, dict(self._taken), set[str]()
        places_count = not self._names and not official
        self._next = base if not official else max(base, 1 + max(_coco_numbers().values()))
        for place, label in enumerate(labels):
            if official and label in _coco_numbers():
                yield self._named(_coco_numbers()[label], label)
            elif label in earlier and label not in own and label not in _NAMELESS:
                yield earlier[label]
            elif label in _NAMELESS and not places_count:
                yield -1
            else:
                twice = label in own and label not in _NAMELESS
                yield self._named(self._new(), f"{label} ({place})" if twice else label)
            own.add(label)

    def _new(self) -> int:
        self._next += 1
        return self._next - 1

    def _named(self, number: int, name: str) -> int:
        """Gives a number its name; what has no name gets none in COCO's list, and a stand-in in YOLO's."""
        if name not in _NAMELESS and (name not in self._taken or self._taken[name] == number):
            self._names[number] = name
            self._taken[name] = number
        elif not self._coco:
            self._names[number] = f"unnamed {number}"
        return number

    def _keep(self, model: Model, item: Seen, number: int, name: str) -> None:
        self._numbers[model, item] = number
        if number not in self._names:  # it was found, so that COCO's list needs it after all
            self._names[number] = name if name and name not in self._taken else f"unnamed {number}"
            self._taken.setdefault(self._names[number], number)

    def add_unknown(self, model: Model, seen: set[Seen]) -> bool:
        """A model of which only the labels seen are known: their ids are places in its list, if they can be. Whether
        any of them is new."""
        names: dict[int, set[str]] = {}
        for number, name in seen:
            names.setdefault(number, set()).add(name)
        earlier, base, last = dict(self._taken), self._next, -1
        for item in sorted(seen):
            number, name = item
            if not 0 <= number < _MOST_PLACES or len(names[number]) > 1:
                self._loose.setdefault(name, []).append((model, item))
                continue
            if name in earlier:
                self._keep(model, item, earlier[name], name)
                continue
            last = max(last, number)
            unique = f"{name} ({number})" if name in self._taken else name
            self._keep(model, item, self._named(base + number, unique), unique)
        for number in range(base, base + last + 1):
            if number not in self._names:
                self._named(number, "")
        self._next = base + last + 1
        return any(name not in earlier for _, name in seen)

    def done(self, unknown: tuple[str, ...]) -> ClassList:
        """The list, with what has no place in any list after all others, in the order of the names."""
        loose = sorted(self._loose)
        for name in loose:
            number = self._taken.get(name)
            number = self._named(self._new(), name) if number is None else number
            for model, item in self._loose[name]:
                self._keep(model, item, number, name)
        names = {n: name for n, name in sorted(self._names.items()) if not self._coco or self._wanted(n, name)}
        return ClassList(names, unknown, tuple(loose), self._numbers)

    def _wanted(self, number: int, name: str) -> bool:
        """Whether COCO's categories need a name: the background only where it was found."""
        return name not in _BACKGROUND or number in self._numbers.values()
