"""What the exports have in common: the pictures and predictions of result documents, and files that appear whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

Document = Mapping[str, Any]
_UNFINISHED = ".export-"
# A file's name that is no UTF-8 has halves of surrogate pairs, which as backslash escapes are JSON's own.
_TEXT: Any = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}


def pictures(documents: Iterable[Document]) -> Iterator[Document]:
    """Those of pictures: what a video shows stands in the files of its frames and tracks."""
    sources = ((document, document["source"]) for document in documents)
    return (
        d for d, source in sources if source.get("duration_s") is None and source.get("width") and source.get("height")
    )


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
    for name, answers in prediction.get("attributes", {}).items():
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
        if error.filename is None or Path(error.filename).name.startswith(_UNFINISHED):
            error.filename = str(path)
        raise


@contextmanager
def _renamed(path: Path) -> Iterator[IO[str]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
    try:
        with os.fdopen(handle, "w", **_TEXT) as file:
            yield file
        os.chmod(name, 0o644)  # mkstemp lets nobody else read it
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
