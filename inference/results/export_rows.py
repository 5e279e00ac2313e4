"""What the exports have in common: results that are read again, their predictions, files that appear whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from inference.results.classes import ClassList, Survey, class_list, is_area
from inference.results.export_names import export_names
from inference.results.export_options import ExportOptions, Notes
from inference.results.strict_json import json_text

Document = Mapping[str, Any]

# What a prediction or a step may be, and what to do where a format cannot hold it.
BOX, AREA, LABEL, VECTOR = "box", "area", "label", "vector"
_LEFT_OUT = {
    BOX: "{count} objects",
    AREA: "{count} areas of maps: --format coco has them",
    LABEL: "{count} names of whole pictures or crops: --format csv has them",
    VECTOR: "{count} embeddings: they stay beside the results, and --format jsonl has those of objects",
}


class Found(NamedTuple):
    """A checked result document, and its place: the path, with slashes, that its files have in common below the folder
    or container of the results; empty where it is not known."""

    document: Document
    place: str = ""


class Exported(NamedTuple):
    """A result on its way into an export. name: of the picture, which no other result of the export has: relative, with
    slashes, and never leading out of a folder."""

    name: str
    document: Document
    place: str


class Export:
    """The results of an export, which are read again each time they are gone through: all of them may be too many for
    memory. Not to be gone through twice at the same time."""

    def __init__(self, spool: IO[str], found: Iterable[Found], options: ExportOptions) -> None:
        self.options = options
        self.notes = Notes()
        self.count = 0
        self.videos = 0
        self.finds: Counter[str] = Counter()
        self._spool = spool
        self._survey = Survey()
        self._steps: dict[str, dict[str, None]] = {}
        places = [self._keep(*item) for item in found]
        self._names: Sequence[str] = export_names(places, self.notes)

    def _keep(self, document: Document, place: str) -> tuple[str, str]:
        self._spool.write(json_text([document, place], compact=True, ascii_only=True) + "\n")
        self.count += 1
        if is_picture(document):
            for step in document["steps"]:
                self._survey.add_step(step)
            for step, prediction, _ in predictions_of(document):
                self._survey.add(step, prediction)
        self.videos += is_video(document)
        for kind, step_name in _kinds(document, self.options.step):
            self.finds[kind] += 1
            self._steps.setdefault(kind, {})[step_name] = None
        return document["source"]["name"], place

    def __iter__(self) -> Iterator[Exported]:
        self._spool.seek(0)
        for name, line in zip(self._names, self._spool, strict=True):
            document, place = json.loads(line)
            yield Exported(name, document, place)

    def pictures(self) -> Iterator[Exported]:
        """Those of pictures: what a video shows stands in the files of its frames and tracks."""
        return (item for item in self if is_picture(item.document))

    def classes(self, *, coco: bool = False) -> ClassList:
        """The numbers of the classes; notes say for which models they may change, and what to do."""
        made = class_list(self._survey, self.options.labels_of, coco=coco)
        for model in made.unknown:
            self.notes.add(
                "the list of labels of {count} models is not to be had here: labels that were not seen have no names; "
                "name the folder of the models with --models",
                model,
            )
        for label in made.loose:
            self.notes.add(
                "{count} labels have no place in a model's list: their numbers come after all others, and hold for "
                "this export only",
                label,
            )
        return made

    def lacks(self, form: str, *held: str) -> bool:
        """Whether there is nothing in the results that a format can hold. Notes what is left out, and why.

        held: the kinds that the format has a place for (BOX, AREA, LABEL, VECTOR).
        """
        for kind, what in _LEFT_OUT.items():
            if self.finds[kind] and kind not in held:
                for step in self._steps[kind]:
                    self.notes.add(f"left out, as {form} has no place for them: {what}", step, 0)
        return not any(self.finds[kind] for kind in held)


def is_video(document: Document) -> bool:
    return document["source"].get("duration_s") is not None


def is_picture(document: Document) -> bool:
    """Whether it is a picture whose size is known."""
    source = document["source"]
    return not is_video(document) and bool(source.get("width") and source.get("height"))


def _kinds(document: Document, step: str | None) -> Iterator[tuple[str, str]]:
    """(kind, name of the step) of everything that was found."""
    for result in document["steps"]:
        if step in (None, result["name"]) and result.get("embedding"):
            yield VECTOR, result["name"]
    for result, prediction, _ in predictions_of(document, step):
        kind = BOX if "box" in prediction else AREA if is_area(prediction) else LABEL
        yield kind, result["name"]


@contextmanager
def export_of(found: Iterable[Found], options: ExportOptions) -> Iterator[Export]:
    """The results, kept in a temporary file while they are exported."""
    with tempfile.TemporaryFile("w+", encoding="ascii") as spool:
        yield Export(spool, found, options)


def predictions_of(document: Document, step: str | None = None) -> Iterator[tuple[Document, Document, str]]:
    """(step, prediction, label of the object whose crop it is on) of all predictions, those on crops after the object.

    step: only the predictions of that step, on whole pictures or on the crops of another step's objects.
    """
    steps = {result["name"]: result for result in document["steps"]}
    for result in document["steps"]:
        for prediction in result["predictions"]:
            rows = chain([(result, prediction, "")], _nested(steps, result, prediction))
            yield from (row for row in rows if step in (None, row[0]["name"]))


def _nested(
    steps: Mapping[str, Document], parent: Document, prediction: Document
) -> Iterator[tuple[Document, Document, str]]:
    for name, answers in (prediction.get("attributes") or {}).items():
        step = steps.get(name) or {"name": name, "task": parent["task"]}
        for answer in answers if isinstance(answers, list) else ():
            if isinstance(answer, dict) and "label" in answer:
                yield step, answer, str(prediction.get("label", ""))
                yield from _nested(steps, step, answer)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that gets its name only when all of it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".export-")
    try:
        # A file's name that is no UTF-8 has halves of surrogate pairs, which as backslash escapes are JSON's own.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
        os.chmod(name, 0o644)  # mkstemp lets nobody else read it
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
