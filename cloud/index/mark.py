"""Up to when the index is known to be whole: `state/index.json`, which a pass of the reconcile moves at its end."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import datetime

from cloud.index.rows import VERSION
from cloud.index.table import UploadTable
from cloud.settings import STATE
from cloud.storage.containers import Conflict, Storage
from cloud.storage.paths import printable
from inference.errors import BadManifest, LimitExceeded
from inference.tables import build

log = logging.getLogger(__name__)

MARK = "index.json"
_MARK_BYTES = 4096


@dataclass(frozen=True)
class IndexMark:
    """Up to when (ISO; "": never) all receipts have their rows, in which table, of which kind.

    begun, token: of a pass that had no time to come to its end, where the next one goes on in the list of receipts;
    left: how many rows it could not write.
    """

    through: str
    table: str
    rows: int = VERSION
    begun: str = ""
    token: str = ""
    left: int = 0

    @property
    def until(self) -> datetime | None:
        """`through` as a moment."""
        return datetime.fromisoformat(self.through) if self.through else None


def read_mark(storage: Storage, table: UploadTable) -> IndexMark:
    """What is known of the index of this table; two calls."""
    nothing = IndexMark("", table.id())
    try:
        stored = storage.read(STATE, MARK, _MARK_BYTES)
        if stored is None:
            return nothing
        mark = build(IndexMark, json.loads(stored[0]), f"{STATE}/{MARK}")
        moments = [datetime.fromisoformat(text) for text in (mark.through, mark.begun) if text]
        # By the clock of storage: never more than there was when it was written.
        if any(moment.tzinfo is None or moment > stored[1].modified for moment in moments):
            raise ValueError("it speaks of a moment after it was written")
    except (ValueError, TypeError, RecursionError, BadManifest, LimitExceeded, Conflict) as error:
        log.warning("%s/%s is no mark (%s): the index is compared as a whole", STATE, MARK, printable(str(error)[:200]))
        return nothing
    return mark if (mark.table, mark.rows) == (nothing.table, VERSION) else nothing


def write_mark(storage: Storage, mark: IndexMark) -> None:
    """Keeps a mark; a call."""
    storage.write_json(STATE, MARK, asdict(mark))
