"""Queue triggers and outputs: encoding, retries, poison, leases, and what functions are given."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.localhost.conftest import Running, StartShared
from tests.localhost.support import StartHost, Store

APP = Path(__file__).parent / "apps" / "queues"


@pytest.fixture(scope="module")
def running(start_shared: StartShared) -> Running:
    return start_shared("queues")


def test_message_and_its_metadata(running: Running) -> None:
    host, store = running.host, running.store
    store.queue("work").send_message('{"n": 1}')
    host.wait_for(lambda: store.names("log"), "the log blob")
    name = store.names("log")[0]
    found = json.loads(store.read(f"log/{name}") or b"")
    assert name == f"{found['id']}.json"
    year = datetime.now().year
    assert found["body"] == '{"n": 1}' and found["count"] == 1 and found["receipt"]
    assert len(found["years"]) == 3 and all(each in (year - 1, year, year + 1) for each in found["years"])
    assert found["context"] == ["on_work", 36, str(APP)]
    host.wait_for(lambda: not store.peek("work"), "the message to be deleted")
    store.queue("work").send_message('{"id": "from-the-body"}')  # in expressions a body's member wins
    host.wait_for(lambda: store.read("log/from-the-body.json"), "the second log blob")


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


def test_bindings_see_the_members_of_a_json_body(running: Running) -> None:
    host, store = running.host, running.store
    store.put("sources/a.txt", b"abc")
    store.queue("copy").send_message('{"kind": "upper", "file": {"name": "a.txt"}}')
    host.wait_for(lambda: len(store.peek("done")) == 2, "both outputs")
    assert sorted(store.peek("done")) == ["one", "two"]
    host.wait_for(lambda: store.names("targets"), "the output blob")
    (target,) = store.names("targets")
    prefix, guid = target.rsplit("-", 1)
    assert prefix.startswith("upper/a.txt-2") and len(guid) == 32 and store.read(f"targets/{target}") == b"ABC"
    store.queue("copy").send_message('{"kind": "upper", "file": {"name": "gone.txt"}}')
    host.wait_for(lambda: len(store.peek("done")) == 3, "the output for a missing input")
    assert "missing" in store.peek("done")
    store.queue("copy").send_message('{"kind": "upper"}')
    host.wait_for(lambda: store.peek("copy-poison"), "a poison message")
    assert "No value for named parameter 'file.name'." in host.printed()


def test_types_of_body_and_outputs(running: Running) -> None:
    host, store = running.host, running.store
    store.queue("typed").send_message("ä")
    store.queue("texts").send_message("ö")
    host.wait_for(lambda: store.peek("returned") and store.peek("wrapped"), "both outputs")
    assert store.peek("returned") == ["bytes:ä"]
    assert json.loads(store.peek("wrapped")[0]) == {"id": "7", "body": "ö"}


def test_a_body_that_is_no_text_comes_and_goes_as_bytes(running: Running) -> None:
    host, store = running.host, running.store
    text = base64.b64encode(b"\xff\xfe\x00").decode()
    for queue in ("raw", "texts"):
        store.queue(queue, base64=False).send_message(text)
    host.wait_for(lambda: store.peek("raw-out", base64=False), "the output")
    assert base64.b64decode(store.peek("raw-out", base64=False)[0]) == b"\x00\xfe\xff"
    # A function that asks for text cannot have it: that is its failure, told and counted like any other.
    host.wait_for(lambda: store.peek("texts-poison", base64=False) == [text], "the poison message")
    assert "UnicodeDecodeError" in host.printed()
    assert "Soon retries will not be supported for function 'on_raw'" in host.printed()


def test_encoding_none(start_host: StartHost, store: Store) -> None:
    host = start_host("queues", AzureFunctionsJobHost__extensions__queues__messageEncoding="none")
    store.queue("typed", base64=False).send_message("plain")
    host.wait_for(lambda: store.peek("returned", base64=False), "the output")
    assert store.peek("returned", base64=False) == ["bytes:plain"]


def test_a_long_run_keeps_its_message_and_a_killed_one_gives_it_back(start_host: StartHost, store: Store) -> None:
    host = start_host("queues", "--message-lease", "3")
    store.queue("work").send_message('{"sleep": 4}')
    host.wait_for(lambda: store.names("log"), "the log blob")
    assert host.printed().count("Executing 'Functions.on_work'") == 1  # renewed twice meanwhile
    store.queue("work").send_message('{"sleep": 60}')
    host.wait_for(lambda: host.printed().count("Executing 'Functions.on_work'") == 2, "the second run")
    host.kill()
    again = start_host("queues", "--stop-timeout", "0.3")
    again.wait_for(lambda: "Executing 'Functions.on_work'" in again.printed(), "the message to come back")
    assert again.stop() == 1


def test_one_at_a_time_and_never_again_what_killed_its_process(start_host: StartHost, store: Store) -> None:
    for number in range(4):
        store.queue("work").send_message(json.dumps({"sleep": 0.1, "n": number}))
    queue = store.queue("texts")
    queue.send_message("deadly")
    for _ in range(3):  # three processes took it and died
        taken = queue.receive_message(visibility_timeout=600)
        assert taken is not None
        queue.update_message(taken.id, taken.pop_receipt, visibility_timeout=0)
    host = start_host("queues")
    host.wait_for(lambda: len(store.names("log")) == 4, "four runs")
    lines = [line for line in host.printed().splitlines() if "on_work" in line and "Execut" in line]
    assert ["Executing" in line for line in lines][:7] == [True, False, True, False, True, False, True]
    host.wait_for(lambda: store.peek("texts-poison"), "the poison message")
    assert store.peek("texts-poison") == ["deadly"]
    assert "Executing 'Functions.on_text'" not in host.printed()


def test_own_outputs_are_noticed_and_failures_can_wait(start_host: StartHost, store: Store) -> None:
    environ = {"AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:10:00"}
    host = start_host("queues", "--scan-interval", "600", **environ)
    store.put("sources/a.txt", b"abc")
    store.queue("copy").send_message('{"kind": "upper", "file": {"name": "a.txt"}}')
    host.wait_for(lambda: store.peek("noticed"), "the blob trigger, long before the next scan")
    assert store.peek("noticed")[0].startswith("targets/upper/a.txt-")
    store.queue("work").send_message('{"fail": true}')
    host.wait_for(lambda: "ValueError: attempt 1" in host.printed(), "the first attempt")
    host.wait_for(lambda: "Executed 'Functions.on_work'" in host.printed(), "its end")
    assert store.peek("work") == [] and store.peek("work-poison") == []
