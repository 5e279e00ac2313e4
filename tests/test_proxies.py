"""A company's proxy in the environment: this machine is reached past it, and it is never taken for storage."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from cloud import connection
from cloud.connection import by_connection_string
from cloud.models.model_files import listed
from cloud.storage.containers import Storage
from devtools import azurite, checks, run
from devtools.bridge import Bridge
from inference.errors import StorageUnavailable
from localhost.host_storage import Account, first_line, remedy
from tests.conftest import ROOT

PAGE = b"<html>\n<h1>Your company says no</h1>\n</html>"
ELSEWHERE = "DefaultEndpointsProtocol={};AccountName=mine;AccountKey=a2V5;EndpointSuffix=storage.example"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass
class Proxy:
    """A proxy that answers everything with 403 and a page."""

    url: str = ""
    status: str = "403 Forbidden"
    repeats: bool = False  # what it was asked for, on its page
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            line = self.rfile.readline().decode().strip()
            made.asked.append(line)
            while self.rfile.readline().strip():
                pass
            page = PAGE + line.encode() * made.repeats
            head = f"HTTP/1.1 {made.status}\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\n\r\n"
            self.wfile.write(head.encode() + page)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def fresh_clients() -> Iterator[None]:
    yield
    connection.blob_service.cache_clear()
    connection.queue_service.cache_clear()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without any proxy, and without a word about this machine."""
    for name in (*VARIABLES, *map(str.lower, VARIABLES)):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture(params=["http", "socks"])
def proxied(request: pytest.FixtureRequest, environment: pytest.MonkeyPatch, proxy: Proxy) -> Proxy:
    """Set for everything, this machine included."""
    if request.param == "http":
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
            environment.setenv(name, proxy.url)
    else:
        environment.setenv("ALL_PROXY", proxy.url.replace("http", "socks5"))
    environment.setenv("NO_PROXY", "intra.example")
    return proxy


@pytest.mark.slow
def test_the_app_and_the_bridge_reach_the_emulator(
    proxied: Proxy, storage_account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = dict(part.split("=", 1) for part in storage_account.strip(";").split(";"))
    key = {"account_name": text["AccountName"], "account_key": text["AccountKey"]}
    monkeypatch.setattr(connection, "_credential", lambda _: key)  # of the emulator, which knows no identities
    monkeypatch.setenv("BY_TEXT", storage_account)
    monkeypatch.setenv("BY_ADDRESS__blobServiceUri", text["BlobEndpoint"])
    monkeypatch.setenv("BY_ADDRESS__queueServiceUri", text["QueueEndpoint"])
    for name in ("BY_TEXT", "BY_ADDRESS"):
        storage = Storage(connection.blob_service(name))
        storage.ensure_containers("uploads")
        assert storage.write("uploads", name, b"1", if_absent=True)
        connection.queue_service(name).create_queue(name.lower().replace("_", "-"))
    Bridge(storage_account, tmp_path / "inbox", tmp_path / "outbox").step()
    assert proxied.asked == []


@pytest.mark.parametrize("status", ["403 Forbidden", "200 OK"])  # the second as where one has to sign in first
def test_no_signature_that_a_proxy_repeats_gets_into_a_message_or_a_traceback(
    environment: pytest.MonkeyPatch, proxy: Proxy, status: str
) -> None:
    proxy.status, proxy.repeats = status, True
    environment.setenv("HTTP_PROXY", proxy.url)
    environment.setenv("http_proxy", proxy.url)
    where = "http://mine.{}.storage.example"
    text = f"BlobEndpoint={where.format('blob')};QueueEndpoint={where.format('queue')};"
    environment.setenv("BY_SAS", f"{text}SharedAccessSignature=sv=2022-11-02&sp=r&sig=planted%3D")
    storage = Storage(connection.blob_service("BY_SAS"))
    calls: list[Callable[[], object]] = [
        lambda: storage.open("uploads", "a.jpg"),
        lambda: storage.write("uploads", "a.jpg", b"1"),
        lambda: next(storage.pages("uploads")),
        lambda: listed(storage.service.get_container_client("models"), ""),
    ]
    for call in calls:
        with pytest.raises(StorageUnavailable) as caught:
            call()
        assert "planted" not in "".join(traceback.format_exception(caught.value))
    assert all("planted" in line for line in proxy.asked)


@pytest.mark.slow
def test_the_host_reaches_the_emulator(proxied: Proxy, storage_account: str) -> None:
    async def there_and_back() -> bytes | None:
        account = Account("Storage", storage_account)
        try:
            await account.upload("uploads", "a", b"1")
            await account.send("work", "x")
            return await account.download("uploads", "a")
        finally:
            await account.blobs.close()
            await account.queues.close()

    assert asyncio.run(there_and_back()) == b"1"
    assert proxied.asked == []


@pytest.mark.slow
def test_the_doctor_reaches_the_emulator(proxied: Proxy, storage_account: str) -> None:
    env = {"AzureWebJobsStorage": storage_account}
    finding = checks.ask("Storage", Path(sys.executable), checks.STORAGE, ROOT, env)
    assert finding.ok is True, finding.words
    assert proxied.asked == []


def test_a_proxy_is_not_taken_for_the_app(environment: pytest.MonkeyPatch, proxy: Proxy) -> None:
    environment.setenv("http_proxy", proxy.url)
    (port,) = azurite.free_ports(1)
    assert run.answers(port) is False
    assert proxy.asked == []
    assert run.answers(int(proxy.url.rpartition(":")[2])) is True  # whatever it says, something listens there


@pytest.mark.parametrize(
    ("variable", "protocol", "words"),
    [
        ("HTTP_PROXY", "http", "403 Forbidden and a page came that is not storage's: a proxy's, perhaps"),
        ("HTTPS_PROXY", "https", "the proxy of HTTPS_PROXY or HTTP_PROXY does not answer, or does not let it through"),
        ("ALL_PROXY", "https", "a SOCKS proxy is set .* name an HTTP proxy in HTTPS_PROXY"),
    ],
)
def test_what_a_proxy_says_of_an_account_elsewhere_is_one_sentence(
    variable: str, protocol: str, words: str, environment: pytest.MonkeyPatch, proxy: Proxy
) -> None:
    environment.setenv(variable, proxy.url.replace("http", "socks5") if variable == "ALL_PROXY" else proxy.url)
    service = by_connection_string(BlobServiceClient, ELSEWHERE.format(protocol), retry_total=0)
    with pytest.raises(StorageUnavailable, match=f"^reading uploads/a: .*{words}") as error:
        Storage(service).read("uploads", "a")
    assert "<" not in str(error.value) and "\n" not in str(error.value)
    assert len(proxy.asked) == (0 if variable == "ALL_PROXY" else 1)


def test_the_host_does_not_repeat_the_page_of_a_proxy(environment: pytest.MonkeyPatch, proxy: Proxy) -> None:
    environment.setenv("HTTP_PROXY", proxy.url)

    async def reason() -> str:
        account = Account("Storage", ELSEWHERE.format("http"))
        try:
            with pytest.raises(AzureError) as error:
                await account.download("uploads", "a")
            return f"{first_line(error.value)}. {remedy('', account)}"
        finally:
            await account.blobs.close()
            await account.queues.close()

    assert asyncio.run(reason()) == (
        "403 and a page that is not storage's: a proxy's, perhaps. "
        "Are the connection string, the network and the proxy (HTTPS_PROXY, NO_PROXY) right?"
    )
