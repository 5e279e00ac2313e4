"""Results hour by hour: a mark, or a document, that cannot be read stops nothing and is named."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.settings import RESULTS, STATE
from cloud.storage.by_hour import HOUR, LeftOut, documents, floor, unprocessed
from cloud.storage.containers import BlobInfo, Page, Storage
from tests.cloud.storage.result_documents import BROKEN, whole

pytestmark = pytest.mark.slow

MARK = "lake.json"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def storage(storage_account: str) -> Storage:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    storage.ensure_containers(RESULTS, STATE)
    return storage


class Dated(Storage):
    """Storage in memory, with a clock of its own that dates what is written; a listing shows what was written before
    its last `late` seconds."""

    def __init__(self) -> None:
        self.now = NOON
        self.late = timedelta(0)
        self.blobs: dict[tuple[str, str], tuple[object, datetime]] = {}

    def date(self) -> datetime:
        return self.now

    def write_json(self, container: str, name: str, document: object, **options: object) -> str:
        self.blobs[container, name] = document, self.now
        return "etag"

    def read_json(self, container: str, name: str) -> tuple[object, BlobInfo] | None:
        found = self.blobs.get((container, name))
        return (found[0], self._info(name, found[1])) if found else None

    def pages(self, container: str, prefix: str = "", token: str | None = None, size: int = 1000) -> Iterator[Page]:
        there = [(n, at) for (c, n), (_, at) in self.blobs.items() if c == container and at <= self.now - self.late]
        yield Page([self._info(name, at) for name, at in there], None, None)

    def _info(self, name: str, at: datetime) -> BlobInfo:
        return BlobInfo(name, "etag", 1, at, self.now)

    def add(self, name: str) -> None:
        self.write_json(RESULTS, f"{name}/result.json", None)


class Lake:
    """What the last file of each hour holds, how often each hour was written, and the hosts that write them."""

    def __init__(self, storage: Dated) -> None:
        self.storage = storage
        self.hours: dict[datetime, list[str]] = {}
        self.times: Counter[datetime] = Counter()

    def fill(self, ahead: timedelta = timedelta(0), most: int = 168) -> None:
        for hour, blobs in unprocessed(self.storage, MARK, self.storage.now + ahead, most):
            self.hours[hour] = [blob.name for blob in blobs]
            self.times[hour] += 1

    def rows(self) -> list[str]:
        return sorted(name for names in self.hours.values() for name in names)


def upload_and_fill(storage: Dated, lake: Lake, clocks: list[timedelta], hours: int = 10) -> list[str]:
    """Three results an hour and a look of each host every ten minutes; the names of the results. In the end all clocks
    are right, for a last look."""
    names = []
    for minute in range(0, 60 * hours, 10):
        storage.now = NOON + timedelta(minutes=minute + 0.5)
        if minute % 20 == 0:
            names.append(f"{minute:05}.jpg/result.json")
            storage.add(f"{minute:05}.jpg")
        for clock in clocks:
            storage.now += timedelta(seconds=20)
            lake.fill(clock)
    storage.now = NOON + timedelta(hours=hours, minutes=5)
    lake.fill()
    return names


CLOCKS = {
    "right": [timedelta(0)],
    "ahead": [timedelta(minutes=10)],
    "a year ahead": [timedelta(days=365)],
    "behind": [timedelta(minutes=-25)],
    "one ahead, one behind": [timedelta(minutes=50), timedelta(minutes=-50)],
    "one right, one a year ahead": [timedelta(0), timedelta(days=365)],
    "one right, one a year behind": [timedelta(0), timedelta(days=-365)],
}


@pytest.mark.parametrize("clocks", CLOCKS.values(), ids=CLOCKS)
def test_every_result_is_in_one_hour_whatever_the_clocks_of_hosts_say(clocks: list[timedelta]) -> None:
    storage = Dated()
    lake = Lake(storage)
    names = upload_and_fill(storage, lake, clocks)
    assert lake.rows() == names
    assert all(floor(storage.blobs[RESULTS, name][1]) == hour for hour, found in lake.hours.items() for name in found)


def test_with_right_clocks_every_hour_is_written_once() -> None:
    storage = Dated()
    lake = Lake(storage)
    upload_and_fill(storage, lake, [timedelta(0)] * 2)
    assert set(lake.times.values()) == {1} and len(lake.times) == 10


@pytest.mark.parametrize("seed", range(20))
def test_clocks_that_jump_and_listings_that_lag_lose_nothing(seed: int) -> None:
    chance = random.Random(seed)
    storage = Dated()
    storage.late = timedelta(seconds=90)
    lake = Lake(storage)
    names = []
    for number in range(200):
        storage.now += timedelta(seconds=chance.randrange(30, 900))
        names.append(f"{number:05}.jpg/result.json")
        storage.add(f"{number:05}.jpg")
        if chance.random() < 0.4:
            lake.fill(chance.choice([1, -1]) * timedelta(minutes=chance.choice([0, 3, 90, 525_600])), most=2)
    storage.now += timedelta(hours=2)
    for _ in range(200):
        lake.fill(most=2)
    assert lake.rows() == names


def test_an_hour_that_ends_while_it_is_handled_early_is_handled_again() -> None:
    storage = Dated()
    lake = Lake(storage)
    storage.now = NOON + timedelta(minutes=58)
    storage.add("early")
    lake.fill()
    for hour, blobs in unprocessed(storage, MARK, storage.now + timedelta(minutes=10), 9):
        lake.hours[hour] = [blob.name for blob in blobs]
        storage.add("late")
        storage.now += timedelta(minutes=8)
    lake.fill()
    assert lake.rows() == ["early/result.json", "late/result.json"]


@pytest.mark.parametrize("wrong", [timedelta(days=365), timedelta(minutes=50)])
def test_a_mark_that_lies_ahead_is_doubted_and_loses_no_hour_since_it_was_written(
    wrong: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Dated()
    lake = Lake(storage)
    storage.now = NOON + timedelta(minutes=20)
    storage.add("before")
    lake.fill()
    # As releases before 0.2.0 wrote it, on a host whose clock was ahead: of what was there, the hour was handled.
    storage.write_json(STATE, MARK, {"through": floor(storage.now + wrong).isoformat()})
    storage.now += timedelta(minutes=20)
    storage.add("after")
    for _ in range(3):
        storage.now += HOUR
        storage.add(f"{storage.now:%H}")
        lake.fill()
    storage.now += HOUR
    lake.fill()
    assert [len(names) for names in lake.hours.values()] == [2, 1, 1, 1]
    assert len(caplog.messages) == 1
    assert "state/lake.json says that all before" in caplog.text and "the clock of a host was ahead" in caplog.text


def test_the_mark_of_real_storage_is_dated_by_it(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    storage.write_json(RESULTS, "a.jpg/result.json", whole())
    storage.write_json(STATE, MARK, {"through": "2090-01-01T00:00:00+00:00"})
    [(_, blobs)] = unprocessed(storage, MARK, datetime.now(UTC) + timedelta(hours=2), most=9)
    assert [blob.name for blob in blobs] == ["a.jpg/result.json"] and "the clock of a host was ahead" in caplog.text


@pytest.mark.parametrize(
    "mark",
    [None, b"", b"{half", b"[]", b"null", b"{}", b'{"through": 5}', b'{"through": "soon"}',
     b'{"through": "0001-01-01T00:00:00+09:00"}'],
)  # fmt: skip
def test_hours_are_gone_through_from_a_mark_that_can_be_read(
    storage: Storage, mark: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b", "a"):
        storage.write_json(RESULTS, f"{name}.jpg/result.json", whole(name))
    if mark is not None:
        storage.write(STATE, MARK, mark)
    now = datetime.now(UTC) + timedelta(hours=2)
    [(start, blobs)] = unprocessed(storage, MARK, now, most=9)
    assert (start, [blob.name[0] for blob in blobs]) == (floor(blobs[0].modified), ["a", "b"])
    assert (f"state/{MARK} is no mark" in caplog.text) == (mark is not None)


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_is_no_result_document_is_left_out_named_and_counted(
    storage: Storage, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "c", "d"):
        storage.write_json(RESULTS, f"{name}.jpg/result.json", whole(name))
    storage.write(RESULTS, "b.jpg/result.json", content)
    blobs = [blob for page in storage.pages(RESULTS) for blob in page.blobs]
    storage.delete(RESULTS, "d.jpg/result.json")
    found = [(blob.name[0], document["source"]["name"]) for blob, document in documents(storage, blobs)]
    assert found == [("a", "a"), ("c", "c")]
    named, counted = caplog.messages
    assert named.startswith("results/b.jpg/result.json is no result of this app and is left out: ")
    assert f"hour {floor(blobs[0].modified).isoformat()}: 1 of 3 documents are left out: results/b.jpg" in counted


def test_of_many_broken_documents_the_first_are_named(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"{number}.jpg/result.json" for number in range(7)]
    for name in names:
        storage.write(RESULTS, name, b"{}")
    [page] = storage.pages(RESULTS)
    assert list(documents(storage, page.blobs)) == []
    assert len(caplog.messages) == 6 and "7 of 7 documents" in caplog.messages[-1]
    assert "results/4.jpg/result.json and 2 more" in caplog.messages[-1]
    caplog.clear()
    left_out = LeftOut()
    for _ in range(2):
        list(documents(storage, page.blobs, left_out))
    assert (left_out.read, left_out.count, len(caplog.messages)) == (14, 14, 5)


def test_documents_of_older_releases_and_without_schema_are_results(storage: Storage) -> None:
    older = whole("a", summary={"cat": 1})
    del older["schema"], older["cost"], older["status"]
    storage.write_json(RESULTS, "a/result.json", older)
    [page] = storage.pages(RESULTS)
    late = replace(page.blobs[0], name="gone/result.json")
    assert [document for _, document in documents(storage, [*page.blobs, late])] == [older]
