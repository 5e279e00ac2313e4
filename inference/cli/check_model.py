"""python -m inference models check PATH: what an export is, whether it runs, and a model.toml for it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from inference.engine.folders import declared_below
from inference.engine.kinds import kind_of
from inference.engine.model import Loaded, Model
from inference.engine.other_formats import onnx_files
from inference.engine.registry import Registry, folders_from_environment
from inference.engine.trial import Trial, trial
from inference.engine.weights import sha256_of_model
from inference.errors import BadManifest, BadModel, UnreadableMedia
from inference.folder_files import size_of
from inference.image.limits import read_bytes
from inference.image.media import Picture, decode
from inference.manifest import MANIFEST_FILE, Manifest, declaration_of, read_manifest
from inference.plain_text import plain_lines, single
from inference.predictions import Classes, Embedding, LabelMap, Objects, Predictions
from inference.recognize import examine, manifest_of
from inference.recognize._export import Draft, Export, open_export
from inference.recognize.candidates import label_set
from inference.recognize.deciding import deciding_lines, label_lines
from inference.tables import to_toml

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "photographer.jpg"


def run(options: argparse.Namespace) -> int:
    """Exit status 0 where the model ran, 1 where it would have to be guessed at."""
    path: Path = options.path
    photo: Path = options.picture or SAMPLE
    picture = _picture(photo)
    _refuse_dangerous(path)
    declared = declaration_of(path) or (declared_below(path, onnx_files(path)) if path.is_dir() else None)
    if declared:
        if options.write:
            raise BadManifest(f"{declared}: there already; rename or delete it to have it written anew")
        manifest = read_manifest(declared)
        print(single(f"declared by {declared}"))
        # as an app would load it: the sha256 is checked, and weights elsewhere are located by it
        registry = Registry([declared.parent, *folders_from_environment()])
        _run_once(photo, picture, registry.load(manifest.name))
        return 0
    try:
        export, draft = examine(path)
    except BadManifest as error:
        lines = deciding_lines(open_export(path))
        print(single(f"not recognised: {error}"))
        if lines:
            print(f"\nmodel.toml, to be completed:\n\n{plain_lines(lines)}")
        if options.write:
            print("nothing was written: which of these lines are true is known to whoever trained the model")
        return 1
    target = _place_of_manifest(export) if options.write else None
    manifest = manifest_of(export, draft)
    print(single(f"recognised as {draft.family}"))
    print(*(single(f"  because of {reason}") for reason in draft.reasons), sep="\n")
    print(*(single(f"  assumed: {guess}") + "\n" for guess in draft.assumed), sep="", end="")
    digest = sha256_of_model(export.file)
    _run_once(photo, picture, kind_of(manifest)(manifest, export.session, digest))
    if not manifest.labels and manifest.task in ("image-classification", "object-detection"):
        print(plain_lines(_without_labels(export, manifest)))
    text = as_toml(draft, manifest, digest)
    if target is None:
        print(f"\nmodel.toml:\n\n{plain_lines(text)}")
    else:
        _write(target, text)
        print(single(f"written: {target}"))
    return 0


def _refuse_dangerous(path: Path) -> None:
    """Raises BadModel for what hangs a process that opens it, ends it, or takes all memory."""
    tried = trial(path) if path.exists() else Trial()
    if tried.silent or tried.too_large:
        raise BadModel(f"{path}: {tried.why}; it was tried in a process of its own, and is not opened here")


def _picture(path: Path) -> Picture:
    """The decoded picture. Raises UnreadableMedia, and what `decode` raises."""
    try:
        size_of(path)
        return decode(read_bytes(path))
    except OSError as error:
        raise UnreadableMedia(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _without_labels(export: Export, manifest: Manifest) -> str:
    count, names = label_set(export, [(manifest.task, manifest.head)])
    beside = "put labels.txt (a label per line) beside the file, or numbers stand in their place"
    if not names:
        return f"there are no labels: {beside}"
    lines = "\n".join(f"  {line}" for line in label_lines(count, names))
    return f"there are no labels; its model.toml may say\n{lines}\nelse {beside}"


def _place_of_manifest(export: Export) -> Path:
    """Where the manifest is to be written. Raises BadManifest where one is, or where it would hide other models."""
    target = export.folder / MANIFEST_FILE
    if target.exists():
        raise BadManifest(f"{target}: there already, for another file; put {export.file.name} into a folder of its own")
    if export.file.parent == export.folder:
        others = {*export.folder.glob("*.onnx"), *export.folder.glob("*/*.onnx"), *export.folder.glob("*/model.toml")}
        if others := others - {export.file}:
            raise BadManifest(
                f"{target} would speak for the whole folder and hide {min(others).relative_to(export.folder)}: put "
                f"{export.file.name} into a folder of its own"
            )
    return target


def _write(target: Path, text: str) -> None:
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BadManifest(f"{target}: cannot be written ({error.strerror})") from error


def _run_once(photo: Path, picture: Picture, model: Loaded) -> None:
    if not isinstance(model, Model):
        print("loaded, but not run here: it wants clips; analyse a video with it")
        return
    predictions, timing = model.run(picture)
    total = timing.preprocess + timing.inference + timing.postprocess
    print(single(f"ran once on {photo}: {_in_words(predictions)} ({total:.0f} ms)"))
    if isinstance(predictions, Classes | Objects):
        print(*(single(f"  {note}") + "\n" for note in predictions.notes), sep="", end="")


def _in_words(predictions: Predictions) -> str:
    if isinstance(predictions, Classes):
        rows = zip(predictions.names, predictions.scores.tolist(), strict=True)
        return ", ".join(f"{name} {score:.0%}" for name, score in rows) or "no label above the threshold"
    if isinstance(predictions, Objects):
        return ", ".join(predictions.names) or "nothing above the threshold"
    if isinstance(predictions, LabelMap):
        return f"a map of {len(predictions.areas())} labels"
    if isinstance(predictions, Embedding):
        return f"a vector of {len(predictions.vector)} numbers"
    return f"a picture of {predictions.pixels.shape[1]} x {predictions.pixels.shape[0]}"


def as_toml(draft: Draft, manifest: Manifest, sha256: str) -> str:
    """The draft as a model.toml."""
    table: dict[str, Any] = {"task": manifest.task, "head": manifest.head, "file": manifest.file, "sha256": sha256}
    table |= {k: _given(v) for k, v in draft.table.items() if k not in table}
    return f"# recognised as {draft.family}\n{to_toml(_given(table))}"


def _given(value: Any) -> Any:
    """A table without the keys that say nothing."""
    return {k: v for k, v in value.items() if v not in ("", [], {}, None)} if isinstance(value, dict) else value
