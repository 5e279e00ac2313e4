"""Storage on a real Azurite: conditions, single commits, bounds that do not trust what a blob says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import CredentialUnavailableError
from azure.storage.blob import BlobProperties, BlobServiceClient, ContentSettings

from cloud.connection import by_connection_string
from cloud.storage.blobs import Conflict, date_of, info_of, translated
from cloud.storage.containers import Storage, to_bytes
from cloud.transport import StorageTransport
from inference.errors import LimitExceeded, StorageUnavailable

MIB = 1024 * 1024


@pytest.fixture
def storage(storage_account: str) -> Storage:
    service = by_connection_string(
        BlobServiceClient, storage_account, max_single_get_size=4 * MIB, max_chunk_get_size=4 * MIB,
        max_single_put_size=MIB, max_block_size=MIB, retry_total=0,
    )  # fmt: skip
    made = Storage(service)
    made.ensure_containers("results")
    return made


@pytest.mark.parametrize(
    ("name", "size", "metadata", "content_type", "headers", "is_folder"),
    [
        ("a", 0, {}, None, {}, False),  # an empty file
        ("a/", 0, {}, None, {}, True),
        ("a/", 1, {}, None, {}, False),
        ("a", 0, {"HDI_IsFolder": " TRUE"}, None, {}, True),
        ("a", 0, {"hdi_isfolder": "false"}, None, {}, False),
        ("a.jpg", 9, {"hdi_isfolder": "true"}, "image/jpeg", {}, False),
        ("a", 0, {}, None, {"X-Ms-Resource-Type": "directory"}, True),
        ("a", 0, {}, None, {"x-ms-resource-type": "file"}, False),
        ("a", 0, {}, "application/x-directory; charset=utf-8", {}, True),
        ("a", 0, {}, "inode/directory", {}, True),
        ("a", 0, {}, "application/octet-stream", {}, False),
    ],
)
def test_a_marker_of_a_folder_is_empty_and_says_what_it_is(
    name: str, size: int, metadata: dict[str, str], content_type: str | None, headers: dict[str, str], is_folder: bool
) -> None:
    said = BlobProperties(metadata=metadata)
    said.etag, said.size, said.content_settings = "e", size, ContentSettings(content_type=content_type)
    assert info_of(name, said, headers).is_folder == is_folder


def test_the_first_writer_wins_and_stale_versions_lose(storage: Storage) -> None:
    first = storage.write("results", "a", b"1", if_absent=True)
    with pytest.raises(Conflict):
        storage.write("results", "a", b"2", if_absent=True)
    second = storage.write("results", "a", b"2", if_match=first)
    with pytest.raises(Conflict):
        storage.write("results", "a", b"3", if_match=first)
    with pytest.raises(Conflict):
        storage.delete("results", "a", if_match=first)
    with pytest.raises(Conflict):
        storage.open("results", "a", etag=first)
    assert storage.delete("results", "a", if_match=second)
    assert storage.read("results", "a") is None
    assert not storage.delete("results", "a")


def test_etags_are_one_spelling_whoever_tells_them(storage: Storage) -> None:
    written = storage.write("results", "a", b"1", metadata={"state": "done"})
    head = storage.head("results", "a")
    reading = storage.open("results", "a")
    [page] = storage.pages("results")
    assert head and reading
    assert {written, head.etag, reading.info.etag, page.blobs[0].etag} == {written}
    assert page.blobs[0].metadata == {"state": "done"}


def test_missing_containers_are_made_on_writing_and_empty_on_reading(storage: Storage) -> None:
    assert storage.read("state", "x") is None
    assert storage.head("state", "x") is None
    assert list(storage.pages("state")) == []
    assert not storage.delete("state", "x")
    storage.write("state", "x", b"1")
    assert storage.read("state", "x")


def test_a_large_file_appears_at_once_when_its_blocks_are_committed(storage: Storage, tmp_path: Path) -> None:
    file = tmp_path / "annotated.mp4"
    file.write_bytes(bytes(range(256)) * 4096 * 10)  # 10 MiB in blocks of 1 MiB
    etag = storage.write("results", "v/annotated.mp4", file)
    reading = storage.open("results", "v/annotated.mp4", etag)
    assert reading
    assert b"".join(reading.chunks(20 * MIB)) == file.read_bytes()
    # A condition that fails at the commit leaves the old content whole.
    with pytest.raises(Conflict):
        storage.write("results", "v/annotated.mp4", tmp_path / "annotated.mp4", if_match="0x1")


def test_too_large_is_refused_before_and_while_downloading(storage: Storage) -> None:
    storage.write("results", "big", b"x" * (5 * MIB))
    reading = storage.open("results", "big")
    assert reading
    with pytest.raises(LimitExceeded, match="5,242,880"):
        reading.read(MIB)
    # The properties lie: the stream is counted all the same.
    object.__setattr__(reading.info, "size", 10)
    with pytest.raises(LimitExceeded):
        reading.read(MIB)


def test_overwritten_while_being_read_is_a_conflict(storage: Storage) -> None:
    storage.write("results", "big", b"x" * (9 * MIB))
    reading = storage.open("results", "big")
    storage.write("results", "big", b"y" * (9 * MIB))
    assert reading
    with pytest.raises(Conflict):
        reading.read(20 * MIB)


def test_index_tags_make_results_searchable(storage: Storage) -> None:
    storage.write("results", "a", b"{}", tags={"task": "object-detection", "top": "caf\u00e9 & <bar>"})
    [found] = storage.service.find_blobs_by_tags("task='object-detection'")
    assert found.name == "a"


def test_an_account_without_tags_is_noticed_once_and_goes_on(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from azure.storage.blob import BlobClient

    real, sent = BlobClient.upload_blob, []

    def no_tags(self: BlobClient, *args: object, **kwargs: object) -> object:
        sent.append("tags" in kwargs)
        if "tags" in kwargs:
            refusal = HttpResponseError("refused")
            refusal.error_code = "FeatureNotYetSupportedForHierarchicalNamespaceAccounts"  # type: ignore[attr-defined]
            raise refusal
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(BlobClient, "upload_blob", no_tags)
    for name in "ab":
        storage.write("results", name, b"{}", tags={"task": "x"})
    assert sent == [True, False, False]
    assert storage.tags_refused
    assert caplog.text.count("no index tags") == 1


def test_listing_goes_on_from_a_page_token(storage: Storage) -> None:
    for number in range(5):
        storage.write("results", f"p/{number}", b"")
    storage.write("results", "q", b"")
    pages = list(storage.pages("results", "p/", size=2))
    assert [blob.name for page in pages for blob in page.blobs] == [f"p/{n}" for n in range(5)]
    again = next(storage.pages("results", "p/", token=pages[1].token, size=2))
    assert [blob.name for blob in again.blobs] == ["p/2", "p/3"]
    assert pages[-1].next_token is None


def test_storage_that_does_not_answer_is_transient() -> None:
    nowhere = BlobServiceClient(
        "http://127.0.0.1:9/account", credential="c2VjcmV0", retry_total=0, connection_timeout=1
    )
    with pytest.raises(StorageUnavailable, match="did not answer"):
        Storage(nowhere).head("uploads", "a")


@pytest.mark.parametrize(
    "name", ["é✓/日本.jpg", "100%.jpg", "a%20b.jpg", "q?x=1#f", "/lead", "a//b", "dot.", "x" * 900]
)
def test_odd_names_are_read_back_as_written(storage: Storage, name: str) -> None:
    storage.write("uploads", name, name.encode())
    [page] = storage.pages("uploads")
    assert [blob.name for blob in page.blobs] == [name]
    found = storage.read("uploads", name)
    assert found
    assert found[0] == name.encode()


def test_documents_hold_no_nan() -> None:
    assert to_bytes({"score": float("nan")}) == b'{"score":null}'  # JSON has no NaN, and no reader would take it


def test_an_identity_without_a_token_is_reported_in_its_own_words() -> None:
    words = "reading uploads/a.jpg: no managed identity endpoint"
    with pytest.raises(StorageUnavailable, match=words), translated("reading uploads/a.jpg"):
        raise CredentialUnavailableError("no managed identity endpoint")


def test_a_blob_is_saved_as_a_file_under_its_limit(storage: Storage, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40_000  # more than the opening call brings
    storage.write("results", "a", content)
    reading = storage.open("results", "a")
    assert reading and reading.save(tmp_path / "b/c", len(content)).read_bytes() == content
    reading = storage.open("results", "a")
    assert reading
    with pytest.raises(LimitExceeded):
        reading.save(tmp_path / "d", len(content) - 1)


def test_storage_says_what_time_it_is_with_and_without_a_container(storage_account: str) -> None:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    before = datetime.now(UTC).replace(microsecond=0)
    assert storage.date() >= before
    storage.ensure_containers("state")
    assert before <= storage.date() <= datetime.now(UTC)


@pytest.mark.parametrize(
    "date",
    [
        "Sat, 28 Nov 2026 14:15:00 GMT",
        "Sat, 28 Nov 2026 14:15:00 -0000",
        "Sat, 28 Nov 2026 14:15:00 GMT, Sat, 28 Nov 2026 14:15:09 GMT",  # with that of a proxy
    ],
)
def test_the_services_date_is_understood_as_proxies_pass_it_on(date: str) -> None:
    assert date_of({"Date": date}) == datetime(2026, 11, 28, 14, 15, tzinfo=UTC)


def test_a_date_that_is_none_is_ours() -> None:
    for headers in ({}, {"date": "yesterday"}):
        assert abs((date_of(headers) - datetime.now(UTC)).total_seconds()) < 60


def test_every_request_has_a_number_of_its_own(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = StorageTransport.send

    def send(self: StorageTransport, request: Any, **options: Any) -> Any:
        seen.append(request.headers["x-ms-client-request-id"])
        return real(self, request, **options)

    monkeypatch.setattr(StorageTransport, "send", send)
    storage.write("results", "a", b"1")
    storage.head("results", "a")
    storage.open("results", "a")
    storage.delete("results", "a")
    process, numbers = zip(*(each.split("-") for each in seen), strict=True)
    assert len(set(process)) == 1 and len(set(numbers)) == 4
