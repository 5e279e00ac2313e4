"""A worker that dies after any of its calls to storage, before or after its rows were written: a sweep makes lists say
what receipts say, and tells what may not have been told."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.index.entry import STATES, Query
from cloud.index.rows import Note
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from cloud.uploads.index_check import compare
from cloud.uploads.index_notes import IndexNotes, Truth
from cloud.uploads.index_reconcile import reconcile
from cloud.uploads.upload_worker import UploadWorker
from inference.engine.registry import Registry
from inference.routes_file import Routes
from tests.cloud.uploads.stepped import Stepped
from tests.cloud.uploads.test_crashes import Story, Worker


class Indexed(Story):
    """A story whose workers note their ends in a table."""

    def __init__(self, case: str, registry: Registry, folder: Path, table: UploadTable) -> None:
        self.table, self.told = table, list[Note]()
        self.writers = list[IndexWriter]()
        super().__init__(case, registry, folder)
        table.remove(["a.jpg"])
        reconcile(self.worker().storage, table, self.writers[0], 60)  # up to now all is known

    def worker(self, routes: Routes | None = None) -> Worker:
        made = super().worker(routes)
        writer = IndexWriter(lambda: self.table, Truth(made.storage, made.ledger.store, lambda _: False), 60)
        writer.tell = self.told.append
        made.ledger.notes = IndexNotes(writer)
        self.writers.append(writer)
        return made

    def end_processes(self, *, flushed: bool) -> None:
        for writer in self.writers:
            assert not flushed or writer.flush()
            writer._waiting.clear()

    def reconciled(self, worker: UploadWorker) -> None:
        self.account.pass_s(60)
        assert reconcile(worker.storage, self.table, self.writers[-1], 60).complete
        report = compare(worker.storage, self.table, self.writers[-1])
        assert report.is_right, report.first

    def lists_what_is_true(self) -> None:
        truth = self.writers[-1].truth
        note = truth("a.jpg", None) if truth else None
        said = [(note.entry.state, note.entry.etag, note.entry.receipt)] if note else []
        assert [(one.state, one.etag, one.receipt) for one in self.table.page(Query()).entries] == said
        listed = [state for state in STATES if self.table.page(Query(state=state)).entries]
        assert listed == ([note.entry.state] if note else [])
        assert not (note and note.ends) or note.ends in [one.ends for one in self.told]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["replaced", "mended", "overwritten", "deleted"])
def test_whichever_call_it_dies_at(case: str, registry: Registry, tmp_path: Path, index_table: UploadTable) -> None:
    index_table.ensure()
    for calls in range(60):
        story = Indexed(case, registry, tmp_path / str(calls), index_table)
        worker, event = story.begun()
        stepped = Stepped()
        worker.storage.gate = stepped.gate  # type: ignore[attr-defined]
        stepped.begin(lambda worker=worker, event=event: worker.handle(event))  # type: ignore[misc]
        for _ in range(calls):
            if not stepped.over:
                stepped.step()
        ended = stepped.over
        if not ended:
            stepped.step("dies after")
        worker.storage.gate = story.worker().storage.gate  # type: ignore[attr-defined]
        story.end_processes(flushed=bool(calls % 2))
        last = story.swept()
        story.end_processes(flushed=bool(calls // 2 % 2))
        story.reconciled(last)
        story.lists_what_is_true()
        if ended:
            break
    assert ended and calls > 1
