"""Replays by HTTP and by the command: begun, followed, ended, and refused in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cloud import connection, instance
from cloud.__main__ import main
from cloud.settings import STATE, current
from cloud.storage import containers
from cloud.storage.queues import Queue
from cloud.uploads.replays import QUEUE, ReplayMessage
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import names
from tests.cloud.uploads.replaying import app, finished
from tests.cloud.web.asking import ask, said

pytestmark = pytest.mark.slow


@pytest.fixture
def http(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, Any]]]:
    """Asks the app: (status, document)."""
    caches = (current, instance.default_replays, containers.default_storage, connection.queue_service)
    for made in caches:
        made.cache_clear()
    monkeypatch.setattr("cloud.instance.default_worker", lambda: worker)

    def http(method: str, replay_id: str = "", body: bytes = b"") -> tuple[int, Any]:
        base = "operate/replays" if method == "POST" else "v1/replays"
        answer = ask(method, f"{base}/{replay_id}" if replay_id else base, body)
        return answer.status_code, said(answer)

    yield http
    for made in caches:
        made.cache_clear()


def test_over_http_a_replay_is_begun_followed_and_ended(worker: UploadWorker, http: Any) -> None:
    finished(worker, "x/a.jpg", "y/b.jpg")
    status, begun = http("POST", body=b'{"all": true, "names": ["x/"]}')
    assert (status, begun["state"], begun["filters"], begun["names"]) == (202, "running", {"everything": True}, ["x/"])
    queue = Queue("AzureWebJobsStorage", QUEUE)
    for step in range(2):
        instance.on_replay(ReplayMessage(begun["id"], step).text().encode(), lambda: None)
    status, found = http("GET", begun["id"])
    assert (status, found["state"]) == (200, "done")
    assert {name: found[name] for name in ("seen", "marked", "done", "left")} == {
        "seen": 1, "marked": 1, "done": 1, "left": 0,
    }  # fmt: skip
    assert http("GET")[1]["replays"] == [{"id": begun["id"], "state": "done"}] and queue.waiting() == 2
    assert http("DELETE", begun["id"])[1]["state"] == "done"


@pytest.mark.parametrize(
    ("method", "replay_id", "body", "status", "words"),
    [
        ("POST", "", b"{", 400, "the body is no JSON"),
        ("POST", "", b"[" * 100_000, 400, "the body is no JSON"),
        ("POST", "", b"[]", 400, "no JSON object"),
        ("POST", "", b'{"chagned": true}', 400, "did you mean 'changed'"),
        ("POST", "", b'{"changed": "yes"}', 400, "changed"),
        ("POST", "", b'{"since": "yesterday"}', 400, "expected a date or a time"),
        ("POST", "", b'{"names": "street/"}', 400, "no list of names"),
        ("POST", "", b'{"since": "0001-01-01T00:00+14:00"}', 400, "expected a date or a time"),
        ("POST", "", b'{"since": "2026-05-02", "until": "2026-05-01"}', 400, "nothing lies between"),
        ("POST", "", b'{"names": [""]}', 400, "no list of names"),
        ("POST", "", b'{"names": ["\\ud800"]}', 400, "no UTF-8"),
        ("POST", "", b'{"names": ["a\\u0000"]}', 400, "a NUL character"),
        ("POST", "", b'{"names": ["' + b"a*" * 600 + b'"]}', 400, "1,200 characters, and none in storage has more"),
        ("POST", "", b'{"dry_run": 1}', 400, "neither true nor false"),
        ("POST", "x", b"{}", 404, "the API has no 'operate/replays/x'"),
        ("GET", "../../receipts/a", b"", 404, "there is no replay"),
        ("DELETE", "", b"", 405, "DELETE is not for v1/replays"),
        ("DELETE", "20260101-000000-00000000", b"", 404, "there is no replay"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    worker: UploadWorker, http: Any, method: str, replay_id: str, body: bytes, status: int, words: str
) -> None:
    found, answer = http(method, replay_id, body)
    assert found == status and words in answer["error"]["message"]
    assert names(worker, STATE) == []


def test_the_command_marks_and_follows_and_can_end_it(
    worker: UploadWorker, http: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(worker, "a.jpg", "b.jpg")
    at_work = app(worker, instance.default_replays())

    def sleep(seconds: float) -> None:
        """The app has a step while the command waits."""
        [(replay_id, _, _)] = [r for r in at_work.replays.listed() if r[1] == "running"]
        stored = at_work.replays.read(replay_id)
        assert stored
        at_work.deliver(ReplayMessage(replay_id, stored.replay.step))

    monkeypatch.setattr("cloud.cli.replay_command.time.sleep", sleep)
    assert main(["replay", "--all"]) == 0
    out, err = capsys.readouterr()
    assert out.split() == ["a.jpg", "b.jpg"]
    assert err.splitlines()[-1] == "replayed 2 of 2 uploads (2 finished): 2 done, 0 failed"
    assert main(["replay", "--all", "--detach"]) == 0
    replay_id = capsys.readouterr().out.strip()
    assert main(["replay", "--cancel", replay_id]) == 0
    assert "is cancelled: 0 of 0 done" in capsys.readouterr().err
    assert main(["replay", "--cancel", "x"]) == 1
    monkeypatch.setattr("cloud.cli.replay_command.time.sleep", lambda _: None)
    monkeypatch.setattr("cloud.cli.replay_command._PATIENCE_S", 0.0)
    assert main(["replay", "--all"]) == 1
    assert "no app has taken it up so far" in capsys.readouterr().err
    assert main(["replay", "--since", "soon"]) == 1
