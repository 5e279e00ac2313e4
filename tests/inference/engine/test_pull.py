"""Downloads against a real HTTP server that breaks off, lies, and redirects."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from inference.engine.catalog import CatalogEntry
from inference.engine.pull import is_installed, pull
from inference.engine.registry import Registry
from inference.errors import BadModel, ModelUnavailable

SKETCH = Path(__file__).resolve().parents[3] / "models/sketch/model.onnx"
CONTENT = SKETCH.read_bytes()


@dataclass
class Behaviour:
    """What the server does next, and what it was asked."""

    cut_after: list[int] = field(default_factory=list)  # bytes sent before the connection drops, per request
    content: bytes = CONTENT
    ranges: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[tuple[str, Behaviour]]:
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/model.onnx")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            wanted = self.headers.get("Range")
            behaviour.asked.append(wanted)
            if behaviour.status != 200:
                self.send_error(behaviour.status)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and behaviour.ranges else 0
            body = behaviour.content[start:]
            self.send_response(206 if start else 200)
            if start:
                whole = len(behaviour.content)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if behaviour.cut_after:
                body = body[: behaviour.cut_after.pop(0)]
                self.close_connection = True
            self.wfile.write(body)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_address[1]}", behaviour
    http.shutdown()
    http.server_close()
    thread.join()


def listing(url: str, name: str = "drawn") -> CatalogEntry:
    return CatalogEntry(
        name=name,
        purpose="sketch",
        url=url,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        page="https://example.org",
        manifest={
            "task": "image-to-image",
            "head": "image",
            "labels": ["first", "second"],
            "preprocess": {"do_rescale": False, "size": {"longest_edge": 64}},
        },
    )


def leftovers(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and p.parent.name != "drawn"]


def test_a_pulled_model_is_complete_loads_and_is_not_fetched_twice(
    server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    url, behaviour = server
    seen: list[tuple[int, int]] = []
    model = listing(url + "/moved")  # over a redirect
    folder = pull(model, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert is_installed(model, tmp_path) and not leftovers(tmp_path)
    manifest = Registry([tmp_path]).model("drawn").manifest
    assert manifest.labels == ("first", "second") and manifest.preprocess.size == {"longest_edge": 64}
    assert not manifest.preprocess.do_rescale
    assert pull(model, tmp_path) == folder and len(behaviour.asked) == 1


def test_a_broken_off_download_goes_on_where_it_was(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.cut_after = [100, 50]
    pull(listing(url + "/model.onnx"), tmp_path)
    assert behaviour.asked == [None, "bytes=100-", "bytes=150-"]
    assert (tmp_path / "drawn/model.onnx").read_bytes() == CONTENT


def test_a_download_that_keeps_breaking_off_says_how_far_it_came_and_goes_on_next_time(
    server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    url, behaviour = server
    behaviour.cut_after = [100, 50, 10]
    with pytest.raises(ModelUnavailable, match="160 of"):
        pull(listing(url + "/model.onnx"), tmp_path)
    assert not (tmp_path / "drawn").exists()
    pull(listing(url + "/model.onnx"), tmp_path)
    assert behaviour.asked[-1] == "bytes=160-"
    assert (tmp_path / "drawn/model.onnx").read_bytes() == CONTENT and not leftovers(tmp_path)


def test_a_server_without_ranges_starts_over(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.cut_after, behaviour.ranges = [100], False
    pull(listing(url + "/model.onnx"), tmp_path)
    assert (tmp_path / "drawn/model.onnx").read_bytes() == CONTENT


def test_a_file_with_the_wrong_hash_never_gets_its_name(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(BadModel, match="sha256"):
        pull(listing(url + "/model.onnx"), tmp_path)
    assert not (tmp_path / "drawn").exists() and not leftovers(tmp_path)


@pytest.mark.parametrize("content", [CONTENT + b"more", CONTENT[:500]])
def test_a_file_of_the_wrong_size_is_refused_before_it_is_fetched(
    server: tuple[str, Behaviour], tmp_path: Path, content: bytes
) -> None:
    url, behaviour = server
    behaviour.content = content
    with pytest.raises(BadModel, match="expects"):
        pull(listing(url + "/model.onnx"), tmp_path)
    assert not (tmp_path / "drawn").exists() and len(behaviour.asked) == 1


@pytest.mark.parametrize(("status", "error"), [(404, BadModel), (503, ModelUnavailable)])
def test_errors_of_the_server_are_told(
    server: tuple[str, Behaviour], tmp_path: Path, status: int, error: type[Exception]
) -> None:
    url, behaviour = server
    behaviour.status = status
    with pytest.raises(error, match=str(status)):
        pull(listing(url + "/model.onnx"), tmp_path)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="0 of"):
        pull(listing("http://127.0.0.1:9/model.onnx"), tmp_path)


def test_the_proxy_of_the_environment_is_used(
    server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address does not exist; the proxy answers for it."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, server[0])
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr("urllib.request._opener", None)  # it reads the environment once
    pull(listing("http://models.invalid/model.onnx"), tmp_path)
    assert (tmp_path / "drawn/model.onnx").read_bytes() == CONTENT
    monkeypatch.setattr("urllib.request._opener", None)


def test_a_damaged_installation_is_replaced(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, _ = server
    folder = pull(listing(url + "/model.onnx"), tmp_path)
    (folder / "model.onnx").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(BadModel, match="sha256"):
        Registry([tmp_path]).model("drawn")
    pull(listing(url + "/model.onnx"), tmp_path)
    assert Registry([tmp_path]).model("drawn")


def test_an_offline_mirror_is_searched_by_content_not_by_name(tmp_path: Path) -> None:
    mirror, into = tmp_path / "mirror", tmp_path / "models"
    (mirror / "deep").mkdir(parents=True)
    (mirror / "deep" / "whatever.bin").write_bytes(CONTENT)
    (mirror / "model.onnx").write_bytes(b"x" * len(CONTENT))
    pull(listing("http://127.0.0.1:9/never-asked"), into, [mirror])
    assert (into / "drawn/model.onnx").read_bytes() == CONTENT
    with pytest.raises(BadModel, match="no file of"):
        pull(replace(listing("http://127.0.0.1:9/x"), sha256="0" * 64), into, [mirror])
