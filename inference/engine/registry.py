"""Finds models in folders, loads them once, keeps them while memory allows."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from inference.engine.folders import InstalledModel as InstalledModel
from inference.engine.folders import models_in, one_sentence
from inference.engine.kinds import kind_of
from inference.engine.model import Loaded, Model
from inference.engine.other_formats import is_onnx
from inference.engine.session import NoSession, Session, providers_named
from inference.engine.weights import BUILT_IN as BUILT_IN
from inference.engine.weights import (
    FileState,
    Weights,
    hash_of_state,
    missing_data,
    public_folder,
    readable,
    refuse_what_has_gone,
    sha256_of,
    sha256_of_model,
    state_of,
)
from inference.errors import BadManifest, BadModel, DropsightError, ModelUnavailable
from inference.machine import memory_limit
from inference.manifest import inside
from inference.tables import closest, nearest


def folders_from_environment() -> list[Path]:
    """DROPSIGHT_MODELS (a path list), then the models that come with the project, then the public ones pulled."""
    listed = [Path(p) for p in os.environ.get("DROPSIGHT_MODELS", "").split(os.pathsep) if p]
    pulled = public_folder()
    return [*listed, BUILT_IN, *([pulled] if pulled.is_dir() else [])]


def research_allowed() -> bool:
    """DROPSIGHT_ALLOW_RESEARCH_MODELS; raises BadModel for any other word: a licence is at stake."""
    word = os.environ.get("DROPSIGHT_ALLOW_RESEARCH_MODELS", "").strip().lower() or "true"
    if word not in ("true", "1", "yes", "on", "false", "0", "no", "off"):
        raise BadModel(f"DROPSIGHT_ALLOW_RESEARCH_MODELS is {word!r}, expected true or false")
    return word in ("true", "1", "yes", "on")


class Registry:
    """All models of some folders. Safe to use from many threads."""

    def __init__(
        self,
        folders: Sequence[Path] | None = None,
        *,
        weights: Weights | None = None,
        providers: Sequence[str] | None = None,
        allow_research: bool | None = None,
        memory: int | None = None,
    ) -> None:
        """folders: earlier ones win where two have a model of the same name; None reads DROPSIGHT_MODELS.

        providers: of onnxruntime, best first; None reads DROPSIGHT_PROVIDERS ("cuda,cpu").
        allow_research: None reads DROPSIGHT_ALLOW_RESEARCH_MODELS. memory: bytes that cached weights may
        take; None is a quarter of what this process may use.
        """
        self._folders = list(folders) if folders is not None else folders_from_environment()
        self._weights = weights or Weights.from_environment()
        self._providers = tuple(providers or providers_named(os.environ.get("DROPSIGHT_PROVIDERS", "")))
        self._allow_research = research_allowed() if allow_research is None else allow_research
        self._memory = memory if memory is not None else memory_limit() // 4
        self._lock = threading.RLock()
        self._loading: dict[str, threading.Lock] = {}
        self._refused: dict[str, str] = {}
        self._loaded: OrderedDict[str, tuple[Loaded, int]] = OrderedDict()
        self._entries: dict[str, InstalledModel] | None = None
        self._digests: dict[str, tuple[InstalledModel, str]] = {}

    def list(self) -> list[InstalledModel]:
        """All models, usable or not, in the order of the folders."""
        return list(self._by_name().values())

    def _by_name(self) -> dict[str, InstalledModel]:
        with self._lock:
            if self._entries is None:
                entries: dict[str, InstalledModel] = {}
                for folder in self._folders:
                    for entry in models_in(folder):
                        entries.setdefault(entry.name, self._resolved(entry))
                self._share_weights(entries)
                self._entries = {name: _with_state(entry) for name, entry in entries.items()}
            return self._entries

    def refresh(self) -> None:
        """Look at the folders again; models whose manifest or weights changed are loaded anew when next asked for."""
        with self._lock:
            old, self._entries = self._by_name(), None
            now = self._by_name()
            for name in [name for name in self._loaded if now.get(name) != old.get(name)]:
                del self._loaded[name]

    def _share_weights(self, entries: dict[str, InstalledModel]) -> None:
        """Two manifests may read the same file (labels here, a vector there): the second only states its sha256."""
        files = {e.manifest.sha256: e.weights for e in entries.values() if e.manifest and e.weights}
        for name, entry in entries.items():
            if entry.reason and entry.manifest and files.get(entry.manifest.sha256) and entry.manifest.sha256:
                if entry.manifest.use == "research" and not self._allow_research:
                    continue
                entries[name] = replace(entry, weights=files[entry.manifest.sha256], reason=None)

    def use(self, folders: Sequence[Path], refused: Mapping[str, str] | None = None) -> None:
        """Look in these folders from now on. Whoever holds a model keeps it; the next call gives the new model.

        refused: why models are in none of them that whoever calls this knows of; said to those who ask for them.
        """
        with self._lock:
            self._refused = dict(refused or {})
            self._by_name()  # for refresh to compare with
            self._folders = list(folders)
            self.refresh()

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
        others = [p.name for p in sorted(beside.parent.iterdir()) if is_onnx(p)] if beside.parent.is_dir() else []
        how += f'; should it be {others[0]}, say file = "{others[0]}"' if others else ""
        return replace(entry, reason=f"{manifest.file} is not beside the manifest, and {how}")

    def entry(self, name: str) -> InstalledModel:
        """The usable entry of that name. Raises BadModel with the reason, or with the names that there are."""
        entries = self._by_name()
        if name not in entries:
            if why := self._refused.get(name):
                raise BadModel(why if repr(name) in why else f"model {name!r} is refused: {why}")
            for other in entries.values():
                if other.unused and other.path.stem == name:
                    raise BadModel(f"no model is called {name!r}; {other.name} cannot be used: {other.reason}")
            usable = [e.name for e in entries.values() if not e.reason]
            raise BadModel(f"no model is called {name!r}{_hint(name, usable)}")
        entry = entries[name]
        if entry.reason:
            raise BadModel(f"model {name!r} cannot be used: {entry.reason}")
        return entry

    def model(self, name: str) -> Model:
        """The model of pictures of that name, loaded on first use. Raises BadModel or BadManifest."""
        model = self.load(name)
        if not isinstance(model, Model):
            raise BadModel(f"model {name!r} does {model.manifest.task}: it takes clips; analyse a video with it")
        return model

    def load(self, name: str) -> Loaded:
        """The model of that name, of whatever kind, loaded on first use. Raises BadModel or BadManifest."""
        with self._lock:
            if name in self._loaded:
                self._loaded.move_to_end(name)
                return self._loaded[name][0]
            gate = self._loading.setdefault(name, threading.Lock())
        with gate:  # two threads must not load the same file twice, nor a model hold up another
            with self._lock:
                if name in self._loaded:
                    return self._loaded[name][0]
            entry = self.entry(name)
            try:
                model, size = self._load(entry)
            except (DropsightError, MemoryError):
                raise
            except Exception as error:  # of a head, about values of a manifest that nobody foresaw
                raise BadModel(one_sentence(entry.path, error)) from error
            with self._lock:
                if self._by_name().get(name) != entry:  # swapped while we loaded: good for this caller, not to be kept
                    return model
                self._loaded[name] = (model, size)
                while sum(s for _, s in self._loaded.values()) > self._memory and len(self._loaded) > 1:
                    self._loaded.popitem(last=False)
            return model

    def _load(self, entry: InstalledModel) -> tuple[Loaded, int]:
        assert entry.manifest is not None
        kind = kind_of(entry.manifest)
        if entry.weights is None:
            return kind(entry.manifest, NoSession(), ""), 0
        with readable(entry.weights):
            size, sha256 = state_of(entry.weights).bytes, sha256_of_model(entry.weights)
        if entry.manifest.sha256 and sha256 != entry.manifest.sha256:
            raise BadModel(_other_sha256(entry.weights, sha256, entry.manifest.sha256))
        try:
            wanted = entry.manifest.postprocess.outputs.values()
            session = Session(entry.weights, entry.manifest.threads, self._providers, wanted)
        except BadModel:
            if entry.state:
                refuse_what_has_gone(entry.state)  # where they have gone meanwhile, nothing is wrong with the model
            raise
        return kind(entry.manifest, session, sha256), size

    def digest(self, name: str) -> str:
        """Hex sha256 of everything that decides this model's predictions: weights and manifest.

        Computed again when the folders show another manifest (see `refresh`) or the weights have another size or
        time; the model is then loaded anew, too, so that no answer is filed under the digest of other weights.
        Raises BadModel as `entry`.
        """
        entry = self.entry(name)
        state = state_of(entry.weights) if entry.weights else None
        if state != entry.state:
            if entry.state:
                refuse_what_has_gone(entry.state)
            entry = self._replaced(entry, state)
        known = self._digests.get(name)
        if known and known[0] is entry:
            return known[1]
        assert entry.manifest is not None
        facts = {k: v for k, v in asdict(entry.manifest).items() if k != "folder"}
        weights = hash_of_state(state) if state else ""
        digest = hashlib.sha256(f"{weights} {sorted(facts.items())!r}".encode()).hexdigest()
        self._digests[name] = (entry, digest)
        return digest

    def _replaced(self, entry: InstalledModel, state: FileState | None) -> InstalledModel:
        """The entry with the state of its weights as they are now; the model that was loaded from others goes."""
        with self._lock:
            now = replace(entry, state=state)
            if self._by_name().get(entry.name) == entry:
                self._by_name()[entry.name] = now
                self._loaded.pop(entry.name, None)
            return self._by_name().get(entry.name, now)


def _hint(name: str, usable: Sequence[str]) -> str:
    """Which model may be meant, of those here or of the catalog."""
    from inference.engine.catalog import names_in  # lazily: only mistakes need it

    public = [n for n in names_in() if n not in usable]
    close = name if name in public else closest(name, [*usable, *public])
    if close in public:
        meant = "it is in the catalog:" if close == name else f"did you mean {close!r} of the catalog?"
        return f"; {meant} `python -m inference models pull {close}` fetches it"
    return nearest(name, usable) if usable else "; the folders of models hold none that can be used"


def _other_sha256(weights: Path, sha256: str, wanted: str) -> str:
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
        return replace(entry, state=state)
    except ModelUnavailable as error:
        return replace(entry, weights=None, reason=str(error))
    except Exception as error:  # noqa: BLE001 - the other models are to serve on
        return replace(entry, weights=None, reason=one_sentence(entry.path, error))
