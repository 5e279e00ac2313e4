"""What the real worker and host refuse, in their words."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from localhost import app_functions
from localhost.errors import IndexingError
from localhost.host_process import HostFailed
from tests.localhost.conftest import APPS
from tests.localhost.support import StartHost, Store, request

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def check(app: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "localhost", "--check", str(app), *arguments]
    environ = {**os.environ, "AzureWebJobsStorage": "UseDevelopmentStorage=true", **environ}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)


def test_every_problem_of_every_function() -> None:
    done = check(APPS / "contract")
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if not line.startswith(" ") and ": " in line + " ":
            found[name := line.partition(":")[0]] = []
        else:
            found[name].append(line.strip())
    assert done.returncode == 1 and found.pop("fine") == []
    expected = {
        "undeclared": "cannot load the undeclared function: the following parameters are declared in Python but not in "
        "function.json: {'x'}",
        "misnamed": "cannot load the misnamed function: the following parameters are declared in function.json but "
        "not in Python: {'msg'}",
        "mistyped": 'type of msg binding in function.json "queueTrigger" does not match its Python annotation '
        '"HttpRequest"',
        "writes": "the decorator @app.queue_output (queue) is not served by this local host",
        "reads": "the decorator @app.blob_input (blob) is not served by this local host",
        "retries": "the decorator @app.retry (retry policy) is not served by this local host",
        "foreign": "the decorator @app.event_grid_trigger (eventGridTrigger) is not served by this local host",
        "not_in": 'type of msg binding in function.json "queueTrigger" does not match its Python annotation "Out"',
        "odd_context": 'the "context" parameter is expected to be of type azure.functions.Context',
        "returned": "has invalid non-type return annotation dict[str, typing.Any]",
        "promising": "function 'promising' without a $return binding returns str",
        "reserved": "The specified route conflicts with one or more built in routes",
        "same_two": "its route 'api/Same/{b}' overlaps with 'api/same/{a}' of 'same_one', which answers first",
        "same_zero": "The route specified conflicts with the route defined by function 'same_one'.",
        "9lives": "'9lives' is not a valid function name",
        "unset": "'%ABSENT%' does not resolve to a value",
    }
    assert [found.pop(name) for name in ("same_one", "same_put", "alone")] == [[], [], []]  # other methods
    assert len(found["same_two"]) == 3  # alone, same_one and same_put
    assert {name: len(problems) for name, problems in found.items()} == dict.fromkeys(expected, 1) | {"same_two": 3}
    for name, words in expected.items():
        assert any(words in problem for problem in found[name])


def test_a_fine_app() -> None:
    done = check(APPS / "queues")
    assert done.returncode == 0, done.stdout + done.stderr


def test_routes_that_overlap_are_named() -> None:
    done = check(APPS / "http")
    assert done.returncode == 1
    lines = [line.strip() for line in done.stdout.splitlines() if "overlaps" in line]
    assert lines == [
        "its route 'api/tried/first' overlaps with 'api/tried/{x?}' of 'a_parameter', which answers first: the host "
        "tries functions in alphabetical order, not the most specific route."
    ]


def test_flex_has_no_polling_blob_trigger(start_host: StartHost) -> None:
    done = check(APPS / "blobs", "--plan", "flex")
    assert done.returncode == 1 and done.stdout.count("never fires on the Flex Consumption plan") == 4
    assert check(APPS / "blobs", "--plan", "flex", SOURCE="EventGrid").returncode == 0
    printed = start_host("blobs", "--plan", "flex").printed()
    assert "The 'on_client' function is in error: a polling blob trigger never fires" in printed


def test_this_project_itself() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on_upload: fine" in done.stdout


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import nosuchmodule",
            "ModuleNotFoundError: No module named 'nosuchmodule'. Cannot find module. Please check the",
        ),
        ("x = 1", "Could not find top level function app instances in function_app.py."),
        (
            "app = func.WsgiFunctionApp(app=None)",
            "WsgiFunctionApp in function_app.py is not served by this local host",
        ),
        (
            "app = func.FunctionApp(); two = func.FunctionApp()",
            "More than one FunctionApp or other top level function app",
        ),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (
            """
            app = func.FunctionApp()
            @app.route("a")
            def f(req: func.HttpRequest) -> str: return ""
            @app.route("b")
            def f(req: func.HttpRequest) -> str: return ""
            """,
            "Function f does not have a unique function name.",
        ),
        (
            """
            app = func.FunctionApp()
            @app.queue_output(arg_name="out", queue_name="out", connection="X")
            def f(out: func.Out[str]) -> None: ...
            """,
            "Function f does not have a trigger. A valid function must have one and only one trigger registered.",
        ),
        (
            """
            app = func.FunctionApp()
            @app.route("a")
            def f(request: func.HttpRequest) -> str: return ""
            """,
            "cannot load the f function: the following parameters are declared in Python but not in function.json",
        ),
    ],
)
def test_apps_of_which_nothing_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "function_app", raising=False)
    (tmp_path / "function_app.py").write_text("import azure.functions as func\n" + textwrap.dedent(source))
    try:
        with pytest.raises(IndexingError) as failed:
            [app_functions.load(entry, tmp_path) for entry in app_functions.import_app(tmp_path)]
    finally:
        sys.modules.pop("function_app", None)
    assert message in str(failed.value)


def test_the_host_ends_where_nothing_can_be_loaded(start_host: StartHost, tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    with pytest.raises(HostFailed, match=r"ended with 1 (?s:.*)no function_app.py here"):
        start_host(tmp_path)


def test_one_bad_function_does_not_take_the_others_down(start_host: StartHost, store: Store) -> None:
    host = start_host("faults")
    assert request("GET", f"{host.url}/api/good").body == b"good"
    printed = host.printed()
    for name, words in {
        "no_setting": "'%ABSENT%' does not resolve to a value.",
        "no_schedule": "The schedule expression 'every day' was not recognized as a valid cron expression or timespan",
        "no_connection": "Storage account connection string 'Nowhere' does not exist.",
        "bad_queue": "Invalid queue name: 'not_allowed'.",
        "bad_container": "Invalid container name: 'no'.",
        "bad_path": "Missing closing brace in 'uploads/{name'",
        "not_served": "the decorator @app.service_bus_queue_trigger (serviceBusTrigger) is not served by this local",
        "good_again": "The route specified conflicts with the route defined by function 'good'.",
        "reserved": "The specified route conflicts with one or more built in routes",
        "bad_route": "has the constraint 'nosuch'; this local host knows int",
    }.items():
        assert f"The '{name}' function is in error: " in printed and words in printed
    store.queue("returns").send_message("x")
    host.wait_for(lambda: "returned a non-None value" in host.printed(), "the refusal")
    message = "RuntimeError: function 'returns' without a $return binding returned a non-None value"
    assert message in host.printed()


def test_bindings_need_the_extension_bundle(start_host: StartHost, tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    (tmp_path / "function_app.py").write_text((APPS / "faults" / "function_app.py").read_text())
    host = start_host(tmp_path)
    assert request("GET", f"{host.url}/api/good").status == 200
    message = "The binding type(s) 'queueTrigger' are not registered."
    assert message in host.printed() and message in check(tmp_path).stdout


def test_storage_is_required_for_triggers_other_than_http(start_host: StartHost) -> None:
    with pytest.raises(HostFailed, match="Missing value for AzureWebJobsStorage in local.settings.json"):
        start_host("timers", DAILY="0 0 0 * * *", AzureWebJobsStorage="")


def test_storage_that_does_not_answer_is_one_sentence(start_host: StartHost) -> None:
    nowhere = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;" + "".join(
        f"{kind}Endpoint=http://127.0.0.1:9/a;" for kind in ("Blob", "Queue", "Table")
    )
    with pytest.raises(HostFailed, match="storage cannot be used .*Is Azurite running") as failed:
        start_host("queues", AzureWebJobsStorage=nowhere)
    assert "Traceback" not in str(failed.value)
