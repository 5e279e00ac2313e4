"""How the storage clients speak HTTP: as through requests, whatever the server answers, and over few connections."""

from __future__ import annotations

import gzip
import http.client
import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import (
    AzureError,
    DecodeError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest

from cloud import transport
from cloud.transport import StorageTransport
from tests.certificates import of_localhost

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PACKED = gzip.compress(b"a page")


@dataclass
class Server:
    """Reads a request at a time, and answers with the next of `answers`, or what `reply` makes of its path; b"": it
    ends the connection.

    ends: it does so after each answer. silent: it says nothing, and waits for the end.
    """

    answers: list[bytes] = field(default_factory=list)
    reply: Callable[[bytes], bytes] | None = None
    ends: bool = False
    silent: bool = False
    connections: int = 0
    asked: list[bytes] = field(default_factory=list)  # each request's head and body
    url: str = ""
    idle: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))  # a connection was ended

    def serve(self, connection: socket.socket, over: threading.Event) -> None:
        with connection, connection.makefile("rb") as file:
            while head := b"".join(iter(file.readline, b"\r\n") if file.peek(1) else []):
                length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b"")
                self.asked.append(head + b"\r\n" + file.read(int(length.partition(b":")[2] or 0)))
                if self.silent:
                    over.wait()
                    return
                said = self.reply(head.split()[1]) if self.reply else self.answers.pop(0)
                connection.sendall(said)
                if self.ends or not said:
                    break
        self.idle.release()


@pytest.fixture
def server() -> Iterator[Server]:
    made, over, threads = Server(), threading.Event(), []
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            made.connections += 1
            threads.append(threading.Thread(target=made.serve, args=(connection, over)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    made.url = f"http://127.0.0.1:{listener.getsockname()[1]}/account/container/a%20b?comp=x"
    yield made
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    accepting.join()
    for thread in threads:
        thread.join()


@pytest.fixture
def client() -> Iterator[StorageTransport]:
    with StorageTransport(use_env_settings=False) as made:
        yield made


def outcome(sender: RequestsTransport, request: HttpRequest) -> tuple[Any, ...]:
    try:
        answer = sender.send(request, stream=False)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        said = answer.status_code, answer.reason, answer.content_type, headers
        return *said, answer.content, answer.body(), answer.text(), b"".join(answer.iter_bytes())
    except AzureError as error:
        return (type(error),)


def answer(*lines: bytes, body: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"", body])


ANSWERS = {
    "content": answer(b"Content-Length: 2", b"Content-Type: text/plain; charset=latin-1", body=b"\xe4\n"),
    "none": answer(b"Content-Length: 0", b"ETag: \"0x8\"", status=b"201 Created"),
    "chunks": answer(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"),
    "no content": answer(status=b"204 No Content"),
    "unchanged": answer(b"Content-Length: 7", status=b"304 Not Modified"),
    "without reason": b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx",
    "twice": answer(b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"X: 1", b"x: 2", b"Content-Length: 0"),
    "folded": answer(b"X: 1", b"  more", b"Content-Length: 1", body=b"x"),
    "moved": answer(b"Location: http://127.0.0.1:1/", b"Content-Length: 0", status=b"307 Temporary Redirect"),
    "refused": answer(b"Content-Length: 4", b"x-ms-error-code: BlobNotFound", body=b"<x/>", status=b"404 Not Found"),
    "after continue": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "packed": answer(b"Content-Encoding: gzip", b"Content-Length: %d" % len(PACKED), body=PACKED),
    "byte order mark": answer(b"Content-Length: 5", b"Content-Type: application/xml", body=b"\xef\xbb\xbf<>"),
    "cut": answer(b"Content-Length: 9", body=b"short"),
    "cut chunk": answer(b"Transfer-Encoding: chunked", body=b"9\r\nshort"),
    "cut head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
    "less than nothing": answer(b"Content-Length: -1", body=b"all of it"),
    "more than there can be": answer(b"Content-Length: " + b"9" * 30, body=b"all of it"),
}  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("kind", ANSWERS)
def test_every_answer_is_read_as_requests_reads_it(
    kind: str, method: str, server: Server, client: StorageTransport
) -> None:
    server.answers, server.ends = [ANSWERS[kind]] * 2, True
    options: dict[str, Any] = {"content": b"12345"} if method == "PUT" else {}
    with RequestsTransport(use_env_settings=False) as other:
        as_requests = outcome(other, HttpRequest(method, server.url, **options))
    ours = outcome(client, HttpRequest(method, server.url, **options))
    assert ours == as_requests
    theirs, own = server.asked
    assert (
        own.split(b"\r\n")[0] == theirs.split(b"\r\n")[0]
        and own.split(b"\r\n\r\n")[1:] == theirs.split(b"\r\n\r\n")[1:]
    )


def test_an_answer_without_a_length_ends_with_its_connection(server: Server, client: StorageTransport) -> None:
    server.answers, server.ends = [b"HTTP/1.0 200 OK\r\n\r\nall of it"], True
    assert client.send(HttpRequest("GET", server.url)).content == b"all of it"


def test_a_length_that_is_none_is_the_contents(server: Server, client: StorageTransport) -> None:
    server.answers, server.ends = [answer(b"Content-Length: 2, 2", body=b"ok")], True
    assert b"".join(client.send(HttpRequest("GET", server.url)).iter_bytes()) == b"ok"


def test_a_connection_serves_one_request_after_the_other(server: Server, client: StorageTransport) -> None:
    for kind, method in [
        ("content", "GET"),
        ("chunks", "GET"),
        ("none", "PUT"),
        ("content", "GET"),
        ("unchanged", "GET"),
    ]:
        server.answers.append(ANSWERS[kind])
        client.send(HttpRequest(method, server.url))
    server.answers.append(answer(b"Content-Length: 1000"))
    client.send(HttpRequest("HEAD", server.url))
    server.answers.append(answer(b"Connection: close", b"Content-Length: 0"))
    client.send(HttpRequest("GET", server.url))
    assert server.connections == 1
    server.answers.append(OK)
    client.send(HttpRequest("GET", server.url))
    assert server.connections == 2


def test_a_connection_that_was_ended_meanwhile_is_not_used(server: Server, client: StorageTransport) -> None:
    server.answers, server.ends = [OK, OK], True
    for _ in range(2):
        assert client.send(HttpRequest("GET", server.url)).content == b"ok"
        assert server.idle.acquire(timeout=20)
    assert server.connections == 2


def test_many_threads_get_their_own_answers(server: Server, client: StorageTransport) -> None:
    started = threading.Barrier(8)
    texts: dict[int, list[str]] = {}
    server.reply = lambda path: answer(b"Content-Length: %d" % len(path), body=path)

    def ask(number: int) -> None:
        started.wait()
        paths = [f"/{number}/{i}" for i in range(20)]
        texts[number] = [
            client.send(HttpRequest("GET", server.url.split("/account")[0] + path)).text() for path in paths
        ]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {number: [f"/{number}/{i}" for i in range(20)] for number in range(8)}
    assert server.connections <= 8


def test_packed_content_comes_as_it_is_where_that_is_asked_for(server: Server, client: StorageTransport) -> None:
    server.answers = [ANSWERS["packed"], answer(b"Content-Encoding: gzip", b"Content-Length: 2", body=b"no")]
    packed = client.send(HttpRequest("GET", server.url), stream=True)
    assert b"".join(packed.iter_raw()) == b"".join(packed.stream_download(None, decompress=False)) == PACKED
    assert b"".join(packed.stream_download(None)) == packed.content == b"a page"
    wrong = client.send(HttpRequest("GET", server.url), stream=True)
    assert b"".join(wrong.iter_raw()) == b"no"
    with pytest.raises(DecodeError, match="is not gzip, as it says"):
        wrong.read()


def test_a_request_that_was_refused_before_all_of_it_was_sent_has_its_answer(
    server: Server, client: StorageTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = http.client.HTTPConnection.request

    def broken(self: http.client.HTTPConnection, *args: Any) -> None:
        real(self, *args)
        raise BrokenPipeError

    monkeypatch.setattr(http.client.HTTPConnection, "request", broken)
    server.answers = [ANSWERS["refused"]]
    assert client.send(HttpRequest("PUT", server.url, content=b"1")).status_code == 404


def test_what_does_not_answer_is_told_by_how_far_it_came(server: Server, client: StorageTransport) -> None:
    server.silent = True
    with pytest.raises(ServiceResponseTimeoutError, match="timed out"):
        client.send(HttpRequest("GET", server.url), read_timeout=0.05)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "http://127.0.0.1:port/", f"http://{'a' * 64}.localhost/"):
        with pytest.raises(ServiceRequestError):
            client.send(HttpRequest("GET", url))


def test_no_header_can_bring_another(server: Server, client: StorageTransport) -> None:
    with pytest.raises(ValueError, match="Invalid header value"):
        client.send(HttpRequest("GET", server.url, headers={"x-ms-meta-a": "1\r\nX: 2"}))
    server.answers = [OK]
    assert client.send(HttpRequest("GET", server.url)).status_code == 200


def test_bodies_that_are_files_batches_and_odd_addresses_go_through_requests(
    server: Server, client: StorageTransport
) -> None:
    server.answers = [OK] * 5
    client.send(HttpRequest("PUT", server.url, content=io.BytesIO(b"12345"), headers={"Content-Length": "5"}))
    assert server.asked[0].endswith(b"\r\n\r\n12345") and b"Accept-Encoding: gzip" in server.asked[0]
    client.send(HttpRequest("GET", server.url.replace("a%20b", "c/../d")))
    assert server.asked[1].startswith(b"GET /account/container/d?comp=x HTTP/1.1")
    client.send(HttpRequest("POST", server.url, content=b"1", headers={"Content-Type": "multipart/mixed; boundary=x"}))
    assert b"Accept-Encoding: gzip" in server.asked[2]
    client.send(HttpRequest("GET", server.url.replace("/account/container/a%20b", "")))
    assert server.asked[3].startswith(b"GET /?comp=x HTTP/1.1")
    client.send(HttpRequest("GET", f"{server.url}&sig=a b"))
    assert server.asked[4].startswith(b"GET /account/container/a%20b?comp=x&sig=a%20b HTTP/1.1")


def test_the_length_of_a_body_is_its_own(server: Server, client: StorageTransport) -> None:
    server.answers = [OK, OK]
    for said in ("9", "1"):
        client.send(HttpRequest("PUT", server.url, content=b"12345", headers={"content-length": said}))
    assert [each.rpartition(b"\r\n\r\n")[2] for each in server.asked] == [b"12345"] * 2


@pytest.mark.parametrize("excepted", [False, True])
def test_a_proxy_of_the_environment_is_used_also_where_it_comes_later(
    excepted: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transport, "_RULES_SECONDS", 0.0)
    with StorageTransport() as client:
        server.answers = [OK, OK]
        client.send(HttpRequest("GET", server.url))
        monkeypatch.setenv("http_proxy", server.url.split("/account")[0])
        monkeypatch.setenv("no_proxy", "127.0.0.1" if excepted else "")
        client.send(HttpRequest("GET", server.url))
    line = server.asked[1].split(b"\r\n")[0].decode()
    assert line == f"GET {'/account/container/a%20b?comp=x' if excepted else server.url} HTTP/1.1"


def test_a_server_is_trusted_by_the_same_certificates_as_by_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, over = of_localhost(tmp_path), threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    served = Server([OK], ends=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            for _ in range(3):
                try:
                    served.serve(context.wrap_socket(listener.accept()[0], server_side=True), over)
                except OSError:  # refused
                    continue

        accepting = threading.Thread(target=accept)
        accepting.start()
        port = listener.getsockname()[1]
        asked = HttpRequest("GET", f"https://localhost:{port}/")
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        with StorageTransport() as client, pytest.raises(ServiceRequestError, match="CERTIFICATE_VERIFY_FAILED"):
            client.send(asked)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with StorageTransport() as client:
            assert client.send(asked).content == b"ok"
            with pytest.raises(ServiceRequestError, match="doesn't match|not valid for"):  # another name
                client.send(HttpRequest("GET", f"https://127.0.0.1:{port}/"))
        accepting.join()


def test_a_closed_client_sends_nothing(server: Server, client: StorageTransport) -> None:
    server.answers = [OK]
    client.send(HttpRequest("GET", server.url))
    client.close()
    with pytest.raises(ValueError, match="already been closed"):
        client.send(HttpRequest("GET", server.url))
