"""GET /api/v1/results says why there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest

from cloud.settings import RESULTS, UPLOADS
from cloud.uploads.receipts import Receipt
from cloud.uploads.upload_worker import UploadWorker
from inference.routes_file import parse_routes
from tests.cloud.conftest import ROUTES
from tests.cloud.helpers import Calls, drop, jpeg, receipt
from tests.cloud.web import asking
from tests.cloud.web.asking import serve

Asked = Callable[[str], func.HttpResponse]


@pytest.fixture
def ask(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> Asked:
    serve(monkeypatch, worker)
    return lambda path: asking.ask("GET", f"v1/results/{path}")


def said(answer: func.HttpResponse) -> tuple[str, str, bool]:
    """State, sentence, and whether asking again makes sense."""
    document: dict[str, Any] = json.loads(answer.get_body())
    assert (answer.status_code, document["status"], document["error"]["class"]) == (404, 404, "NotFound")
    return document["state"], document["error"]["message"], "Retry-After" in answer.headers


def known(worker: UploadWorker, **fields: Any) -> None:
    """The receipt of a.jpg, which is there, says this."""
    upload = worker.storage.head(UPLOADS, "a.jpg")
    assert upload
    worker.ledger.store.create(replace(Receipt("a.jpg", upload.etag, "k" * 64, "done"), **fields))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "state", "words", "retry"),
    [
        ({"state": "working", "lease_s": 60.0, "share": 0.4}, "working", "being worked on (as of , 40% done)", True),
        ({"state": "working", "lease_s": 0.0}, "waiting", "fallen silent", True),
        ({"state": "job", "job": "12ab"}, "working", "GET /api/v1/jobs/12ab says how far", True),
        ({"state": "waiting", "until": "2099-01-01T02:00:00+00:00"}, "waiting", "until 2099-01-01T02:00", True),
        (
            {"state": "waiting", "key": "", "reason": "no model is called 'x'"},
            "waiting",
            "no model is called 'x'",
            True,
        ),
        ({"state": "retry", "reason": "storage did not answer"}, "waiting", "storage did not answer", True),
        ({"state": "retry"}, "waiting", "waits for its turn", True),
        ({"state": "retry", "etag": "", "key": "", "override": "x"}, "waiting", "waits for its turn", True),
        ({"state": "failed", "reason": "a.jpg: cut off"}, "failed", "a.jpg: cut off (errors/a.jpg.json)", False),
        ({"state": "cancelled", "reason": "cancelled"}, "cancelled", "was cancelled; `python -m cloud replay", False),
        ({"state": "dropped", "reason": "deleted"}, "waiting", "is there again", True),
        ({"etag": "older"}, "waiting", "uploaded anew", True),
        ({}, "result_deleted", "its result was deleted; `python -m cloud replay NAME --missing` brings it back", False),
    ],
)
def test_why_an_upload_has_no_result(
    worker: UploadWorker, ask: Asked, fields: dict[str, Any], state: str, words: str, retry: bool
) -> None:
    drop(worker, "a.jpg", jpeg())
    known(worker, **fields)
    for path in ("a.jpg", "a.jpg/result.json"):
        found = said(ask(path))
        assert (found[0], words in found[1], found[2]) == (state, True, retry), found[1]


def test_what_is_unknown_deleted_or_no_upload(worker: UploadWorker, ask: Asked, calls: Calls) -> None:
    drop(worker, "gone.jpg", jpeg())
    drop(worker, "new.jpg", jpeg())
    drop(worker, "new.jpg.route.toml", b"")
    drop(worker, "s/._a.jpg", jpeg())
    worker.ledger.store.create(Receipt("gone.jpg", "e", "k", "done", at=datetime.now(UTC).isoformat()))
    worker.storage.delete(UPLOADS, "gone.jpg")
    paths = ("no.jpg", "gone.jpg", "new.jpg", "new.jpg.route.toml", "s/._a.jpg")
    states = [said(ask(path))[0] for path in paths]
    assert states == ["unknown", "deleted", "waiting", "ignored", "ignored"]
    calls.seen.clear()
    ask("new.jpg")
    assert len(calls) == 4  # two places where a result may lie, the upload, its receipt
    assert ask("x" * 1000).status_code == 404


def test_an_upload_with_an_odd_name_is_asked_for_by_its_name(worker: UploadWorker, ask: Asked) -> None:
    worker.handle(drop(worker, "odd..", jpeg()))
    document = json.loads(ask("odd..").get_body())
    assert document["source"]["name"] == "odd.."
    worker.storage.delete(RESULTS, "odd%2E%2E/result.json")
    assert said(ask("odd.."))[0] == "result_deleted"


def test_what_a_route_lets_wait_is_said(worker: UploadWorker, ask: Asked) -> None:
    worker.planner.routes = parse_routes(ROUTES.replace('"sketch"', '"sketsh"'), "test routes")
    worker.handle(drop(worker, "a.jpg", jpeg()))
    assert receipt(worker, "a.jpg").reason
    state, words, again = said(ask("a.jpg"))
    assert (state, again) == ("waiting", True) and "did you mean 'sketch'" in words


def test_while_intake_is_paused_nobody_is_told_that_the_next_sweep_takes_it(worker: UploadWorker, ask: Asked) -> None:
    worker.settings = replace(worker.settings, intake="paused")
    drop(worker, "new.jpg", jpeg())
    state, words, again = said(ask("new.jpg"))
    assert (state, again) == ("waiting", True) and "INTAKE is paused: uploads wait" in words
    drop(worker, "a.jpg", jpeg())
    known(worker, state="failed", reason="a.jpg: cut off")
    assert "INTAKE" not in said(ask("a.jpg"))[1]
