"""Files of a model that are not those any more that serve: are they still being written, and what of them was tried?"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inference.engine.folders import InstalledModel
from inference.engine.stamps import Stamp, stamp_of
from inference.engine.weights import FileState, refuse_what_has_gone, state_of
from inference.errors import ModelUnavailable

# Files arrive one after the other: a folder is read again when nothing of it has changed for so long ...
STILL_S = 5.0
# ... and for so long where some of its files are still those that serve, or missing: the others may be on their way,
# and labels of one model are never to name what another finds.
PARTLY_S = 30.0
# ... and for so long where a graph is new and the weights beside it (model.onnx.data) are not: these take minutes over
# a slow line, and with those of the model before they make a third one, which answers without a word.
SPLIT_S = 600.0
# An app that starts takes what has lain still for so long: nothing of it serves that a mixture could come of.
SETTLE_S = 2.0
# What was written so long ago lies still, whenever it is first looked at.
_OLD_S = 60.0
# A model whose files are gone serves on from memory for so long, so that a folder can be put in place of another.
SERVES_ON_S = 600.0

Found = tuple[Stamp, FileState | None]


def found_of(entry: InstalledModel) -> Found:
    """What lies now where an entry was read; a few file times, and nothing of what is in the files."""
    state = None
    with suppress(ModelUnavailable):  # they are gone
        state = state_of(entry.weights) if entry.weights else None
    return stamp_of(entry.root) if entry.root else Stamp(), state


@dataclass
class Change:
    """found: what lies there now. since: by the registry's clock, when it was first seen so. why: that it cannot be
    used, where it was read; empty before. read: when that was. until: by the same clock, how long the model in memory
    serves on; None: as long as it is there."""

    found: Found
    since: float
    why: str = ""
    read: float = 0.0
    until: float | None = None

    def is_to_be_read(self, now: float) -> bool:
        """Whether nobody has read it, or so long ago that weights from elsewhere may have come."""
        return not self.why or now - self.read >= _OLD_S

    def is_still(self, entry: InstalledModel, now: float) -> bool:
        """Whether nothing has been written, added or taken away for long enough."""
        kept = set(self.found[0].files) & set(entry.stamp.files)
        missing = {file[0] for file in entry.stamp.files} - {file[0] for file in self.found[0].files}
        wait = PARTLY_S if kept or missing else STILL_S
        if is_split(entry.state, self.found[1]):
            wait = SPLIT_S
        old = max(wait, _OLD_S)
        if entry.root and self.found[0].age_s(entry.root) >= old and _age_s(self.found[1]) >= old:
            return True
        return now - self.since >= wait


def is_split(before: FileState | None, now: FileState | None) -> bool:
    """Whether the graph is another one, and external data of it is still that of the model before."""
    if before is None or now is None:
        return False
    return now._replace(data=()) != before._replace(data=()) and not set(now.data).isdisjoint(before.data)


def refuse_gone(entry: InstalledModel) -> None:
    """Raises ModelUnavailable where a model's folder, or a file of its weights, is not there any more."""
    if entry.root and (why := _not_there(entry.root)):
        raise ModelUnavailable(f"{entry.root}: {why}, or take the model out of the routes")
    if entry.state:
        refuse_what_has_gone(entry.state)


def is_gone(root: Path) -> bool:
    """Whether nothing is there; not where nobody can tell, as while a share does not answer."""
    return _not_there(root) == _GONE


def _not_there(root: Path) -> str:
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _GONE
    except OSError as error:
        return f"it cannot be read now ({error.strerror}); mend the share, the link or its rights"
    return ""


_GONE = "it is gone; put it back"


def _age_s(state: FileState | None) -> float:
    if state is None:
        return _OLD_S
    files = (state, *(file for _, file in state.data))
    return time.time() - max(max(file.mtime_ns, file.ctime_ns) for file in files) / 1e9


def clock_time(in_s: float) -> str:
    """The time of day that is so many seconds away, for people."""
    return time.strftime("%H:%M UTC", time.gmtime(time.time() + in_s))


AGAIN = "they are used once they lie still"


def refuse_changed(entry: InstalledModel) -> None:
    """Raises ModelUnavailable where the files are not those that the entry was read from."""
    refuse_gone(entry)
    if found_of(entry) != (entry.stamp, entry.state):
        raise ModelUnavailable(f"{entry.root}: its files changed while they were read; {AGAIN}")
