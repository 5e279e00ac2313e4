"""Others are told of each end of an upload once it stands in the receipt: at least once, and of old ends never anew."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloud.index.rows import Note
from cloud.index.table import UploadTable
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import StorageUnavailable
from tests.cloud.helpers import drop, jpeg
from tests.cloud.uploads.test_index import Indexed

pytestmark = pytest.mark.slow


class Told:
    """Keeps what was told: (name, state, number)."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, str, int]] = []
        self.fails = 0

    def __call__(self, note: Note) -> None:
        if self.fails:
            self.fails -= 1
            raise StorageUnavailable("the queue does not answer")
        if note.entry.state in ("done", "partial", "failed", "cancelled") and note.ends:
            self.ends.append((note.entry.name, note.entry.state, note.ends))


@pytest.fixture
def indexed(worker: UploadWorker, index_table: UploadTable, monkeypatch: pytest.MonkeyPatch) -> Indexed:
    monkeypatch.setattr("cloud.uploads.index_reconcile._YOUNG_S", -1.0)
    return Indexed(worker, index_table)


@pytest.fixture
def told(indexed: Indexed) -> Told:
    indexed.writer.tell = made = Told()
    return made


def test_each_end_is_told_once_with_its_number(indexed: Indexed, told: Told) -> None:
    indexed.handle("a.jpg")
    indexed.handle("bad.jpg", b"\xff\xd8\xffno picture")
    indexed.handle("night/c.jpg")  # waits
    assert told.ends == [("a.jpg", "done", 1), ("bad.jpg", "failed", 1)]
    indexed.handle("a.jpg", b"\xff\xd8\xffno picture")
    assert told.ends[2:] == [("a.jpg", "failed", 2)]
    indexed.reconciled()
    assert len(told.ends) == 3


def test_an_end_that_was_not_told_is_told_by_the_sweep(indexed: Indexed, told: Told) -> None:
    assert indexed.reconciled()[2]
    indexed.worker.handle(drop(indexed.worker, "a.jpg", jpeg()))
    indexed.lose_rows()  # killed between the receipt's end and the row
    assert told.ends == []
    indexed.reconciled()
    assert told.ends == [("a.jpg", "done", 1)]
    indexed.reconciled()
    assert len(told.ends) == 1


def test_where_nobody_could_be_told_there_is_no_row_so_that_the_sweep_tells(indexed: Indexed, told: Told) -> None:
    assert indexed.reconciled()[2]
    told.fails = 1
    indexed.handle("a.jpg")
    indexed.writer.flush()
    assert told.ends == [] and indexed.list() == []
    indexed.reconciled()
    assert told.ends == [("a.jpg", "done", 1)]


def test_what_ended_before_there_was_an_index_is_not_told(
    indexed: Indexed, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.uploads.index_reconcile._MARGIN", timedelta(hours=-1))
    indexed.worker.handle(drop(indexed.worker, "a.jpg", jpeg()))
    indexed.lose_rows()
    assert indexed.reconciled()[2]
    assert indexed.states() == {"a.jpg": "done"} and told.ends == []


def test_a_cancelled_upload_is_told(indexed: Indexed, told: Told) -> None:
    indexed.handle("night/a.jpg")
    assert indexed.worker.ledger.cancel("night/a.jpg") and indexed.writer.flush()
    assert told.ends == [("night/a.jpg", "cancelled", 1)]


def test_an_account_without_tables_tells_all_the_same(indexed: Indexed, told: Told) -> None:
    indexed.writer._table_of = lambda: None
    indexed.handle("a.jpg")
    indexed.writer.flush()
    assert told.ends == [("a.jpg", "done", 1)]
