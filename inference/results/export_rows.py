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

from inference.results import unfinished
from inference.results.classes import ClassList, Survey, class_list, is_area
from inference.results.export_names import export_names
from inference.results.export_options import ExportOptions, Notes
from inference.results.plurals import counted
from inference.results.strict_json import json_text
from inference.results.unfinished import UNFINISHED

Document = Mapping[str, Any]
# A file's name that is no UTF-8 has halves of surrogate pairs, which as backslash escapes are JSON's own.
_TEXT: Any = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}

# What can be found: an object, a label's share of a map, a name without a place, an embedding.
BOX, AREA, LABEL, VECTOR = "object", "area of a map", "name of a whole picture or crop", "embedding"
# What to do where a format cannot hold it.
_ELSEWHERE = {
    BOX: "every format has them",
    AREA: "--format coco and csv have them",
    LABEL: "--format csv and jsonl have them",
    VECTOR: "they are in the files beside the results, those of objects also in --format jsonl",
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
        self._spool = spool
        self._survey = Survey()
        self._finds: Counter[tuple[str, str, bool]] = Counter()  # of (kind, step, whether in a picture)
        self._other_steps: dict[str, None] = {}
        self._boxed_by: dict[str, dict[str, None]] = {}  # steps by the label of their objects
        self._left_out: dict[str, list[int]] = {"videos": [], "no size": []}
        self._sources = [self._keep(i, *item) for i, item in enumerate(found)]
        self._names: Sequence[str] = export_names(self._sources, self.notes)

    @property
    def count(self) -> int:
        """How many results there are."""
        return len(self._sources)

    def _keep(self, i: int, document: Document, place: str) -> tuple[str, str]:
        self._spool.write(json_text([document, place], compact=True, ascii_only=True) + "\n")
        whole = is_picture(document)
        if not whole:
            self._left_out["videos" if is_video(document) else "no size"].append(i)
        for step in document["steps"] if whole else ():
            self._survey.add_step(step)
        for step, prediction, _ in predictions_of(document):
            if whole:
                self._survey.add(step, prediction)
            if whole and "box" in prediction and self.options.step in (None, step["name"]):
                self._boxed_by.setdefault(str(prediction["label"] or ""), {})[step["name"]] = None
        for kind, step_name in _kinds(document):
            if self.options.step in (None, step_name):
                self._finds[kind, step_name, whole] += 1
            else:
                self._other_steps[step_name] = None
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
                "the full list of labels is not here, so that classes not seen have no names; name the folder of the "
                "model with --models",
                model,
            )
        for label in made.loose:
            self.notes.add(
                "no place in a model's list of labels: numbered after all others, for this export only", label
            )
        return made

    def lacks(self, form: str, *held: str, pictures: bool = True) -> bool:
        """Whether the results hold nothing that a format can. Notes what is left out, and why.

        held: the kinds that the format has a place for (BOX, AREA, LABEL, VECTOR); pictures: whether it is for pictures
        of known size only.
        """
        finds: Counter[str] = Counter()
        steps: dict[str, dict[str, None]] = {}
        for (kind, step, in_picture), count in self._finds.items():
            if in_picture or not pictures:
                finds[kind] += count
                steps.setdefault(kind, {})[step] = None
        for kind in finds:
            if kind not in held:
                what = counted(finds[kind], kind)
                self.notes.add(f"left out, {form} has no place for it: {what} of {', '.join(steps[kind])}; "
                               f"{_ELSEWHERE[kind]}")  # fmt: skip
        self._note_sources(form, pictures)
        if self._other_steps:
            self.notes.add(f"left out, not of the step {self.options.step}: finds of {', '.join(self._other_steps)}")
        if any(finds[kind] for kind in held):
            self._note_doubles(pictures)
            return False
        self.notes.add(f"nothing to export as {form}: {self._why_nothing(finds, pictures)}")
        return True

    def _note_doubles(self, pictures: bool) -> None:
        """Trainers take what two steps found for two objects."""
        for label, steps in self._boxed_by.items() if pictures else ():
            if len(steps) > 1:
                self.notes.add(
                    f"objects of one name come from several steps ({', '.join(steps)}), so that the same object may be "
                    "there more than once; --step NAME exports those of one step", label,
                )  # fmt: skip

    def _note_sources(self, form: str, pictures: bool) -> None:
        for i in self._left_out["videos"] if form == "csv" else ():
            self.notes.add(
                "left out, csv has what was found in whole files: finds in the frames of videos, which are in "
                "frames.jsonl and tracks.csv beside their results", self._names[i],
            )  # fmt: skip
        for i in self._left_out["videos"] if pictures else ():
            self.notes.add(
                f"left out, {form} is for pictures: videos, whose finds are in frames.jsonl and tracks.csv beside "
                "their results", self._names[i],
            )  # fmt: skip
        for i in self._left_out["no size"] if pictures else ():
            self.notes.add("left out, width and height are not known: analyse them again", self._names[i])

    def _why_nothing(self, finds: Counter[str], pictures: bool) -> str:
        left = sum(map(len, self._left_out.values())) if pictures else 0
        if not self.count:
            return "there are no results; give the folder that `analyze --out` wrote, or names that there are"
        if self.count == left:
            return "none of the results is of a picture"
        if finds:
            return f"the results hold {', '.join(counted(n, kind) for kind, n in finds.items())} only"
        return f"nothing was found in {counted(self.count - left, 'picture' if pictures else 'file')}"


def is_video(document: Document) -> bool:
    return document["source"].get("duration_s") is not None


def is_picture(document: Document) -> bool:
    """Whether it is a picture whose size is known."""
    source = document["source"]
    return not is_video(document) and bool(source.get("width") and source.get("height"))


def _kinds(document: Document) -> Iterator[tuple[str, str]]:
    """(kind, name of the step) of everything that was found."""
    for step in document["steps"]:
        if step.get("embedding"):
            yield VECTOR, step["name"]
    for step, prediction, _ in predictions_of(document):
        yield BOX if "box" in prediction else AREA if is_area(prediction) else LABEL, step["name"]
        for name, answer in (prediction.get("attributes") or {}).items():
            if isinstance(answer, dict) and "dim" in answer:
                yield VECTOR, name


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
    """A text file that gets its name only when all of it is written. Raises OSError, which names `path`."""
    in_place = path.exists() and not path.is_file()  # a device or pipe, which no file must take the place of; a folder
    try:
        with path.open("w", **_TEXT) if in_place else _renamed(path) as file:
            yield file
    except OSError as error:
        if error.filename is None or Path(error.filename).name.startswith(UNFINISHED):
            error.filename = str(path)
        raise


@contextmanager
def _renamed(path: Path) -> Iterator[IO[str]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = unfinished.make(path.parent)
    try:
        with os.fdopen(handle, "w", **_TEXT) as file:
            yield file
        os.chmod(name, 0o644)  # mkstemp lets nobody else read it
        os.replace(name, path)
    finally:
        unfinished.end(name)
