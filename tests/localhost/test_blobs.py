"""Blob triggers: found by scanning or by events, through the shared queue, to success or poison."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError

from localhost.app_functions import Function
from localhost.blob_trigger import BlobFunction, BlobQueue
from localhost.container_listing import ContainerListing
from localhost.host_process import HostProcess
from localhost.host_storage import Accounts
from tests.localhost.conftest import Running, StartShared
from tests.localhost.support import StartHost, Store, request

pytestmark = pytest.mark.slow
RECEIPTS = "blobreceipts/testhost/Host.Functions."
QUEUE = "azure-webjobs-blobtrigger-testhost"


def counted(store: Store, name: str) -> int:
    return sum(each.startswith(f"{name}/") for each in store.names("runs"))


def wait_runs(host: HostProcess, store: Store, name: str, count: int) -> list[dict[str, Any]]:
    host.wait_for(lambda: counted(store, name) >= count, f"{count} runs of {name}")
    return store.records(name)


def test_every_blob_runs_once_and_leaves_a_receipt(start_host: StartHost, store: Store) -> None:
    store.blobs.create_container("runs")
    store.put("uploads/before/a.png", b"123")  # existed before the first start: triggers too
    host = start_host("blobs", AzureFunctionsJobHost__extensions__blobs__maxDegreeOfParallelism="1")
    wait_runs(host, store, "on_client", 1)
    etags = [store.put(f"uploads/{number}/ä b.png", bytes(number)) for number in range(10)]
    found = wait_runs(host, store, "on_client", 11)
    assert sorted(run["name"] for run in found) == sorted(["before/a.png", *(f"{n}/ä b.png" for n in range(10))])
    host.wait_for(lambda: len([n for n in store.names("azure-webjobs-hosts") if "on_client" in n]) == 11, "receipts")
    receipt = f"{RECEIPTS}on_client/{etags[3]}/uploads/3/ä b.png"
    assert store.blobs.get_blob_client("azure-webjobs-hosts", receipt).get_blob_properties().metadata == {}
    host.wait_for(lambda: not store.peek(QUEUE), "an empty queue")
    lines = [line for line in host.printed().splitlines() if "Functions.on_client'" in line]
    assert ["Executing" in line for line in lines] == [True, False] * 11  # one at a time, as configured
    assert host.stop() == 0
    # A second host knows the receipts: only the version that is new to it runs.
    store.put("uploads/3/ä b.png", b"overwritten")
    again = start_host("blobs")
    assert wait_runs(again, store, "on_client", 12)[-1] is not None
    store.put("uploads/last.png")
    wait_runs(again, store, "on_client", 13)
    assert [run["size"] for run in store.records("on_client") if run["name"] == "3/ä b.png"].count(11) == 1
    assert len(store.records("on_client")) == 13


@pytest.fixture(scope="module")
def running(start_shared: StartShared) -> Running:
    shared = start_shared("blobs", AzureFunctionsJobHost__extensions__blobs__poisonBlobThreshold="3")
    shared.store.blobs.create_container("runs")
    return shared


def test_a_name_with_control_characters_is_one_line_of_the_log(running: Running) -> None:
    host, store = running.host, running.store
    store.put("uploads/two\nlines\x85\u202egpj.png")
    host.wait_for(lambda: "gpj.png'" in host.printed(), "the run")
    assert r"/uploads/two\nlines\x85\u202egpj.png'" in host.printed().replace(": uploads", ": /uploads")


def test_failures_come_back_until_poison(running: Running) -> None:
    host, store = running.host, running.store
    etag = store.put("uploads/bad.png")
    host.wait_for(lambda: store.peek("webjobs-blobtrigger-poison"), "the poison message")
    assert sum(run["name"] == "bad.png" for run in store.records("on_client")) == 3
    (poison,) = store.peek("webjobs-blobtrigger-poison")
    assert json.loads(poison) == {
        "Type": "BlobTrigger", "FunctionId": "Host.Functions.on_client", "BlobType": "BlockBlob",
        "ContainerName": "uploads", "BlobName": "bad.png", "ETag": etag,
    }  # fmt: skip
    assert store.peek("azure-webjobs-blobtrigger-shared") == []
    assert "ValueError: boom" in host.printed()


def test_stream_and_pattern(running: Running) -> None:
    host, store = running.host, running.store
    store.put("streams/nothing-that-matches")
    store.put("streams/a/b/c.tar.gz", b"abc", metadata={"who": "me"})
    (run,) = wait_runs(host, store, "on_stream", 1)
    assert run["name"] == "streams/a/b/c.tar.gz" and run["length"] == 3 and run["metadata"] == {"who": "me"}
    assert run["uri"].endswith("/streams/a/b/c.tar.gz")


def test_other_sdk_types(running: Running) -> None:
    host, store = running.host, running.store
    store.put("readers/big.bin", bytes(5_000_000))
    store.put("folders/any")
    assert wait_runs(host, store, "on_reader", 1)[0] == {"size": 5_000_000}
    assert wait_runs(host, store, "on_folder", 1) == [{"container": "folders"}]


def test_each_attempt_has_a_client_of_its_own(running: Running) -> None:
    """One that was kept would come back already read, and work here where another process would have to start anew."""
    host, store = running.host, running.store
    store.put("uploads/bad again.png", b"123")
    store.put("readers/short.bin", b"12345")

    def attempts() -> tuple[int, int]:
        short = [run for run in store.records("on_reader") if run["size"] < 10]
        return sum(run["name"] == "bad again.png" for run in store.records("on_client")), len(short)

    host.wait_for(lambda: attempts() == (3, 3), "three attempts each")
    assert not any(run["known"] for run in store.records("on_client"))
    assert sorted(run["size"] for run in store.records("on_reader"))[:3] == [5, 5, 5]


def test_messages_that_are_out_of_date_are_dropped(start_host: StartHost, store: Store) -> None:
    store.blobs.create_container("runs")
    store.put("uploads/kept.png", b"1")
    queue = store.queue(QUEUE)
    message = {"Type": "BlobTrigger", "FunctionId": "Host.Functions.on_client", "BlobType": "BlockBlob",
               "ContainerName": "uploads", "ETag": '"0x1"'}  # fmt: skip
    queue.send_message(json.dumps(message | {"FunctionId": "Host.Functions.gone", "BlobName": "kept.png"}))
    queue.send_message(json.dumps(message | {"BlobName": "deleted.png"}))
    queue.send_message(json.dumps(message | {"BlobName": "kept.png"}))
    queue.send_message(json.dumps(message))  # names no blob
    host = start_host("blobs")
    (run,) = wait_runs(host, store, "on_client", 1)  # by its current ETag: notified again, or found by the scan
    host.wait_for(lambda: not store.peek(QUEUE), "an empty queue")
    assert run["name"] == "kept.png" and len(store.records("on_client")) == 1
    assert "unknown function" in host.printed()
    host.wait_for(lambda: store.peek("webjobs-blobtrigger-poison"), "the message that no attempt can handle")
    assert [json.loads(each) for each in store.peek("webjobs-blobtrigger-poison")] == [message]


def test_new_blobs_become_events(start_host: StartHost, store: Store) -> None:
    store.blobs.create_container("runs")
    store.put("uploads/old.png")
    host = start_host("blobs", SOURCE="EventGrid")
    store.put("uploads/new.png")
    wait_runs(host, store, "on_client", 1)
    store.put("streams/folder/pic.png", b"xyz")
    wait_runs(host, store, "on_stream", 1)
    assert [run["name"] for run in store.records("on_client")] == ["new.png"]  # what was there before raises no event
    assert not [name for name in store.names("azure-webjobs-hosts") if name.startswith("blobreceipts")]
    assert host.stop() == 0
    store.put("uploads/while-down.png")
    again = start_host("blobs", SOURCE="EventGrid")
    again.wait_for(
        lambda: "while-down.png" in [run["name"] for run in store.records("on_client")], "the event raised meanwhile"
    )


def test_webhook(start_host: StartHost, store: Store) -> None:
    store.blobs.create_container("runs")
    host = start_host("blobs", "--no-watch", SOURCE="EventGrid")
    hook = f"{host.url}/runtime/webhooks/blobs?functionName=Host.Functions.on_client"
    account = store.blobs.url.rstrip("/")

    def event(url: str) -> dict[str, Any]:
        return {
            "eventType": "Microsoft.Storage.BlobCreated",
            "data": {"url": url, "eTag": "0x1", "blobType": "BlockBlob"},
        }

    validation = [{"eventType": "x", "data": {"validationCode": "512d38b6"}}]
    assert post(hook, validation, "SubscriptionValidation") == (200, {"validationResponse": "512d38b6"})
    assert post(hook, {}, "Unsubscribe")[0] == 202
    assert post(hook, event(f"{account}/uploads/a"), None)[0] == 400
    assert post(hook, {"data": {}}, "Notification")[0] == 400
    assert post(hook.replace("on_client", "nobody"), [], "Notification")[0] == 404
    store.put("uploads/a b/ä.png")
    store.put("other/outside-the-path.png")
    urls = [
        f"{account}/uploads/a%20b/%C3%A4.png",
        "https://mystorage.blob.core.windows.net/uploads/a%20b/%C3%A4.png",
        f"{account}/other/outside-the-path.png",  # the pattern selects nothing here: the subscription does
        f"{account}/uploads/never-existed.png",
    ]
    assert post(hook, [event(url) for url in urls], "Notification")[0] == 202
    found = wait_runs(host, store, "on_client", 3)
    assert sorted(run["name"] for run in found) == ["a b/ä.png", "a b/ä.png", "outside-the-path.png"]
    host.wait_for(lambda: not store.peek(QUEUE), "an empty queue")


ODD_NAMES = [
    " lead", "/lead.jpg", "100%.jpg", "a%20b.jpg", "a//b.jpg", "dir./x", "dot.", "new\nline", "q?x=1#f", "t\tab",
    "trail ", "trail/", "{a}.png", "a&b<c>\"d'e", "a+b;c=d", "é✓/日本.jpg", "😀.jpg", "\uffee.jpg", "x" * 1024,
]  # fmt: skip


@pytest.mark.parametrize("source", ["LogsAndContainerScan", "EventGrid"])
def test_odd_names_arrive_as_they_are(start_host: StartHost, store: Store, source: str) -> None:
    store.blobs.create_container("runs")
    host = start_host("blobs", SOURCE=source)
    for name in ODD_NAMES:
        store.put(f"uploads/{name}")
    found = wait_runs(host, store, "on_client", len(ODD_NAMES))
    assert sorted(run["name"] for run in found) == sorted(ODD_NAMES)


def refusal(status: int) -> HttpResponseError:
    error = HttpResponseError("refused")
    error.status_code = status
    return error


def poll(store: Store, answers: dict[str, list[AzureError | None]], times: int) -> tuple[list[str], list[bool]]:
    """The blobs of `some` handed on in `times` polls that get these answers; and after which polls the mark stood."""
    handed_on, marked = [], []

    class Answers(BlobQueue):
        def __init__(self) -> None:
            pass

        async def notify(self, function: BlobFunction, blob: Any, *, enqueue: bool = True) -> None:
            handed_on.append(blob.name)
            if answers.get(blob.name) and (error := answers[blob.name].pop(0)):
                raise error

    async def polls() -> None:
        accounts = Accounts({"AzureWebJobsStorage": store.connection_string})
        home = accounts.get(None)

        def listing(container: str, mark: str) -> ContainerListing:
            trigger = {"type": "blobTrigger", "name": "blob", "path": f"{container}/{{name}}"}
            function = Function("on_blob", print, "", trigger, None, False, False)
            return ContainerListing([BlobFunction(function, home)], mark, Answers(), home)

        some = listing("some", "mark")
        for _ in range(times):
            with contextlib.suppress(ServiceRequestError):
                await some.poll()
            marked.append(store.read("azure-webjobs-hosts/mark") is not None)
        assert await listing("some", "mark").load() is marked[-1]
        await listing("absent", "other mark").poll()
        await accounts.close()

    asyncio.run(polls())
    return handed_on, marked


def test_a_blob_that_is_refused_does_not_hold_up_the_others(store: Store) -> None:
    for name in ("bad", "good", "later"):
        store.put(f"some/{name}")
    handed_on, marked = poll(store, {"bad": [refusal(400)] * 2, "later": [refusal(503), None]}, 2)
    assert [sorted(handed_on[:3]), sorted(handed_on[3:])] == [["bad", "good", "later"]] * 2
    # Not before everything was handed on. 400 will not get better, 503 may.
    assert marked == [False, True]


def test_blobs_that_failed_are_kept_when_storage_goes_away(store: Store) -> None:
    store.put("some/waits")
    gone = ServiceRequestError("connection refused")
    handed_on, marked = poll(store, {"waits": [refusal(503), gone, None]}, 3)
    assert handed_on == ["waits"] * 3 and marked == [False, False, True]


def test_a_blob_written_before_a_page_that_was_read_already_is_not_passed_over(store: Store) -> None:
    """A long listing: `early` came after its page was read, and before the newest blob of the second page."""
    begun = datetime(2026, 11, 26, 12, tzinfo=UTC)
    handed_on: list[str] = []

    def blob(name: str, seconds: int) -> SimpleNamespace:
        return SimpleNamespace(name=name, last_modified=begun + timedelta(seconds=seconds))

    first = [[blob("a", -60)], [blob("z", 5)]]
    second = [[blob("a", -60), blob("early", 2)], [blob("z", 5)]]
    answers = iter([first, second])

    def list_blobs(raw_response_hook: Callable[[Any], None]) -> SimpleNamespace:
        async def items(page: list[SimpleNamespace]) -> AsyncIterator[SimpleNamespace]:
            for item in page:
                yield item

        async def by_page() -> AsyncIterator[AsyncIterator[SimpleNamespace]]:
            for number, page in enumerate(next(answers)):
                headers = {"Date": format_datetime(begun + timedelta(seconds=10 * number), usegmt=True)}
                raw_response_hook(SimpleNamespace(http_response=SimpleNamespace(headers=headers)))
                yield items(page)

        return SimpleNamespace(by_page=by_page)

    class Recorder(BlobQueue):
        def __init__(self) -> None:
            pass

        async def notify(self, function: BlobFunction, blob: Any, *, enqueue: bool = True) -> None:
            handed_on.append(blob.name)

    async def polls() -> None:
        accounts = Accounts({"AzureWebJobsStorage": store.connection_string})
        home = accounts.get(None)
        trigger = {"type": "blobTrigger", "name": "blob", "path": "some/{name}"}
        function = BlobFunction(Function("on_blob", print, "", trigger, None, False, False), home)
        container = SimpleNamespace(list_blobs=list_blobs)
        function.account = cast(Any, SimpleNamespace(blobs=SimpleNamespace(get_container_client=lambda _: container)))
        listing = ContainerListing([function], "pages", Recorder(), home)
        await listing.poll()
        await listing.poll()
        await accounts.close()

    asyncio.run(polls())
    assert handed_on == ["a", "z", "early", "z"]


def test_an_unreadable_mark_is_named_and_all_is_handed_on_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.put("some/waits")
    store.put("azure-webjobs-hosts/broken", b"{")

    async def load() -> bool:
        accounts = Accounts({"AzureWebJobsStorage": store.connection_string})
        home = accounts.get(None)
        trigger = {"type": "blobTrigger", "name": "blob", "path": "some/{name}"}
        function = BlobFunction(Function("on_blob", print, "", trigger, None, False, False), home)
        known = await ContainerListing([function], "broken", cast(BlobQueue, None), home).load()
        await accounts.close()
        return known

    assert asyncio.run(load())  # listed before: what is there raises events
    assert "azure-webjobs-hosts/broken cannot be read" in caplog.text


def post(url: str, body: object, event_type: str | None) -> tuple[int, Any]:
    headers = {"content-type": "application/json"} | ({"aeg-event-type": event_type} if event_type else {})
    answer = request("POST", url, json.dumps(body).encode(), headers)
    return answer.status, json.loads(answer.body) if answer.body[:1] == b"{" else None
