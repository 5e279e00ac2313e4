"""An export before it is understood: its file, its tensors, its metadata, and what lies beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from inference.engine.first_run import refuse_untried
from inference.engine.graph import Graph
from inference.engine.other_formats import is_onnx, kind_by_name, onnx_files, what_is_there
from inference.engine.session import Session
from inference.engine.tensors import Tensor
from inference.errors import BadManifest
from inference.label_lists import read_labels
from inference.recognize._opening import Opening, opening_of
from inference.recognize._yaml import load_yaml
from inference.tables import text_of

# Names that exporters give to every model; the folder's name says more.
PLAIN_NAMES = ("model", "end2end", "best", "model_quantized", "inference_model", "weights")
# Lists of class names beside a file, the first of which counts; others of these suffixes where there is only one model.
LABEL_FILES = (
    *("labels.txt", "classes.txt", "class_names.txt", "names.txt", "classnames.txt", "categories.txt", "label.txt"),
    *("labelmap.txt", "label_map.txt", "label_list.txt", "labels.json", "classes.json", "class_names.json"),
    *("id2label.json", "class_indices.json", "class_to_idx.json", "label_map.json", "labels.csv", "classes.csv"),
)
_LIST_SUFFIXES = (".names", ".labels", ".pbtxt", ".yaml", ".yml")
MAX_SIDECAR_BYTES = 16 << 20


@dataclass(frozen=True)
class Draft:
    """A manifest as a table (see manifest.py), the family of the export, and the reasons for choosing it.

    assumed: what was guessed, a sentence each, with the line of model.toml or the file that changes it.
    """

    family: str
    table: dict[str, Any]
    reasons: tuple[str, ...]
    assumed: tuple[str, ...] = ()


@dataclass
class Export:
    """folder: where sidecars lie and the manifest would; file: the weights, in it or below it.

    said: what of its side files was taken for what, as Draft.assumed.
    """

    folder: Path
    file: Path
    session: Session
    said: list[str] = field(default_factory=list)
    _texts: dict[str, str | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        stem = self.file.stem
        return self.file.resolve().parent.name if stem.lower() in PLAIN_NAMES else stem

    @property
    def relative(self) -> str:
        return self.file.relative_to(self.folder).as_posix()

    @property
    def inputs(self) -> Sequence[Tensor]:
        return self.session.inputs

    @cached_property
    def outputs(self) -> Mapping[str, Tensor]:
        return {t.name: t for t in self.session.outputs}

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.session.metadata

    @property
    def picture(self) -> Tensor:
        """The first input with a picture's rank."""
        return next((t for t in self.inputs if len(t.shape) in (3, 4)), self.inputs[0])

    @property
    def graph(self) -> Graph:
        return self.session.graph

    @cached_property
    def opening(self) -> Opening:
        """What the graph does to the picture before anything else."""
        return opening_of(self.graph, self.picture.name)

    @property
    def scales_itself(self) -> bool:
        """Whether the graph brings its input into a smaller range itself, so that it wants 0..255."""
        return self.opening.takes == "0..255"

    def has_operation(self, op: str) -> bool:
        """Whether the graph has a node of this type."""
        return op in self.graph.operations

    @property
    def channels(self) -> int | None:
        """Of the picture input; None where that axis is free."""
        shape = self.picture.shape
        return shape[-1] if shape[-1] in (1, 3) else shape[-3]

    def size(self) -> dict[str, int]:
        """{height, width} of the picture input where it is fixed (channels first or last), else nothing."""
        shape = self.picture.shape
        sides = shape[-3:-1] if shape and shape[-1] in (1, 3) else shape[-2:]
        return {"height": sides[0], "width": sides[1]} if len(sides) == 2 and sides[0] and sides[1] else {}

    def shape(self, number: int = 0) -> tuple[int | None, ...]:
        """Shape of an output by its place; empty where there is none so far."""
        shapes = [t.shape for t in self.outputs.values()]
        return shapes[number] if number < len(shapes) else ()

    @cached_property
    def _beside(self) -> dict[str, Path]:
        """What lies beside the weights or where the manifest would be, by name as it is and in small letters: on
        Windows Labels.txt is labels.txt."""
        found: dict[str, Path] = {}
        for folder in (self.folder / "train_artifacts", self.folder, self.file.parent):
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
            found |= {p.name.lower(): p for p in paths} | {p.name: p for p in paths}
        return found

    def text(self, *names: str) -> str | None:
        """Content of the first sidecar with any of these names, beside the weights or where the manifest would be.

        Raises BadManifest where it is there and no text.
        """
        for name in names:
            if name not in self._texts:
                if Path(name).name != name or "\\" in name:  # a side file may name others: those beside it only
                    raise BadManifest(f"{self.folder}: {name!r} is not the name of a file beside the model; correct it")
                sidecar = self._beside.get(name) or self._beside.get(name.lower())
                self._texts[name] = _content(sidecar) if sidecar else None
            if self._texts[name] is not None:
                return self._texts[name]
        return None

    def json(self, *names: str) -> Any:
        """The first such sidecar as JSON; None where there is none. Raises BadManifest where it is broken."""
        text = self.text(*names)
        if text is None:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits, and lists without end
            raise BadManifest(
                f"{self.folder}: {' or '.join(names)} is not valid JSON ({error}); download it again"
            ) from error

    def yaml(self, name: str) -> Any:
        """The sidecar of this name as YAML; None where there is none. Raises BadManifest where it is broken."""
        text = self.text(name)
        try:
            return None if text is None else load_yaml(text)
        except ValueError as error:
            raise BadManifest(f"{self.folder}: {name} {error}; correct it, or download it again") from error

    def labels(self, classes: int | None) -> list[str] | str | None:
        """A label list beside the file, else COCO's for 80 classes, else None.

        A list of another length than `classes` is given all the same: Model refuses it in words, where leaving it
        out would name everything wrongly without any.
        """
        return self.label_file(*LABEL_FILES) or self._other_list() or ("builtin:coco80" if classes == 80 else None)

    def label_file(self, *names: str) -> list[str] | None:
        """The labels of the first sidecar with any of these names; None where there is none. Raises BadManifest."""
        text = self.text(*names)
        if text is None:
            return None
        read = next(name for name in names if self._texts.get(name) is not None)
        try:
            labels, said = read_labels(read, text)
        except ValueError as error:
            raise BadManifest(f"{self.folder}: {read} {error}") from error
        if others := [name for name in names if name != read and name in self._beside]:
            self._say(f"labels are those of {read}, not of {', '.join(others)}; delete the one that is wrong")
        if said:
            self._say(f"{read}: {said}; labels = [...] in model.toml says another order")
        return labels

    def _other_list(self) -> list[str] | None:
        """Of a file whose name only its kind tells, where it lies beside a single model."""
        if len({path for path in self._beside.values() if is_onnx(path)}) > 1:
            return None
        for name in self._beside:
            path = PurePath(name)
            if path.suffix not in _LIST_SUFFIXES or self._beside[name].name != name:
                continue
            text = self.text(name)
            if text is None or (path.suffix in (".yaml", ".yml") and "names" not in text):
                continue
            try:
                labels, _ = read_labels(name, text)
            except ValueError:  # a YAML of something else
                continue
            self._say(f"labels are those of {name}; put labels.txt there for others")
            return labels or None
        return None

    def _say(self, sentence: str) -> None:
        if sentence not in self.said:
            self.said.append(sentence)

    @property
    def sidecars(self) -> tuple[str, ...]:
        """The names of the side files that were read so far."""
        return tuple(name for name, text in self._texts.items() if text is not None)


def _content(sidecar: Path) -> str:
    try:
        if sidecar.stat().st_size > MAX_SIDECAR_BYTES:
            raise BadManifest(
                f"{sidecar}: it is larger than the {MAX_SIDECAR_BYTES >> 20} MB that a side file may have"
            )
        return text_of(sidecar)
    except OSError as error:
        raise BadManifest(f"{sidecar}: cannot be read ({error.strerror}); check the file and its rights") from error
    except UnicodeDecodeError as error:
        raise BadManifest(f"{sidecar}: cannot be read ({error}); save it as UTF-8") from error


def open_export(path: Path) -> Export:
    """Load the weights at a path, or the only .onnx file below a folder. Raises BadModel, BadManifest,
    ModelUnavailable while the model is being tried."""
    if path.is_file():
        refuse_untried(path, path)
        return Export(path.parent, path, Session(path))
    if not path.exists():
        raise BadManifest(f"{path}: no such file or folder; check the path")
    files = onnx_files(path)
    if not files:
        words = kind_by_name(path.name)
        raise BadManifest(f"{path}: this is {words}" if words else f"{path}: no .onnx file here; {what_is_there(path)}")
    plain = [f for f in files if f.stem.lower() in PLAIN_NAMES[:3]]
    if len(files) > 1 and len(plain) != 1:
        names = ", ".join(f.relative_to(path).as_posix() for f in files[:8])
        raise BadManifest(
            f"{path}: found {len(files)} models ({names}); put each into a folder of its own, or write a model.toml "
            f'with file = "{files[0].relative_to(path).as_posix()}"'
        )
    file = plain[0] if plain else files[0]
    refuse_untried(path, file)
    export = Export(path, file, Session(file))
    if others := [f.relative_to(path).as_posix() for f in files if f != file]:
        export.said.append(
            f'{export.relative} is used, not {", ".join(others)[:100]}; file = "{others[0]}" in model.toml says another'
        )
    return export


def as_floats(values: Any, count: int = 3) -> list[float]:
    """A list of numbers from JSON, a text of numbers, or a single number for all `count` channels."""
    if isinstance(values, str):
        values = values.strip("[]() ").replace(",", " ").split()
    flat = np.atleast_1d(np.asarray(values, float)).ravel().tolist()
    return [float(v) for v in (flat * count if len(flat) == 1 else flat)]


IMAGENET: dict[str, Any] = {
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
