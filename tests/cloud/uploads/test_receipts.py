"""Every store of receipts keeps the same promises; those in storage are read as they have always been written."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.storage.blobs import Conflict
from cloud.storage.containers import Storage
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt, ReceiptStore
from tests.cloud.uploads.memory_receipts import MemoryReceipts

FULL = Receipt(
    "a/b.jpg", "e1", "k" * 64, "waiting", 3, "me", 1.5, "2026-05-04T02:00:00+00:00", "why", 'route = "é"', "r1",
    ("k1", "k2"), True, "j1", "2026-05-03T02:00:00+00:00", None, "d1", "model:é\n m", "app-blue", ("k0",),
)  # fmt: skip


@pytest.fixture
def storage(storage_account: str) -> Storage:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    storage.ensure_containers("state")
    return storage


@pytest.fixture(params=["memory", "blobs"])
def store(request: pytest.FixtureRequest) -> ReceiptStore:
    if request.param == "memory":
        return MemoryReceipts()
    return BlobReceipts(request.getfixturevalue("storage"))


def test_what_was_kept_comes_back_whole_and_in_its_newest_version(store: ReceiptStore) -> None:
    assert store.get("a/b.jpg") is None
    first = store.create(FULL)
    stored = store.get("a/b.jpg")
    assert stored and (stored.receipt, stored.version) == (FULL, first)
    assert 0 <= stored.age_s < 60
    second = store.replace(replace(FULL, state="done", until=None), first)
    stored = store.get("a/b.jpg")
    assert stored and (stored.receipt.state, stored.version) == ("done", second) and second != first


def test_only_the_first_creates_and_only_the_newest_version_is_replaced(store: ReceiptStore) -> None:
    first = store.create(FULL)
    with pytest.raises(Conflict):
        store.create(FULL)
    store.replace(FULL, first)
    with pytest.raises(Conflict):
        store.replace(FULL, first)
    with pytest.raises(Conflict):
        store.replace(replace(FULL, name="never seen.jpg"), first)


def test_of_many_writers_at_once_one_wins(store: ReceiptStore) -> None:
    first = store.create(FULL)

    def write(number: int) -> bool:
        try:
            store.replace(replace(FULL, owner=str(number)), first)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(write, range(8)))
    stored = store.get(FULL.name)
    assert sum(wins) == 1 and stored and stored.receipt.owner == str(wins.index(True))


def test_a_listing_says_what_the_sweep_needs_in_the_order_of_the_paths(store: ReceiptStore) -> None:
    for name in ("b.jpg", "a/2.jpg", "a/1.jpg", "a//odd.jpg"):
        store.create(replace(FULL, name=name))
    summaries = [summary for page in store.pages() for summary in page.summaries]
    assert [summary.path for summary in summaries] == ["a/%2Fodd.jpg", "a/1.jpg", "a/2.jpg", "b.jpg"]
    for summary in summaries:
        assert (summary.state, summary.etag, summary.lease_s) == ("waiting", "e1", 1.5)
        assert summary.until and summary.until.isoformat() == FULL.until
        assert (summary.digest, summary.cause, summary.deployment) == ("d1", "model:é\n m", "app-blue")
        assert (summary.overridden, summary.override_mark, summary.job) == (True, FULL.override_mark, "")
    assert [s.path for page in store.pages("a/1") for s in page.summaries] == ["a/1.jpg"]


def test_a_listing_names_the_job_that_has_an_upload(store: ReceiptStore) -> None:
    store.create(replace(FULL, state="job", override=None))
    [summary] = [summary for page in store.pages() for summary in page.summaries]
    assert (summary.job, summary.overridden, summary.override_mark) == ("j1", False, "")


def test_a_listing_says_which_replay_has_taken_an_upload_and_that_its_result_has_expired(store: ReceiptStore) -> None:
    store.create(replace(FULL, state="done", replay="20260504-020000-00000001", expired="2026-05-05T02:00:00+00:00"))
    [summary] = [summary for page in store.pages() for summary in page.summaries]
    assert (summary.replay, summary.expired) == ("20260504-020000-00000001", True)


def test_receipts_in_storage_have_the_form_that_older_versions_of_the_app_wrote(storage: Storage) -> None:
    document = {
        "name": "a/b.jpg", "etag": "e1", "key": "k" * 64, "state": "waiting", "attempt": 3, "owner": "me",
        "lease_s": 1.5, "until": "2026-05-04T02:00:00+00:00", "reason": "why", "override": 'route = "é"',
        "result_etag": "r1", "old_keys": ["k1", "k2"], "has_error": True, "job": "j1",
        "at": "2026-05-03T02:00:00+00:00", "share": None, "digest": "d1", "cause": "model:é\n m",
        "deployment": "app-blue", "failed_keys": ["k0"], "replay": "", "expired": "", "uploaded": "",
        "claims": 1, "waits": 0, "suspect": False, "alone": False, "unsettled": False, "claimed_folder": "",
        "ends": 0,
    }  # fmt: skip
    metadata = {"state": "waiting", "etag": "e1", "lease": "1.5", "until": "2026-05-04T02:00:00+00:00"}
    metadata |= {"digest": "d1", "overridden": "true", "override": FULL.override_mark, "cause": "model:é\n m"}
    metadata |= {"by": "app-blue"}
    store = BlobReceipts(storage)
    store.create(FULL)
    written = storage.read("state", "receipts/a/b.jpg")
    assert written and (json.loads(written[0]), written[1].metadata) == (document, metadata)
    # One that knows less, and one from a version to come.
    short = {key: document[key] for key in ("name", "etag", "key", "state", "attempt")}
    for content, receipt in ((short, Receipt("a/b.jpg", "e1", "k" * 64, "waiting", 3)), ({**document, "x": 7}, FULL)):
        storage.write_json("state", "receipts/a/b.jpg", content, metadata=metadata)
        stored = store.get("a/b.jpg")
        assert stored and stored.receipt == receipt


def test_what_a_listing_says_wrongly_is_set_right_by_reading_but_for_a_workers(storage: Storage) -> None:
    store = BlobReceipts(storage)
    for state, right in (("job", True), ("working", False)):
        receipt = replace(FULL, name=f"{state}.jpg", state=state)  # type: ignore[arg-type]
        metadata = {"state": "retry", "etag": "e1"}
        storage.write_json("state", f"receipts/{receipt.name}", asdict(receipt), metadata=metadata)
        stored = store.get(receipt.name)
        assert stored and stored.receipt == receipt and storage.head("state", f"receipts/{receipt.name}")
        [summary] = [summary for page in store.pages(receipt.name) for summary in page.summaries]
        assert (summary.state == state) == right
        store.replace(receipt, stored.version)
