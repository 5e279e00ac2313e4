"""python -m inference similar | group: nearest pictures, and groups of pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inference.cli.analyze import registry_of
from inference.cli.progress import Progress
from inference.cli.sources import files_below
from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.errors import BadModel, DropsightError, UnsupportedMedia
from inference.folder_files import size_of
from inference.image.limits import read_bytes
from inference.image.media import decode
from inference.plain_text import single
from inference.predictions import Embedding, Floats
from inference.results.formats import RESULT_FILE
from inference.results.plurals import counted
from inference.results.strict_json import json_text
from inference.similar import Index, from_results, groups

# The first that can be used: the better one has its weights from a public model.
DEFAULT_MODELS = ("embed-mobilenetv2", "embed")


def run(options: argparse.Namespace) -> int:
    if options.count < 1:
        raise BadModel(f"--count is {options.count}, expected at least 1")
    registry = registry_of(options)
    index, name = index_of(options.index, options.model, registry)
    if options.command == "group":
        return _group(index, options)
    nearest = index.search(embed(registry.model(name), options.picture), options.count)
    if options.json:
        print(json_text([{"name": n, "cosine": round(c, 4)} for n, c in nearest], ascii_only=True))
    else:
        for name, cosine in nearest:
            print(f"{cosine:7.4f}  {single(name)}")
    return 0


def _group(index: Index, options: argparse.Namespace) -> int:
    numbers = groups(index.vectors, options.count)
    members: dict[int, list[str]] = {}
    for name, number in zip(index.names, numbers.tolist(), strict=True):
        members.setdefault(number, []).append(name)
    ordered = [members[k] for k in sorted(members)]
    if options.json:
        print(json_text(ordered, ascii_only=True))
    else:
        for number, names in enumerate(ordered, 1):
            print(f"group {number}: {counted(len(names), 'picture')}", *(f"  {single(n)}" for n in names), sep="\n")
    return 0


def index_of(folder: Path, model: str | None, registry: Registry) -> tuple[Index, str]:
    """(the index over a folder of results or of pictures, the name of the model that made its vectors)."""
    if not folder.is_dir():
        raise UnsupportedMedia(f"{folder}: no such folder; give a folder of results or pictures")
    if next(folder.rglob(RESULT_FILE), None):
        index = from_results(folder)
        if not len(index):
            raise BadModel(
                f"{folder}: its results hold no vectors; analyse with --model {default_model(registry)} --out first"
            )
        return index, model or _maker(index, registry)
    name = model or default_model(registry)
    return over_pictures(folder, registry.model(name)), name


def default_model(registry: Registry) -> str:
    """The embedding model for whoever names none."""
    usable = {entry.name for entry in registry.list() if not entry.reason}
    return next((name for name in DEFAULT_MODELS if name in usable), DEFAULT_MODELS[-1])


def _maker(index: Index, registry: Registry) -> str:
    """The usable embedding model with the weights that made the index. Raises BadModel."""
    for entry in registry.list():
        manifest = entry.manifest
        same = manifest is not None and manifest.sha256 == index.model
        if same and manifest and manifest.task == "image-feature-extraction" and not entry.reason:
            return entry.name
    raise BadModel(f"no model here has the weights that made the index ({index.model[:12]}...); name it with --model")


def over_pictures(folder: Path, model: Model) -> Index:
    """Embed every picture below a folder; other files are named on stderr and left out."""
    files = list(files_below([folder]))
    names: list[str] = []
    vectors: list[Floats] = []
    with Progress(len(files)) as progress:
        for file in files:
            try:
                vectors.append(embed(model, file))
                names.append(str(file))
            except DropsightError as error:
                print(single(f"{file}: left out: {error}"), file=sys.stderr)
            progress.step()
    return Index.of(names, vectors, model.sha256)


def embed(model: Model, file: Path) -> Floats:
    """The vector (D,) of a picture file. Raises BadModel where the model gives none,
    UnreadableMedia, and what `decode` raises."""
    size_of(file)
    predictions, _ = model.run(decode(read_bytes(file)))
    if not isinstance(predictions, Embedding):
        raise BadModel(f"{model.manifest.name} does {model.manifest.task}, expected an embedding model")
    return predictions.vector
