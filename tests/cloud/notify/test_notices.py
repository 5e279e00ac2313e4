"""Notices of results against a real receiver and real queues: signed, tried again, numbered, and never lost quietly."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from cloud import connection
from cloud.__main__ import main
from cloud.index.entry import Entry
from cloud.notify import webhook
from cloud.notify.event import event_of
from cloud.notify.notices import DEAD, PAUSES_S, QUEUE, Notice, Notices
from cloud.notify.webhook import checked_url, key_of, signature
from cloud.settings import BadSettings, Settings
from cloud.storage.queues import Queue
from tests.cloud.notify.receiver import KEY, SECRET, Receiver

pytestmark = pytest.mark.slow
MOMENT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DONE = Entry("street/a b.jpg", "0x8DC", "done", MOMENT, written=MOMENT, route="default", objects={"person": 3})


@pytest.fixture
def notices(account: str, receiver: Receiver) -> Iterator[Notices]:
    connection.queue_service.cache_clear()
    yield Notices(Settings(notify_url=receiver.url, notify_secret=SECRET, notify_queue="results-of-us"))
    connection.queue_service.cache_clear()


def on_their_way(name: str = QUEUE) -> list[Any]:
    """Takes what a queue holds and would give now."""
    client = connection.queue_service("AzureWebJobsStorage").get_queue_client(name)
    taken = []
    with suppress(ResourceNotFoundError):
        for message in client.receive_messages(visibility_timeout=60):
            taken.append(json.loads(base64.b64decode(message.content)))
            client.delete_message(message)
    return taken


def test_an_end_is_told_to_queue_and_webhook(notices: Notices, receiver: Receiver) -> None:
    notices.tell(DONE, 2)
    (told,), (waiting,) = on_their_way("results-of-us"), on_their_way()
    assert told == waiting["event"]
    assert (told["specversion"], told["type"], told["subject"]) == ("1.0", "dropsight.result.written", DONE.name)
    assert told["data"]["number"] == 2 and told["data"]["summary"]["objects"] == {"person": 3}
    assert told["data"]["result"] == {"container": "results", "path": "street/a b.jpg/result.json"}

    notices.deliver(Notice.parse(json.dumps(waiting)))
    ((headers, body),) = receiver.got
    assert json.loads(body) == told
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.digest(KEY, signed, hashlib.sha256)
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert headers["webhook-id"] == told["id"]


def test_the_same_end_has_the_same_id_and_another_another() -> None:
    def id_of(entry: Entry, number: int) -> Any:
        return event_of(entry, number, "app")["id"]

    other = Entry("street/b.jpg", "0x8DC", "done", MOMENT)
    assert id_of(DONE, 1) == id_of(DONE, 1)
    assert len({id_of(DONE, 1), id_of(DONE, 2), id_of(other, 1)}) == 3


@pytest.mark.parametrize("receiver", [(500, 302, 204)], indirect=True)
def test_what_is_not_taken_is_tried_again_after_a_pause(
    notices: Notices, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    real = Queue.send

    def send_at_once(self: Queue, text: str, delay_s: int = 0) -> None:
        sent.append(delay_s)
        real(self, text)

    monkeypatch.setattr(Queue, "send", send_at_once)
    notices.deliver(Notice(event_of(DONE, 1, "app")))
    (again,) = on_their_way()
    assert again["attempts"] == 1 and again["reason"] == "the receiver answered 500"
    notices.deliver(Notice.parse(json.dumps(again)))
    assert sent == list(PAUSES_S[:2])
    (again,) = on_their_way()
    assert again["attempts"] == 2
    assert "redirects are not followed" in again["reason"]
    notices.deliver(Notice.parse(json.dumps(again)))
    assert len(receiver.got) == 3 and len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert sent == list(PAUSES_S[:2])


@pytest.mark.parametrize("receiver", [(503,)], indirect=True)
def test_what_is_never_taken_lies_with_the_dead_and_is_sent_again(
    notices: Notices, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notices.deliver(Notice(event_of(DONE, 1, "app"), attempts=len(PAUSES_S)))
    assert on_their_way() == []
    with pytest.raises(ValueError, match="1 notices could not be delivered"):
        notices.health()
    monkeypatch.setattr("cloud.cli.notices_command.Notices", lambda _: notices)
    assert main(["notices"]) == 1
    listed = capsys.readouterr().out
    assert "street/a b.jpg: the receiver answered 503" in listed and "SECRET-IN-ADDRESS" not in listed
    assert main(["notices", "--again"]) == 0
    (again,) = on_their_way()
    assert (again["attempts"], again["reason"]) == (0, "")
    assert on_their_way(DEAD) == [] and notices.health() == "a webhook and the queue results-of-us"


@pytest.mark.parametrize("receiver", [(410,)], indirect=True)
def test_a_receiver_that_is_gone_for_good_is_not_asked_again(notices: Notices, receiver: Receiver) -> None:
    notices.deliver(Notice(event_of(DONE, 1, "app")))
    (dead,) = on_their_way(DEAD)
    assert "410" in dead["reason"] and len(receiver.got) == 1


def test_a_receiver_that_does_not_answer_is_no_word_of_its_address(
    notices: Notices, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = webhook.send
    monkeypatch.setattr(webhook, "send", lambda url, *rest: real(url.replace(str(receiver.server_port), "9"), *rest))
    notices.deliver(Notice(event_of(DONE, 1, "app")))
    assert "did not answer" in caplog.text and "SECRET-IN-ADDRESS" not in caplog.text


@pytest.mark.parametrize("state", ["waiting", "working"])
def test_what_is_no_end_is_not_told(notices: Notices, state: Any) -> None:
    notices.tell(Entry("a.jpg", "0x1", state, MOMENT), 1)
    assert on_their_way() == []


def test_failed_and_cancelled_say_why() -> None:
    failed = Entry("a.jpg", "0x1", "failed", MOMENT, error_class="CorruptMedia", message="cut short")
    event = event_of(failed, 1, "app")
    assert event["type"] == "dropsight.result.failed" and event["data"]["record"]["path"] == "a.jpg.json"
    assert event["data"]["error"] == {"class": "CorruptMedia", "message": "cut short"}
    assert event_of(Entry("a.jpg", "0x1", "cancelled", MOMENT), 1, "app")["type"].endswith("cancelled")


@pytest.mark.parametrize("url", ["ftp://x/", "https://", "hook", "http://example.com/hook"])
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(BadSettings, match="NOTIFY_URL"):
        checked_url(url)


@pytest.mark.parametrize("secret", ["", "short", "whsec_***", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(BadSettings, match="NOTIFY_SECRET"):
        key_of(secret)


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of https://github.com/standard-webhooks/standard-webhooks (its libraries' first test).
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == expected


@pytest.mark.parametrize("content", [b"", b"[]", b'{"event": 1}', b"\xff", b"[" * 100_000])
def test_other_messages_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        Notice.parse(content)
