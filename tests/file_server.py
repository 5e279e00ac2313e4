"""A real HTTP server on loopback that serves bytes, breaks off, lies, redirects, or says nothing."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What the server does next, and what it was asked.

    files: by path; content: for every other path. cut_after: bytes sent before the connection drops, per request.
    silent_after: bytes sent before it says no more, while the connection stays. hold: what it waits for before it
    answers. leads_to: where /moved leads. length: what it says in place of the body's length; "unknown": nothing.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    content: bytes | None = None
    cut_after: list[int] = field(default_factory=list)
    silent_after: int | None = None
    hold: threading.Event | None = None
    leads_to: str = "/file"
    length: str = ""
    ranges: bool = True
    status: int = 200
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    signed_in: list[str | None] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(server: FileServer, tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """Serve on a free port, /moved as a redirect; over https where `tls` holds a certificate for localhost."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", server.leads_to)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            wanted = self.headers.get("Range")
            server.asked.append((self.path, wanted))
            server.signed_in.append(self.headers.get("Authorization"))
            if server.hold:
                server.hold.wait()
            content = server.files.get(self.path, server.content)
            if content is None or server.status != 200:
                self.send_error(404 if content is None else server.status)
                return
            self.answer(content, int(wanted[6:].rstrip("-")) if wanted and server.ranges else 0)

        def answer(self, content: bytes, start: int) -> None:
            body = content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if server.length != "unknown":
                self.send_header("Content-Length", server.length or str(len(body)))
            self.close_connection = self.close_connection or bool(server.length)
            self.end_headers()
            if server.silent_after is not None:
                self.wfile.write(body[: server.silent_after])
                self.wfile.flush()
                server.over.wait()
                self.close_connection = True
                return
            if server.cut_after:
                body = body[: server.cut_after.pop(0)]
                self.close_connection = True
            self.wfile.write(body)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{http.server_address[1]}"
    if tls:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        if server.hold:
            server.hold.set()
        http.shutdown()
        http.server_close()
        thread.join()
