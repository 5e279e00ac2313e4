"""Queue triggers: encoding, retries, poison, leases, and what functions are given."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.localhost.conftest import Running, StartShared
from tests.localhost.support import StartHost, Store

pytestmark = pytest.mark.slow
APP = Path(__file__).parent / "apps" / "queues"


@pytest.fixture(scope="module")
def running(start_shared: StartShared) -> Running:
    shared = start_shared("queues")
    shared.store.blobs.create_container("runs")
    return shared


def test_message_and_its_metadata(running: Running) -> None:
    host, store = running.host, running.store
    store.queue("work").send_message('{"n": 1}')
    host.wait_for(lambda: store.records("work"), "the run")
    (run,) = store.records("work")
    year = datetime.now().year
    assert run["body"] == '{"n": 1}' and run["count"] == 1 and run["id"] and run["receipt"]
    assert len(run["years"]) == 3 and all(each in (year - 1, year, year + 1) for each in run["years"])
    assert run["context"] == ["on_work", 36, str(APP)]
    host.wait_for(lambda: not store.peek("work"), "the message to be deleted")


def test_failures_go_to_the_poison_queue_with_their_body(running: Running) -> None:
    host, store = running.host, running.store
    store.queue("work").send_message('{"fail": true}')
    store.queue("work", base64=False).send_message("not base64!")
    store.queue("work", base64=False).send_message("nicht einmal ASCII: ö")
    host.wait_for(lambda: len(store.peek("work-poison", base64=False)) == 3, "three poison messages")
    expected = {base64.b64encode(b'{"fail": true}').decode(), "not base64!", "nicht einmal ASCII: ö"}
    assert set(store.peek("work-poison", base64=False)) == expected
    printed = host.printed()
    assert [f"ValueError: attempt {count}" in printed for count in (1, 2, 3, 4)] == [True, True, True, False]
    assert "is not base64" in printed and "MaxDequeueCount of 3" in printed
    assert store.peek("work") == []


def test_a_poison_queue_has_none_of_its_own(running: Running) -> None:
    host, store = running.host, running.store
    store.queue("last-poison").send_message("x")
    host.wait_for(lambda: host.printed().count("ValueError: poison itself") == 3, "three attempts")
    assert store.peek("last-poison") == []  # it stays invisible
    assert "last-poison-poison" not in [queue.name for queue in store.queues.list_queues()]


def test_bodies_are_bytes_unless_text_is_asked_for(running: Running) -> None:
    host, store = running.host, running.store
    text = base64.b64encode(b"\xff\xfe\x00").decode()
    for queue in ("typed", "texts"):
        store.queue(queue, base64=False).send_message(text)
    store.queue("texts").send_message("ö")
    host.wait_for(lambda: store.records("typed") and store.records("texts"), "both runs")
    assert store.records("typed") == [{"type": "bytes", "body": "fffe00"}]
    assert store.records("texts") == [{"type": "str", "body": "ö"}]
    # What is no text cannot be had as text: a failure of the function, shown and counted like any other.
    host.wait_for(lambda: store.peek("texts-poison", base64=False) == [text], "the poison message")
    assert "UnicodeDecodeError" in host.printed()


def test_a_long_run_keeps_its_message_and_a_killed_one_gives_it_back(start_host: StartHost, store: Store) -> None:
    store.blobs.create_container("runs")
    host = start_host("queues", "--message-lease", "3")
    store.queue("work").send_message('{"sleep": 4}')
    host.wait_for(lambda: store.records("work"), "the run")
    assert host.printed().count("Executing 'Functions.on_work'") == 1  # renewed twice meanwhile
    store.queue("work").send_message('{"sleep": 60}')
    host.wait_for(lambda: host.printed().count("Executing 'Functions.on_work'") == 2, "the second run")
    host.kill()
    again = start_host("queues", "--stop-timeout", "0.3")
    again.wait_for(lambda: "Executing 'Functions.on_work'" in again.printed(), "the message to come back")
    assert again.stop() == 1


def test_one_at_a_time_and_never_again_what_killed_its_process(start_host: StartHost, store: Store) -> None:
    store.blobs.create_container("runs")
    for number in range(4):
        store.queue("work").send_message(json.dumps({"sleep": 0.1, "n": number}))
    queue = store.queue("texts")
    queue.send_message("deadly")
    for _ in range(3):  # three processes took it and died
        taken = queue.receive_message(visibility_timeout=600)
        assert taken is not None
        queue.update_message(taken.id, taken.pop_receipt, visibility_timeout=0)
    host = start_host("queues")
    host.wait_for(lambda: len(store.records("work")) == 4, "four runs")
    lines = [line for line in host.printed().splitlines() if "on_work" in line and "Execut" in line]
    assert ["Executing" in line for line in lines][:7] == [True, False, True, False, True, False, True]
    host.wait_for(lambda: store.peek("texts-poison"), "the poison message")
    assert store.peek("texts-poison") == ["deadly"]
    assert "Executing 'Functions.on_text'" not in host.printed()


def test_failures_can_wait(start_host: StartHost, store: Store) -> None:
    host = start_host("queues", AzureFunctionsJobHost__extensions__queues__visibilityTimeout="00:10:00")
    store.queue("work").send_message('{"fail": true}')
    host.wait_for(lambda: "ValueError: attempt 1" in host.printed(), "the first attempt")
    host.wait_for(lambda: "Executed 'Functions.on_work'" in host.printed(), "its end")
    assert store.peek("work") == [] and store.peek("work-poison") == []
