"""Which index a process has: the table, or listings where its account has no tables."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError

from cloud import health_parts
from cloud.index.default import DefaultIndex, Tables, default_index, default_writer, note_waiting
from cloud.index.entry import Entry, Query
from cloud.index.table import UploadTable
from cloud.settings import STATE, UPLOADS
from cloud.storage.containers import default_storage
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import BadRequest
from tests.cloud.helpers import drop, jpeg
from tests.cloud.index.notes import moment

pytestmark = pytest.mark.slow


class Without(UploadTable):
    """Of an account whose table service answers so."""

    error: Exception
    asked = 0

    def ensure(self, **_: object) -> None:
        self.asked += 1
        raise self.error


def refused(status: int, code: str) -> HttpResponseError:
    error = HttpResponseError(message="no")
    error.status_code, error.error_code = status, code  # type: ignore[attr-defined]
    return error


def index_without(table: UploadTable, error: Exception) -> tuple[DefaultIndex, Without]:
    without = Without(table.service)
    without.error = error
    return DefaultIndex(Tables(lambda: without), default_storage), without


def test_the_apps_own_is_the_table_and_the_health_says_so(account: str) -> None:
    default_writer().truth = lambda name, hint: hint
    note_waiting("a.jpg", "0x1", moment(0))
    assert default_writer().flush()
    assert default_index().page(Query()).entries == [Entry("a.jpg", "0x1", "waiting", moment(0))]
    assert health_parts.index() == {"lists": "the table uploads"}
    default_index().remove(["a.jpg"])
    assert default_index().page(Query()).entries == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused(403, "AuthorizationPermissionMismatch"), "Storage Table Data Contributor"),
        (refused(400, "FeatureNotSupported"), "premium block blob"),
        (ServiceRequestError(message="Name or service not known"), "does not answer"),
        (refused(503, "ServerBusy"), "503 ServerBusy"),
    ],
)
def test_without_tables_lists_come_from_listings_and_it_is_told_once(
    error: Exception,
    words: str,
    index_table: UploadTable,
    caplog: pytest.LogCaptureFixture,
) -> None:
    default_storage().write(UPLOADS, "a.jpg", b"x")
    index, without = index_without(index_table, error)
    with caplog.at_level(logging.WARNING):
        assert [one.name for one in index.page(Query(label="car")).entries] == ["a.jpg"]
        assert index.page(Query(label="car", min_score=0.5, state="waiting")).unfiltered == ("label", "min_score")
    told = [line for line in caplog.messages if line.startswith("index:")]
    assert len(told) == 1 and words in told[0] and words in index.tables.why
    assert without.asked == 1
    index.tables._ask_at = 0.0  # a minute later
    index.page(Query())
    is_for_good = isinstance(error, HttpResponseError) and error.status_code == 400
    assert without.asked == (1 if is_for_good else 2)


def test_listings_say_states_and_the_newest_first_on_pages_of_any_size(
    make_worker: Callable[..., UploadWorker], index_table: UploadTable
) -> None:
    index, _ = index_without(index_table, refused(403, "AuthorizationFailure"))
    worker = make_worker()
    assert worker.handle(drop(worker, "street/a.jpg", jpeg())).status == "done"
    assert worker.handle(drop(worker, "street/b%41.jpg", b"\xff\xd8\xffno picture")).status == "failed"
    assert worker.handle(drop(worker, "night/c.jpg", jpeg())).status == "waiting"
    drop(worker, "d.jpg", jpeg())
    drop(worker, "street/a.jpg.route.toml", b"")
    drop(worker, "Thumbs.db", b"x")
    found = index.page(Query()).entries
    assert {one.name: one.state for one in found} == {
        "street/a.jpg": "done",
        "street/b%41.jpg": "failed",
        "night/c.jpg": "waiting",
        "d.jpg": "waiting",
    }
    uploads = {blob.name: blob for page in worker.storage.pages(UPLOADS) for blob in page.blobs}
    assert all((one.etag, one.created) == (uploads[one.name].etag, uploads[one.name].modified) for one in found)
    assert [one.created for one in found] == sorted((one.created for one in found), reverse=True)
    names, cursor = list[str](), None
    for _ in range(4):
        page = index.page(Query(), cursor, 1)
        names, cursor = [*names, page.entries[0].name], page.next
    assert cursor is None and names == [one.name for one in found]
    assert {one.name for one in index.page(Query(folder="street/")).entries} == {"street/a.jpg", "street/b%41.jpg"}
    assert [one.name for one in index.page(Query(state="failed")).entries] == ["street/b%41.jpg"]
    assert index.page(Query(until=min(one.created for one in found))).entries == []
    with pytest.raises(BadRequest):
        index.page(Query(), "x")


def test_listings_go_on_where_a_slice_of_names_ends(
    account: str, index_table: UploadTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.index.listing._AT_ONCE", 2)
    for number in range(5):
        default_storage().write(UPLOADS, f"{number}.jpg", b"x")
    default_storage().write(STATE, "receipts/0.jpg", b"{}", metadata={"state": "done", "etag": "older"})
    index, _ = index_without(index_table, refused(403, "AuthorizationFailure"))
    names, cursor = list[str](), None
    while True:
        page = index.page(Query(), cursor, 60)
        names += [one.name for one in page.entries]
        if page.next is None:
            break
        cursor = page.next
    assert sorted(names) == [f"{number}.jpg" for number in range(5)] and len(names) == 5
