"""GET and HEAD of a blob: versions, ranges, and what is larger than an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime

import azure.functions as func
import pytest

from cloud.settings import RESULTS
from cloud.web.blob_answers import MOST_RANGE, blob_answer
from cloud.web.problems import RangeNotSatisfiable
from inference.errors import LimitExceeded, StorageUnavailable
from tests.cloud.storage.memory_storage import Account, Call, MemoryStorage

CONTENT = bytes(range(256)) * 4
NAME = "a.mp4/k/annotated.mp4"


@pytest.fixture
def account() -> Account:
    account = Account()
    account.put(RESULTS, NAME, CONTENT)
    return account


def ask(
    account: Account, method: str = "GET", name: str = NAME, most_bytes: int = 10_000, **headers: str
) -> func.HttpResponse:
    request = func.HttpRequest(
        method, "/api/v1/results/x", headers={key.replace("_", "-"): text for key, text in headers.items()}, body=b""
    )
    answer = blob_answer(request, MemoryStorage(account), RESULTS, name, most_bytes=most_bytes)
    assert answer is not None
    return answer


def test_the_whole_says_what_it_is_and_that_ranges_are_known(account: Account) -> None:
    answer = ask(account)
    assert (answer.status_code, answer.get_body(), answer.mimetype) == (200, CONTENT, "video/mp4")
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [("bytes=0-1", 0, 1), ("bytes=5-", 5, 1023), ("bytes=-3", 1021, 1023), ("Bytes=1000-9999", 1000, 1023),
     ("bytes=-9999", 0, 1023)],
)  # fmt: skip
def test_a_range(account: Account, given: str, first: int, last: int) -> None:
    answer = ask(account, Range=given, most_bytes=1)  # the limit is of a whole file
    assert (answer.status_code, answer.get_body()) == (206, CONTENT[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/1024"


@pytest.mark.parametrize("given", ["bytes=0-1,4-5", "bytes=7-3", "bytes=-", "lines=0-1", "bytes=a-b", "bytes=٣-٤"])
def test_what_is_no_single_range_is_passed_over(account: Account, given: str) -> None:
    assert (answer := ask(account, Range=given)).status_code == 200
    assert answer.get_body() == CONTENT


@pytest.mark.parametrize("given", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_says_where_that_is(account: Account, given: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        ask(account, Range=given)
    assert caught.value.headers == {"Content-Range": "bytes */1024"}


def test_an_open_range_of_a_large_blob_ends_after_four_mebibytes(account: Account) -> None:
    account.put(RESULTS, NAME, b"\1" * (MOST_RANGE + 10))
    answer = ask(account, Range="bytes=2-")
    assert len(answer.get_body()) == MOST_RANGE
    assert answer.headers["Content-Range"] == f"bytes 2-{MOST_RANGE + 1}/{MOST_RANGE + 10}"


def test_the_version_that_the_caller_has_is_not_sent_again(account: Account) -> None:
    etag = ask(account).headers["ETag"]
    for given in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        again = ask(account, If_None_Match=given)
        assert (again.status_code, again.get_body(), again.headers["ETag"]) == (304, b"", etag)
    assert ask(account, If_None_Match='"x"').status_code == 200


def test_a_range_of_another_version_is_answered_by_the_whole(account: Account) -> None:
    whole = ask(account)
    for same in (whole.headers["ETag"], whole.headers["Last-Modified"]):
        assert ask(account, Range="bytes=0-1", If_Range=same).status_code == 206
    for other in ('"x"', f"W/{whole.headers['ETag']}", "Thu, 01 Jan 1970 00:00:00 GMT", "yesterday"):
        assert ask(account, Range="bytes=0-1", If_Range=other).status_code == 200


def test_head_says_what_get_would_and_reads_nothing(account: Account) -> None:
    answer = ask(account, "HEAD", Range="bytes=0-1", most_bytes=1)
    assert (answer.status_code, answer.get_body(), answer.headers["Content-Length"]) == (200, b"", "1024")
    assert answer.headers["Last-Modified"] == format_datetime(account.containers[RESULTS][NAME].modified, usegmt=True)


def test_what_is_larger_than_an_answer_names_range_and_the_container(account: Account) -> None:
    with pytest.raises(LimitExceeded, match=r"Range: bytes=0-4194303.*container results"):
        ask(account, most_bytes=1023)


def test_a_blob_that_is_replaced_meanwhile_is_answered_in_one_version(account: Account) -> None:
    """The range is read from the version whose size was read, or from the next as a whole."""
    rounds = iter((b"second version", b"third"))

    class Racing(MemoryStorage):
        def read_range(self, container: str, name: str, start: int, length: int, etag: str) -> bytes:
            if content := next(rounds, None):
                account.put(container, name, content)
            return super().read_range(container, name, start, length, etag)

    request = func.HttpRequest("GET", "/api/x", headers={"Range": "bytes=0-3"}, body=b"")
    answer = blob_answer(request, Racing(account), RESULTS, NAME, most_bytes=10)
    assert answer is not None and answer.get_body() == b"thir"
    assert answer.headers["Content-Range"] == "bytes 0-3/5"
    rounds = iter((b"1234", b"12345", b"123456"))
    with pytest.raises(StorageUnavailable, match="replaced 3 times"):
        blob_answer(request, Racing(account), RESULTS, NAME, most_bytes=10)


def test_the_whole_costs_a_single_call(account: Account) -> None:
    calls: list[str] = []

    @contextmanager
    def counted(call: Call) -> Iterator[bool]:
        calls.append(call.verb)
        yield False

    for headers in ({}, {"Range": "bytes=0-3"}, {"If-None-Match": '"x"'}):
        request = func.HttpRequest("GET", "/api/x", headers=headers, body=b"")
        assert blob_answer(request, MemoryStorage(account, counted), RESULTS, NAME, most_bytes=10_000)
    assert calls == ["open", "head", "range", "head", "open"]


def test_there_is_no_answer_where_there_is_no_blob(account: Account) -> None:
    request = func.HttpRequest("GET", "/api/x", body=b"")
    assert blob_answer(request, MemoryStorage(account), RESULTS, "b", most_bytes=1) is None
