"""Where the weights of a manifest lie, and whether they can be taken for a model at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from inference.engine.external_data import is_whole
from inference.engine.folders import InstalledModel, one_sentence
from inference.engine.other_formats import is_onnx, refuse_what_is_not_onnx
from inference.engine.weights import Weights, missing_data, sha256_of, state_of
from inference.errors import BadManifest, BadModel, ModelUnavailable
from inference.machine import memory_limit
from inference.manifest import inside


class Resolver:
    """Finds the weights of what was read in folders of models."""

    def __init__(self, weights: Weights, allow_research: bool) -> None:
        self._weights, self._allow_research = weights, allow_research

    def resolved(self, entries: Mapping[str, InstalledModel]) -> dict[str, InstalledModel]:
        """The entries with their weights and the state of these; whatever goes wrong stops its own entry only.

        Two manifests may read the same file (labels here, a vector there): the second only states its sha256.
        """
        self._weights.look_again()
        found = {name: self._resolved(entry) for name, entry in entries.items()}
        files = {e.manifest.sha256: e.weights for e in found.values() if e.manifest and e.weights}
        return {name: _with_state(self._shared(entry, files)) for name, entry in found.items()}

    def one(self, entry: InstalledModel, others: Mapping[str, InstalledModel]) -> InstalledModel:
        """As `resolved`, of one that was read anew beside others that were not."""
        self._weights.look_again()
        beside = (e for e in others.values() if e.name != entry.name)
        files = {e.manifest.sha256: e.weights for e in beside if e.manifest and e.weights}
        return _with_state(self._shared(self._resolved(entry), files))

    def _shared(self, entry: InstalledModel, files: Mapping[str, Path]) -> InstalledModel:
        if not entry.reason or not entry.manifest or not files.get(entry.manifest.sha256) or not entry.manifest.sha256:
            return entry
        if entry.manifest.use == "research" and not self._allow_research:
            return entry
        return replace(entry, weights=files[entry.manifest.sha256], reason=None)

    def _resolved(self, entry: InstalledModel) -> InstalledModel:
        """The entry with its weights; whatever goes wrong stops this entry only."""
        try:
            return self._resolve(entry)
        except Exception as error:  # noqa: BLE001 - the other models are to serve on
            return replace(entry, reason=one_sentence(entry.path, error))

    def _resolve(self, entry: InstalledModel) -> InstalledModel:
        """Find the weights of a manifest."""
        manifest = entry.manifest
        if manifest is None:
            return entry
        if manifest.use == "research" and not self._allow_research:
            return replace(entry, reason="for research only, and DROPSIGHT_ALLOW_RESEARCH_MODELS is false")
        if not manifest.file:
            return entry
        try:
            beside = inside(manifest.folder, manifest.file, str(entry.path))
        except BadManifest as error:
            return replace(entry, reason=str(error))
        if beside.is_file():
            return replace(entry, weights=beside)
        if elsewhere := self._weights.find(manifest.sha256) if manifest.sha256 else None:
            return replace(entry, weights=elsewhere)
        how = "the manifest has no sha256"
        if manifest.sha256:
            how = "no file in DROPSIGHT_WEIGHTS or another model's folder has its sha256"
            how += f"; its source is {manifest.source}" if manifest.source else ""
        others = (
            [p.name for p in sorted(beside.parent.iterdir()) if is_onnx(p) and p.is_file()]
            if beside.parent.is_dir()
            else []
        )
        how += f'; should it be {others[0]}, say file = "{others[0]}"' if others else ""
        return replace(entry, reason=f"{manifest.file} is not beside the manifest, and {how}")


def other_sha256(weights: Path, sha256: str, wanted: str) -> str:
    """What is wrong with weights of another sha256 than the manifest states."""
    if sha256_of(weights) == wanted:
        data = ", ".join(name for name, _ in state_of(weights).data)
        return (
            f"{weights}: the manifest's sha256 is that of the graph alone; with the weights in {data} it is {sha256}: "
            f'say sha256 = "{sha256}"'
        )
    return (
        f"{weights}: its sha256 is {sha256[:12]}..., the manifest expects {wanted[:12]}...; download the file again or "
        "correct the manifest"
    )


def _without_data(weights: Path, missing: str) -> str:
    """What is missing, and what lies there under another name, as after a rename of model.onnx and model.onnx.data."""
    folder = (weights.parent / missing).parent
    others = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in _DATA) if folder.is_dir() else []
    how = f"; if {others[0]} is it, call it {Path(missing).name} again" if len(others) == 1 else ""
    return f"{weights}: its external data file {missing} is missing; put it beside the model{how}"


_DATA = (".data", ".bin", ".weight", ".weights", ".pb", ".onnx_data")


def _with_state(entry: InstalledModel) -> InstalledModel:
    if entry.weights is None:
        return entry
    try:
        state = state_of(entry.weights)
        if missing := missing_data(state):
            raise ModelUnavailable(_without_data(entry.weights, missing))
        if state.bytes > memory_limit():  # before all of it is read for its digest
            raise BadModel(
                f"{entry.weights}: its files take {state.bytes >> 20:,} MiB, more than the "
                f"{memory_limit() >> 20:,} MiB of memory here; run it where there is more, or export it smaller"
            )
        if not entry.reason:
            refuse_what_is_not_onnx(entry.weights)
            if not is_whole(entry.weights):
                raise BadModel(f"{entry.weights}: {_NOT_WHOLE}")
        return replace(entry, state=state)
    except ModelUnavailable as error:
        return replace(entry, weights=None, reason=str(error))
    except Exception as error:  # noqa: BLE001 - the other models are to serve on
        return replace(entry, weights=None, reason=one_sentence(entry.path, error))


_NOT_WHOLE = "it is not a complete ONNX file (cut off, or of another format); download or export it again"
