"""Up to when the index is known to be whole: `state/index.json`, which a pass of the reconcile moves at its end."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

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
    """Up to when (ISO) all receipts have their rows, in which table, of which kind."""

    through: str
    table: str
    rows: int = VERSION


def read_mark(storage: Storage, table: UploadTable) -> datetime | None:
    """Up to when the index of this table is known to be whole; None where it is not. Two calls."""
    try:
        stored = storage.read(STATE, MARK, _MARK_BYTES)
        if stored is None:
            return None
        mark = build(IndexMark, json.loads(stored[0]), f"{STATE}/{MARK}")
        through = datetime.fromisoformat(mark.through)
    except (ValueError, RecursionError, BadManifest, LimitExceeded, Conflict) as error:
        log.warning("%s/%s is no mark (%s): the index is compared as a whole", STATE, MARK, printable(str(error)[:200]))
        return None
    if (mark.table, mark.rows) != (table.id(), VERSION):
        return None
    # By the clock of storage: never more than there was when it was written.
    return min(through if through.tzinfo else through.replace(tzinfo=UTC), stored[1].modified)


def write_mark(storage: Storage, table: UploadTable, through: datetime) -> None:
    """Note that all receipts that were written before have their rows; two calls."""
    storage.write_json(STATE, MARK, asdict(IndexMark(through.isoformat(), table.id())))
