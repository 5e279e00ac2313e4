"""Finds models in folders, loads them once, keeps them while memory allows."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from inference.engine.model import Loaded, Model
from inference.engine.session import NoSession, Session, providers_named
from inference.engine.weights import BUILT_IN as BUILT_IN
from inference.engine.weights import FileState, Weights, hash_of_state, public_folder, readable, sha256_of, state_of
from inference.errors import BadManifest, BadModel, DropsightError, ModelUnavailable
from inference.machine import memory_limit
from inference.manifest import MANIFEST_FILE, Manifest, declaration_of, folder_name, inside, read_manifest
from inference.tables import closest, nearest


@dataclass(frozen=True)
class InstalledModel:
    """A model of a folder: usable where `reason` is None, else `reason` says in a sentence why not.

    weights: None also for heads that need none (the manifest's `file` is empty). state: of the weights when the folder
    was read. assumed: what was guessed where there is no manifest, with the line that changes it.
    """

    name: str
    path: Path
    manifest: Manifest | None = None
    weights: Path | None = None
    reason: str | None = None
    state: FileState | None = None
    assumed: tuple[str, ...] = ()


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


def kind_of(manifest: Manifest) -> type[Loaded]:
    """The class that feeds and runs models of this task; decided nowhere else."""
    # Lazily: most apps have no model of these kinds, and the first picture pays for every import.
    if manifest.task == "image-to-image":
        from inference.engine.image_to_image import ImageToImage

        return ImageToImage
    if manifest.task == "video-classification":
        from inference.engine.clip import ClipModel

        return ClipModel
    return Model


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
                    for entry in _scan(folder):
                        entries.setdefault(entry.name, self._resolve(entry))
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

    def use(self, folders: Sequence[Path]) -> None:
        """Look in these folders from now on. Whoever holds a model keeps it; the next call gives the new model."""
        with self._lock:
            self._by_name()  # for refresh to compare with
            self._folders = list(folders)
            self.refresh()

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
        return replace(entry, reason=f"{manifest.file} is not beside the manifest, and {how}")

    def entry(self, name: str) -> InstalledModel:
        """The usable entry of that name. Raises BadModel with the reason, or with the names that there are."""
        entries = self._by_name()
        if name not in entries:
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
            model, size = self._load(entry)
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
            size, sha256 = entry.weights.stat().st_size, sha256_of(entry.weights)
        if entry.manifest.sha256 and sha256 != entry.manifest.sha256:
            raise BadModel(
                f"{entry.weights}: its sha256 is {sha256[:12]}..., the manifest expects "
                f"{entry.manifest.sha256[:12]}...; download the file again or correct the manifest"
            )
        try:
            wanted = entry.manifest.postprocess.outputs.values()
            session = Session(entry.weights, entry.manifest.threads, self._providers, wanted)
        except BadModel:
            state_of(entry.weights)  # where they have gone meanwhile, nothing is wrong with the model
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


def _with_state(entry: InstalledModel) -> InstalledModel:
    try:
        return replace(entry, state=state_of(entry.weights)) if entry.weights else entry
    except ModelUnavailable as error:
        return replace(entry, weights=None, reason=str(error))


def _scan(folder: Path) -> Iterator[InstalledModel]:
    """Models in a folder: the folder itself, the folders and .onnx files in it; or a single .onnx file."""
    declared = declaration_of(folder)
    if declared:
        yield _declared(declared)
    elif folder.is_file():
        yield _recognized(_name_of(folder), folder)
    elif (folder / "config.json").is_file() and not any(folder.glob("*.onnx")):
        yield _recognized(folder_name(folder), folder)  # Hugging Face's layout: the weights are in onnx/
    elif folder.is_dir():
        for child in sorted(folder.iterdir()):
            if child.is_dir() and (child / MANIFEST_FILE).is_file():
                yield _declared(child / MANIFEST_FILE)
            elif child.is_dir() and not child.name.startswith((".", "_")):
                yield _recognized(child.name, child)
            elif child.suffix == ".onnx":
                yield _recognized(_name_of(child), child)
    else:
        yield InstalledModel(folder.name, folder, reason=f"{folder} does not exist")


def _name_of(file: Path) -> str:
    """The name of a loose .onnx file: its own, or its folder's where it is alone there (but for variants, such as
    model_quantized.onnx) and called as exporters call every model."""
    from inference.recognize._export import PLAIN_NAMES  # lazily: most models have a manifest

    if file.stem not in PLAIN_NAMES or any(not f.stem.startswith(file.stem) for f in file.parent.glob("*.onnx")):
        return file.stem
    return folder_name(file.parent)


def _declared(path: Path) -> InstalledModel:
    try:
        manifest = read_manifest(path)
    except BadManifest as error:
        return InstalledModel(folder_name(path.parent), path, reason=str(error))
    return InstalledModel(manifest.name, path, manifest)


def _recognized(name: str, path: Path) -> InstalledModel:
    from inference.recognize import examine, manifest_of  # lazily: most models have a manifest

    try:
        export, draft = examine(path)
        # called as routes call it, in results too, whatever the file is called
        manifest = replace(manifest_of(export, draft), name=name)
        if set(manifest.postprocess.outputs.values()) <= set(export.outputs):  # others are put out when it is loaded
            kind_of(manifest)(manifest, export.session, "")  # so that what no upload could be run with is listed so
        return InstalledModel(name, path, manifest, assumed=draft.assumed)
    except DropsightError as error:
        return InstalledModel(name, path, reason=str(error))
