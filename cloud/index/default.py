"""The index of this process's account: its table, or, where the account has none, listings of the containers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from azure.core.exceptions import AzureError, HttpResponseError

from cloud import connection
from cloud.index.entry import Entry, EntryPage, Index, Query
from cloud.index.listing import BlobListing
from cloud.index.rows import Note
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from cloud.once import once
from cloud.settings import current
from cloud.stopping import at_stop
from cloud.storage.blobs import code_of
from cloud.storage.containers import Storage, default_storage
from cloud.storage.reasons import reason_of

log = logging.getLogger(__name__)

_AGAIN_S = 60.0  # after so long a table service that did not answer is asked again
# Nobody is to wait long for a service that may not be there.
_QUICK = {"retry_total": 0, "connection_timeout": 5.0, "read_timeout": 10.0}
# Answers of accounts that have no tables; all others pass, as that to an identity whose role was given a moment ago.
_REFUSED = (400, 404, 405, 501)


class Tables:
    """Whether an account has tables that this app may use: asked when it is first needed, and decided once where the
    service says so. Safe to use from many threads."""

    def __init__(self, make: Callable[[], UploadTable]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._table: UploadTable | None = None
        self._ask_at = 0.0
        self._refused = False
        self.why = ""  # there are none; "" where there are, or nobody has asked

    def table(self) -> UploadTable | None:
        """The table; None where there is none, for now or for good."""
        if self._table is not None:
            return self._table
        with self._lock:
            if self._table is None and not self._refused and time.monotonic() >= self._ask_at:
                self._ask()
            return self._table

    def _ask(self) -> None:
        table = self._make()
        try:
            table.ensure(**_QUICK)
        except HttpResponseError as error:
            self._refused = error.status_code in _REFUSED
            self._say(f"the table service answers {error.status_code} {code_of(error)}{_remedy(error.status_code)}")
        except AzureError as error:
            self._say(f"the table service does not answer ({reason_of(error)})")
        else:
            self._table, self.why = table, ""

    def _say(self, why: str) -> None:
        if why != self.why:
            log.warning(
                "index: lists come from listings of the containers, which cannot be searched by labels: %s", why
            )
        self.why, self._ask_at = why, time.monotonic() + _AGAIN_S


def _remedy(status: int | None) -> str:
    if status in (401, 403):
        return "; give the app's identity the role Storage Table Data Contributor"
    return "; premium block blob accounts have no tables" if status in (400, 404, 501) else ""


class DefaultIndex:
    """The table where there is one, else the listings: an Index."""

    def __init__(self, tables: Tables, storage: Callable[[], Storage]) -> None:
        self.tables, self._storage = tables, storage

    def page(self, query: Query, cursor: str | None = None, size: int = 60) -> EntryPage:
        """See Index."""
        return self._now().page(query, cursor, size)

    def remove(self, names: Iterable[str]) -> None:
        """See Index."""
        self._now().remove(names)

    def _now(self) -> Index:
        return self.tables.table() or BlobListing(self._storage())


@once
def default_tables() -> Tables:
    """Of the account of the setting STORAGE_CONNECTION."""
    return Tables(lambda: UploadTable(connection.table_service(current().storage_connection)))


@once
def default_index() -> Index:
    """The index of this process's account."""
    return DefaultIndex(default_tables(), default_storage)


@once
def default_writer() -> IndexWriter:
    """What writes the index of this process's account; `truth` is given to it where receipts are known."""
    writer = IndexWriter(lambda: default_tables().table())
    at_stop(writer.stop)
    return writer


def note_waiting(name: str, etag: str, created: datetime) -> None:
    """Have a version of an upload listed as waiting that nobody has taken up so far; no call, and never waits."""
    default_writer().note(Note(Entry(name, etag, "waiting", created)))


def told() -> dict[str, str]:
    """For the deep health: from what lists come, and why not from a table."""
    tables = default_tables()
    table = tables.table()
    return {"lists": f"the table {table.name}"} if table else {"lists": "listings of the containers", "why": tables.why}
