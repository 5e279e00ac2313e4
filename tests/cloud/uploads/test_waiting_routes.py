"""A route that cannot be used makes its uploads wait, and nothing else; mended, they are analysed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud import health_parts as health
from cloud.settings import ERRORS, Settings
from cloud.storage.containers import Storage
from cloud.uploads import plans
from cloud.uploads.events import Outcome
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.engine.registry import BUILT_IN, Registry
from inference.engine.weights import Weights
from inference.errors import MissingPackage, Permanent, RouteUnavailable
from tests.cloud.helpers import document, drop, jpeg, names, receipt
from tests.cloud.uploads.test_sweep import results
from tests.inference.video.clips import make

pytestmark = pytest.mark.slow

GOOD = """
[[route]]
name = "faces"
match = "faces/**"
steps = [{ model = "classify" }]
[[route]]
name = "rest"
steps = [{ model = "sketch" }]
"""


def worker_of(storage: Storage, folder: Path, text: str, registry: Registry) -> UploadWorker:
    (folder / "routes.toml").write_text(text, "utf-8")
    settings = Settings(routes_file=str(folder / "routes.toml"), lease_seconds=2.0)
    return UploadWorker(storage, settings, plans.app_routes(settings, registry), registry)


def red() -> str:
    """What the deep health says of the routes and models, where something is wrong."""
    try:
        health.routes()
        health.models()
    except (ValueError, Permanent) as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ('"classify"', '"clasify"', r"steps\[0\]: no model is called 'clasify'; did you mean 'classify'"),
        ('"faces"', '"faces"\nvideo = { stridee = 2 }', "unknown key 'stridee'; did you mean 'stride'"),
        ('"faces"', '"faces"\nwhen = "every night"', "not an NCRONTAB"),
        ("match", "mach", "unknown key 'mach'; did you mean 'match'"),
        ("faces/**", "uploads/faces/*.{jpg,png}", r"match is .*write 'faces/\*.jpg', 'faces/\*.png'"),
        ('"classify" }]', '"classify" }]\ndraw = { blur = ["face"] }', "draw: blur: 'face', which no step finds"),
    ],
)
def test_uploads_of_a_wrong_route_wait_until_it_is_mended(
    worker: UploadWorker, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    right: str, wrong: str, words: str, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    broken = worker_of(worker.storage, tmp_path, GOOD.replace(right, wrong, 1), registry)
    monkeypatch.setattr("cloud.instance.default_worker", lambda: broken)
    event, other = drop(broken, "faces/a.jpg", jpeg()), drop(broken, "b.jpg", jpeg())
    for _ in range(broken.settings.max_attempts + 1):
        assert broken.handle(event) == Outcome("waiting")
    assert broken.handle(other) == Outcome("done", 1)
    found = broken.ledger.read("faces/a.jpg")
    assert found and (found.receipt.state, found.receipt.attempt) == ("waiting", 0)
    assert found.receipt.cause == ("model:clasify" if "clasify" in wrong else "route:faces")
    assert names(broken, ERRORS) == []
    assert f"faces/a.jpg waits for {found.receipt.cause}: " in caplog.text
    for said in (found.receipt.reason, red()):
        assert "route 'faces'" in said and str(tmp_path / "routes.toml") in said
        with pytest.raises(RouteUnavailable, match=words):
            raise RouteUnavailable(said)

    mended = worker_of(worker.storage, tmp_path, GOOD, registry)
    monkeypatch.setattr("cloud.instance.default_worker", lambda: mended)
    assert sweep(mended, 60).processed == 1
    assert results(mended) == ["b.jpg", "faces/a.jpg"]
    assert document(mended, "results", "faces/a.jpg/result.json")["route"] == "faces"
    assert red() == ""


@pytest.mark.parametrize("how", ["it is missing", "it cannot be loaded", "its head is misspelt"])
def test_uploads_wait_for_a_model_that_may_still_arrive(
    worker: UploadWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    lies, whole = tmp_path / "lies", tmp_path / "whole"
    for folder in (lies, whole):
        shutil.copytree(BUILT_IN / "classify", folder / "zebras")
        text = (folder / "zebras/model.toml").read_text("utf-8").replace('name = "classify"', 'name = "zebras"')
        (folder / "zebras/model.toml").write_text(text, "utf-8")
    manifest = lies / "zebras/model.toml"
    if how == "it is missing":
        shutil.rmtree(lies / "zebras")
    elif how == "it cannot be loaded":
        (lies / "zebras/model.onnx").write_bytes(b"half of it")
    else:
        manifest.write_text(manifest.read_text("utf-8").replace('"classifier"', '"clasifier"'), "utf-8")
    registry = Registry([lies, BUILT_IN], weights=Weights([]))
    waiting = worker_of(worker.storage, tmp_path, GOOD.replace('"classify"', '"zebras"'), registry)
    event = drop(waiting, "faces/a.jpg", jpeg())
    for _ in range(waiting.settings.max_attempts + 1):
        assert waiting.handle(event) == Outcome("waiting")
    waiting.handle(drop(waiting, "faces/broken.jpg", jpeg()[:200]))
    assert receipt(waiting, "faces/a.jpg").cause == "model:zebras"
    monkeypatch.setattr("cloud.instance.default_worker", lambda: waiting)
    assert "zebras" in red()
    registry.use([whole, BUILT_IN])
    assert red() == ""
    sweep(waiting, 60)
    assert results(waiting) == ["faces/a.jpg"] and names(waiting, ERRORS) == ["faces/broken.jpg.json"]


def test_videos_wait_for_a_package_that_only_they_need(
    worker: UploadWorker, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD.replace('"faces"', '"faces"\nvideo = { camera_motion = true, thumbnails = 0 }', 1)
    worker = worker_of(worker.storage, tmp_path, text, registry)
    monkeypatch.setattr("cloud.instance.default_worker", lambda: worker)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cv2", None)
        patch.setattr(health, "installed", lambda name: False)
        event = drop(worker, "faces/a.mp4", make(tmp_path / "a.mp4", [0.0, 0.04]).read_bytes())
        for _ in range(worker.settings.max_attempts + 1):
            assert worker.handle(event) == Outcome("waiting")
        assert worker.handle(drop(worker, "faces/b.jpg", jpeg())).status == "done"  # a picture needs none
        waiting = worker.ledger.read("faces/a.mp4")
        assert waiting and (waiting.receipt.state, waiting.receipt.attempt) == ("waiting", 0)
        assert waiting.receipt.cause == "package:cv2"
        assert "-r requirements-flow.txt" in waiting.receipt.reason
        with pytest.raises(MissingPackage, match="route 'faces'.*requirements-flow.txt"):
            health.extras()
    assert names(worker, ERRORS) == []
    assert sweep(worker, 60).processed == 1
    assert results(worker) == ["faces/a.mp4", "faces/b.jpg"]


def test_who_brings_a_wrong_route_of_his_own_is_told_so(make_worker: Callable[..., UploadWorker]) -> None:
    worker = make_worker(inline_routes=True)
    worker.handle(drop(worker, "a.jpg.route.toml", b"[[route]]\nname = 'own'\nsteps = [{ model = 'clasify' }]"))
    worker.handle(drop(worker, "a.jpg", jpeg()))
    assert "did you mean 'classify'" in document(worker, ERRORS, "a.jpg.json")["error"]["message"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_sidecar_as_windows_editors_save_it(worker: UploadWorker, encoding: str) -> None:
    worker.handle(drop(worker, "a.jpg.route.toml", 'route = "classify"\r\n'.encode(encoding)))
    assert worker.handle(drop(worker, "a.jpg", jpeg())).status == "done"
    assert document(worker, "results", "a.jpg/result.json")["route"] == "classify"


def test_a_route_that_no_name_leads_to_is_said(
    worker: UploadWorker, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    behind = worker_of(worker.storage, tmp_path, GOOD.replace("faces/**", "**"), registry)
    monkeypatch.setattr("cloud.instance.default_worker", lambda: behind)
    said = "route 'rest' is never reached by a name: 'faces' before it takes all of '**'"
    assert health.never_reached() == [said]
    assert red() == ""
    assert said in caplog.messages
    assert behind.planner.route("a.jpg", "rest").name == "rest"
