"""Models that serve although nothing of them is in the container any more: what is deleted is often uploaded again, and
the uploads that come in between are not to wait for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from pathlib import PurePosixPath

from cloud.models.pointer import read_pointer
from cloud.settings import MODELS, STATE
from cloud.storage.containers import Storage
from inference.engine.changes import SERVES_ON_S, clock_time
from inference.errors import Transient

log = logging.getLogger(__name__)

_NOTED = "models/left/"


class Leaving:
    """Of a process, by its own clock. gone: what serves no more, with what to do."""

    def __init__(self, storage: Storage, clock: Callable[[], float]) -> None:
        self._storage, self._clock = storage, clock
        self._until: dict[str, float] = {}
        self.gone: dict[str, str] = {}

    @property
    def words(self) -> dict[str, str]:
        """What serves although it has left, with until when."""
        return {name: in_words(until - self._clock()) for name, until in self._until.items()}

    def begin(self, listed: Collection[str]) -> dict[str, float]:
        """Of what left before this process began: seconds for which others serve on. What is over is `gone`."""
        noted = {name: left for name, left in _noted(self._storage).items() if name not in listed}
        self.gone |= {name: _gone(name) for name in noted}
        return {name: left for name, left in noted.items() if left > 0}

    def goes_on(self, name: str, left_s: float) -> None:
        """It serves here, too, for so many seconds."""
        del self.gone[name]
        self._until[name] = self._clock() + left_s
        log.warning("model %s: %s", name, self.words[name])

    def look(self, serving: Collection[str], listed: Collection[str]) -> tuple[list[str], bool]:
        """(which of those that serve do so no more, whether any that was gone is back), as they are `listed` now."""
        for name in [name for name in self._until if name in listed]:
            del self._until[name]
            log.info("model %s is in the container again", name)
            self._note(name, None)
        over = []
        for name in [name for name in serving if name not in listed and name not in self._until]:
            if read_pointer(self._storage, name):  # a rollback to before the first release: it is meant, and at once
                log.warning("model %s left the container", name)
                over.append(name)
                continue
            self._until[name] = self._clock() + SERVES_ON_S
            log.warning("model %s: %s", name, self.words[name])
            self._note(name, time.time() + SERVES_ON_S)
        late = [name for name, until in self._until.items() if self._clock() >= until]
        for name in late:
            del self._until[name]
            self.gone[name] = _gone(name)
            log.warning("model %s does not serve any more: it left the container", name)
        back = [name for name in self.gone if name in listed]
        for name in back:
            del self.gone[name]
            self._note(name, None)
        return over + late, bool(back)

    def _note(self, name: str, until: float | None) -> None:
        """For the listing, which is another process."""
        try:
            if until is None:
                self._storage.delete(STATE, f"{_NOTED}{name}.json")
            else:
                self._storage.write_json(STATE, f"{_NOTED}{name}.json", {"model": name, "until": until})
        except Transient as error:
            log.warning("that model %s left is not written down: %s", name, error)


def noted(storage: Storage) -> dict[str, str]:
    """What processes of the app serve although it has left, as they noted it."""
    return {name: in_words(left) for name, left in _noted(storage).items() if left > 0}


def _noted(storage: Storage) -> dict[str, float]:
    """Seconds for which what has left is served on; 0 where that is over."""
    found = {}
    for blob in (blob for page in storage.pages(STATE, _NOTED) for blob in page.blobs):
        try:
            stored = storage.read_json(STATE, blob.name)
            left = float(stored[0]["until"]) - time.time() if stored else 0.0
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError):  # written by somebody else
            continue
        if left <= SERVES_ON_S:  # else of a clock that was turned since
            found[PurePosixPath(blob.name).stem] = max(0.0, left)
    return found


def _gone(name: str) -> str:
    return f"no model is called {name!r}: it left the container `{MODELS}`; put it back"


def in_words(left_s: float) -> str:
    """What is to be said of a model that serves for so many seconds more."""
    return (
        f"it left the container `{MODELS}`, and serves until {clock_time(left_s)}; then its uploads wait: put it back, "
        "or take it out of the routes"
    )
