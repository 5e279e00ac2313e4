"""Uploads over HTTP: listed, told about, written, deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cloud.index.entry import Entry, EntryPage, Query
from cloud.settings import UPLOADS, Settings
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import drop, jpeg
from tests.cloud.web.asking import ask, said, serve

pytestmark = pytest.mark.slow
NOTED: list[tuple[str, str]] = []


class FakeIndex:
    """Gives one page, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.page_of = EntryPage([])

    def page(self, query: Query, cursor: str | None = None, size: int = 60) -> EntryPage:
        self.asked.append((query, cursor, size))
        return self.page_of

    def remove(self, names: Iterable[str]) -> None:
        self.asked.append([*names])


@pytest.fixture
def index(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> FakeIndex:
    serve(monkeypatch, worker)
    NOTED.clear()
    fake = FakeIndex()
    monkeypatch.setattr("cloud.web.uploads_api.default_index", lambda: fake)
    monkeypatch.setattr("cloud.web.uploads_api.note_waiting", lambda name, etag, created: NOTED.append((name, etag)))
    monkeypatch.setattr("cloud.web.upload_items.thumbnail_address", lambda entry: f"thumbnails/{entry.name}")
    return fake


def test_an_upload_is_written_once_replaced_and_kept_from_being_replaced(
    worker: UploadWorker, index: FakeIndex
) -> None:
    first = ask("PUT", "v1/uploads/street/a b.jpg?route=classify", jpeg(), {"Content-Type": "image/x-own"})
    written = said(first)
    assert (first.status_code, written["replaced"], written["name"]) == (201, False, "street/a b.jpg")
    assert first.headers["Location"] == "http://app/api/v1/uploads/street/a%20b.jpg"
    assert first.headers["ETag"] == f'"{written["etag"]}"'
    assert [("street/a b.jpg", written["etag"])] == NOTED
    upload = worker.storage.head(UPLOADS, "street/a b.jpg")
    assert upload and (upload.etag, upload.metadata) == (written["etag"], {"dropsight_route": "classify"})
    blob = worker.storage.service.get_blob_client(UPLOADS, "street/a b.jpg").get_blob_properties()
    assert blob.content_settings.content_type == "image/x-own"

    for headers in ({"If-None-Match": "*"}, {"If-Match": '"0x1"'}):
        refused = ask("PUT", "v1/uploads/street/a b.jpg", jpeg(1), headers)
        assert (refused.status_code, said(refused)["error"]["class"]) == (412, "PreconditionFailed")
    assert ask("PUT", "v1/uploads/new.jpg", jpeg(1), {"If-Match": "*"}).status_code == 412
    second = ask("PUT", "v1/uploads/street/a b.jpg", jpeg(1), {"If-Match": first.headers["ETag"]})
    assert (second.status_code, said(second)["replaced"]) == (200, True)
    assert ask("PUT", "v1/uploads/new.jpg", jpeg(1), {"If-None-Match": "*"}).status_code == 201


@pytest.mark.parametrize(
    ("address", "body", "headers", "status", "words"),
    [
        ("a.jpg", b"", {}, 400, "the body is empty"),
        ("a.jpg", b"--x", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "this is a form"),
        ("s/._a.jpg", b"x", {}, 400, "is never analysed"),
        ("../a.jpg", b"x", {}, 400, "a '.' or a '..'"),
        ("a%2F..%2Fb.jpg", b"x", {}, 400, "a '.' or a '..'"),
        ("a//b.jpg", b"x", {}, 400, "an empty segment"),
        ("a%0Ab.jpg", b"x", {}, 400, "the control character '\\n'"),
        ("a%00.jpg", b"x", {}, 400, "NUL"),
        ("x" * 901, b"x", {}, 400, "901 characters, expected at most 900"),
        ("x" * 1025, b"x", {}, 400, "no name in storage has more than 1,024"),
        ("a.jpg?route=clasify", b"x", {}, 400, "no route is called 'clasify'; did you mean 'classify'?"),
        ("a.jpg", b"x", {"If-None-Match": '"x"'}, 400, "expected *"),
        ("a.jpg", b"x", {"If-None-Match": "*", "If-Match": "*"}, 400, "give one of them"),
        # With such a name in it, the lists of some storage are no XML any more: nobody's uploads are found.
        ("a%EF%BF%BE.jpg", b"x", {}, 400, "the control character '\\ufffe'"),
        ("a%F4%8F%BF%BF.jpg", b"x", {}, 400, "the control character '\\U0010ffff'"),
        ("a%C2%85.jpg", b"x", {}, 400, "the control character '\\x85'"),
        ("a.jpg", b"x", {"Content-Type": "image/jp\xe9g"}, 400, "expected such as image/jpeg"),
        ("a.jpg", b"x", {"Content-Type": "jpeg"}, 400, "expected such as image/jpeg"),
        ("a.jpg", b"x", {"Content-Range": "bytes 0-0/9"}, 400, "a part of a file (Content-Range)"),
        ("a.jpg", b"x", {"Content-Encoding": "gzip"}, 415, "packed (Content-Encoding: gzip)"),
    ],
)
def test_what_is_no_upload_is_refused_in_words(
    worker: UploadWorker, index: FakeIndex, address: str, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = ask("PUT", f"v1/uploads/{address}", body, headers)
    assert (answer.status_code, words in said(answer)["detail"]) == (status, True), said(answer)["detail"]
    assert [page.blobs for page in worker.storage.pages(UPLOADS)] == [[]] and not NOTED


def test_what_is_too_large_for_a_request_is_told_the_command(worker: UploadWorker, index: FakeIndex) -> None:
    worker.settings = replace(worker.settings, max_request_bytes=10)
    answer = ask("PUT", "v1/uploads/street/a.mp4", b"x" * 11)
    assert (answer.status_code, said(answer)["error"]["class"]) == (413, "LimitExceeded")
    assert (
        'azcopy copy "a.mp4" "http://' in said(answer)["detail"] and "/uploads/street/a.mp4" in said(answer)["detail"]
    )


def test_what_became_of_an_upload(worker: UploadWorker, index: FakeIndex) -> None:
    worker.handle(drop(worker, "s/good.jpg", jpeg()))
    worker.handle(drop(worker, "s/bad.jpg", jpeg(side=256)[:300]))
    drop(worker, "s/new.jpg", jpeg())
    for address in ("s/good.jpg", "s%2Fgood.jpg", "s%2fgood.jpg"):
        good = said(ask("GET", f"v1/uploads/{address}"))
        assert (good["name"], good["state"], good["result"]["path"]) == ("s/good.jpg", "done", "s/good.jpg/result.json")
    assert good["result"]["route"] == "default" and good["error"] is None and good["etag"]
    answer = ask("GET", "v1/uploads/s/bad.jpg")
    bad = said(answer)
    assert (answer.status_code, bad["state"], bad["error"]["class"]) == (200, "failed", "CorruptMedia")
    assert bad["result"] is None and bad["retry_after_s"] is None
    answer = ask("GET", "v1/uploads/s/new.jpg")
    assert (said(answer)["state"], answer.headers["Retry-After"]) == ("waiting", "5")
    answer = ask("GET", "v1/uploads/s/no.jpg")
    assert (answer.status_code, said(answer)["error"]["class"], said(answer)["state"]) == (404, "NotFound", "unknown")
    worker.storage.delete(UPLOADS, "s/good.jpg")
    assert said(ask("GET", "v1/uploads/s/good.jpg"))["state"] == "deleted"


def test_what_was_put_into_storage_under_an_odd_name_is_told_and_read(worker: UploadWorker, index: FakeIndex) -> None:
    worker.handle(drop(worker, "odd//a.jpg", jpeg()))  # no name that the API gives, and one that storage takes
    found = said(ask("GET", "v1/uploads/odd%2F%2Fa.jpg"))
    assert (found["state"], found["result"]["path"]) == ("done", "odd/%2Fa.jpg/result.json")
    answer = ask("GET", "v1/results/odd/%252Fa.jpg/result.json")
    assert (answer.status_code, said(answer)["source"]["name"]) == (200, "odd//a.jpg")
    assert ask("DELETE", "v1/uploads/odd//").status_code == 400
    assert said(ask("DELETE", "v1/uploads/odd//a.jpg"))["count"] == 1


def test_a_new_version_has_not_the_result_of_the_one_before(worker: UploadWorker, index: FakeIndex) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg()))
    drop(worker, "a.jpg", jpeg(1))
    found = said(ask("GET", "v1/uploads/a.jpg"))
    assert (found["state"], found["result"]) == ("waiting", None)


def test_a_list_asks_the_index_and_is_not_sent_twice(index: FakeIndex) -> None:
    created = datetime(2026, 5, 31, 18, tzinfo=UTC)
    index.page_of = EntryPage(
        [
            Entry("s/a.jpg", "0x1", "done", created, route="r", objects={"cat": 2}, scene={"night": 0.5}, width=4),
            Entry("s/b.jpg", "0x2", "failed", created, error_class="CorruptMedia", message="cut off"),
        ],
        "further",
        ("label",),
    )
    answer = ask("GET", "v1/uploads?folder=s/&label=cat&min_score=0.5&since=2026-05-31&limit=2&cursor=x&state=done")
    query = Query("s/", "done", label="cat", min_score=0.5, since=datetime(2026, 5, 31, tzinfo=UTC))
    assert index.asked == [(query, "x", 2)]
    found = said(answer)
    assert (found["next"], found["unfiltered"]) == ("further", ["label"])
    good, bad = found["items"]
    assert good["summary"] == {"objects": {"cat": 2}, "scene": {"night": 0.5}}
    assert (good["created"], good["thumbnail"]) == ("2026-05-31T18:00:00+00:00", "thumbnails/s/a.jpg")
    assert (good["error"], bad["error"]) == (None, {"class": "CorruptMedia", "message": "cut off"})
    etag = answer.headers["ETag"]
    again = ask("GET", "v1/uploads", headers={"If-None-Match": etag})
    assert (again.status_code, again.get_body(), again.headers["ETag"]) == (304, b"", etag)
    index.page_of = EntryPage([])
    assert ask("GET", "v1/uploads", headers={"If-None-Match": etag}).status_code == 200
    assert index.asked[-1] == (Query(), None, 60)


def test_an_upload_is_forgotten_after_it_was_only_said_what_that_is(worker: UploadWorker, index: FakeIndex) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg()))
    dry = said(ask("DELETE", "v1/uploads/a.jpg?dry_run=1"))
    assert dry["dry_run"] and "uploads/a.jpg" in dry["uploads"][0]["deleted"]
    report = said(ask("DELETE", "v1/uploads/a.jpg"))
    assert (report["count"], report["uploads"][0]["name"]) == (1, "a.jpg")
    assert ask("DELETE", "v1/uploads/a.jpg").status_code == 404


@pytest.mark.parametrize(
    ("method", "address", "right"),
    [
        ("GET", "v1/uploads", "read"),
        ("HEAD", "v1/uploads", "read"),
        ("PUT", "v1/uploads/a.jpg", "contribute"),
        ("POST", "v1/analyze", "contribute"),
        ("DELETE", "v1/uploads/a.jpg", "operate"),
        ("POST", "operate/replays", "operate_actions"),
    ],
)
def test_a_right_opens_its_own_operations_only(index: FakeIndex, method: str, address: str, right: str) -> None:
    others = frozenset({"read", "contribute", "operate", "operate_actions"} - {right})
    answer = ask(method, address, b"x", rights=others)
    assert (answer.status_code, said(answer)["error"]["class"]) == (403, "Forbidden")
    assert repr(right) in said(answer)["detail"]
    base = "operate" if right == "operate_actions" else "v1"
    checks = {"read": "GET", "contribute": "POST", "operate": "DELETE", "operate_actions": "POST"}
    assert said(ask(checks[right], f"{base}/rights", rights=frozenset({right}))) == {"right": right}
    assert ask(checks[right], f"{base}/rights", rights=others).status_code == 403


def test_read_only_mode_changes_nothing_and_analyses(
    worker: UploadWorker, index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.web.api_router.current", lambda: Settings(read_only=True))
    drop(worker, "a.jpg", jpeg())
    changes = (("PUT", "v1/uploads/b.jpg"), ("DELETE", "v1/uploads/a.jpg"), ("POST", "operate/replays"))
    for method, address in changes:
        answer = ask(method, address, jpeg())
        assert (answer.status_code, "READ_ONLY" in said(answer)["detail"]) == (403, True)
    assert said(ask("GET", "v1/uploads/a.jpg"))["state"] == "waiting"
    assert ask("GET", "v1/uploads/b.jpg").status_code == 404
    assert ask("POST", "v1/analyze", jpeg()).status_code == 200
    assert ask("DELETE", "v1/rights").status_code == 200


def test_what_is_not_there_is_told_what_is(index: FakeIndex) -> None:
    answer = ask("GET", "v1/uplods")
    assert answer.status_code == 404 and "did you mean 'v1/uploads'?" in said(answer)["detail"]
    answer = ask("PUT", "v1/uploads", b"x")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    head = ask("HEAD", "v1/uploads")
    assert (head.status_code, head.get_body()) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(ask("GET", "v1/uploads").get_body())
