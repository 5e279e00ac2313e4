"""HTTP functions and the admin API."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from localhost.host_process import HostProcess
from tests.localhost.conftest import APPS
from tests.localhost.support import StartHost, Store, request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host() -> Iterator[HostProcess]:
    """One host without any storage: HTTP functions need none."""
    environ = {"AzureWebJobsStorage": "", "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "200000"}
    with HostProcess(APPS / "http", environ) as running:
        yield running


def test_a_function_sees_the_request_and_shapes_the_answer(host: HostProcess) -> None:
    url = f"{host.url}/api/echo/12?q=a%20b&empty=&two=1&two=2"
    answer = request("POST", url, "ä".encode(), {"X-Thing": "Value"})
    seen = json.loads(answer.body)
    assert answer.status == 201 and answer.headers["content-type"] == "application/json"
    assert answer.headers["x-made"] == "yes" and answer.headers.get_all("set-cookie") == [
        "a=1; Path=/",
        "b=2%2B3~4; HttpOnly; SameSite=Strict",  # as ASP.NET escapes values
    ]
    assert seen["method"] == "POST" and seen["url"] == url and seen["body"] == "ä" and seen["header"] == "Value"
    assert seen["route"] == {"id": "12"} and seen["params"] == {"q": "a b", "two": "1,2"}
    assert all(name == name.lower() for name in seen["names"])


def test_a_packed_body_reaches_the_function_as_it_came(host: HostProcess) -> None:
    for headers in ({"Content-Encoding": "gzip"}, {"Content-Encoding": "br"}):
        answer = request("POST", f"{host.url}/api/echo/12", b"not packed", headers)
        assert (answer.status, json.loads(answer.body)["body"]) == (201, "not packed")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:7071", "Origin": "http://localhost:3000"}, 200),
        ({"Host": "[::1]:7071"}, 200),
        ({"Host": "rebound.example:7071"}, 403),
        ({"Host": "localhost.example"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "http://127.0.0.1.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:99999"}, 403),
        ({"Host": "localhost#@rebound.example"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "moz-extension://127.0.0.1"}, 403),
    ],
)
def test_pages_of_other_sites_get_no_answer(host: HostProcess, headers: dict[str, str], status: int) -> None:
    answer = request("GET", f"{host.url}/api/owner", headers=headers)
    assert answer.status == status
    assert (b"answers only what comes from this machine" in answer.body) == (status == 403)


def test_a_request_line_with_the_address_of_another_site_gets_no_answer(host: HostProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
    statuses = []
    for name in ("rebound.example", "localhost"):
        connection.request("GET", f"http://{name}/api/owner", headers={"Host": "localhost"})
        answer = connection.getresponse()
        statuses.append(answer.status)
        answer.read()
    connection.close()
    assert statuses == [403, 200]


def test_what_is_no_request_is_refused_and_costs_the_terminal_nothing(host: HostProcess) -> None:
    before = len(host.printed())
    for line in (b"GET /api/\x1b[31mred HTTP/1.1", b"\x16\x03\x01 as TLS", b"GET /api/owner HTTP/1.1\r\nno header"):
        with socket.create_connection(("127.0.0.1", host.port), timeout=20) as client:
            client.sendall(line + b"\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 400 ")
    assert request("GET", f"{host.url}/api/owner").status == 200
    said = host.printed()[before:]
    assert "Traceback" not in said and "\x1b" not in said


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/", 200, None),
        ("GET", "/api/echo/special", 200, b"special"),
        ("GET", "/api/tried/first", 200, b"parameter first"),  # of a_parameter, before b_literal
        ("GET", "/api/tried", 200, b"parameter None"),
        ("POST", "/api/echo/notanumber", 404, b""),
        ("GET", "/api/echo/12", 404, b""),  # only POST and PUT
        ("PUT", "/api/ECHO/12", 201, None),
        ("GET", "/api/files/a/b%20c/d.png", 200, b"a/b c/d.png"),
        ("GET", "/api/files/a%2Fb", 200, b"a%2Fb"),
        ("GET", "/api/files/../files/./x", 200, b"x"),
        ("GET", "/api/files/%2e%2E/files/x", 200, b"x"),
        ("GET", "/api/files/..%2F..%2Fx", 200, b"..%2F..%2Fx"),
        ("GET", "/api/object", 418, b'{"tea": true}'),
        ("GET", "/api/fail", 500, b""),
        ("GET", "/api/none", 500, b""),
        ("GET", "/api/leave", 500, b""),
        ("GET", "/api/owner", 200, b"owner"),  # locally keys are not asked for
        ("GET", "/api/from-a-blueprint", 200, b"of_blueprint"),
        ("GET", "/api/absent", 404, b""),
        ("GET", "/files/x", 404, b""),
    ],
)
def test_routes(host: HostProcess, method: str, path: str, status: int, body: bytes | None) -> None:
    answer = request(method, host.url + path)
    assert (answer.status, body if body is None else answer.body) == (status, body)


def test_object_headers_and_traces(host: HostProcess) -> None:
    assert request("GET", f"{host.url}/api/object").headers["x-pot"] == "short"
    request("GET", f"{host.url}/api/fail")
    host.wait_for(lambda: "ValueError: on purpose" in host.printed(), "the trace")
    trace = host.printed().partition("ValueError: on purpose")[0].rpartition("Executed 'Functions.fail'")[2]
    assert "function_app.py" in trace and "localhost/function_worker.py" not in trace


def test_the_app_is_told_under_which_name_it_is_reached_also_on_a_port_that_the_system_chose(host: HostProcess) -> None:
    assert request("GET", f"{host.url}/api/own-name").body == f"localhost:{host.port}".encode()


def test_an_answer_to_head_says_the_length_of_what_it_leaves_out(host: HostProcess) -> None:
    answer = request("HEAD", f"{host.url}/api/long")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5000000", b"")
    known = request("GET", f"{host.url}/api/known")
    assert (known.status, known.headers["etag"], known.body) == (304, '"1"', b"")


def test_only_lines_of_a_running_invocation_are_the_apps(host: HostProcess, start_host: StartHost) -> None:
    for path in ("logs", "logs-async"):
        assert request("GET", f"{host.url}/api/{path}").status == 200
    host.wait_for(lambda: "Executed 'Functions.logs_async'" in host.printed(), "the end")
    shown = ["said by the function", "said in its name", "said by its task"]
    dropped = ["said at the import", "said by its thread", "said by a thread of its task"]
    assert [line in host.printed() for line in shown + dropped] == [True] * 3 + [False] * 3
    verbose = start_host("http", "--verbose", AzureWebJobsStorage="")
    assert "said at the import (of no invocation: Azure drops this line)" in verbose.printed()


def test_body_limit(host: HostProcess) -> None:
    assert request("POST", f"{host.url}/api/echo/1", bytes(199_999)).status == 201
    assert request("POST", f"{host.url}/api/echo/1", bytes(200_001)).status == 413


@pytest.mark.parametrize("path", ["together", "together-async"])
def test_functions_run_side_by_side(host: HostProcess, path: str) -> None:
    """Each of the six waits for the other five."""
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: request("GET", f"{host.url}/api/{path}"), range(6)))
    assert {answer.status for answer in answers} == {200}
    threads = {answer.body for answer in answers}
    assert len(threads) == (6 if path == "together" else 1)


def test_prefix_and_disabled_functions(start_host: StartHost) -> None:
    environ = {"AzureFunctionsJobHost__extensions__http__routePrefix": "v1/x", "AzureWebJobs.special.Disabled": "true"}
    host = start_host("http", **environ)
    assert request("GET", f"{host.url}/v1/x/files/a").status == 200
    assert request("GET", f"{host.url}/v1/x/echo/special").status == 404
    assert "Function special is disabled." in host.printed()


def test_keys(start_host: StartHost, store: Store) -> None:
    host = start_host("http", "--enable-auth")
    secrets = "azure-webjobs-secrets/testhost"
    master = json.loads(store.read(f"{secrets}/host.json") or b"")
    own = json.loads(store.read(f"{secrets}/echo.json") or b"")["keys"][0]["value"]
    other = json.loads(store.read(f"{secrets}/owner.json") or b"")["keys"][0]["value"]
    echo, owner = f"{host.url}/api/echo/1", f"{host.url}/api/owner"

    def status(method: str, url: str, key: str | None = None) -> int:
        return request(method, url, headers={"x-functions-key": key} if key else {}).status

    host_key, master_key = master["functionKeys"][0]["value"], master["masterKey"]["value"]
    assert [status("POST", echo, key) for key in (None, "wrong", other, own, host_key, master_key)] == [
        401, 401, 401, 201, 201, 201,
    ]  # fmt: skip
    assert request("POST", f"{echo}?code={own}").status == 201
    assert request("POST", f"{echo}?code={own}", headers={"x-functions-key": "wrong"}).status == 401  # the header wins
    assert [status("GET", owner, key) for key in (None, other, host_key, master_key)] == [401, 401, 401, 200]
    assert status("GET", f"{host.url}/api/files/a") == 200
    fire = f"{host.url}/admin/functions/absent"
    assert [status("POST", fire, key) for key in (None, host_key, master_key)] == [401, 401, 404]
    assert host.stop() == 0
    start_host("http", "--enable-auth")
    assert json.loads(store.read(f"{secrets}/host.json") or b"") == master  # kept


def test_admin_api_fires_any_function(start_host: StartHost, store: Store) -> None:
    store.blobs.create_container("runs")
    host = start_host("queues")
    admin = f"{host.url}/admin/functions"
    assert request("POST", f"{admin}/absent").status == 404
    assert request("POST", f"{admin}/on_typed", b"no json").status == 400
    refused = request("POST", f"{admin}/on_typed", b'{"input": {"a": 1}}')
    assert refused.status == 400 and b"expected a string" in refused.body
    assert request("POST", f"{admin}/ON_TEXT", json.dumps({"input": "by hand"}).encode()).status == 202
    host.wait_for(lambda: store.records("texts"), "the run")
    assert store.records("texts") == [{"type": "str", "body": "by hand"}]
    assert request("POST", f"{admin}/on_target", b'{"input": "targets/absent"}').status == 400
    store.put("elsewhere/any blob")
    assert request("POST", f"{admin}/on_target", b'{"input": "elsewhere/any blob"}').status == 202
    host.wait_for(lambda: store.records("targets"), "the second run")
    assert store.records("targets") == [{"name": "elsewhere/any blob"}]


def test_time_limit(start_host: StartHost) -> None:
    host = start_host("http", AzureFunctionsJobHost__functionTimeout="00:00:01", AzureWebJobsStorage="")
    assert request("GET", f"{host.url}/api/slow?s=300").status == 500
    assert "Timeout value of 1 s was exceeded by function: Functions.slow" in host.printed()
    assert host.stop(20) == 1  # ends although the function's thread goes on
