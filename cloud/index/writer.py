"""Writes the rows of uploads behind the work: what ends within a moment goes into one transaction.

What has no rows yet is written as it ended. What has some is written anew from what its receipt says then (`truth`), in
the version of the anchor that was read before that: so the last writer says what a receipt of today says, in whatever
order notes arrive. Trouble of the table costs no upload anything: what is not written is restored by the sweep.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cloud.index.create import create_all, replace_rows
from cloud.index.rows import ENDED, Anchor, Note, id_of
from cloud.index.table import MOST_ROWS, UploadTable
from cloud.storage.paths import printable
from inference.errors import DropsightError, StorageUnavailable
from inference.threads import BeginThread, begin_thread

log = logging.getLogger(__name__)

LINGER_S = 0.2
_MOST_WAITING = 5_000  # uploads; what comes beyond that is left to the sweep
_IDLE_S = 10.0
_ROUNDS = 20
_MOST_KNOWN = 20_000
_SIDE_BY_SIDE = 4

# What the receipt of an upload says now, None where nothing of it is to be listed; a note that was made from that very
# version of the receipt is returned as it is, and saves calls. Raises StorageUnavailable.
Truth = Callable[[str, Note | None], Note | None]
# Tells others of an end, before its rows say that this was done. Raises StorageUnavailable.
Tell = Callable[[Note], None]


@dataclass(frozen=True)
class _Waiting:
    """An upload whose rows are to be written: as in `note`, or (None) as its receipt says. is_new: it has none yet, as
    far as anybody knows."""

    name: str
    note: Note | None
    begin: BeginThread
    is_new: bool = True


class IndexWriter:
    """The writer of a process. Safe to use from many threads. table_of: None where there are no tables."""

    def __init__(
        self, table_of: Callable[[], UploadTable | None], truth: Truth | None = None, linger_s: float = LINGER_S
    ) -> None:
        self._table_of, self.truth, self._linger_s = table_of, truth, linger_s
        self.tell: Tell = lambda _: None
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._oldest = 0.0
        self._flushing, self._busy = 0, False
        self._thread: threading.Thread | None = None
        self._known: OrderedDict[str, None] = OrderedDict()  # ids that have rows, as far as this process wrote them
        self._is_troubled = False

    def note(self, note: Note, *, is_new: bool = True) -> None:
        """Have what became of an upload written soon; no call, and never waits. is_new: nobody had it before, so that
        it has no rows; where that is wrong, the rows are right all the same, at some calls more."""
        self._add(_Waiting(note.entry.name, note, begin_thread(), is_new))

    def refresh(self, name: str) -> None:
        """Have an upload's rows written soon as its receipt says; no call, and never waits."""
        self._add(_Waiting(name, None, begin_thread()))

    def _add(self, waiting: _Waiting) -> None:
        upload = id_of(waiting.name)
        with self._changed:
            if upload not in self._waiting and len(self._waiting) >= _MOST_WAITING:
                self._tell("more uploads end than the table of the index takes; the sweep brings it up to date")
                return
            if not self._waiting:
                self._oldest = time.monotonic()
            # Twice of one upload: what the receipt says is newer than both.
            again = upload in self._waiting
            self._waiting[upload] = _Waiting(waiting.name, None, waiting.begin) if again else waiting
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dropsight-index", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Have all that waits written now; whether that was done in time."""
        end = time.monotonic() + timeout_s
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._waiting and not self._busy, end - time.monotonic())
            finally:
                self._flushing -= 1

    def stop(self) -> None:
        """Have what waits written while this process is being stopped, as far as there is time."""
        self.flush(0.5)

    def _run(self) -> None:
        while group := self._next():
            try:
                group[0].begin()
                self.write(group)
                self._is_troubled = False
            except DropsightError as error:
                self._tell(f"rows of {len(group)} uploads are left to the sweep: {error}")
            except Exception as error:  # noqa: BLE001 - the thread serves all uploads that follow
                self._tell(f"rows of {len(group)} uploads are left to the sweep: {type(error).__name__}: {error}")
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _next(self) -> list[_Waiting]:
        """What is written next, once it is a full group or the oldest has waited; empty after a while without any."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._waiting), _IDLE_S):
                self._thread = None
                return []
            left = self._oldest + self._linger_s - time.monotonic()
            self._changed.wait_for(lambda: self._flushing > 0 or len(self._waiting) >= MOST_ROWS // 3, max(left, 0.0))
            group: list[_Waiting] = []
            rows = 0
            while self._waiting:
                waiting = next(iter(self._waiting.values()))
                rows += len(waiting.note.rows) if waiting.note else 1
                if group and rows > MOST_ROWS:
                    break
                group.append(self._waiting.popitem(last=False)[1])
            self._oldest = time.monotonic()
            self._busy = True
            return group

    def write(self, group: Sequence[_Waiting]) -> None:
        """The rows of a group, whether some of them exist or not."""
        table = self._table_of()
        if table is None:
            for waiting in group:
                if waiting.note:
                    self.tell(waiting.note)
            return
        new, known = list[Note](), list[_Waiting]()
        for waiting in group:
            if waiting.note and waiting.is_new and id_of(waiting.name) not in self._known:
                new.append(waiting.note)
            else:
                known.append(waiting)
        for note in new:
            self.tell(note)
        existing = create_all(table, new)
        for note in new:
            self._keep_known(note.entry.name)
        again = [(w.name, w.note) for w in known] + [(note.entry.name, note) for note in existing]
        if again:  # most of the time of each is waiting
            with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(again)), "dropsight-index", group[0].begin) as pool:
                list(pool.map(lambda pair: self.settle(table, *pair), again))

    def _keep_known(self, name: str) -> None:
        self._known[id_of(name)] = None
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def settle(self, table: UploadTable, name: str, hint: Note | None = None, *, anew: bool = False) -> None:
        """Bring the rows of an upload to what its receipt says: some calls. anew: also rows that seem to say it. Raises
        StorageUnavailable."""
        if self.truth is None:
            return
        for _ in range(_ROUNDS):
            old = table.anchor(id_of(name))  # before the receipt is read: nobody who reads a newer one is undone
            note = self.truth(name, hint)
            if old is None and note is None:
                return
            if note and note.ends > (old.ends if old else 0):
                self.tell(note)
            # How far a job is stands in no receipt.
            is_news = anew or (note is not None and note is hint and note.entry.state == "working")
            is_right = old is not None and note is not None and not is_news and is_current(old, note)
            if is_right or replace_rows(table, old, note):
                return
        raise StorageUnavailable(f"{name}: its rows changed {_ROUNDS} times while they were being written")

    def _tell(self, what: str) -> None:
        """Once, until a group was written again."""
        if not self._is_troubled:
            log.warning("%s", printable(f"index: {what}"))
        self._is_troubled = True


def is_current(old: Anchor, note: Note) -> bool:
    """Whether the rows of an anchor say what a note says: they were made from the same version of the receipt."""
    entry = note.entry
    if not entry.receipt or entry.receipt != old.receipt:
        return False
    return {key for key in old.keys if not key.startswith(ENDED)} == {
        row["RowKey"] for row in note.rows[1:] if not row["RowKey"].startswith(ENDED)
    }
