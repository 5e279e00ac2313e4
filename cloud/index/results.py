"""The results of a range of time from the rows of what ended, in place of a listing of the container."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from cloud.index.default import default_tables
from cloud.index.mark import read_mark
from cloud.index.table import EndedRow, UploadTable
from cloud.settings import RESULTS, BadSettings
from cloud.storage.containers import BlobInfo, Storage, default_storage
from cloud.storage.paths import record_path
from inference.errors import StorageUnavailable
from inference.threads import begin_thread

log = logging.getLogger(__name__)

# Rows say to a second or so when a result was written, and to minutes where storage was slow to answer: whoever is as
# close as this to a bound is looked at.
NEAR = timedelta(minutes=5)
_HOUR_S = 3600
_SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class IndexedResults:
    """The results that the table knows: all that were written before `through`."""

    storage: Storage
    table: UploadTable
    through: datetime

    def since(self, moment: datetime | None) -> Iterator[BlobInfo]:
        """The result documents that were written since then, in no exact order; `modified` is in the right hour. Those
        without an ETag were not looked at: their moment is right to some minutes. A call for 1,000, and one for each
        that is close to the moment or to a full hour."""
        rows = (row for row in self.table.ended(moment - NEAR if moment else None) if row.result)
        with ThreadPoolExecutor(_SIDE_BY_SIDE, "dropsight-results", begin_thread()) as pool:
            while group := list(islice(rows, 1000)):
                for blob in pool.map(lambda row: self._found(row, moment), group):
                    if blob and (moment is None or blob.modified >= moment):
                        yield blob

    def _found(self, row: EndedRow, bound: datetime | None) -> BlobInfo | None:
        path = f"{record_path(row.name)}/result.json"
        if row.exact or not (_is_near_an_hour(row.at) or (bound and abs(row.at - bound) <= NEAR)):
            return BlobInfo(path, "", 0, row.at, row.at)
        return self.storage.head(RESULTS, path)


def _is_near_an_hour(moment: datetime) -> bool:
    seconds = moment.timestamp() % _HOUR_S
    return min(seconds, _HOUR_S - seconds) <= NEAR.total_seconds()


def default_results() -> IndexedResults | None:
    """Of this process's account; None where there is no table, where nobody has filled it so far, or where it does not
    answer: whoever asks then lists the results."""
    try:
        table = default_tables().table()
        through = read_mark(default_storage(), table).until if table else None
        return IndexedResults(default_storage(), table, through) if table and through else None
    except (BadSettings, StorageUnavailable) as error:
        log.info("results are listed, as the index does not know them: %s", error)
        return None
