"""Results by the hour from the index: those that a listing gives, without one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.azureml.expressions import Facts
from cloud.index.create import create_all
from cloud.index.results import IndexedResults
from cloud.index.rows import Note
from cloud.index.table import UploadTable
from cloud.settings import CONTAINERS, RESULTS
from cloud.storage.by_hour import documents, floor, unprocessed
from cloud.storage.containers import Storage
from tests.cloud.helpers import Calls
from tests.cloud.index.notes import entry
from tests.cloud.storage.result_documents import whole

MARK = "test/through.json"


@pytest.fixture
def storage(storage_account: str) -> Storage:
    made = Storage(BlobServiceClient.from_connection_string(storage_account))
    made.ensure_containers(*CONTAINERS)
    return made


def written(table: UploadTable, name: str, at: datetime, *, exact: bool = False, state: str = "done") -> None:
    create_all(table, [Note(entry(name, state=state, created=at), at, exact)])


def hours(storage: Storage, results: IndexedResults, now: datetime) -> dict[datetime, list[str]]:
    found = unprocessed(storage, MARK, now, 100, results)
    return {start: [blob.name.split("/")[0] for blob in blobs] for start, blobs in found}


def test_finished_hours_come_from_rows_and_only_what_is_near_a_bound_is_looked_at(
    storage: Storage, table: UploadTable, calls: Calls
) -> None:
    hour = floor(storage.date()) - timedelta(hours=2)
    minute = timedelta(minutes=1)
    written(table, "a.jpg", hour + 30 * minute)
    written(table, "b.jpg", hour - minute, exact=True)
    written(table, "failed.jpg", hour + 30 * minute, state="failed")
    written(table, "gone.jpg", hour + 61 * minute)  # about: a look shows that there is none
    written(table, "later.jpg", hour + 100 * minute)
    storage.write(RESULTS, "now.jpg/result.json", b"{}")
    written(table, "now.jpg", hour + 62 * minute)  # about: a look shows that it was written just now
    begun = len(calls)
    results = IndexedResults(storage, table, hour + 60 * minute)
    now = hour + 125 * minute
    assert hours(storage, results, now) == {hour - 60 * minute: ["b.jpg"], hour: ["a.jpg"]}
    assert not [call for call in calls.seen[begun:] if "comp=list" in call]
    looked = [call for call in calls.seen[begun:] if call.startswith("HEAD") and "result.json" in call]
    assert len(looked) == 2
    assert hours(storage, results, now) == {}  # an hour is over once the index knows all of it
    assert hours(storage, IndexedResults(storage, table, now), now) == {hour + 60 * minute: ["later.jpg"]}


def test_an_index_that_is_far_behind_is_not_waited_for(storage: Storage, table: UploadTable) -> None:
    storage.write(RESULTS, "a.jpg/result.json", json.dumps(whole()).encode())
    now = storage.date() + timedelta(hours=2)
    behind = IndexedResults(storage, table, storage.date() - timedelta(hours=5))
    assert list(hours(storage, behind, now).values()) == [["a.jpg"]]


def test_documents_that_only_the_index_knows_are_dated_by_storage(storage: Storage, table: UploadTable) -> None:
    storage.write(RESULTS, "a.jpg/result.json", json.dumps(whole()).encode())
    written(table, "a.jpg", datetime(2026, 1, 1, 8, 30, tzinfo=UTC))
    blobs = list(IndexedResults(storage, table, storage.date()).since(None))
    stored = storage.head(RESULTS, "a.jpg/result.json")
    assert stored and [blob.modified for blob, _ in documents(storage, blobs)] == [stored.modified]


def test_new_results_are_counted_from_rows_to_the_second(storage: Storage, table: UploadTable) -> None:
    since = floor(storage.date()) - timedelta(minutes=30)
    storage.write(RESULTS, "new.jpg/result.json", b"{}")
    written(table, "new.jpg", since - timedelta(minutes=2))  # about: it was written after that
    written(table, "old.jpg", since - timedelta(minutes=20))
    written(table, "exact.jpg", since - timedelta(seconds=1), exact=True)
    written(table, "clear.jpg", since + timedelta(minutes=20))
    results = IndexedResults(storage, table, since)

    def count(moment: datetime | None) -> int:
        return Facts(storage, lambda: pytest.fail("not asked"), moment, lambda: results).new_results

    assert (count(since), count(None)) == (2, 4)
