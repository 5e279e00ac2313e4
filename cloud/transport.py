"""HTTP of the storage clients over connections of http.client, where no proxy stands between.

azure-core sends through requests and urllib3, which take more computing than all else that a call does here. What they
are needed for (proxies, bodies that are streams, client certificates) still goes through them.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
from azure.core.exceptions import (
    AzureError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from requests.utils import select_proxy
from urllib3.util import create_urllib3_context, wait_for_read

from cloud.answer import Answer, Headers
from inference import time_limits

TIMEOUTS = {"connection_timeout": 20, "read_timeout": 60}  # seconds
_BLOCK = 256 * 1024  # bytes at a time, of what requests still reads; as the storage clients have it
_OPTIONS = {"stream", *TIMEOUTS}
_RULES_SECONDS = 30.0  # so long the proxies of environment and system are taken for what they were
_KEPT = 32  # idle connections: as many as there may be threads at storage


@dataclass(eq=False)
class _Server:
    """Where an address leads, and the idle connections to it."""

    scheme: str
    netloc: str
    context: ssl.SSLContext | None
    idle: deque[http.client.HTTPConnection] = field(default_factory=deque)

    def __post_init__(self) -> None:
        weakref.finalize(self, _close_all, self.idle)  # clients need not be closed

    def take(self, seconds: float) -> http.client.HTTPConnection:
        """An idle connection that the server has not closed, or a new one, which has `seconds` to be there.

        Raises OSError.
        """
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:  # another thread was faster
                break
            if not wait_for_read(connection.sock, timeout=0.0):
                return connection
            connection.close()  # there is nothing to be read but its end
        if self.context is None:
            connection = http.client.HTTPConnection(self.netloc, timeout=seconds)
        else:
            connection = http.client.HTTPSConnection(self.netloc, timeout=seconds, context=self.context)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def give(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose answer was read, unless the server ends it, or there are enough."""
        if connection.sock is not None and len(self.idle) < _KEPT:
            self.idle.append(connection)
        else:
            connection.close()


def _close_all(idle: deque[http.client.HTTPConnection]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop().close()


class StorageTransport(RequestsTransport):  # type: ignore[misc]  # azure-core leaves it untyped
    """Waits for an answer of storage no longer than there is time (see time_limits): of a request over HTTP, say."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**TIMEOUTS, "connection_data_block_size": _BLOCK, **options})
        self._lock = threading.Lock()
        self._rules: dict[tuple[str, str], tuple[float, _Server | None]] = {}
        self._servers: dict[tuple[str, str, str], _Server] = {}

    def send(self, request: Any, **options: Any) -> Any:
        """As RequestsTransport. Raises TookTooLong."""
        time_limits.check("waiting for storage")
        for name, seconds in TIMEOUTS.items():
            options[name] = min(options.get(name, seconds), max(time_limits.left(), 0.001))
        try:
            server = self._direct(request, options)
            return super().send(request, **options) if server is None else _exchange(server, request, **options)
        except AzureError:
            time_limits.check("waiting for storage")  # or the client would try again first
            raise

    def close(self) -> None:
        """Closes all connections that nobody uses at the moment."""
        with self._lock:
            servers = [*self._servers.values()]
            self._servers.clear()
            self._rules.clear()
        for server in servers:
            _close_all(server.idle)
        super().close()

    def _direct(self, request: Any, options: dict[str, Any]) -> _Server | None:
        """The server to speak to; None where requests is to send it."""
        if options.keys() - _OPTIONS or not isinstance(request, HttpRequest):
            return None
        url: str = request.url
        if not isinstance(request.content, bytes | None) or not url.isascii() or "/." in url or url.count("/") < 3:
            return None
        if " " in url or not url.isprintable():  # the error would repeat it, and with it a signature
            return None
        if request.headers.get("content-type", "").startswith("multipart/"):
            return None  # as is its answer
        scheme, _, rest = url.partition("://")
        origin = scheme, rest.partition("/")[0]
        until, server = self._rules.get(origin, (0.0, None))
        if time.monotonic() >= until:
            server = self._ruled(origin, url)
        return server

    def _ruled(self, origin: tuple[str, str], url: str) -> _Server | None:
        """What the environment says today of an address."""
        self.open()
        configured = self.connection_config
        rules = self.session.merge_environment_settings(url, {}, None, configured.verify, configured.cert)
        verify = rules["verify"]
        plain = urlsplit(url).username is None and not rules["cert"] and verify is not False
        server = None
        if plain and not select_proxy(url, rules["proxies"]):
            authorities = certifi.where() if verify is True else str(verify)
            with self._lock:
                server = self._servers.get((*origin, authorities))
                if server is None:
                    context = _context(authorities) if origin[0] == "https" else None
                    server = self._servers[*origin, authorities] = _Server(*origin, context)
        self._rules[origin] = time.monotonic() + _RULES_SECONDS, server
        return server


def _context(authorities: str) -> ssl.SSLContext:
    """As requests has it."""
    context = create_urllib3_context()
    context.set_alpn_protocols(["http/1.1"])
    if Path(authorities).is_dir():
        context.load_verify_locations(capath=authorities)
    else:
        context.load_verify_locations(cafile=authorities)
    return context


def _exchange(
    server: _Server, request: HttpRequest, connection_timeout: float, read_timeout: float, stream: bool = False
) -> Answer:
    """The answer, read whole: what storage sends at once is never more than the client asked for, 4 MiB of a blob or a
    page of a list. Raises AzureError, as RequestsTransport."""
    try:
        connection = server.take(connection_timeout)
    except TimeoutError as error:
        raise ServiceRequestTimeoutError(f"{server.netloc}: {error}", error=error) from error
    except (OSError, UnicodeError, http.client.InvalidURL) as error:  # the latter: of what is no name of a server
        raise ServiceRequestError(f"{server.netloc}: {error}", error=error) from error
    try:
        connection.sock.settimeout(read_timeout)
        answer = _asked(connection, request)
    except BaseException as error:
        connection.close()
        if isinstance(error, TimeoutError):
            raise ServiceResponseTimeoutError(f"{server.netloc}: {error}", error=error) from error
        if isinstance(error, http.client.IncompleteRead | OverflowError):  # the latter: more than a program can have
            raise IncompleteReadError(error, error=error) from error
        if isinstance(error, http.client.HTTPException | OSError):
            raise ServiceResponseError(f"{server.netloc}: {error}", error=error) from error
        raise
    server.give(connection)
    return answer


def _asked(connection: http.client.HTTPConnection, request: HttpRequest) -> Answer:
    body: bytes = request.content or b""
    headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
    if body or request.method not in ("GET", "HEAD"):
        headers["Content-Length"] = str(len(body))  # whatever was said of it, as requests does
    path = request.url.split("/", 3)[3]
    with suppress(BrokenPipeError):  # it was refused before all of it was sent: the answer says why
        connection.request(request.method, f"/{path}", body or None, headers)
    answer = connection.getresponse()
    return Answer(request, answer.status, answer.reason, Headers(answer.msg.items()), answer.read())
