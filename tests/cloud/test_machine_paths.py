"""What is said over HTTP shows no folder of the machine."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import azure.functions as func
import pytest

from cloud import health, health_parts
from cloud.machine_paths import APP, text_without_paths, without_paths
from cloud.settings import Settings
from cloud.web import router
from inference.errors import BadManifest
from tests.cloud.web.asking import ask


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{APP}/models/x/model.toml: no head", "models/x/model.toml: no head"),
        (f"'{APP}/a b.png' is white", "'a b.png' is white"),
        (f"{APP}: empty", ".: empty"),
        (f"{tempfile.gettempdir()}/dropsight-1/model.onnx: cut off", ".../model.onnx: cut off"),
        (f'File "{sys.base_prefix}/lib/site-packages/onnx.py", line 3', 'File ".../onnx.py", line 3'),
        ("[Errno 2] No such file: '/usr/share/My Name/y.txt'", "[Errno 2] No such file: '.../y.txt'"),
        ("/mnt/models and /mnt/a:/home/b", ".../models and .../a:.../b"),
        # No paths of this machine:
        ("/subscriptions/1/resourceGroups/g", "/subscriptions/1/resourceGroups/g"),
        ("https://host/usr/b; GET /api/v1/jobs/x", "https://host/usr/b; GET /api/v1/jobs/x"),
        ("uploads/home/a.jpg, results/tmp", "uploads/home/a.jpg, results/tmp"),
    ],
)
def test_files_of_the_app_are_named_as_in_it_and_others_by_their_name(text: str, said: str) -> None:
    assert text_without_paths(text) == said
    assert without_paths({"a": [text, 1, None]}) == {"a": [said, 1, None]}


def test_folders_that_settings_name_are_not_shown_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DROPSIGHT_MODELS", "/odd/place/of/models")
    assert text_without_paths("/odd/place/of/models/x.onnx is cut") == ".../x.onnx is cut"


def test_deep_health_shows_neither_paths_nor_traces_nor_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ValueError(f"edited {APP / 'models/mask.png'}; and {Path.home() / 'x/routes.toml'}")

    def breaks() -> None:
        raise FileNotFoundError(2, "No such file", str(APP / "models/none.onnx"))

    monkeypatch.setattr(health, "BODIES", ())
    for name in ("storage", "routes", "never_reached", "extras", "models", "models_needed", "models_refused"):
        monkeypatch.setattr(health_parts, name, lambda: str(APP / "models"))
    for name in ("pipelines", "outdated", "intake", "trigger"):
        monkeypatch.setattr(health_parts, name, lambda: "ok")
    monkeypatch.setattr(health_parts, "edited", fails)
    monkeypatch.setattr(health_parts, "timers", breaks)
    models = str(APP.parent / "odd")
    monkeypatch.setattr(health_parts, "current", lambda: Settings(models=models, model_events_key="a secret"))
    answer = ask("GET", "v1/health")
    body = answer.get_body().decode()
    edited = json.loads(body)["errors"]["edited"]["message"]
    assert answer.status_code == 503 and edited == "edited models/mask.png; and .../routes.toml"
    for hidden in (str(APP), str(APP.parent), str(Path.home()), "Traceback", 'File \\"', "a secret"):
        assert hidden not in body, hidden


def test_the_record_of_an_error_shows_no_path_and_the_log_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: object) -> None:
        raise BadManifest(f"{APP}/models/x/model.toml: no head")

    monkeypatch.setattr("cloud.web.api_router.contribute", fails)
    answer = router.answer("contribute", func.HttpRequest("POST", "/api/v1/analyze", body=b"1"))
    assert json.loads(answer.get_body())["error"]["message"] == "models/x/model.toml: no head"
    assert f"{APP}/models/x/model.toml" in caplog.text
