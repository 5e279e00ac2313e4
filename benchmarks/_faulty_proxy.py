"""A proxy in front of storage that has trouble: it drops requests, is slow, says 503, and loses answers."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What befalls a request, of 100: it does not arrive; it is refused; it is slow; it arrives and its answer does not; its
# answer breaks off in the middle.
FAULTS = {"dropped": 3, "refused": 3, "slow": 4, "unanswered": 3, "cut": 2}
CODES = {
    "403": "AuthorizationPermissionMismatch",
    "429": "TooManyRequests",
    "500": "InternalError",
    "503": "ServerBusy",
}
_BUSY = b"<?xml version='1.0'?><Error><Code>ServerBusy</Code><Message>The server is busy.</Message></Error>"


class FaultyProxy(ThreadingHTTPServer):
    """Listens on a free port of this machine, in front of another one."""

    daemon_threads = True

    def __init__(self, upstream: int, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.chance = upstream, random.Random(seed)
        self.faulty, self.counts, self.lock = True, Counter[str](), threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def fault(self, path: str) -> str:
        """What befalls the next request, which is for `path`; "" for nothing, or the status that it gets."""
        with self.lock:
            names, weights = list(FAULTS), list(FAULTS.values())
            drawn = self.chance.choices(["", *names], [100 - sum(weights), *weights])[0] if self.faulty else ""
            self.counts[drawn] += 1
            return drawn

    def told(self, text: str) -> str:
        """What of an answer is passed on: headers one by one, or a listing."""
        return text

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Workers are killed in the middle of their requests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault(self.path)
        if fault == "dropped":
            self._reset()
        elif fault == "refused":
            self._answer(503, [("x-ms-error-code", "ServerBusy")], _BUSY)
        elif fault.isdecimal():
            self._answer(int(fault), [("x-ms-error-code", CODES[fault]), ("x-ms-request-id", "1")], b"")
        else:
            self._forward(body, fault)

    def _forward(self, body: bytes, fault: str) -> None:
        if fault == "slow":
            time.sleep(self.server.chance.random() * 3)
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        try:
            upstream.request(self.command, self.path, body or None, dict(self.headers.items()))
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if fault == "unanswered":
            self._reset()
            return
        headers = [
            (name, self.server.told(value)) for name, value in answer.getheaders() if name.lower() not in _OF_THIS_HOP
        ]
        if "comp=list" in self.path:
            content = self.server.told(content.decode()).encode()
        if fault == "short":
            content = content[: len(content) // 2]
        self._answer(answer.status, headers, content, cut=fault == "cut", length=answer.getheader("Content-Length"))

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        *,
        cut: bool = False,
        length: str | None = None,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        head = self.command == "HEAD"
        if status not in (204, 304):
            self.send_header("Content-Length", (length or "0") if head else str(len(content)))
        self.end_headers()
        if head:
            return
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._reset()

    def _reset(self) -> None:
        """As a firewall does."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # names of the standard library

    def log_message(self, *_: Any) -> None:
        """Nothing."""


_OF_THIS_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")
