"""Finds models in folders, loads them once, keeps them while memory allows.

A model is one moment of its files: weights, manifest and labels that were read together, under the digest of just
these. What changes on disk serves once it has lain still, all of it at once; until then, and where it cannot be used,
what is in memory serves on under its own digest.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from inference.engine.changes import (
    AGAIN,
    SERVES_ON_S,
    SETTLE_S,
    Change,
    clock_time,
    found_of,
    is_gone,
    refuse_changed,
    refuse_gone,
)
from inference.engine.first_run import refuse_untried
from inference.engine.folders import InstalledModel as InstalledModel
from inference.engine.folders import one_sentence, read_model
from inference.engine.installed import InstalledModels
from inference.engine.kept_models import KeptModels
from inference.engine.kinds import kind_of
from inference.engine.model import Loaded, Model
from inference.engine.resolving import Resolver, other_sha256
from inference.engine.run_budget import RUN_SECONDS
from inference.engine.session import NoSession, Session, providers_named
from inference.engine.stamps import Stamp
from inference.engine.weights import BUILT_IN as BUILT_IN
from inference.engine.weights import Weights, hash_of_state, public_folder
from inference.errors import BadModel, DropsightError, ModelUnavailable, OutOfMemory, Permanent
from inference.machine import memory_limit

log = logging.getLogger(__name__)


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
        run_seconds: float = RUN_SECONDS,
        settle: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """folders: earlier ones win where two have a model of the same name; None reads DROPSIGHT_MODELS.

        providers: of onnxruntime, best first; None reads DROPSIGHT_PROVIDERS ("cuda,cpu"). allow_research: None reads
        DROPSIGHT_ALLOW_RESEARCH_MODELS. memory: bytes that cached weights may take; None is a quarter of what this
        process may use. run_seconds: see RunBudget. settle: no files are used that were written a moment ago, as others
        may be on their way (`digest` sleeps for that moment); without it only a model in memory is replaced by none but
        files that lie still.
        """
        folders = list(folders) if folders is not None else folders_from_environment()
        allow = research_allowed() if allow_research is None else allow_research
        self._resolver = Resolver(weights or Weights.from_environment(), allow)
        self._providers = tuple(providers or providers_named(os.environ.get("DROPSIGHT_PROVIDERS", "")))
        self._run_seconds, self._settle, self._clock, self._sleep = run_seconds, settle, clock, sleep
        self._lock = threading.RLock()
        self._gates: dict[str, threading.RLock] = {}
        self._loaded = KeptModels(memory if memory is not None else memory_limit() // 4, self._lock)
        self._installed = InstalledModels(folders, self._resolver, self._forget, self._lock, clock)
        self._digests: dict[str, tuple[InstalledModel, str]] = {}
        self._changes: dict[str, Change] = {}
        self._settled: dict[str, tuple[Stamp, float]] = {}
        self._whole: frozenset[Path] = frozenset()

    def list(self) -> list[InstalledModel]:
        """All models, usable or not, in the order of the folders."""
        return list(self._installed.by_name().values())

    def refresh(self) -> None:
        """Look at the folders again, whether they lie still or not; models whose manifest or weights changed are
        loaded anew when next asked for."""
        self._installed.refresh()

    def use(
        self, folders: Sequence[Path], refused: Mapping[str, str] | None = None, whole: Iterable[Path] = ()
    ) -> None:
        """Look in these folders from now on. Whoever holds a model keeps it; the next call gives the new model.

        refused: why models are in none of them that whoever calls this knows of; said to those who ask for them.
        whole: those of the folders that nothing is added to any more.
        """
        with self._lock:
            self._installed.refused, self._whole = dict(refused or {}), frozenset(whole)
            self._installed.use(folders)

    def _forget(self, names: Iterable[str]) -> None:
        names = [*names]
        self._loaded.forget(names)
        for name in names:
            self._changes.pop(name, None)

    def entry(self, name: str) -> InstalledModel:
        """The usable entry of that name. Raises BadModel with the reason, or with the names that there are."""
        return self._installed.entry(name)

    def model(self, name: str) -> Model:
        """The model of pictures of that name, loaded on first use. Raises BadModel or BadManifest, ModelUnavailable."""
        model = self.load(name)
        if not isinstance(model, Model):
            raise BadModel(f"model {name!r} does {model.manifest.task}: it takes clips; analyse a video with it")
        return model

    def load(self, name: str) -> Loaded:
        """The model of that name, of whatever kind, loaded on first use. Raises as `model`."""
        if model := self._loaded.get(name):
            model.session.budget.refuse_endless(name)
            return model
        with self._gate(name):  # two threads must not load the same file twice, nor a model hold up another
            if model := self._loaded.get(name):
                return model
            entry = self._looked(name)
            try:
                model, size = self._load(entry)
            except OutOfMemory:
                if not self._loaded.make_room():
                    raise
                model, size = self._load(entry)
            with self._lock:
                if self._installed.by_name().get(name) == entry:  # else swapped meanwhile: good for this caller only
                    self._loaded.keep(name, model, size)
            return model

    def _gate(self, name: str) -> threading.RLock:
        with self._lock:
            return self._gates.setdefault(name, threading.RLock())

    def _load(self, entry: InstalledModel) -> tuple[Loaded, int]:
        """(the model of just these files, bytes of its weights). Raises ModelUnavailable where they are others now."""
        try:
            model, size = self._opened(entry)
        except (DropsightError, MemoryError):
            refuse_changed(entry)  # nothing is wrong with the model where it is being written, or gone
            raise
        except Exception as error:  # of a head, about values of a manifest that nobody foresaw
            raise BadModel(one_sentence(entry.path, error)) from error
        refuse_changed(entry)
        model.digest = self._digest_of(entry)
        return model, size

    def _opened(self, entry: InstalledModel) -> tuple[Loaded, int]:
        assert entry.manifest is not None
        kind = kind_of(entry.manifest)
        if entry.weights is None or entry.state is None:
            return kind(entry.manifest, NoSession(), ""), 0
        sha256 = hash_of_state(entry.state)
        if entry.manifest.sha256 and sha256 != entry.manifest.sha256:
            raise BadModel(other_sha256(entry.weights, sha256, entry.manifest.sha256))
        refuse_untried(entry.root or entry.weights, entry.weights)
        wanted = entry.manifest.postprocess.outputs.values()
        session = Session(entry.weights, entry.manifest.threads, self._providers, wanted, self._run_seconds)
        return kind(entry.manifest, session, sha256), entry.state.bytes

    def digest(self, name: str) -> str:
        """Hex sha256 of everything that decides the predictions of what `load` gives: weights and manifest.

        Looks at the files first: what changed serves from now on if it lies still. Raises BadModel as `entry`,
        ModelUnavailable where the files are being replaced, or gone, and the model is not in memory.
        """
        gate = self._gate(name)
        if not gate.acquire(blocking=not self._loaded.get(name)):
            return self._digest_of(self.entry(name))  # somebody else looks, and until then it serves on
        try:
            entry = self._looked(name)
            if (left_s := self._unsettled_s(entry)) > 0:
                self._sleep(left_s)  # a moment, and nobody has to come again: who waits for the sweep waits for minutes
                entry = self._looked(name)
                if self._unsettled_s(entry) > 0:
                    raise ModelUnavailable(f"{entry.root}: its files came a moment ago; {AGAIN}")
            return self._digest_of(entry)
        finally:
            gate.release()

    def _digest_of(self, entry: InstalledModel) -> str:
        known = self._digests.get(entry.name)
        if known and known[0] is entry:
            return known[1]
        assert entry.manifest is not None
        facts = {k: v for k, v in asdict(entry.manifest).items() if k != "folder"}
        weights = hash_of_state(entry.state) if entry.state else ""
        digest = hashlib.sha256(f"{weights} {sorted(facts.items())!r}".encode()).hexdigest()
        self._digests[entry.name] = (entry, digest)
        return digest

    def look(self, name: str) -> None:
        """Take what changed in the files of a model, if it lies still, as `digest` does."""
        with suppress(DropsightError), self._gate(name):
            self._looked(name)

    def trouble(self, name: str) -> str:
        """Why what lies in the place of a model is not what serves; empty where it is, or is being written just now."""
        self.look(name)
        change = self._changes.get(name)
        if change is None or not change.why:
            return ""
        if not self._loaded.get(name):
            return change.why
        until = "" if change.until is None else f" until {clock_time(change.until - self._clock())}"
        return f"{change.why}; what was loaded before serves on{until and f'{until}, then its uploads wait'}"

    def _looked(self, name: str) -> InstalledModel:
        """The entry that serves after a look at its files. Raises as `digest`. Its gate must be held."""
        entry, loaded = self.entry(name), self._loaded.get(name)
        found = found_of(entry)
        if found == (entry.stamp, entry.state):
            self._changes.pop(name, None)
            return entry
        change = self._changes.get(name)
        if change is None or change.found != found:
            change = self._changes[name] = Change(found, self._clock(), until=change.until if change else None)
        if change.is_to_be_read(self._clock()):
            try:
                refuse_gone(entry)
                if not (loaded or self._settle) or change.is_still(entry, self._clock()):
                    return self._replaced(entry, loaded)
            except (ModelUnavailable, Permanent) as error:
                if not self._loaded.get(name):
                    if isinstance(error, ModelUnavailable) and self._has_moved(entry):
                        return self.entry(name)
                    raise
                if change.why != str(error):
                    log.warning("model %s: %s; what was loaded before serves on", name, error)
                change.why, change.read = str(error), self._clock()
                if isinstance(error, ModelUnavailable):
                    change.until = change.until or self._clock() + SERVES_ON_S
        if change.until is not None and change.why and self._clock() >= change.until:
            self._loaded.forget([name])
        if not self._loaded.get(name):
            if self._has_moved(entry):
                return self.entry(name)
            raise ModelUnavailable(change.why or f"{entry.root}: its files are being replaced; {AGAIN}")
        return entry

    def _has_moved(self, entry: InstalledModel) -> bool:
        """Whether its folder is gone for good, as another place has a model of that name."""
        return entry.root is not None and is_gone(entry.root) and self._installed.moved(entry)

    def _replaced(self, entry: InstalledModel, loaded: Loaded | None) -> InstalledModel:
        """The entry of what lies in its place now, which serves from now on. Raises Permanent where it cannot be used,
        and ModelUnavailable where it changed again."""
        assert entry.root is not None
        name = entry.name
        now = self._resolver.one(read_model(entry.root), self._installed.by_name())
        if loaded and now.reason:
            raise (ModelUnavailable if now.passing else BadModel)(now.reason)
        if now.name != name:
            raise BadModel(f"{now.path}: the model is called {now.name!r} now, and its route says {name!r}")
        kept = self._loaded.sized(name)
        if kept and self._digest_of(now) != kept[0].digest:
            kept = self._load(now)  # before the old one goes
        with self._lock:
            self._installed.replace(now)
            self._forget([name])
            self._settled[name] = (now.stamp, float("-inf"))
            if kept:
                self._loaded.keep(name, *kept)
        log.info("model %s: its files changed; they serve from now on as they are", name)
        return self.entry(name)

    def _unsettled_s(self, entry: InstalledModel) -> float:
        """How long others may follow the files, which came shortly before they were read; 0 for all that lies still."""
        if not self._settle or not entry.root or entry.root.parent in self._whole:
            return 0.0
        stamp, since = self._settled.get(entry.name, (None, 0.0))
        now = self._clock()
        if stamp != entry.stamp:
            since = float("-inf") if entry.stamp.age_s(entry.root) >= SETTLE_S else now
            self._settled[entry.name] = (entry.stamp, since)
        return max(0.0, SETTLE_S - (now - since))
