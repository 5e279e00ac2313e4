"""The catalog's data, and downloads against a real HTTP server that breaks off, lies, and redirects."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from inference.__main__ import main
from inference.defaults import load_routes
from inference.engine.catalog import CATALOG, CatalogEntry, load_catalog
from inference.engine.model import Model
from inference.engine.pull import is_installed, pull
from inference.engine.registry import Registry
from inference.engine.session import Session
from inference.engine.weights import Weights
from inference.errors import BadManifest, BadModel, ModelUnavailable
from inference.image.media import decode
from inference.predictions import Objects
from inference.routes import Step

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
    thread = threading.Thread(target=http.serve_forever)
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


def test_the_catalog_holds_forty_models_that_are_whole() -> None:
    catalog = load_catalog()
    assert len(catalog.model) >= 40
    for model in catalog.model:
        manifest = model.full_manifest()
        assert len(model.sha256) == 64 and model.size > 1000 and manifest.licence and manifest.description
        assert model.page.startswith("https://")
    runnable = [m for m in catalog.model if not m.obstacle()]
    assert len(runnable) >= 38


def test_one_model_is_recommended_per_purpose_and_its_licence_allows_everything() -> None:
    recommended = load_catalog().recommended()
    purposes = [m.purpose for m in recommended]
    assert len(purposes) == len(set(purposes))
    assert {"image-classification", "object-detection", "face-detection", "semantic-segmentation"} <= set(purposes)
    assert all(m.manifest["licence"].startswith(("Apache-2.0", "MIT", "BSD")) for m in recommended)
    runnable = {m.manifest["task"] for m in load_catalog().model if not m.obstacle()}
    assert {m.manifest["task"] for m in recommended} == runnable  # at least a model per task


@pytest.mark.needs_shared
def test_what_is_called_verified_was_run_here(shared: Path) -> None:
    """A verified model's file is among the reference weights, and it finds the faces of a group photo."""
    weights = Weights([shared / "models"])
    picture = decode((shared / "media/faces/group_05_Linzaer_12.jpg").read_bytes())
    verified = [m for m in load_catalog().model if m.verified]
    assert verified
    for model in verified:
        assert weights.find(model.sha256), f"{model.name} is called verified, but its file is not here"
        predictions, _ = _loaded(model, weights).run(picture)
        assert isinstance(predictions, Objects) and 4 <= len(predictions) <= 6, model.name


def _loaded(model: CatalogEntry, weights: Weights) -> Model:
    path = weights.find(model.sha256)
    assert path is not None
    return Model(model.full_manifest(), Session(path), model.sha256)


def default_steps() -> tuple[Step, ...]:
    return load_routes(None, Registry()).named("default").steps


def test_without_research_models_the_default_route_does_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DROPSIGHT_ALLOW_RESEARCH_MODELS", "false")
    assert [s.model for s in default_steps()] == ["sketch"]


def test_a_folder_called_like_a_starter_model_goes_to_it() -> None:
    routes = load_routes(None, Registry())
    for name, model in (("street/a.jpg", "street"), ("cells/b/c.png", "cells"), ("cartoon/d.jpg", "cartoon")):
        route = routes.match(name)
        assert route and [s.model for s in route.steps] == [model]
    other = routes.match("streets/a.jpg")
    assert other and other.name == "default"


def test_expressions_are_read_on_faces_in_the_folder_of_their_name() -> None:
    route = load_routes(None, Registry()).match("expression/a.jpg")
    assert route and route.name == "expression"
    assert [(s.model, s.on) for s in route.steps] == [("faces", ""), ("expression", "face")]


@pytest.mark.needs_shared
def test_the_folder_of_expressions_takes_the_recommended_face_detector_where_it_is_installed(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yunet = load_catalog().named("yunet-2023mar")
    pull(yunet, tmp_path, [shared / "models/face-yunet-2023mar"])
    monkeypatch.setenv("DROPSIGHT_MODELS", str(tmp_path))
    route = load_routes(None, Registry()).match("expression/a.jpg")
    assert route and [s.model for s in route.steps] == ["yunet-2023mar", "expression"]


@pytest.mark.needs_shared
def test_the_default_route_prefers_recommended_models_that_are_installed(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert [s.model for s in default_steps()] == ["classify", "faces", "expression", "sketch"]
    detector = load_catalog().named("yolox-s")
    weights = (shared / "models/det-yolox-nano/model.onnx").read_bytes()  # stands in for the larger file
    stand_in = replace(detector, sha256=hashlib.sha256(weights).hexdigest(), size=len(weights))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/file").write_bytes(weights)
    pull(stand_in, tmp_path / "models", [tmp_path / "mirror"])
    monkeypatch.setenv("DROPSIGHT_MODELS", str(tmp_path / "models"))
    assert [s.model for s in default_steps()] == ["classify", "yolox-s", "faces", "expression", "sketch"]
    assert "yolox-s" in caplog.text and "not run by us" in caplog.text


def test_the_command_line_lists_and_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    for word in ("yolox-s", "Apache-2.0", "35.9 MB", "not run by us", "recommended", "classify"):
        assert word in listed
    (row,) = [line for line in listed.splitlines() if line.startswith("yolox-s ")]
    assert " no " in row and row.endswith("(recommended, not run by us)")  # installed: yes or no
    assert main(["models", "pull", "yolox-z", "--to", str(tmp_path)]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main(["models", "pull", "lama-2025jan", "--to", str(tmp_path)]) == 2
    assert "mask" in capsys.readouterr().err
    assert main(["models", "pull", "yolox-s", "--from", str(tmp_path), "--to", str(tmp_path / "m")]) == 1


def test_a_catalog_with_a_bad_address_is_refused(tmp_path: Path) -> None:
    text = CATALOG.read_text("utf-8").replace("https://media", "file:///media", 1)
    (tmp_path / "catalog.toml").write_text(text, "utf-8")
    with pytest.raises(BadManifest, match="expected https"):
        load_catalog(tmp_path / "catalog.toml")


def test_a_misspelt_manifest_in_the_catalog_is_found_when_it_is_read(tmp_path: Path) -> None:
    text = CATALOG.read_text("utf-8").replace("do_normalize", "do_normalise", 1)
    (tmp_path / "catalog.toml").write_text(text, "utf-8")
    with pytest.raises(BadManifest, match="preprocess: unknown key 'do_normalise'; did you mean 'do_normalize'"):
        load_catalog(tmp_path / "catalog.toml")
