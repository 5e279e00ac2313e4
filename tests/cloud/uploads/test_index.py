"""The index beside real workers: what lists say at each moment of an upload, and after whatever was missed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from cloud import instance
from cloud.index.default import default_index, default_writer
from cloud.index.entry import Entry, Query
from cloud.index.mark import MARK
from cloud.index.rows import Anchor, Note
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from cloud.settings import RESULTS, STATE, UPLOADS
from cloud.uploads import forget
from cloud.uploads.audit_nightly import quietly
from cloud.uploads.events import BlobEvent
from cloud.uploads.forget import Forgetter
from cloud.uploads.index_notes import IndexNotes, Truth
from cloud.uploads.index_reconcile import reconcile
from cloud.uploads.retention import Retention
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.engine.registry import Registry
from inference.errors import StorageUnavailable
from inference.routes_file import parse_routes
from tests.cloud.helpers import drop, during_analysis, jpeg, receipt

pytestmark = pytest.mark.slow


class Indexed:
    """A worker whose ends are noted in a table."""

    def __init__(self, worker: UploadWorker, table: UploadTable) -> None:
        self.worker, self.table = worker, table
        self.writer = IndexWriter(lambda: table, Truth(worker.storage, worker.ledger.store, lambda _: False), 60)
        worker.ledger.notes = IndexNotes(self.writer)

    def handle(self, name: str, content: bytes = b"", **metadata: str) -> str:
        status = self.worker.handle(drop(self.worker, name, content or jpeg(), **metadata)).status
        assert self.writer.flush()
        return status

    def list(self, **query: str) -> list[Entry]:
        return self.table.page(Query(**query)).entries  # type: ignore[arg-type]

    def states(self) -> dict[str, str]:
        return {one.name: one.state for one in self.list()}

    def lose_rows(self) -> None:
        """What waits in this process is gone, as when it is killed."""
        self.writer._waiting.clear()

    def reconciled(self) -> tuple[int, int, bool]:
        found = reconcile(self.worker.storage, self.table, self.writer, 60)
        return found.compared, found.written, found.complete


@pytest.fixture
def indexed(worker: UploadWorker, index_table: UploadTable, monkeypatch: pytest.MonkeyPatch) -> Indexed:
    monkeypatch.setattr("cloud.uploads.index_reconcile._YOUNG_S", -1.0)
    return Indexed(worker, index_table)


def test_each_end_of_an_upload_is_listed_with_what_lists_show(indexed: Indexed) -> None:
    assert indexed.handle("nothing/a.jpg", dropsight_route="classify") == "done"
    assert indexed.handle("bad.jpg", b"\xff\xd8\xffno picture") == "failed"
    assert indexed.handle("night/c.jpg") == "waiting"
    assert indexed.states() == {"nothing/a.jpg": "done", "bad.jpg": "failed", "night/c.jpg": "waiting"}
    done, failed = indexed.list(folder="nothing/")[0], indexed.list(state="failed")[0]
    upload = indexed.worker.storage.head(UPLOADS, "nothing/a.jpg")
    assert upload and (done.etag, done.created, done.route) == (upload.etag, upload.modified, "classify")
    assert (done.width, done.height, done.media_type, done.tasks) == (64, 64, "image/jpeg", ("image-classification",))
    assert done.folder == receipt(indexed.worker, "nothing/a.jpg").folder and done.models == ("classify",)
    assert failed.error_class == "CorruptMedia" and "bad.jpg" in failed.message
    stored = indexed.worker.ledger.read("nothing/a.jpg")
    assert stored and done.receipt == stored.version


def test_what_the_index_was_told_is_what_it_would_read_from_receipts(indexed: Indexed) -> None:
    indexed.handle("a.jpg")
    indexed.handle("bad.jpg", b"\xff\xd8\xffno picture")
    indexed.handle("night/c.jpg")
    told = {one.name: one for one in indexed.list()}
    truth = indexed.writer.truth
    assert truth
    for name, one in told.items():
        read = truth(name, None)
        assert read
        assert (read.entry.written is None) == (one.written is None)
        if one.written and read.entry.written:
            assert abs((one.written - read.entry.written).total_seconds()) < 60
        assert read.entry == Entry(**{**vars(one), "written": read.entry.written})


def test_a_new_version_takes_the_place_of_the_old_one(indexed: Indexed) -> None:
    indexed.handle("a.jpg", b"\xff\xd8\xffno picture")
    indexed.handle("a.jpg", jpeg(2))
    assert indexed.states() == {"a.jpg": "done"} and indexed.list(state="failed") == []
    stored = indexed.worker.ledger.read("a.jpg")  # settled, since an error record was deleted
    assert stored and indexed.list()[0].receipt == stored.version


def test_an_upload_that_is_deleted_before_its_analysis_is_not_listed(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_analysis(monkeypatch, lambda: indexed.worker.storage.delete(UPLOADS, "a.jpg"))
    assert indexed.handle("a.jpg") == "dropped"
    assert indexed.list() == []


def test_an_account_without_an_index_fills_it_and_what_was_missed_is_restored(indexed: Indexed) -> None:
    for number in range(3):
        indexed.worker.handle(drop(indexed.worker, f"{number}%41.jpg", jpeg(number)))
    indexed.lose_rows()
    assert indexed.list() == []
    assert indexed.reconciled() == (3, 3, True)
    assert indexed.states() == {f"{number}%41.jpg": "done" for number in range(3)}
    assert indexed.reconciled() == (3, 0, True)  # young enough to be looked at again, and right
    indexed.worker.handle(drop(indexed.worker, "0%41.jpg", b"\xff\xd8\xffno picture"))
    indexed.lose_rows()  # killed between the receipt's end and the row
    assert indexed.reconciled() == (3, 1, True)
    assert indexed.states()["0%41.jpg"] == "failed"


def test_a_table_that_was_deleted_is_filled_again(indexed: Indexed) -> None:
    indexed.handle("a.jpg")
    assert indexed.reconciled()[2]
    indexed.table.service.delete_table(indexed.table.name)
    indexed.handle("b.jpg")
    assert indexed.reconciled() == (2, 1, True)
    assert indexed.states() == {"a.jpg": "done", "b.jpg": "done"}


def test_a_mark_that_is_none_has_everything_compared(indexed: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    indexed.handle("a.jpg")
    assert indexed.reconciled()[2]
    monkeypatch.setattr("cloud.uploads.index_reconcile._MARGIN", timedelta(hours=-1))
    assert indexed.reconciled() == (0, 0, True)  # nothing ended since
    for mark in (b"{", b'{"through": "x", "table": "y"}', b'{"through": "2999-01-01", "table": "", "rows": 0}'):
        indexed.worker.storage.write(STATE, MARK, mark)
        assert indexed.reconciled() == (1, 0, True)


def test_a_pass_without_time_goes_on_the_next_time(indexed: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.uploads.index_reconcile._AT_ONCE", 2)
    for number in range(5):
        indexed.worker.handle(drop(indexed.worker, f"{number}.jpg", jpeg()))
    indexed.lose_rows()
    passes = [reconcile(indexed.worker.storage, indexed.table, indexed.writer, 0) for _ in range(3)]
    assert [one.written for one in passes] == [2, 2, 1] and [one.complete for one in passes] == [False, False, True]
    passes = [reconcile(indexed.worker.storage, indexed.table, indexed.writer, 0)]
    assert passes[0].complete and passes[0].written == 0
    assert len(indexed.list()) == 5


def test_a_pass_goes_on_at_the_page_where_the_last_one_stopped(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.uploads.index_reconcile._PAGE", 2)
    for number in range(5):
        indexed.handle(f"{number}.jpg")
    passes = [reconcile(indexed.worker.storage, indexed.table, indexed.writer, 0) for _ in range(3)]
    assert [(one.compared, one.complete) for one in passes] == [(2, False), (2, False), (1, True)]


def test_what_cannot_be_read_is_left_to_the_next_pass_and_stops_no_other(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.jpg"):
        indexed.worker.handle(drop(indexed.worker, name, jpeg()))
    indexed.lose_rows()
    real, truth = indexed.writer.truth, indexed.writer.truth
    assert real

    def refusing(name: str, hint: Note | None) -> Note | None:
        if name == "a.jpg":
            raise StorageUnavailable("it is held")
        return real(name, hint)

    indexed.writer.truth = refusing
    assert indexed.reconciled() == (2, 1, False)
    assert indexed.states() == {"b.jpg": "done"}
    indexed.writer.truth = truth
    assert indexed.reconciled() == (2, 1, True)
    assert indexed.states() == {"a.jpg": "done", "b.jpg": "done"}


def test_an_upload_whose_rows_cannot_be_settled_stops_no_pass(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.jpg"):
        indexed.handle(name)
    for name in ("a.jpg", "b.jpg"):
        indexed.worker.handle(drop(indexed.worker, name, b"\xff\xd8\xffno picture"))
    indexed.lose_rows()
    real = indexed.writer.settle

    def settle(table: UploadTable, name: str, hint: Note | None = None, *, anew: bool = False) -> None:
        if name == "a.jpg":
            raise StorageUnavailable("it is held")
        real(table, name, hint, anew=anew)

    monkeypatch.setattr(indexed.writer, "settle", settle)
    assert indexed.reconciled() == (2, 1, False)
    assert indexed.states() == {"a.jpg": "done", "b.jpg": "failed"}
    monkeypatch.undo()


def test_what_is_gone_before_anybody_took_it_up_is_not_listed(indexed: Indexed) -> None:
    event = drop(indexed.worker, "a.jpg", jpeg())
    upload = indexed.worker.storage.head(UPLOADS, "a.jpg")
    assert upload
    indexed.worker.ledger.notes.left(upload)
    assert indexed.writer.flush() and indexed.states() == {"a.jpg": "waiting"}
    indexed.worker.storage.delete(UPLOADS, "a.jpg")
    assert indexed.worker.handle(event).status == "dropped"
    assert indexed.writer.flush() and indexed.states() == {}


def test_what_is_forgotten_while_its_row_is_queued_is_gone_after_the_next_look(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = indexed.worker.storage
    indexed.worker.handle(drop(indexed.worker, "a.jpg", jpeg()))
    late = next(iter(indexed.writer._waiting.values())).note
    indexed.lose_rows()
    list(Forgetter(storage, index=indexed.table).run(["a.jpg"]))
    assert late
    indexed.table.create([late])  # whoever had it did not see that
    monkeypatch.setattr(forget, "SECOND_LOOK_S", 0.0)
    forget.look_again(storage, index=indexed.table)
    assert indexed.list() == []


def test_forgetting_takes_the_rows_and_the_thumbnail(indexed: Indexed) -> None:
    indexed.handle("a.jpg")
    indexed.worker.storage.write(STATE, "thumbnails/a.jpg", b"small")
    found = list(Forgetter(indexed.worker.storage, index=indexed.table, dry_run=True).run(["a.jpg"]))
    assert f"{STATE}/thumbnails/a.jpg" in found[0].deleted and len(indexed.list()) == 1
    list(Forgetter(indexed.worker.storage, index=indexed.table).run(["a.jpg"]))
    assert indexed.list() == [] and indexed.worker.storage.head(STATE, "thumbnails/a.jpg") is None


def test_uploads_that_a_sweep_has_no_time_for_are_listed_as_waiting(indexed: Indexed) -> None:
    for number in range(3):
        drop(indexed.worker, f"{number}.jpg", jpeg())
    assert sweep(indexed.worker, 0).left == 3
    assert indexed.writer.flush() and set(indexed.states().values()) == {"waiting"}
    sweep(indexed.worker, 60)
    assert indexed.writer.flush() and set(indexed.states().values()) == {"done"}
    assert indexed.list(state="waiting") == []


def test_a_cancelled_upload_ends_without_a_result_and_is_taken_up_by_a_replay(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, storage = indexed.worker.ledger, indexed.worker.storage
    cancelled: list[bool] = []
    during_analysis(monkeypatch, lambda: cancelled.append(ledger.cancel("a.jpg")))
    indexed.handle("a.jpg")
    assert cancelled == [True] and indexed.states() == {"a.jpg": "cancelled"}
    assert storage.head(RESULTS, "a.jpg/result.json") is None
    assert sweep(indexed.worker, 60).unfinished == 0 and not ledger.cancel("a.jpg") and not ledger.cancel("b.jpg")
    indexed.worker.handle(BlobEvent(UPLOADS, "a.jpg", "replay"))
    assert indexed.writer.flush() and indexed.states() == {"a.jpg": "done"}


def test_what_waits_for_its_slot_can_be_cancelled(indexed: Indexed) -> None:
    assert indexed.handle("night/a.jpg") == "waiting"
    assert indexed.worker.ledger.cancel("night/a.jpg")
    assert indexed.writer.flush() and indexed.states() == {"night/a.jpg": "cancelled"}
    assert indexed.worker.handle(BlobEvent(UPLOADS, "night/a.jpg")).status == "done"


def test_sidecars_and_clutter_are_not_listed(indexed: Indexed) -> None:
    indexed.handle("a.jpg.route.toml", b'route = "classify"')
    indexed.handle("Thumbs.db")
    assert indexed.list() == []
    assert indexed.reconciled()[2] and indexed.list() == []


def test_two_processes_that_end_versions_in_turn_leave_the_newest(
    indexed: Indexed, make_worker: Callable[..., UploadWorker]
) -> None:
    other = Indexed(make_worker(), UploadTable(indexed.table.service))
    indexed.worker.handle(drop(indexed.worker, "a.jpg", jpeg(1)))
    other.worker.handle(drop(other.worker, "a.jpg", b"\xff\xd8\xffno picture"))
    assert other.writer.flush() and indexed.writer.flush()  # the older version's writer is the later one
    assert indexed.states() == {"a.jpg": "failed"}
    assert indexed.table.count() == 1


def test_a_sweep_of_the_app_heals_what_each_kind_of_crash_left(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, table = indexed.worker, indexed.table
    monkeypatch.setattr(instance, "default_worker", lambda: worker)
    default_writer().truth = indexed.writer.truth
    worker.handle(drop(worker, "no-row.jpg", jpeg()))  # killed between the receipt's end and the row
    worker.handle(drop(worker, "first-group.jpg", jpeg()))
    late = next(w.note for w in indexed.writer._waiting.values() if w.name == "first-group.jpg")
    indexed.lose_rows()
    assert late
    table.create([late])  # killed between two groups: the first one is there
    worker.handle(drop(worker, "first-group.jpg", b"\xff\xd8\xffno picture"))
    indexed.lose_rows()
    drop(worker, "new.jpg", jpeg())
    instance.on_sweep(lambda: None)
    assert default_writer().flush() and indexed.writer.flush()
    assert indexed.states() == {"no-row.jpg": "done", "first-group.jpg": "failed", "new.jpg": "done"}
    assert [one.name for one in indexed.list(state="failed")] == ["first-group.jpg"]


class Meanwhile(UploadTable):
    """A table in which something happens once, after an anchor was read."""

    act: Callable[[], object] | None = None

    def anchor(self, upload: str) -> Anchor | None:
        found = super().anchor(upload)
        act, self.act = self.act, None
        if act:
            act()
        return found


@pytest.mark.parametrize("had_rows", [True, False])
@pytest.mark.parametrize("what", ["ended", "forgotten", "both"])
def test_whatever_happens_while_rows_are_written_the_last_word_is_the_receipts(
    indexed: Indexed, make_worker: Callable[..., UploadWorker], had_rows: bool, what: str
) -> None:
    other = Indexed(make_worker(), UploadTable(indexed.table.service))
    slow = Meanwhile(indexed.table.service)
    writer = IndexWriter(lambda: slow, indexed.writer.truth, 60)
    indexed.worker.handle(drop(indexed.worker, "a.jpg", jpeg()))
    assert not had_rows or indexed.writer.flush()
    indexed.lose_rows()

    def act() -> None:
        if what != "forgotten":
            other.handle("a.jpg", b"\xff\xd8\xffno picture")
        if what != "ended":
            list(Forgetter(other.worker.storage, index=other.table).run(["a.jpg"]))

    slow.act = act
    writer.refresh("a.jpg")
    assert writer.flush()
    assert indexed.states() == ({"a.jpg": "failed"} if what == "ended" else {})
    assert indexed.table.count() == (what == "ended")


def test_a_pause_lists_what_comes_as_waiting(
    make_worker: Callable[..., UploadWorker], index_table: UploadTable
) -> None:
    paused = Indexed(make_worker(intake="paused"), index_table)
    assert paused.handle("a.jpg") == "waiting"
    assert paused.states() == {"a.jpg": "waiting"}


def test_expired_results_are_not_listed_and_come_back_with_a_replay(
    make_worker: Callable[..., UploadWorker], index_table: UploadTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retention, "_is_older", lambda *_: True)
    indexed = Indexed(make_worker(retention_days=1), index_table)
    indexed.handle("a.jpg")
    assert Retention(indexed.worker).run(60, now=True)
    assert indexed.writer.flush() and indexed.list() == []
    indexed.worker.handle(BlobEvent(UPLOADS, "a.jpg", "replay"))
    assert indexed.writer.flush() and indexed.states() == {"a.jpg": "done"}


def test_work_on_a_video_is_listed_and_stops_soon_after_it_is_cancelled(
    indexed: Indexed, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, seen = indexed.worker.ledger, list[str]()
    monkeypatch.setattr("cloud.uploads.watch.LOOK_S", 0.05)

    def analyze(*_: object, progress: Callable[[int, int | None], None], **__: object) -> None:
        assert indexed.writer.flush()
        seen.append(indexed.list()[0].state)
        progress(1, 10)
        assert ledger.cancel("a.mp4")
        end = time.monotonic() + 30
        while time.monotonic() < end:
            progress(2, 10)
            threading.Event().wait(0.01)

    monkeypatch.setattr(indexed.worker, "analyze", analyze)
    indexed.handle("a.mp4", clip.read_bytes())
    assert seen == ["working"] and indexed.states() == {"a.mp4": "cancelled"}
    assert receipt(indexed.worker, "a.mp4").state == "cancelled"


def test_the_app_notes_what_its_worker_does(worker: UploadWorker, index_table: UploadTable) -> None:
    instance.begin_index(worker)
    worker.handle(drop(worker, "a.jpg", jpeg()))
    assert default_writer().flush()
    assert [one.name for one in default_index().page(Query(state="done")).entries] == ["a.jpg"]


def test_what_a_route_blurs_is_said_by_its_results_and_by_older_ones_through_the_route(
    indexed: Indexed, registry: Registry
) -> None:
    text = '[[route]]\nname = "faces"\nmatch = "**"\nsteps = [{ model = "faces" }]\ndraw = { blur = ["face"] }\n'
    worker = UploadWorker(indexed.worker.storage, indexed.worker.settings, parse_routes(text, "r"), registry)
    faces = Indexed(worker, indexed.table)
    assert faces.handle("a.jpg") == "done"
    assert [one.blurred for one in faces.list()] == [True]
    head = worker.storage.head(RESULTS, "a.jpg/result.json")
    assert head and head.metadata["blurred"] == "true"
    without = {key: value for key, value in head.metadata.items() if key != "blurred"}
    document = worker.storage.read(RESULTS, head.name)
    assert document
    worker.storage.write(RESULTS, head.name, document[0], metadata=without)
    for blurs in (True, False):
        note = Truth(worker.storage, worker.ledger.store, {"faces": blurs}.__getitem__)("a.jpg")
        assert note and note.entry.blurred == blurs


def test_rows_of_what_somebody_deleted_by_hand_are_removed_after_the_nightly_audit(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = indexed.worker.storage
    for name in ("gone.jpg", "again.jpg", "kept.jpg"):
        indexed.handle(name)
    for name in ("gone.jpg", "again.jpg"):
        storage.delete(STATE, f"receipts/{name}")
    storage.delete(UPLOADS, "gone.jpg")
    monkeypatch.setattr("cloud.uploads.audit_nightly._next_look", {})
    quietly(storage, indexed.worker.settings, idle=True, begin_thread=lambda: None)
    assert indexed.states() == {"again.jpg": "waiting", "kept.jpg": "done"}
