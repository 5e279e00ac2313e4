"""The index as a table of the storage account: rows are written in transactions, lists are read from their keys."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as dataclass_replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from cloud.index.batch import RowExists, create_rows
from cloud.index.cursor import Token, place_of
from cloud.index.entry import Entry, EntryPage, Query
from cloud.index.filters import Stream, beginning_with, has_label, key_range, streams_of
from cloud.index.paging import read_page
from cloud.index.rows import ANCHOR, ENDED, PARTITION, Anchor, Note, entry_of, id_of, moment_of, when_key
from cloud.storage.blobs import code_of, translated
from inference.errors import BadRequest, StorageUnavailable

if TYPE_CHECKING:
    from azure.data.tables import TableClient, TableServiceClient

TABLE = "uploads"
MOST_ROWS = 100  # that a transaction takes
_TABLE_ID = "a|table"
_ROUNDS = 20
_PAGE = 1000  # the most that the service gives at once


@dataclass(frozen=True)
class EndedRow:
    """An upload that ended. at, exact: see Note; result: whether it has one."""

    id: str
    name: str
    receipt: str
    at: datetime
    result: bool
    exact: bool


class Exists(Exception):
    """Of a group of uploads one has rows already: the one at this place of the group."""

    def __init__(self, place: int) -> None:
        super().__init__(f"the upload at place {place} has rows already")
        self.place = place


class UploadTable:
    """The table of an account: an Index. Safe to use from many threads."""

    def __init__(self, service: TableServiceClient, name: str = TABLE) -> None:
        self.service, self.name = service, name

    @cached_property
    def _client(self) -> TableClient:
        return self.service.get_table_client(self.name)

    def ensure(self, **options: Any) -> None:
        """Makes the table where there is none; a call. options: of the client. Raises what the service says."""
        try:
            self.service.create_table(self.name, **options)
        except ResourceExistsError as error:
            if code_of(error) != "TableAlreadyExists":  # of one that is being deleted
                raise

    def id(self) -> str:
        """What tells this table from one that takes its place after a deletion; made where there is none."""
        with self._at("reading"):
            found = self._entity(_TABLE_ID)
            if found is None:
                row = {"PartitionKey": PARTITION, "RowKey": _TABLE_ID, "id": uuid.uuid4().hex}
                with suppress(ResourceExistsError):
                    self._submit([("create", row)])
                found = self._entity(_TABLE_ID)
        return str(found["id"]) if found else ""

    # Writing

    def create(self, notes: Sequence[Note]) -> None:
        """The rows of uploads that have none, in one transaction; together at most MOST_ROWS. Raises Exists."""
        groups = [note.rows for note in notes]
        rows = [(place, row) for place, group in enumerate(groups) for row in group]
        with self._at("writing"):
            try:
                if not create_rows(self._client, [row for _, row in rows]):
                    self._submit([("create", row) for _, row in rows])
            except RowExists as error:
                raise Exists(rows[error.place][0]) from None
            except ResourceExistsError as error:
                raise Exists(rows[getattr(error, "index", None) or 0][0]) from None

    def replace(self, old: Anchor, note: Note | None) -> bool:
        """What an upload has in the place of `old`, None: nothing; False where somebody was faster."""
        rows = note.rows if note else []
        wanted = {row["RowKey"] for row in rows}
        match: dict[str, Any] = {"etag": old.version, "match_condition": MatchConditions.IfNotModified}
        gone = [{"PartitionKey": PARTITION, "RowKey": key} for key in old.keys if key not in wanted]
        operations: list[Any] = [("upsert", row, {"mode": "replace"}) for row in rows[1:]]
        operations += [("delete", row) for row in gone]
        if rows:
            operations.insert(0, ("update", rows[0], {"mode": "replace", **match}))
        else:
            operations.insert(0, ("delete", {"PartitionKey": PARTITION, "RowKey": f"{ANCHOR}{old.id}"}, match))
        with self._at("writing"):
            try:
                self._submit(operations)
            except HttpResponseError as error:
                if error.status_code == 412:
                    return False
                if code_of(error) != "ResourceNotFound":
                    raise
                return self._replace_what_is_there(old, note)
        return True

    def _replace_what_is_there(self, old: Anchor, note: Note | None) -> bool:
        """Where another program has deleted rows that the anchor speaks of, or the anchor."""
        keys = tuple(key for key in old.keys if self._entity(key) is not None)
        if len(keys) == len(old.keys) or self._entity(f"{ANCHOR}{old.id}") is None:
            return False
        return self.replace(dataclass_replace(old, keys=keys), note)

    def remove(self, names: Iterable[str]) -> None:
        """See Index: two calls for each upload that has rows, one for others."""
        for name in names:
            self.remove_id(id_of(name))

    def remove_id(self, upload: str) -> None:
        """As `remove`, by the id."""
        for _ in range(_ROUNDS):
            old = self.anchor(upload)
            if old is None or self.replace(old, None):
                return
        raise StorageUnavailable(f"the rows of an upload changed {_ROUNDS} times while they were being removed")

    # Reading

    def anchor(self, upload: str) -> Anchor | None:
        """The anchor of an upload, by its id; a call."""
        with self._at("reading"):
            found = self._entity(f"{ANCHOR}{upload}")
        return _anchor(found) if found is not None else None

    def anchors(self, after: str = "") -> Iterator[Anchor]:
        """All anchors, in the order of their ids, from behind an id on; a call for 1,000."""
        within = key_range(f"{ANCHOR}{after}", ANCHOR + "~", after=True)
        return map(_anchor, self._rows(within))

    def ended(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[EndedRow]:
        """What ended from a moment on, up to another that is left out, in that order; a call for 1,000."""
        low, high = when_key(since) if since else ENDED, when_key(until) if until else ENDED + "~"
        for row in self._rows(key_range(low, high)):
            key = str(row["RowKey"])
            said = str(row.get("name", "")), str(row.get("receipt", "")), moment_of(key)
            yield EndedRow(key.split("|")[2], *said, bool(row.get("result")), bool(row.get("exact")))

    def page(self, query: Query, cursor: str | None = None, size: int = 60) -> EntryPage:
        """See Index; a call for each label that is looked for, and for all that has no label one. More where filters
        leave out much: then no more than paging.SECONDS and MOST_REQUESTS."""
        place = place_of(cursor)
        streams = streams_of(query, place)

        def request(number: int, token: Token | None) -> tuple[list[tuple[str, Entry]], Token | None]:
            stream = streams[number]
            rows, following = self._request(stream, token, _PAGE if stream.tested else size + 1)
            entries = [(order_in(row), entry) for row in rows if (entry := _entry(row))]
            return [(o, e) for o, e in entries if not stream.tested or has_label(e, query)], following

        return read_page(request, len(streams), place, size)

    def _request(self, stream: Stream, token: Token | None, most: int) -> tuple[list[Any], Token | None]:
        """The next rows of a stream, and where it goes on; a call. Raises BadRequest for a token that is none."""
        begin: Any = {"PartitionKey": token[0], "RowKey": token[1]} if token else None
        with self._at("reading"):
            found = self._client.query_entities(stream.filter, select=["RowKey", "item"], results_per_page=most)
            pages = found.by_page(continuation_token=begin)
            try:
                rows = list(next(pages, ()))
            except ResourceNotFoundError:  # there is no table
                return [], None
            except HttpResponseError as error:
                if token and error.status_code == 400:
                    raise BadRequest("the storage does not take this cursor; begin the list anew") from error
                raise
        said = pages.continuation_token  # type: ignore[attr-defined]
        return rows, (str(said["PartitionKey"] or ""), str(said["RowKey"] or "")) if said else None

    def count(self) -> int:
        """How many uploads it has; a call for 1,000."""
        return sum(1 for _ in self._rows(beginning_with(ANCHOR), select=["RowKey"]))

    def _rows(self, within: str, select: list[str] | None = None, size: int = _PAGE) -> Iterator[Any]:
        with self._at("reading"):
            try:
                yield from self._client.query_entities(within, select=select, results_per_page=min(size, _PAGE))
            except ResourceNotFoundError:  # there is no table
                return

    def _entity(self, key: str) -> Any:
        try:
            return self._client.get_entity(PARTITION, key)
        except ResourceNotFoundError:
            return None

    def _submit(self, operations: list[Any]) -> None:
        try:
            self._client.submit_transaction(operations)
        except HttpResponseError as error:
            if error.status_code == 409 and code_of(error) == "EntityAlreadyExists":
                raise _exists(error) from None
            if code_of(error) != "TableNotFound":
                raise
            self.ensure()
            self._client.submit_transaction(operations)

    @contextmanager
    def _at(self, doing: str) -> Iterator[None]:
        with translated(f"{doing} the table {self.name}"):
            yield


def _exists(error: HttpResponseError) -> ResourceExistsError:
    """As the client raises it outside of transactions; `index`: of the operation."""
    found = ResourceExistsError(message=str(error.message), response=error.response)
    vars(found)["index"] = getattr(error, "index", 0)
    return found


def order_in(row: Any) -> str:
    """Where a row of a list stands: the same in each list."""
    return "|".join(str(row["RowKey"]).split("|")[-2:])


def _entry(row: Any) -> Entry | None:
    try:
        return entry_of(str(row.get("item", "")))
    except ValueError:
        return None  # of a later version of the app, or written by hand


def _anchor(row: Any) -> Anchor:
    try:
        keys = tuple(str(key) for key in json.loads(row.get("keys", "[]")))
    except (ValueError, TypeError, RecursionError):
        keys = ()
    upload, ends = str(row["RowKey"]).removeprefix(ANCHOR), row.get("ends")
    said = str(row.get("name", "")), str(row.get("receipt", ""))
    return Anchor(upload, *said, keys, str(row.metadata["etag"]), ends if isinstance(ends, int) else 0)
