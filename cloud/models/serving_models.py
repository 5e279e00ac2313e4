"""Hot swap: the running app notices what changed in the container `models` and serves it without a restart.

A model is fetched once per process, verified, and put in place between two uploads; a running analysis keeps
the model it has. What does not verify is refused, visibly, and the old model keeps serving.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath
from weakref import finalize

from cloud.models.canary import verify
from cloud.models.leaving import Leaving
from cloud.models.model_files import in_our_words
from cloud.models.pointer import BY_HAND
from cloud.models.snapshots import Good, Snapshot, contents, fetch, good_version, last_good, remember_good
from cloud.models.trials import Trials
from cloud.settings import MODELS, STATE
from cloud.storage.containers import Storage
from cloud.storage.paths import printable
from inference.engine.changes import SPLIT_S
from inference.engine.other_formats import is_onnx, kind_by_name
from inference.engine.registry import Registry, folders_from_environment
from inference.errors import DropsightError, Transient

log = logging.getLogger(__name__)

# Files dropped by hand arrive over some time: a folder is looked at when its newest file has lain still so long; where
# some of its files are still those that serve, or missing, the others may be on their way, and it takes longer.
STILL_S = 5.0
PARTLY_S = 30.0
_DATA = re.compile(r"([._]data(_\d+)?|\.bin|\.weight)$")  # of weights beside their graph, as exporters call them


class ServingModels:
    """Keeps a registry in step with the container. Shared by all threads of a process."""

    def __init__(
        self,
        storage: Storage,
        registry: Registry,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
        trials: Trials | None = None,
    ) -> None:
        """trials: those that decide what this process opens, for their words."""
        self._storage, self._registry, self._every_s, self._clock = storage, registry, every_s, clock
        self._trials = trials
        self._base = folders_from_environment()
        self._root = Path(tempfile.mkdtemp(prefix="dropsight-models-"))
        finalize(self, shutil.rmtree, self._root, ignore_errors=True)
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._serving: dict[str, tuple[Snapshot, Path]] = {}
        self._before: dict[str, Path] = {}
        self._seen: dict[str, tuple[str, float]] = {}  # name -> digest of what lies there now, since when
        self._blocks: dict[str, dict[str, int]] = {}  # name -> of its files, bytes that are there and not committed
        self._leaving = Leaving(storage, clock)
        self.refused: dict[str, tuple[str, str]] = {}  # name -> digest, why
        self.waiting: dict[str, str] = {}  # name -> why what lies there does not serve yet
        self.unused: dict[str, str] = {}  # what lies there and is no model -> what to do

    @property
    def versions(self) -> dict[str, str]:
        """What serves from the container: version by model."""
        return {name: snapshot.version for name, (snapshot, _) in self._serving.items()}

    @property
    def leaving(self) -> dict[str, str]:
        """What serves although it has left the container, with until when."""
        return self._leaving.words

    def refresh(self) -> None:
        """Look at the container if it is time to. One thread looks; others go on with what they have.

        Raises Transient where the first look of a process fails.
        """
        if self._clock() < self._next:
            return
        # Only the very first look is waited for, and must succeed: before it nobody knows what ought to serve.
        first = self._next == float("-inf")
        if not self._lock.acquire(blocking=first):
            return
        try:
            if self._clock() >= self._next:
                self._look()
                self._next = self._clock() + self._every_s
        except Exception as error:
            if first:
                raise
            self._next = self._clock() + self._every_s
            foreseen = isinstance(error, Transient)
            what = "the models container could not be looked at, the old models serve on: %s"
            log.warning(what, error, exc_info=None if foreseen else error)
        finally:
            self._lock.release()

    def _look(self) -> None:
        found, unused = contents(self._storage)
        for name in [name for name in unused if self.unused.get(name) != unused[name]]:
            log.warning("%s", printable(f"{MODELS}/{name} is not used: {unused[name]}"))
        self.unused = unused
        listed = {snapshot.name: snapshot for snapshot in found}
        begun = self._begin(listed) if self._next == float("-inf") else False
        changed, back = self._leaving.look(self._serving, listed)
        for name in changed:
            del self._serving[name]
        before = self.refused | self.waiting
        self.waiting = {name: why for name, why in self.waiting.items() if name in listed}
        for name in [name for name in self.refused if name not in listed]:
            del self.refused[name]
        try:
            for snapshot in listed.values():
                if self._take(snapshot):
                    changed.append(snapshot.name)
        finally:  # where storage fails in the middle: what was taken until then is not looked at again
            if begun or changed or back or self.refused | self.waiting != before:
                refused = {name: why for name, (_, why) in self.refused.items()}
                refused = self._leaving.gone | self.waiting | refused
                folders = [folder for _, folder in self._serving.values()]
                self._registry.use([*folders, *self._base], refused, whole=folders)

    def _begin(self, listed: Collection[str]) -> bool:
        """Serve what left before this process began, if others still do; whether anything left."""
        for name, left_s in self._leaving.begin(listed).items():
            if self._fall_back(name):
                self._leaving.goes_on(name, left_s)
        return bool(self._leaving.gone or self._leaving.words)

    def _take(self, snapshot: Snapshot) -> bool:
        """Fetch and verify a snapshot that is new to us; whether anything new serves from now on."""
        name = snapshot.name
        known = self._serving.get(name)
        if known and known[0].digest == snapshot.digest and _is_here(*known):
            self.refused.pop(name, None)  # what was refused since then is gone again
            return False
        if self.refused.get(name, ("", ""))[0] == snapshot.digest and not self._trial_refuses(snapshot):
            return False
        if snapshot.version == BY_HAND and not self._lies_still(snapshot):  # a release is whole with its pointer
            return known is None and self._fall_back(name)
        try:
            self._serve(snapshot)
        except Exception as error:  # the others serve on
            why = in_our_words(error)
            if words := self._trial_refuses(snapshot):
                self._refuse(snapshot, words)  # and looked at again: somebody may ask for another trial
            elif isinstance(why, Transient):
                self.refused.pop(name, None)
                self.waiting[name] = f"model {name!r} does not serve yet: {why}"
                log.warning("model %s %s is looked at again later: %s", name, snapshot.version, why)
            else:
                if not isinstance(error, DropsightError):
                    log.exception("model %s %s", name, snapshot.version)
                self._refuse(snapshot, str(why).replace(f"{self._root / snapshot.digest}{os.sep}", ""))
            return known is None and self._fall_back(name)
        self.refused.pop(name, None)
        self.waiting.pop(name, None)
        return True

    def _trial_refuses(self, snapshot: Snapshot) -> str:
        """Why its trial refuses it; empty where it does not, or that is not known yet."""
        return self._trials.refusal(self._root / snapshot.digest) if self._trials else ""

    def _lies_still(self, snapshot: Snapshot) -> bool:
        """Whether files dropped by hand may be taken for all of a model, and no mixture of two."""
        name, now = snapshot.name, self._clock()
        digest, since = self._seen.get(name, ("", now))
        if digest != snapshot.digest:
            digest, since = self._seen[name] = snapshot.digest, now
            if name in self._serving:
                log.info("model %s: its files in the container changed; they are used once they lie still", name)
        if snapshot.age_s < STILL_S:
            return False
        before = self._before_by_hand(snapshot)
        if before is None or before.digest == digest:
            return True
        # Copies of what was verified have other ETags.
        told_by = slice(None) if before.version == BY_HAND else slice(None, None, 2)
        told = {file[told_by] for file in before.files}
        kept = [file[0] for file in snapshot.files if file[told_by] in told]
        missing = {file[0] for file in before.files} - {file[0] for file in snapshot.files}
        if not kept and not missing:
            return True
        wait = SPLIT_S if _is_split(snapshot, kept) else PARTLY_S
        old = not missing and snapshot.age_s >= wait  # what was deleted has no time
        return (old or now - since >= wait) and not self._are_growing(snapshot, kept)

    def _before_by_hand(self, snapshot: Snapshot) -> Snapshot | None:
        """The files dropped by hand that others may have been put in place of: those that serve; in a process that has
        just begun, those that others serve. None where there are none, or these are the same."""
        known = self._serving.get(snapshot.name)
        if known is not None:
            return known[0] if known[0].was_by_hand else None
        good = good_version(self._storage, snapshot.name)
        same = good is None or good == Good.by_hand(snapshot)
        before = None if same else last_good(self._storage, snapshot.name)
        return before if before and before.was_by_hand else None

    def _are_growing(self, snapshot: Snapshot, kept: Iterable[str]) -> bool:
        """Whether new content of files that are still the old ones has come since the last look: what is uploaded block
        by block takes its place with the last one."""
        blocks = {name: self._storage.uncommitted(MODELS, snapshot.prefix + name) for name in kept}
        before = self._blocks.get(snapshot.name, {})
        self._blocks[snapshot.name] = blocks
        if all(size == before.get(name, 0) for name, size in blocks.items()):
            return False
        self._seen[snapshot.name] = snapshot.digest, self._clock()
        return True

    def _serve(self, snapshot: Snapshot) -> None:
        """Put a snapshot in place. Raises Permanent where it does not verify, Transient where it cannot be had."""
        name = snapshot.name
        folder = self._root / snapshot.digest
        if not _is_here(snapshot, folder):
            shutil.rmtree(folder, ignore_errors=True)
            half = Path(tempfile.mkdtemp(dir=self._root))
            try:
                fetch(self._storage, snapshot, half / name)
                half.rename(folder)
            except BaseException:  # it may be the disk that is full
                shutil.rmtree(half, ignore_errors=True)
                raise
        verify(folder, name)
        remember_good(self._storage, snapshot, folder / name)
        known = self._serving.get(name)
        before = self._before.pop(name, folder)
        if before != folder:  # a thread may be loading what served until now, none what served before that
            shutil.rmtree(before, ignore_errors=True)
        if known and known[1] != folder:
            self._before[name] = known[1]
        self._serving[name] = (snapshot, folder)
        log.info("model %s: %s serves from now on", name, snapshot.version)

    def _fall_back(self, name: str) -> bool:
        """In a process that has just begun: serve what other processes still serve, not nothing."""
        try:
            good = last_good(self._storage, name)
            if good is None:
                return False
            self._serve(good)
        except Exception as error:  # noqa: BLE001 - as in _take
            log.error("model %s: what served before cannot be had either: %s", name, error)
            return False
        return True

    def _refuse(self, snapshot: Snapshot, why: str) -> None:
        self.waiting.pop(snapshot.name, None)
        if self.refused.get(snapshot.name) == (snapshot.digest, why):
            return
        self.refused[snapshot.name] = (snapshot.digest, why)
        old = ", the old model serves on" if snapshot.name in self._serving else ""
        log.error("model %s: %s is refused%s: %s", snapshot.name, snapshot.version, old, why)
        record = {"model": snapshot.name, "version": snapshot.version, "digest": snapshot.digest, "why": why}
        try:
            self._storage.write_json(STATE, f"models/refused/{snapshot.name}.json", record)
        except Transient as error:  # the other models of this look are to serve all the same
            log.warning("the refusal of model %s is not written down: %s", snapshot.name, error)


def _is_split(snapshot: Snapshot, kept: Collection[str]) -> bool:
    """Whether a graph is new and weights beside it are not, as they may be long on their way."""
    graphs = [name for name, _, _ in snapshot.files if is_onnx(PurePosixPath(name))]
    data = [name for name in kept if _DATA.search(name) and not kind_by_name(PurePosixPath(name).name)]
    return any(name not in kept for name in graphs) and bool(data)


def _is_here(snapshot: Snapshot, folder: Path) -> bool:
    """Whether all its files are in its folder: of temporary folders, systems delete what is old."""
    return all((folder / snapshot.name / relative).is_file() for relative, _, _ in snapshot.files)
