"""The app as the host indexes and calls it: nothing heavy at import, no body's trouble costs a function."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest

from cloud import connection, instance
from cloud.settings import RESULTS, STATE, BadSettings, current
from cloud.storage import containers
from cloud.web import api_router, router
from inference.errors import BadModel, BadRoute, Permanent, StorageUnavailable
from tests.cloud.helpers import jpeg

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "onnxruntime", "av", "PIL", "azure.ai", "azure.storage.queue", "inference", "croniter", "scipy")
OURS = {"function_app", "cloud", "cloud.comments", "cloud.invocations", "cloud.plain_logs", "cloud.settings"}
OURS |= {"cloud.setting_values", "cloud.stopping"}


def run_python(code: str, given: str = "") -> Any:
    """The JSON that a fresh interpreter prints last."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_app_imports_nothing_beyond_the_allowed() -> None:
    allowed = (
        "import azure.functions, azurefunctions.extensions.bindings.blob, json, logging, os, dataclasses, functools"
    )
    code = f"import sys\n{allowed}\nbefore = set(sys.modules)\nimport function_app, json\n" + (
        "print(json.dumps([sorted(set(sys.modules) - before), sorted(sys.modules)]))"
    )
    added, loaded = run_python(code)
    assert set(added) == OURS
    assert [name for name in loaded if name.startswith(HEAVY)] == []


def test_the_azure_loggers_are_quiet() -> None:
    code = "import json, logging, function_app\nprint(json.dumps(logging.getLogger('azure.core').getEffectiveLevel()))"
    assert run_python(code) == 30


INDEX = """
import importlib, json, os, sys
indexed = []
for settings in json.loads(sys.stdin.read()):
    os.environ.update(settings)
    for name in ("function_app", "cloud.settings"):  # as in a new process, without what they import
        sys.modules.pop(name, None)
    app = importlib.import_module("function_app").app
    indexed.append({each.get_function_name(): [b.get_dict_repr() for b in each.get_bindings()]
                    for each in app.get_functions()})
print(json.dumps(indexed, default=str))
"""


def indexed_with(settings: Sequence[Mapping[str, str]]) -> list[Any]:
    """What the app declares with each of these settings, which all name the same."""
    found = run_python(INDEX, json.dumps(settings))
    assert isinstance(found, list) and len(found) == len(settings)
    return found


SOURCES = {"": "LogsAndContainerScan", "EventGrid": "EventGrid", "eventgrid": "EventGrid", "x": "LogsAndContainerScan"}


def test_every_function_is_indexed_whatever_the_settings_say() -> None:
    declared = indexed_with([{"BLOB_TRIGGER_SOURCE": told, "MAX_ATTEMPTS": "many"} for told in SOURCES])
    for found, (told, source) in zip(declared, SOURCES.items(), strict=True):
        assert set(found) >= {"on_upload", "sweep", *LEVELS}
        for queue in (
            "segments",
            "merges",
            "renders",
            "segments-poison",
            "merges-poison",
            "renders-poison",
            "replays",
            "replays-poison",
        ):
            [queued] = found[f"on_{queue.replace('-', '_')}"]
            assert (queued["type"], queued["queueName"], queued["connection"]) == (
                "queueTrigger", queue, "AzureWebJobsStorage",
            )  # fmt: skip
        [trigger] = found["on_upload"]
        assert (trigger["type"], trigger["path"], trigger["connection"]) == (
            "blobTrigger", "uploads/{name}", "AzureWebJobsStorage",
        )  # fmt: skip
        assert source in str(trigger["source"]), told
        assert found["sweep"][0]["schedule"] == "0 */5 * * * *"
        keys = {name: found[name][0]["authLevel"].split(".")[-1] for name in LEVELS}
        assert keys == LEVELS


LEVELS = {
    "read": "FUNCTION",
    "contribute": "FUNCTION",
    "operate": "FUNCTION",
    "operate_actions": "FUNCTION",
    "model_registered": "FUNCTION",
    "gallery": "ANONYMOUS",
    "media": "ANONYMOUS",
    "session": "ANONYMOUS",
    "static": "ANONYMOUS",
    "health": "ANONYMOUS",
}


def test_a_tick_is_declared_only_where_something_has_a_schedule(tmp_path: Path) -> None:
    contents: list[tuple[bytes | None, bool]] = [
        (None, False),
        ("# nothing yet\n\n  # [lake]\r\n".encode("utf-16"), False),
        (b"\xef\xbb\xbf# nothing yet", False),
        (b'# the lake\n[lake]\nschedule = "0 10 * * * *"\n', True),
        ("[lake]\n".encode("utf-16"), True),
    ]
    for number, (content, _) in enumerate(contents):
        if content is not None:
            (tmp_path / f"{number}.toml").write_bytes(content)
    times = {"TICK_SCHEDULE": "0 */2 * * * *", "SWEEP_SCHEDULE": "0 1 * * * *"}
    files = [{"PIPELINES_FILE": str(tmp_path / f"{number}.toml"), **times} for number in range(len(contents))]
    # What cannot be read does not keep the app from its functions: the tick says what is wrong with it.
    odd = ["/dev/zero", str(tmp_path), f"{tmp_path}/{'x' * 5000}"]
    files += [{"PIPELINES_FILE": name, **times} for name in odd]
    contents += [(name.encode(), True) for name in odd]
    for found, (content, ticks) in zip(indexed_with(files), contents, strict=True):
        assert [trigger["schedule"] for trigger in found.get("tick", [])] == ["0 */2 * * * *"] * ticks, content
        assert found["sweep"][0]["schedule"] == "0 1 * * * *"
        assert found["model_registered"][0]["route"] == "models/events"


def test_health_imports_nothing_and_sends_deep_questions_where_keys_are_checked() -> None:
    code = """
import json, sys, azure.functions as func, function_app
before = set(sys.modules)
ask = lambda end="", **q: function_app.health(
    func.HttpRequest(method="GET", url=f"http://x/api/health{end}", params=q, body=b""))
plain, deep, slash = ask(), ask(deep="1", code="a&b="), ask("/?deep=1", deep="1")
print(json.dumps([plain.get_body().decode(), deep.status_code, deep.headers["Location"], slash.headers["Location"],
                  sorted(m for m in set(sys.modules) - before if not m.startswith(("encodings", "urllib")))]))
"""
    assert run_python(code) == ['{"status": "ok"}', 307, "v1/health?code=a%26b%3D", "../v1/health", []]


@pytest.fixture
def app(account: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """function_app with fresh settings and clients, on this test's account."""
    caches = (current, instance.default_worker, containers.default_storage, connection.blob_service)
    for made in caches:
        made.cache_clear()
    monkeypatch.setenv("MAX_REQUEST_BYTES", "100000")
    import function_app

    yield function_app
    for made in caches:
        made.cache_clear()


@cache
def indexed() -> dict[str, func.decorators.function_app.Function]:
    """The functions by name; the library gives them out once."""
    import function_app

    return {str(function.get_function_name()): function for function in function_app.app.get_functions()}


def request(method: str, body: bytes = b"", path: str = "", **params: str) -> func.HttpRequest:
    return func.HttpRequest(
        method=method, url="/api/x", params=params, route_params={"path": path} if path else {}, body=body
    )


def test_deep_health_imports_every_body_and_lists_what_there_is(app: Any) -> None:
    answer = app.read(request("GET", path="health"))
    found = json.loads(answer.get_body())
    assert (answer.status_code, found["status"], found["errors"]) == (200, "ok", {})
    assert found["models"]["classify"] == found["models"]["sketch"] == "usable"
    assert found["versions"]["onnxruntime"][0].isdigit()
    assert found["routes"]


def test_deep_health_knows_every_body_of_the_app() -> None:
    from cloud.health import BODIES

    lazy = set()
    for file in ("function_app.py", "cloud/tick.py"):
        for match in re.finditer(r"^ +from (cloud\S*) import (\w+)", (ROOT / file).read_text(encoding="utf-8"), re.M):
            module = f"{match[1]}.{match[2]}"
            lazy.add(module if (ROOT / f"{module.replace('.', '/')}.py").exists() else match[1])
    lazy |= {module for module, _ in router.BODIES.values()} | set(api_router.MODULES.values())
    assert lazy == set(BODIES)


def test_every_body_of_the_router_exists_and_has_its_function(app: Any) -> None:
    triggers = {name: function.get_trigger() for name, function in indexed().items()}
    assert {name for name, t in triggers.items() if t and t.type == "httpTrigger"} == {*router.BODIES, "health"}
    for module, body in router.BODIES.values():
        assert callable(getattr(importlib.import_module(module), body))


@pytest.mark.parametrize(
    ("error", "status", "level"),
    [
        (ZeroDivisionError("a bug"), 500, "ERROR"),
        (StorageUnavailable("storage did not answer"), 503, "WARNING"),
        (BadSettings("MAX_ATTEMPTS='many': expected a whole number"), 503, "WARNING"),
        (BadModel("pipelines.toml has no [[model]] 'x'"), 422, "WARNING"),
        (BadRoute("no route matches a\nERROR everything is lost.jpg"), 422, "WARNING"),
    ],
)
@pytest.mark.parametrize("function", ["read", "contribute", "operate", "operate_actions", "model_registered"])
def test_whatever_a_body_raises_is_answered_as_a_record_with_a_trace(
    app: Any, function: str, error: Exception, status: int, level: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def fail(_: object) -> None:
        raise error

    module, body = router.BODIES[function]
    monkeypatch.setattr(f"{module}.{body}", fail)
    answer = getattr(app, function)(request("POST", b"12345"))
    record, name = json.loads(answer.get_body()), type(error).__name__
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert (record["type"], record["status"]) == (f"urn:dropsight:error:{name}", status)
    permanent = isinstance(error, Permanent)
    assert record["error"] == {"class": name, "message": str(error), "permanent": permanent}
    assert record["detail"] == str(error) and record["title"]
    [line] = [entry for entry in caplog.records if entry.name == "cloud.web.router"]
    assert line.levelname == level and record["trace"] in line.getMessage() and "\n" not in line.getMessage()
    assert bool(line.exc_info) == (status == 500)  # where a bug is


def test_a_body_that_cannot_be_imported_is_an_answer_too(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloud.web.api_router", None)
    answer = app.read(request("GET", path="results/a.jpg"))
    assert (answer.status_code, json.loads(answer.get_body())["error"]["class"]) == (500, "ModuleNotFoundError")


def test_deep_health_answers_whatever_of_the_api_cannot_be_imported(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {module for module in api_router.MODULES.values() if module != "cloud.web.health_api"}
    for module in broken:
        monkeypatch.setitem(sys.modules, module, None)
    answer = app.read(request("GET", path="health"))
    errors = json.loads(answer.get_body())["errors"]
    assert (answer.status_code, set(errors)) == (503, {f"import {module}" for module in broken})
    answer = app.read(request("GET", path="results/a.jpg"))
    assert (answer.status_code, json.loads(answer.get_body())["error"]["class"]) == (500, "ModuleNotFoundError")


def test_a_broken_engine_is_an_answer_and_a_line_in_the_log_too(
    app: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "cloud.web.api_router", None)
    monkeypatch.setitem(sys.modules, "inference.results.result", None)  # as where onnxruntime cannot be loaded
    answer = app.contribute(request("POST", b"12345", path="analyze", name="a.jpg"))
    record = json.loads(answer.get_body())
    assert (answer.status_code, record["error"]["class"]) == (500, "ModuleNotFoundError")
    assert "cloud.web.api_router" in record["error"]["message"] and record["trace"]
    assert record["trace"] in caplog.text and "cloud.web.api_router" in caplog.text


@pytest.mark.parametrize("content", [b"\xff\xfe\xfa", b"[]", b'{"job": "x", "stage": "detect", "part": 0}'])
def test_a_message_that_is_not_ours_is_dropped_and_named(
    app: Any, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    context = SimpleNamespace(invocation_id="a1", thread_local_storage=threading.local())
    for name in ("on_segments", "on_segments_poison"):
        indexed()[name].get_user_function()(func.QueueMessage(body=content), context)
    assert caplog.text.count("dropped") == 2


def test_threads_that_work_for_an_upload_log_for_its_invocation(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.storage.blob import BlobClient

    # GIVEN a lease that is renewed while the analysis lasts, in a thread of the ledger
    monkeypatch.setenv("LEASE_SECONDS", "1")
    worker, local = instance.default_worker(), threading.local()
    logged, renewed = [], threading.Event()

    def renew(claim: Any) -> None:
        logged.append((threading.current_thread().name, getattr(local, "invocation_id", "")))
        renewed.set()
        raise StorageUnavailable("so that a line is logged")

    real = worker.analyze
    monkeypatch.setattr(worker.ledger, "renew", renew)
    monkeypatch.setattr(worker, "analyze", lambda *args, **more: renewed.wait(30) and real(*args, **more))
    # WHEN two invocations have an upload, one after the other THEN its lines are those of the later one, too
    for number in ("1", "2"):
        renewed.clear()
        worker.storage.write("uploads", f"{number}.jpg", jpeg())
        context = SimpleNamespace(invocation_id=number, thread_local_storage=local)
        app.on_upload(BlobClient("https://account.invalid", "uploads", f"{number}.jpg"), context)
        assert logged[-1] == ("dropsight-leases", number)


def test_trouble_in_a_body_is_told_by_deep_health(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloud.drift.lake", None)
    monkeypatch.setenv("BLOB_TRIGGER_SOURCE", "pigeon")
    monkeypatch.setenv("AzureWebJobsStorage", "AccountName=x;AccountKey=eA==;BlobEndpoint=http://127.0.0.1:9/x")
    monkeypatch.setenv("LEASE_SECONDS", "-1")
    answer = app.read(request("GET", path="health"))
    errors = json.loads(answer.get_body())["errors"]
    assert answer.status_code == 503
    assert errors["import cloud.drift.lake"]["class"] == "ModuleNotFoundError"
    assert "pigeon" in errors["trigger"]["message"]
    assert "LEASE_SECONDS" in errors["settings"]["message"]
    assert "import cloud.instance" not in errors


def test_a_blob_trigger_call_brings_the_result(app: Any) -> None:
    from azure.storage.blob import BlobClient

    worker = instance.default_worker()
    worker.storage.write("uploads", "a.jpg", jpeg())
    context = SimpleNamespace(invocation_id="a1", thread_local_storage=threading.local())
    app.on_upload(BlobClient("https://account.invalid", "uploads", "a.jpg"), context)
    assert worker.storage.head(RESULTS, "a.jpg/result.json")


def test_analyze_answers_with_the_document_and_stores_nothing(app: Any) -> None:
    answer = app.contribute(request("POST", jpeg(), path="analyze", route="default", name="street.jpg"))
    found = json.loads(answer.get_body())
    assert answer.status_code == 200
    assert found["source"]["name"] == "street.jpg"
    assert found["artifacts"] == {}
    assert [page.blobs for page in instance.default_worker().storage.pages(RESULTS)] == [[]]


@pytest.mark.parametrize(
    ("body", "params", "status", "error"),
    [
        (b"", {}, 415, "UnsupportedMedia"),
        (b"<html>", {}, 415, "UnsupportedMedia"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 200, {}, 415, "UnsupportedMedia"),
        (jpeg(side=256)[:300], {}, 422, "CorruptMedia"),
        (jpeg() + b"\0" * 100_000, {}, 413, "LimitExceeded"),
        (jpeg(), {"route": "nowhere"}, 422, "BadRoute"),
    ],
)
def test_analyze_refuses_in_the_words_of_the_error_records(
    app: Any, body: bytes, params: dict[str, str], status: int, error: str
) -> None:
    answer = app.contribute(request("POST", body, path="analyze", **params))
    found = json.loads(answer.get_body())
    assert (answer.status_code, found["error"]["class"]) == (status, error)
    assert found["error"]["message"]


def test_analyze_says_so_when_every_place_is_taken(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUEST_SECONDS", "0.01")
    current.cache_clear()
    worker = instance.default_worker()
    with worker.places.take("alone"), ThreadPoolExecutor(1) as pool:  # another thread, as of another request
        answer = pool.submit(app.contribute, request("POST", jpeg(), path="analyze")).result()
    assert (answer.status_code, json.loads(answer.get_body())["error"]["class"]) == (503, "ServiceBusy")
    monkeypatch.delenv("REQUEST_SECONDS")
    current.cache_clear()
    assert app.contribute(request("POST", jpeg(), path="analyze")).status_code == 200


def test_results_are_read_by_path_and_nothing_else_is(app: Any) -> None:
    worker = instance.default_worker()
    worker.storage.write(RESULTS, "street/a.jpg/result.json", b'{"status":"ok"}')
    worker.storage.write(RESULTS, "street/a.jpg/0123/annotated.jpg", jpeg())
    worker.storage.write(RESULTS, "big.bin", b"x" * 100_001)
    worker.storage.write(STATE, "receipts/a.jpg", b"secret")
    document = app.read(request("GET", path="results/street/a.jpg"))
    assert (document.get_body(), document.mimetype) == (b'{"status":"ok"}', "application/json")
    picture = app.read(request("GET", path="results/street/a.jpg/0123/annotated.jpg"))
    assert (picture.get_body(), picture.mimetype) == (jpeg(), "image/jpeg")
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    assert app.read(request("GET", path="results/big.bin")).status_code == 413
    assert app.read(request("GET", path="results/street/b.jpg")).status_code == 404
    for path in ("../state/receipts/a.jpg", "x/../../state/receipts/a.jpg", "..\\state\\receipts\\a.jpg", "a/b/"):
        assert app.read(request("GET", path=f"results/{path}")).status_code == 400
