"""Manifests for other people's exports, from their sidecar files, their metadata and their tensors.

An ecosystem is a module here with `recognize(export) -> Draft | None`; the first draft wins. What the modules know
comes from the exporters' sources. A model whose preprocessing is not stated is refused, with the candidates.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inference.engine.other_formats import is_onnx
from inference.errors import BadManifest, DropsightError
from inference.manifest import Manifest, manifest_from, not_called_so
from inference.recognize import (
    automl,
    candidates,
    catalogued,
    custom_vision,
    huggingface,
    layouts,
    openmmlab,
    openvino,
    paddle,
    roboflow,
    tensors,
    ultralytics,
)
from inference.recognize._channels import refuse_no_picture, refuse_unfit, with_channels
from inference.recognize._export import Draft, Export, open_export
from inference.recognize._guesses import guesses
from inference.recognize._labels import past_a_placeholder
from inference.recognize._opening import not_twice

# In the order of the first match: a known file, metadata inside the file, files beside it, names, shapes.
_FAMILIES = (
    catalogued.recognize,
    ultralytics.recognize,
    openvino.recognize,
    custom_vision.recognize,
    ultralytics.recognize_v5,
    roboflow.recognize,
    huggingface.recognize,
    openmmlab.recognize,
    paddle.recognize,
    automl.recognize,
    layouts.recognize,
    tensors.recognize,
)


def examine(path: Path) -> tuple[Export, Draft]:
    """What an .onnx file or a folder without a manifest is, and why.

    Raises BadModel when the file cannot be loaded, BadManifest where recognising it would be guessing.
    """
    export = open_export(path)
    _refuse_misnamed_manifest(export)
    refuse_no_picture(export)
    for family in _FAMILIES:
        try:
            draft = family(export)
        except DropsightError:
            raise
        except Exception as error:  # what other people's files hold is foreseen nowhere in full
            raise BadManifest(_unforeseen(export, error)) from error
        if draft is not None:
            draft = _fed_once(export, with_channels(export, past_a_placeholder(export, draft)))
            return export, replace(draft, assumed=(*draft.assumed, *export.said, *guesses(export, draft)))
    refuse_unfit(export)
    raise BadManifest(candidates.refusal(export))


def _fed_once(export: Export, draft: Draft) -> Draft:
    """The draft without what its side files state and the graph does itself, too; the catalog has tried its models."""
    if "sha256" in draft.table:
        return draft
    how, said = not_twice(draft.table.get("preprocess", {}), export.opening)
    if not said or export.picture.dtype.kind != "f":
        return draft
    return replace(draft, table={**draft.table, "preprocess": how}, assumed=(*draft.assumed, said))


def _refuse_misnamed_manifest(export: Export) -> None:
    """Raises BadManifest where what is meant as the model.toml of this model would be passed over."""
    for folder in dict.fromkeys((export.file.parent, export.folder)):
        wrong = not_called_so(folder)
        if wrong and sum(map(is_onnx, folder.iterdir())) <= 1:  # of several models it is none's
            raise BadManifest(f"{folder / wrong}: it is not read under this name; rename it to model.toml")


def _unforeseen(export: Export, error: Exception) -> str:
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    read = ", ".join(export.sidecars)
    where = f"one of its side files ({read})" if read else "its metadata"
    return (
        f"{export.file}: {where} holds something unexpected ({said}); correct it, or write a model.toml beside the "
        "file, which is then believed instead"
    )


def recognize(path: Path) -> Manifest:
    """A manifest for an .onnx file or a folder without a model.toml. Raises as `examine`."""
    return manifest_of(*examine(path))


def manifest_of(export: Export, draft: Draft) -> Manifest:
    """The draft as a checked manifest that points at the export's file."""
    return manifest_from({"name": export.name, "file": export.relative, **draft.table}, str(export.file), export.folder)
