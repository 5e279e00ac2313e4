"""Which account a connection setting leads to: a connection string, or an identity with an address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloud import connection
from cloud.index.entry import Query
from cloud.index.table import UploadTable
from cloud.once import once
from cloud.settings import BadSettings
from cloud.storage.containers import Storage
from cloud.storage.queues import Queue
from inference.errors import TookTooLong
from inference.time_limits import within


@pytest.fixture(autouse=True)
def fresh_clients() -> Iterator[None]:
    yield
    connection.blob_service.cache_clear()
    connection.queue_service.cache_clear()
    connection.table_service.cache_clear()


@pytest.mark.parametrize(
    ("settings", "blobs", "queues", "tables"),
    [
        (
            {"": "UseDevelopmentStorage=true"},
            "http://127.0.0.1:10000/devstoreaccount1",
            "http://127.0.0.1:10001/",
            "http://127.0.0.1:10002/",
        ),
        (
            {"__accountName": "mine"},
            "https://mine.blob.core.windows.net",
            "https://mine.queue.core.windows.net",
            "https://mine.table.core.windows.net",
        ),
        (
            {"__serviceUri": "https://mine.blob.core.windows.net"},
            "https://mine.blob.core.windows.net",
            "https://mine.queue.core.windows.net",
            "https://mine.table.core.windows.net",
        ),
        (
            {
                "__blobServiceUri": "https://b.example",
                "__queueServiceUri": "https://q.example",
                "__tableServiceUri": "https://t.example",
                "__clientId": "c-1",
            },
            "https://b.example",
            "https://q.example",
            "https://t.example",
        ),
    ],
)
def test_where_a_connection_leads(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], blobs: str, queues: str, tables: str
) -> None:
    for suffix, value in settings.items():
        monkeypatch.setenv("MEDIA" + suffix, value)
    assert connection.blob_service("MEDIA").url.startswith(blobs)
    assert connection.queue_service("MEDIA").url.startswith(queues)
    assert connection.table_service("MEDIA").url.startswith(tables)


def test_a_connection_that_is_not_there_is_named() -> None:
    with pytest.raises(BadSettings, match="neither NOWHERE nor NOWHERE__serviceUri"):
        connection.blob_service("NOWHERE")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("@Microsoft.KeyVault(SecretUri=https://v.example/secrets/storage/)", "a reference to Key Vault that was not"),
        ("https://acct.blob.core.windows.net/?sv=2022-11-02&sig=secret", "no connection string"),
        ("Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=R;SharedAccessKey=Zm9v", "no connection string"),
        ("AccountName=a;AccountKey=not base64!", "no connection string"),
        (" ", "neither MEDIA nor"),
    ],
)
def test_a_setting_that_is_no_connection_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv("MEDIA", value)
    for client in (connection.blob_service, connection.queue_service, connection.table_service):
        with pytest.raises(BadSettings, match=said) as error:
            client("MEDIA")
        assert "MEDIA" in str(error.value) and (value.strip() or "?") not in str(error.value)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of an account that takes every connection and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/mine"


def test_storage_that_does_not_answer_is_waited_for_as_long_as_there_is_time(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    services = f"BlobEndpoint={silent};QueueEndpoint={silent};TableEndpoint={silent}"
    monkeypatch.setenv("MEDIA", f"{services};AccountName=mine;AccountKey=a2V5")
    storage = Storage(connection.blob_service("MEDIA"))
    queue, table = Queue("MEDIA", "segments"), UploadTable(connection.table_service("MEDIA"))
    for call in (lambda: storage.open("uploads", "a.jpg"), queue.waiting, table.ensure, lambda: table.page(Query())):
        with (
            within(0.2, "a request may take 0.2 s"),
            pytest.raises(TookTooLong, match="^waiting for storage was ended"),
        ):
            call()


def test_what_another_thread_makes_is_waited_for_as_long_as_there_is_time() -> None:
    begun, go = threading.Event(), threading.Event()

    @once
    def made() -> int:
        begun.set()
        go.wait(20)
        return 1

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(made)
        assert begun.wait(20)
        with within(0.01, "a request may take 0.01 s"), pytest.raises(TookTooLong):
            made()
        go.set()
        assert (first.result(), made()) == (1, 1)
