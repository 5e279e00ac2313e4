"""The writer: groups, notes that come late, forgotten uploads, trouble of the table."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from cloud.index.entry import Query
from cloud.index.rows import Note
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from inference.errors import StorageUnavailable
from tests.cloud.helpers import Calls
from tests.cloud.index.notes import entry, note


class Receipts:
    """What the receipts say, by name."""

    def __init__(self, *notes: Note) -> None:
        self.said = {one.entry.name: one for one in notes}

    def __call__(self, name: str, hint: Note | None = None) -> Note | None:
        return self.said.get(name)


def writer_of(table: UploadTable, truth: Receipts | None = None) -> IndexWriter:
    return IndexWriter(lambda: table, truth or Receipts(), linger_s=60)


def rows(table: UploadTable) -> list[str]:
    return [str(row["RowKey"]) for row in table._rows("PartitionKey eq 'uploads'")]


def test_what_ends_within_a_moment_is_one_transaction(table: UploadTable, calls: Calls) -> None:
    table.ensure()
    table.ensure()
    writer, begun = writer_of(table), len(calls)
    for number in range(20):
        writer.note(note(f"{number}.jpg", number))
    assert writer.flush()
    assert len(calls) - begun == 1
    assert [one.name for one in table.page(Query(), size=3).entries] == ["19.jpg", "18.jpg", "17.jpg"]


def test_the_table_is_made_when_it_is_not_there(table: UploadTable) -> None:
    writer = writer_of(table)
    writer.note(note())
    assert writer.flush() and table.count() == 1


def test_a_note_of_an_older_version_that_comes_late_changes_nothing(table: UploadTable) -> None:
    new = note("a.jpg", 5, etag="0x2", receipt="0xnew", scores={"dog": 0.9})
    late = note("a.jpg", 1, receipt="0xold", scores={"cat": 0.9}, state="failed")
    for first, second in ((new, late), (late, new)):
        writer = writer_of(table, Receipts(new))
        writer.note(first)
        assert writer.flush()
        writer.note(second)
        assert writer.flush()
        assert [one.etag for one in table.page(Query()).entries] == ["0x2"]
        assert table.page(Query(label="cat")).entries == table.page(Query(state="failed")).entries == []
        assert len(rows(table)) == 4
        table.remove(["a.jpg"])
        assert rows(table) == []


def test_two_notes_of_an_upload_in_one_group_leave_what_its_receipt_says(table: UploadTable) -> None:
    writer = writer_of(table, Receipts(note("a.jpg", state="failed", receipt="0x9")))
    writer.note(note("a.jpg", state="waiting"))
    writer.note(note("a.jpg", state="failed", receipt="0x9"))
    writer.note(note("b.jpg"))
    assert writer.flush()
    assert {one.name: one.state for one in table.page(Query()).entries} == {"a.jpg": "failed", "b.jpg": "done"}
    assert table.page(Query(state="waiting")).entries == []


def test_a_group_in_which_some_have_rows_already_writes_the_others_at_once(table: UploadTable, calls: Calls) -> None:
    truth = Receipts(note("5.jpg", receipt="0x9", state="partial"))
    other, writer = writer_of(table, truth), writer_of(table, truth)
    other.note(note("5.jpg"))
    assert other.flush()
    begun = len(calls)
    for number in range(9):
        writer.note(note(f"{number}.jpg", number))
    assert writer.flush() and len(calls) - begun == 4  # the group, the others, then what is there and what it becomes
    assert {one.name: one.state for one in table.page(Query()).entries}["5.jpg"] == "partial"
    assert table.count() == 9


def test_what_is_forgotten_has_no_rows_and_its_late_refresh_makes_none(table: UploadTable) -> None:
    receipts = Receipts(note("a.jpg"))
    writer = writer_of(table, receipts)
    writer.note(note("a.jpg"))
    assert writer.flush()
    receipts.said.clear()
    writer.refresh("a.jpg")
    writer.refresh("never.jpg")
    assert writer.flush() and rows(table) == []


def test_rows_that_somebody_deleted_do_not_stop_what_follows(table: UploadTable) -> None:
    writer = writer_of(table, Receipts(note("a.jpg", 7, receipt="0x9")))
    writer.note(note("a.jpg"))
    assert writer.flush()
    table._client.delete_entity("uploads", next(key for key in rows(table) if key.startswith("u|")))
    writer.refresh("a.jpg")
    assert writer.flush()
    assert [one.receipt for one in table.page(Query()).entries] == ["0x9"]


class Broken(UploadTable):
    """A table whose first calls fail."""

    failures = 2

    def create(self, notes: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("the table does not answer")
        super().create(notes)


def test_trouble_of_the_table_is_told_once_and_ends_nothing(
    table: UploadTable, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken(table.service)
    writer = writer_of(broken)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            writer.note(note(f"{number}.jpg"))
            assert writer.flush()
    assert [one.name for one in table.page(Query()).entries] == ["2.jpg"]
    assert len([line for line in caplog.messages if "left to the sweep" in line]) == 1


def test_more_than_there_is_room_for_is_left_to_the_sweep(
    table: UploadTable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cloud.index.writer._MOST_WAITING", 3)
    writer = writer_of(table)
    for number in range(5):
        writer.note(note(f"{number}.jpg"))
    assert writer.flush() and table.count() == 3
    assert "brings it up to date" in caplog.text


def test_two_writers_that_note_ends_of_the_same_upload_in_any_order_agree(table: UploadTable) -> None:
    truth = Receipts(note("a.jpg", receipt="0x3"))
    writers = [writer_of(table, truth) for _ in range(2)]
    for version in ("0x2", "0x1", "0x3"):
        for writer in writers:
            writer.note(replace(note(), entry=entry(receipt=version)))
    assert all(writer.flush() for writer in writers)
    assert [one.receipt for one in table.page(Query()).entries] == ["0x3"] and table.count() == 1
