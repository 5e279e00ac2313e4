"""The pages over HTTP without a Functions host: real pages and static files over an account in memory, with stand-ins
for the index, the session, signed addresses and the API."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import azure.functions as func
import pytest

from cloud.index.entry import Entry, EntryPage, Query
from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.containers import guess_type
from cloud.uploads.publish import error_path, result_path
from cloud.web.pages import services
from cloud.web.pages.gallery import gallery
from cloud.web.pages.render import STATIC
from inference.errors import BadRequest, StorageUnavailable
from inference.results.strict_json import json_bytes
from inference.results.summary import labels_of
from tests.cloud.storage.memory_storage import MemoryStorage

PREFIX = "/api/"
RIGHTS = frozenset(("read", "contribute", "operate", "operate_actions"))
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Visitor:
    """A session."""

    rights: frozenset[str] = RIGHTS
    signed_in: bool = False
    asks_key: bool = False


@dataclass
class App:
    """An app with nothing in it. down: the index does not answer. calls: what the API was asked."""

    storage: MemoryStorage = field(default_factory=MemoryStorage)
    entries: list[Entry] = field(default_factory=list)
    visitor: Visitor = field(default_factory=Visitor)
    limit: int = 1024 * 1024
    down: bool = False
    hiding: bool = False
    unfiltered: tuple[str, ...] = ()
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: list[tuple[str, str, bytes]] = field(default_factory=list)

    def page(self, query: Query, cursor: str | None = None, size: int = 60) -> EntryPage:
        """As the index."""
        if self.down:
            raise StorageUnavailable("the table did not answer within 5 s; try again")
        if cursor is not None and not cursor.isdigit():
            raise BadRequest(f"cursor is {cursor!r}, expected one that a page gave")
        fitting = [entry for entry in sorted(self.entries, key=lambda e: e.created, reverse=True) if fits(entry, query)]
        start = int(cursor or 0)
        rest = str(start + size) if len(fitting) > start + size else None
        return EntryPage(fitting[start : start + size], rest, self.unfiltered)

    def remove(self, names: Any) -> None:
        """As the index."""
        self.entries = [entry for entry in self.entries if entry.name not in set(names)]

    def add(self, name: str, document: dict[str, Any], upload: bytes, files: dict[str, bytes], **more: Any) -> Entry:
        """An upload with its result, made now or so many minutes ago (`age`)."""
        self.storage.write(UPLOADS, name, upload, content_type=document["source"]["media_type"])
        folder = result_path(name).rpartition("/")[0]
        for path, content in files.items():
            self.storage.write(RESULTS, f"{folder}/{path}", content)
        document = {**document, "source": {**document["source"], "name": name}}
        self.storage.write(RESULTS, result_path(name), json_bytes(document))
        return self.list(entry_of(name, document), **more)

    def list(self, entry: Entry, age: float = 0.0, **more: Any) -> Entry:
        """Put an entry into the index."""
        entry = replace(entry, created=NOW - timedelta(minutes=age), **more)
        self.entries.append(entry)
        return entry

    def fail(self, name: str, message: str, kind: str, upload: bytes = b"?", **more: Any) -> Entry:
        """An upload that has failed."""
        self.storage.write(UPLOADS, name, upload)
        source = {"name": name, "bytes": len(upload), "etag": "", "media_type": None, "width": None, "height": None}
        message = f"{name}: {message}"
        error = {"class": kind, "message": message, "permanent": True}
        record = {"schema": "dropsight/1", "status": "error", "source": source, "error": error, "trace": "0" * 32}
        self.storage.write(ERRORS, error_path(name), json_bytes(record))
        entry = Entry(name, "0x1", "failed", NOW, error_class=kind, message=message)
        return self.list(entry, **more)

    def state_of(self, name: str) -> services.UploadState:
        """Where an upload stands: as `states` says it, else by its entry and whether there is an upload."""
        if name in self.states:
            state, message = self.states[name]
            return services.UploadState(state, message, "" if state in ("unknown", "deleted") else "0x8DE")
        upload = self.storage.head(UPLOADS, name)
        failed = any(entry.name == name and entry.state == "failed" for entry in self.entries)
        if upload is None:
            return services.UploadState("unknown", f"there is no upload {name!r}")
        return services.UploadState("failed" if failed else "result_deleted", "", "0x8DE")

    def call(self, request: func.HttpRequest, method: str, path: str, rights: frozenset[str]) -> func.HttpResponse:
        """As the API, as far as the pages ask it."""
        assert "?" not in request.url, "the API refuses parameters that it does not know"
        self.calls.append((method, path, request.get_body()))
        name = path.removeprefix("v1/uploads/")
        if method == "PUT":
            if len(request.get_body()) > self.limit:
                return problem(413, f"the body has {len(request.get_body()):,} bytes")
            self.storage.write(UPLOADS, name, request.get_body())
            self.remove([name])
            self.entries.append(Entry(name, "0x2", "waiting", datetime.now(UTC), message="it waits for its turn"))
            return func.HttpResponse(b"{}", status_code=201)
        if method == "DELETE":
            self.remove([name])
            return func.HttpResponse(b"{}")
        if path == "operate/replays":
            names = json.loads(request.get_body())["names"]
            self.entries = [replace(e, state="waiting", message="") if e.name in names else e for e in self.entries]
            return func.HttpResponse(b"{}", status_code=202)
        return problem(404, f"there is no {path}")


def problem(status: int, detail: str) -> func.HttpResponse:
    body = json.dumps({"status": status, "detail": detail}).encode()
    return func.HttpResponse(body, status_code=status, mimetype="application/problem+json")


def fits(entry: Entry, query: Query) -> bool:
    """Whether the stand-in's index lists an entry."""
    return (
        entry.name.startswith(query.folder)
        and query.state in (None, entry.state)
        and query.route in ("", entry.route)
        and (not query.label or query.label in {*entry.objects, *entry.scene})
    )


def entry_of(name: str, document: dict[str, Any]) -> Entry:
    """The entry of a result."""
    source, labels = document["source"], labels_of(document)
    return Entry(
        name, source["etag"] or "0x1", "partial" if document["status"] == "partial" else "done", NOW,
        route=document["route"], media_type=source["media_type"], width=source["width"], height=source["height"],
        duration_s=source.get("duration_s"), objects=labels.objects, scene=labels.scene,
    )  # fmt: skip


def stand_in(app: App, patch: pytest.MonkeyPatch) -> None:
    """Give the pages the app's stand-ins."""

    def address(kind: str, path: str, **_: Any) -> str:
        name = quote(path.encode("utf-8", "surrogatepass"))
        return f"media/{kind}/{name}?v=0x8DE2A7C5B1F3D40&until=1796001600&sig={'x' * 43}"

    patch.setattr(services, "session_of", lambda _: app.visitor)
    patch.setattr(services, "check_origin", lambda _: None)
    patch.setattr(services, "media_address", address)
    patch.setattr(services, "thumbnail_address", lambda entry: address("thumbnails", entry.name))
    patch.setattr(services, "index", lambda: app)
    patch.setattr(services, "call_api", app.call)
    patch.setattr(services, "storage", lambda: app.storage)
    patch.setattr(services, "largest_upload", lambda: app.limit)
    patch.setattr(services, "licence_of", lambda _: "Apache-2.0")
    patch.setattr(services, "labels_of", lambda _: ())
    patch.setattr(services, "hides", lambda _: app.hiding)
    patch.setattr(services, "state_of", app.state_of)


def ask(path: str = "", method: str = "GET", body: bytes = b"", **headers: str) -> func.HttpResponse:
    """The page at `path` below gallery/, with a query behind it if it has one."""
    plain, _, query = path.partition("?")
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return gallery(
        func.HttpRequest(
            method, f"http://localhost{PREFIX}gallery/{plain}{'?' if query else ''}{query}", headers=names,
            params=dict(parse_qsl(query, keep_blank_values=True)), route_params={"path": unquote(plain)}, body=body,
        )
    )  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    app: App

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.removeprefix(PREFIX).partition("?")
        kind, _, rest = path.partition("/")
        if kind == "gallery":
            answer = self._gallery(path, rest, query, body)
            self._send(answer.status_code, answer.get_body(), answer.mimetype or "", dict(answer.headers))
        elif kind == "static" and (STATIC / unquote(rest)).is_file():
            self._send(200, (STATIC / rest).read_bytes(), guess_type(rest), {"Cache-Control": "max-age=600"})
        elif kind == "media":
            self._media(*unquote(rest).split("/", 1))
        else:
            self._send(404, b"", "text/plain", {})

    def _gallery(self, path: str, rest: str, query: str, body: bytes) -> func.HttpResponse:
        url = f"http://{self.headers['Host']}{PREFIX}{path}{'?' if query else ''}{query}"
        params = dict(parse_qsl(query, keep_blank_values=True))
        headers = dict(self.headers.items())
        return gallery(
            func.HttpRequest(
                self.command, url, headers=headers, params=params, route_params={"path": unquote(rest)}, body=body
            )
        )

    def _media(self, kind: str, name: str) -> None:
        container = RESULTS if kind == "results" else UPLOADS
        stored = self.app.storage.read(container, name)
        if stored is None:
            self._send(404, b"", "text/plain", {})
            return
        content, (first, _, last) = stored[0], self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        blob = self.app.storage.account.find(container, name)
        kind = blob.content_type if blob else ""
        if not first:
            self._send(200, content, kind, {"Accept-Ranges": "bytes"})
            return
        start, end = int(first), min(int(last or len(content)), len(content) - 1)
        said = {"Content-Range": f"bytes {start}-{end}/{len(content)}", "Accept-Ranges": "bytes"}
        self._send(206, content[start : end + 1], kind, said)

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A browser that closes a connection is no error."""


@contextmanager
def serve(app: App, port: int = 0) -> Iterator[str]:
    """The address of the app's gallery/ while it is served."""
    handler = type("Handler", (_Handler,), {"app": app})
    server = _Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}gallery/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def text(answer: func.HttpResponse) -> str:
    """A page as text."""
    return answer.get_body().decode()


def links(page: str) -> list[str]:
    """The addresses that a page has."""
    return [unescape(found) for found in re.findall(r'(?:href|src|action)="([^"]*)"', page)]


def listed(app: App, count: int, **more: Any) -> None:
    """So many uploads in the index, the newest first, of which there is nothing else."""
    for number in range(count):
        entry = Entry(f"street/{number:04}.jpg", f"0x{number}", "done", NOW, width=640, height=480,
                      objects={"person": 3, "dog": 1}, route="street")  # fmt: skip
        app.list(replace(entry, **more), age=number)
