"""The models of a process that are in memory: those used last, as many as may be."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from inference.engine.model import Loaded


class KeptModels:
    """Safe to use from many threads."""

    def __init__(self, memory: int, lock: threading.RLock) -> None:
        """memory: bytes that their weights may take together; the one used last stays whatever it takes."""
        self._memory, self._lock = memory, lock
        self._models: OrderedDict[str, tuple[Loaded, int]] = OrderedDict()

    def get(self, name: str) -> Loaded | None:
        found = self.sized(name)
        return found[0] if found else None

    def sized(self, name: str) -> tuple[Loaded, int] | None:
        """With the bytes of its weights."""
        with self._lock:
            if name in self._models:
                self._models.move_to_end(name)
            return self._models.get(name)

    def keep(self, name: str, model: Loaded, size: int) -> None:
        with self._lock:
            self._models[name] = (model, size)
            self._models.move_to_end(name)
            while sum(s for _, s in self._models.values()) > self._memory and len(self._models) > 1:
                self._models.popitem(last=False)

    def forget(self, names: Iterable[str]) -> None:
        with self._lock:
            for name in names:
                self._models.pop(name, None)

    def make_room(self) -> bool:
        """Forget all; whether there were any. Their memory comes free once nobody runs them."""
        with self._lock:
            were = bool(self._models)
            self._models.clear()
            return were
