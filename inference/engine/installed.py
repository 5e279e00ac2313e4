"""The models that lie in folders, by name, as they were when they were read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from inference.engine.changes import STILL_S
from inference.engine.folders import InstalledModel, models_in
from inference.engine.resolving import Resolver
from inference.errors import BadModel, ModelUnavailable
from inference.tables import closest, nearest

# Called with the names whose entries are others now.
OnChange = Callable[[Iterable[str]], None]


class InstalledModels:
    """Names and entries. Safe to use from many threads; `lock` is held while they change."""

    def __init__(
        self,
        folders: Sequence[Path],
        resolver: Resolver,
        on_change: OnChange,
        lock: threading.RLock,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folders, self._resolver, self._on_change = list(folders), resolver, on_change
        self._lock, self._clock = lock, clock
        self.refused: Mapping[str, str] = {}
        self._read: dict[Path, InstalledModel] = {}
        self._entries: dict[str, InstalledModel] | None = None
        self._next_look = 0.0

    def by_name(self) -> dict[str, InstalledModel]:
        """All, in the order of the folders; read when first asked for."""
        with self._lock:
            if self._entries is None:
                self._entries = self._listed()
            return self._entries

    def _listed(self) -> dict[str, InstalledModel]:
        """What lies in the folders now; what has kept its stamp is not read again."""
        entries: dict[str, InstalledModel] = {}
        read = [entry for folder in self.folders for entry in models_in(folder, self._read)]
        self._read = {entry.root: entry for entry in read if entry.root}
        for entry in read:
            entries.setdefault(entry.name, entry)
        self._next_look = self._clock() + STILL_S
        return self._resolver.resolved(entries)

    def refresh(self) -> None:
        """Read what has changed in the folders, whether it lies still or not."""
        with self._lock:
            self.by_name()
            self._take(self._listed())

    def use(self, folders: Sequence[Path]) -> None:
        """Look in these folders from now on. What has changed in folders that stay is left as it was read: whoever asks
        for it sees to that."""
        with self._lock:
            old, self.folders = self.by_name(), list(folders)
            now = self._listed()
            for name, entry in old.items():
                stays = entry.root and not {entry.root, entry.root.parent}.isdisjoint(self.folders)
                if stays and not entry.reason and (name not in now or now[name].root == entry.root):
                    now[name] = entry
            self._take(now)

    def _take(self, now: dict[str, InstalledModel]) -> None:
        old, self._entries = self.by_name(), now
        self._on_change([name for name in {*old, *now} if now.get(name) != old.get(name)])

    def replace(self, entry: InstalledModel) -> None:
        """The entry that was read anew."""
        with self._lock:
            self.by_name()[entry.name] = entry

    def moved(self, gone: InstalledModel) -> bool:
        """Whether another place has a usable model of that name, which is it from now on; at most every few seconds."""
        with self._lock:
            if self._clock() < self._next_look:
                return False
            now = self._listed().get(gone.name)
            if now is None or now.reason or now.root == gone.root:
                return False
            self.replace(now)
            self._on_change([now.name])
            return True

    def _looked_again(self) -> dict[str, InstalledModel]:
        """The entries, with what has come or was mended since they were last listed; at most every few seconds."""
        with self._lock:
            old = self.by_name()
            if self._clock() >= self._next_look:
                now = self._listed()
                good = {name: entry for name, entry in old.items() if not entry.reason}
                self._take({name: good.get(name, entry) for name, entry in now.items()} | good)
            return self.by_name()

    def entry(self, name: str) -> InstalledModel:
        """The usable entry of that name. Raises BadModel with the reason, or with the names that there are;
        ModelUnavailable while it is being tried."""
        entries = self.by_name()
        if name not in entries or entries[name].reason:
            entries = self._looked_again()
        if name not in entries:
            if why := self.refused.get(name):
                raise BadModel(why if repr(name) in why else f"model {name!r} is refused: {why}")
            for other in entries.values():
                if other.unused and other.path.stem == name:
                    raise BadModel(f"no model is called {name!r}; {other.name} cannot be used: {other.reason}")
            raise BadModel(f"no model is called {name!r}{_hint(name, entries.values())}")
        entry = entries[name]
        if entry.reason:
            kind = ModelUnavailable if entry.passing else BadModel
            raise kind(f"model {name!r} cannot be used: {entry.reason}")
        return entry


def _hint(name: str, entries: Collection[InstalledModel]) -> str:
    """Which model may be meant, of those here or of the catalog."""
    from inference.engine.catalog import names_in  # lazily: only mistakes need it

    usable = [e.name for e in entries if not e.reason]
    public = [n for n in names_in() if n not in usable]
    broken = {e.name: e.reason for e in entries if e.reason and not e.unused}
    if name not in public and (near := closest(name, [*usable, *broken])) in broken:
        return f"; did you mean {near!r}? It cannot be used: {broken[near]}"
    close = name if name in public else closest(name, [*usable, *public])
    if close in public:
        meant = "it is in the catalog:" if close == name else f"did you mean {close!r} of the catalog?"
        return f"; {meant} `python -m inference models pull {close}` fetches it"
    return nearest(name, usable) if usable else "; the folders of models hold none that can be used"
