"""An upload's answer is of the model that its key names, whenever the files are replaced; and what the health says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from cloud import health_parts
from cloud.settings import ERRORS, UPLOADS
from cloud.uploads.receipts import make_key
from cloud.uploads.upload_worker import UploadWorker
from inference.engine.changes import PARTLY_S, SETTLE_S
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.errors import ModelUnavailable
from inference.results.result import Source
from tests.cloud.helpers import document, drop, jpeg, names
from tests.cloud.uploads.test_waiting_routes import worker_of
from tests.inference.engine.test_replaced_models import pets, weights

pytestmark = pytest.mark.slow

ROUTES = '[[route]]\nname = "pets"\nsteps = [{ model = "pets" }]\n'


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(worker: UploadWorker, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> UploadWorker:
    pets(tmp_path / "models/pets", 0)
    registry = Registry([tmp_path / "models"], weights=Weights([]), settle=True, clock=clock, sleep=lambda _: None)
    app = worker_of(worker.storage, tmp_path, ROUTES, registry)
    monkeypatch.setattr("cloud.instance.default_worker", lambda: app)
    assert app.handle(drop(app, "early.jpg", jpeg())).status == "waiting"  # its files came a moment ago
    clock.now += SETTLE_S
    assert said(app, "one.jpg") == "cat"
    return app


def said(app: UploadWorker, name: str) -> str:
    """What is answered; and its key is that of a process which has just this model."""
    assert app.handle(drop(app, name, jpeg())).status == "done"
    answer = document(app, "results", f"{name}/result.json")["steps"][0]
    stored = app.ledger.read(name)
    assert stored
    digest = app.planner.routes.routes[0].digest(app.registry)
    assert stored.receipt.key == make_key(UPLOADS, name, stored.receipt.etag, digest)
    return str(answer["predictions"][0]["label"])


def test_a_swap_between_the_key_and_the_analysis_plans_the_upload_anew(
    app: UploadWorker, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = app.analyze, 0

    def swapped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:  # another thread's upload sees to it
            weights(tmp_path / "models/pets", 1)
            for seconds in (0, PARTLY_S):
                clock.now += seconds
                app.registry.digest("pets")
        return plain(*arguments, **options)

    monkeypatch.setattr(app, "analyze", swapped)
    assert said(app, "two.jpg") == "dog" and calls == 2
    assert names(app, ERRORS) == []


def test_the_health_tells_what_serves_from_memory_and_what_does_not_load(
    app: UploadWorker, tmp_path: Path, clock: Clock
) -> None:
    assert health_parts.models_needed() == ["pets"] and health_parts.models()["pets"] == "usable"
    shutil.rmtree(tmp_path / "models/pets")
    assert said(app, "two.jpg") == "cat"
    with pytest.raises(ValueError, match="model 'pets': .*pets: it is gone; put it back.* serves on until .* UTC"):
        health_parts.models_needed()
    assert "it is gone" in health_parts.models()["pets"]
    pets(tmp_path / "models/pets", 1)
    whole = (tmp_path / "models/pets/model.onnx").read_bytes()
    (tmp_path / "models/pets/model.onnx").write_bytes(whole[: len(whole) // 2])
    assert said(app, "three.jpg") == "cat"
    clock.now += PARTLY_S
    with pytest.raises(ValueError, match="not a complete ONNX file .*; what was loaded before serves on"):
        health_parts.models_needed()
    (tmp_path / "models/pets/model.onnx").write_bytes(whole)
    assert said(app, "four.jpg") == "cat"
    clock.now += PARTLY_S
    assert said(app, "five.jpg") == "dog" and health_parts.models_needed() == ["pets"]


def test_nobody_loads_half_of_a_model_when_the_app_starts(
    app: UploadWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the health nor a request: what is in memory would serve on for half a minute."""
    clock = Clock()
    labels, weights_later = pets(tmp_path / "models/pets", 0, "red green"), pets(tmp_path / "new", 1, "red green")
    late = worker_of(
        app.storage, tmp_path, ROUTES, Registry([tmp_path / "models"], settle=True, clock=clock, sleep=lambda _: None)
    )
    monkeypatch.setattr("cloud.instance.default_worker", lambda: late)
    with pytest.raises(ValueError, match="its files came a moment ago; they are used once they lie still"):
        health_parts.models_needed()
    assert "its files came a moment ago" in late.planner.problems()[0]
    route = late.planner.routes.routes[0]
    with pytest.raises(ModelUnavailable, match="its files came a moment ago"):
        late.analyze(jpeg(), route, Source(name="request"), "trace")
    (weights_later / "model.onnx").replace(labels / "model.onnx")
    assert late.handle(drop(late, "one.jpg", jpeg())).status == "waiting"
    clock.now += PARTLY_S
    assert said(late, "one.jpg") == "green" and health_parts.models_needed() == ["pets"]
    answer = late.analyze(jpeg(), route, Source(name="request"), "trace").result.steps[0].predictions
    assert answer.names[0] == "green"  # type: ignore[union-attr]


def test_folders_that_settings_name_and_that_are_not_there_are_red(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cloud.settings import Settings

    monkeypatch.setattr(health_parts, "current", lambda: Settings(models=str(tmp_path), weights=str(tmp_path / "no")))
    with pytest.raises(ValueError, match="^DROPSIGHT_WEIGHTS names .*no, which does not exist$"):
        health_parts.model_folders()
    (tmp_path / "no").touch()
    with pytest.raises(ValueError, match="^DROPSIGHT_WEIGHTS names .*no, which is no folder$"):
        health_parts.model_folders()
