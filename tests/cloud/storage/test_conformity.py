"""What uploads rely on of storage: Azurite does it, and so does the memory that faster tests take in its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.connection import by_connection_string
from cloud.storage.blobs import Conflict
from cloud.storage.containers import Storage
from inference.errors import LimitExceeded
from tests.cloud.storage.memory_storage import Account, MemoryStorage

MIB = 1024 * 1024


@pytest.fixture(params=["memory", "azurite"])
def storage(request: pytest.FixtureRequest) -> Storage:
    if request.param == "memory":
        made: Storage = MemoryStorage()
        made.chunk = MIB  # type: ignore[attr-defined]
    else:
        text = request.getfixturevalue("storage_account")
        made = Storage(by_connection_string(BlobServiceClient, text, max_single_get_size=MIB, max_chunk_get_size=MIB))
    made.ensure_containers("uploads")
    return made


@pytest.fixture
def pass_s(storage: Storage) -> Callable[[float], None]:
    """Lets the account's clock go on."""
    return storage.account.pass_s if isinstance(storage, MemoryStorage) else time.sleep


def listed(storage: Storage, prefix: str = "", **options: object) -> list[list[str]]:
    pages = storage.pages("uploads", prefix, **options)  # type: ignore[arg-type]
    return [[blob.name for blob in page.blobs] for page in pages]


def test_each_write_is_a_new_version_and_all_ways_tell_the_same(storage: Storage) -> None:
    first = storage.write("uploads", "a", b"1")
    second = storage.write("uploads", "a", b"1")
    assert first != second and first.isascii() and '"' not in first
    head, reading, [page] = storage.head("uploads", "a"), storage.open("uploads", "a"), storage.pages("uploads")
    assert head and reading
    infos = [head, reading.info, page.blobs[0]]
    assert {(info.name, info.etag, info.size, info.modified) for info in infos} == {("a", second, 1, head.modified)}


@pytest.mark.parametrize("there", ["none", "this", "another"])
@pytest.mark.parametrize("call", ["write", "create", "delete", "open", "range"])
def test_conditions(storage: Storage, call: str, there: str) -> None:
    etag = storage.write("uploads", "a", b"old")
    if there == "another":
        storage.write("uploads", "a", b"new")
    elif there == "none":
        storage.delete("uploads", "a")
    acts: dict[str, Callable[[], object]] = {
        "write": lambda: storage.write("uploads", "a", b"x", if_match=etag) and "written",
        "create": lambda: storage.write("uploads", "a", b"x", if_absent=True) and "written",
        "delete": lambda: storage.delete("uploads", "a", if_match=etag),
        "open": lambda: (reading := storage.open("uploads", "a", etag)) and reading.read(9),
        "range": lambda: storage.read_range("uploads", "a", 1, 2, etag),
    }
    # In the order none, this, another.
    expected: dict[str, tuple[object, object, object]] = {
        "write": (Conflict, "written", Conflict),
        "create": ("written", Conflict, Conflict),
        "delete": (Conflict, True, Conflict),
        "open": (Conflict, b"old", Conflict),
        "range": (Conflict, b"ld", Conflict),
    }
    wanted = expected[call][["none", "this", "another"].index(there)]
    if wanted is Conflict:
        with pytest.raises(Conflict):
            acts[call]()
    else:
        assert acts[call]() == wanted
    left = storage.read("uploads", "a")
    untouched = {"none": None, "this": b"old", "another": b"new"}[there]
    after = b"x" if wanted == "written" else None if wanted is True else untouched
    assert (left and left[0]) == after


def test_what_is_not_there(storage: Storage) -> None:
    for container in ("uploads", "never-made"):
        assert storage.head(container, "a") is None
        assert storage.open(container, "a") is None
        assert storage.delete(container, "a") is False
        assert [blob for page in storage.pages(container) for blob in page.blobs] == []
    storage.write("never-made", "a", b"1")
    assert storage.read_json("never-made", "a") == (1, storage.head("never-made", "a"))


def test_a_write_replaces_content_metadata_and_all(storage: Storage) -> None:
    storage.write("uploads", "a", b"12", metadata={"Key": "é / % =", "other": ""}, tags={"count": "1"})
    head = storage.head("uploads", "a")
    assert head and head.metadata == {"key": "é / % =", "other": ""}
    storage.write("uploads", "a", b"3")
    [page] = storage.pages("uploads")
    assert (page.blobs[0].size, dict(page.blobs[0].metadata)) == (1, {})


def test_names_are_listed_in_their_order_below_a_prefix(storage: Storage) -> None:
    names = ["a", "a.jpg", "a.jpg.route.toml", "a/b", "a/b/c", "a0", "b", "B", "a b", "a-b", "a%2Fb"]
    for name in names:
        storage.write("uploads", name, b"")
    assert listed(storage) == [sorted(names)]
    assert listed(storage, "a/") == [["a/b", "a/b/c"]]
    assert listed(storage, "z") in ([], [[]])
    assert storage.folders("uploads", "a/") == ["b"]


def test_pages_are_tokens_that_list_them_again_as_they_are_by_then(storage: Storage) -> None:
    for name in "abcde":
        storage.write("uploads", name, b"", metadata={"name": name})
    pages = list(storage.pages("uploads", size=2))
    assert [[blob.name for blob in page.blobs] for page in pages] == [["a", "b"], ["c", "d"], ["e"]]
    assert [page.token for page in pages] == [None, pages[0].next_token, pages[1].next_token]
    assert pages[2].next_token is None
    assert pages[1].blobs[0].metadata == {"name": "c"}
    storage.delete("uploads", "c")
    storage.write("uploads", "d", b"new")
    storage.write("uploads", "bb", b"")
    again = next(storage.pages("uploads", size=2, token=pages[1].token))
    assert [blob.name for blob in again.blobs] == ["bb", "d"]
    assert again.blobs[1].size == 3
    assert listed(storage, "a", size=1) == [["a"]]


def test_a_listing_under_way_shows_what_came_before_its_next_page(storage: Storage) -> None:
    for name in "abcd":
        storage.write("uploads", name, b"")
    pages = storage.pages("uploads", size=2)
    assert [blob.name for blob in next(pages).blobs] == ["a", "b"]
    storage.write("uploads", "aa", b"")  # the listing has passed it
    storage.write("uploads", "e", b"")
    storage.delete("uploads", "c")
    assert [blob.name for blob in next(pages).blobs] == ["d", "e"]


def test_markers_of_folders_are_left_out(storage: Storage) -> None:
    storage.write("uploads", "album/", b"")
    storage.write("uploads", "mark", b"", metadata={"hdi_isfolder": "true"})
    storage.write("uploads", "dir", b"", content_type="application/x-directory")
    storage.write("uploads", "file", b"1", content_type="application/x-directory")
    assert listed(storage) == [["file"]]
    marker = storage.head("uploads", "dir")
    assert marker and marker.is_folder


@pytest.mark.slow
def test_ages_are_by_the_clock_of_storage_in_whole_seconds(storage: Storage, pass_s: Callable[[float], None]) -> None:
    before = storage.date()
    storage.write("uploads", "a", b"1")
    pass_s(2.2)
    head, [page], after = storage.head("uploads", "a"), storage.pages("uploads"), storage.date()
    assert head
    for info in (head, page.blobs[0]):
        assert info.modified.microsecond == info.served_at.microsecond == 0
        assert before <= info.modified <= info.served_at <= after
        assert info.served_at - info.modified >= timedelta(seconds=2)
        assert 1 <= info.age_s <= info.served_at.timestamp() - before.timestamp()


def test_large_content_is_read_in_pieces_of_one_version(storage: Storage, tmp_path: Path) -> None:
    content = bytes(range(256)) * (10 * MIB // 1024)  # 2.5 MiB
    file = tmp_path / "video"
    file.write_bytes(content)
    etag = storage.write("uploads", "a", file)
    reading, second = storage.open("uploads", "a"), storage.open("uploads", "a")
    assert reading and second and reading.head == content[:MIB]
    assert storage.read_range("uploads", "a", MIB + 1, 3, etag) == content[MIB + 1 : MIB + 4]
    with pytest.raises(LimitExceeded):
        second.read(MIB)
    assert reading.read(3 * MIB) == content
    reading = storage.open("uploads", "a")
    storage.write("uploads", "a", b"other")
    assert reading
    with pytest.raises(Conflict):
        reading.read(3 * MIB)


def test_what_was_deleted_comes_back_in_its_very_version() -> None:
    storage = MemoryStorage(account := Account())
    etag = storage.write("uploads", "a", b"1")
    storage.delete("uploads", "a")
    assert account.undelete("uploads", "a") and not account.undelete("uploads", "a")
    head = storage.head("uploads", "a")
    assert head and head.etag == etag
