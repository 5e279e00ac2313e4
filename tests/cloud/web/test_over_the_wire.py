"""The API on the local host: by a generated client, and by whatever its own description allows."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from azure.storage.blob import BlobServiceClient
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cloud.web.api_router import operations
from cloud.web.operations import Operation
from devtools.azurite import Azurite
from localhost.host_process import HostProcess
from tests.cloud.helpers import jpeg
from tests.localhost.support import Answer, request

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 90
NAME = "street 1/a b.jpg"
# Of every answer, or of HTTP itself: nobody reads the description for them.
PLAIN = {"content-type", "content-length", "date", "server", "connection", "x-content-type-options"}
PLAIN |= {"content-security-policy", "cache-control"}


@pytest.fixture(scope="module")
def host(
    azurite_server: Azurite, _unused_accounts: Iterator[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HostProcess]:
    connection = azurite_server.connection_string(*next(_unused_accounts))
    with BlobServiceClient.from_connection_string(connection) as blobs:
        blobs.create_container("uploads")
    environ = {"AzureWebJobsStorage": connection, "SWEEP_SCHEDULE": "0 0 0 1 1 *"}
    fast = ["--scan-interval", "0.5", "--max-polling-interval", "0.3"]
    with HostProcess(ROOT, environ, fast, tmp_path_factory.mktemp("host") / "host.log") as running:
        yield running


@pytest.fixture(scope="module")
def described(host: HostProcess) -> Any:
    answer = request("GET", f"{host.url}/api/v1/openapi.json")
    assert answer.status == 200
    return json.loads(answer.body)


@pytest.fixture
def client(described: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package that openapi-python-client made of the description."""
    (tmp_path / "openapi.json").write_text(json.dumps(described), "utf-8")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json"]
    done = subprocess.run(
        [*command, "--output-path", "dropsight_client", "--meta", "none"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "WARNING" not in done.stdout, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    return "dropsight_client"


def has_the_headers_described(described: Any, method: str, path: str, answer: Answer) -> bool:
    """Whether an answer has all headers that its description promises, and no others that matter."""
    responses = described["paths"][path][method.lower()]["responses"]
    said = responses.get(str(answer.status), described["components"]["responses"]["problem"]).get("headers", {})
    promised = {name.lower() for name, header in said.items() if header.get("required")}
    return promised <= {name.lower() for name in answer.headers} - PLAIN <= {name.lower() for name in said}


def test_a_generated_client_uploads_waits_lists_and_reads(host: HostProcess, client: str, described: Any) -> None:
    def call(operation: str, *names: str, **more: Any) -> Any:
        return importlib.import_module(f"{client}.api.{operation}").sync(*names, client=api, **more)

    api = importlib.import_module(client).Client(base_url=f"{host.url}/api")
    file = importlib.import_module(f"{client}.types").File(payload=jpeg())
    written = call("uploads.write_upload", NAME, body=file, if_none_match="*")
    assert (written.name, written.replaced) == (NAME, False)
    refused = call("uploads.write_upload", NAME, body=file, if_none_match="*")
    assert (refused.status, refused.error.class_) == (412, "PreconditionFailed")

    host.wait_for(lambda: call("uploads.read_upload", NAME).state == "done", "the result", PATIENCE_S)
    upload = call("uploads.read_upload", NAME)
    result = call("results.read_result", upload.result.path)
    assert (result.source.name, result.source.etag) == (NAME, written.etag)
    assert call("results.read_result", NAME).trace == result.trace

    def listed() -> list[tuple[str, str]]:
        return [(item.name, item.state) for item in call("uploads.list_uploads", folder="street 1/").items]

    host.wait_for(lambda: listed() == [(NAME, "done")], "the upload in the list", PATIENCE_S)
    assert call("uploads.read_upload", "no/such.jpg").error.class_ == "NotFound"

    # Both spellings of a slash, which some hosts decode and others leave, and a range of a file.
    for spelt in ("street%201/a%20b.jpg", "street%201%2Fa%20b.jpg", "street%201%2fa%20b.jpg"):
        found = request("GET", f"{host.url}/api/v1/uploads/{spelt}")
        assert (found.status, json.loads(found.body)["name"]) == (200, NAME)
        part = request("GET", f"{host.url}/api/v1/results/{spelt}/result.json", headers={"Range": "bytes=0-9"})
        assert (part.status, part.body) == (206, b'{"schema":')
        head, whole = (request(method, f"{host.url}/api/v1/results/{spelt}") for method in ("HEAD", "GET"))
        assert (head.status, head.body, head.headers["ETag"]) == (200, b"", whole.headers["ETag"])
        assert int(head.headers["Content-Length"]) == len(whole.body)
        behind = request("GET", f"{host.url}/api/v1/results/{spelt}", headers={"Range": "bytes=99999-"})
        known = request("GET", f"{host.url}/api/v1/results/{spelt}", headers={"If-None-Match": "*"})
        assert (behind.status, known.status) == (416, 304)
        for answer in (part, head, whole, behind, known):
            method = "HEAD" if answer is head else "GET"
            assert has_the_headers_described(described, method, "/v1/results/{name}", answer), answer
    assert call("uploads.delete_upload", NAME).count == 1
    assert call("uploads.read_upload", NAME).status == 404


def test_answers_have_the_headers_that_are_described(host: HostProcess, described: Any) -> None:
    upload, uploads = "/v1/uploads/{name}", "/v1/uploads"
    for method, path, body, headers, status in (
        ("PUT", upload, jpeg(1), {}, 201),
        ("PUT", upload, jpeg(2), {}, 200),
        ("GET", upload, None, {}, 200),
        ("POST", upload, b"x", {}, 405),
        ("GET", uploads, None, {}, 200),
        ("GET", uploads, None, {"If-None-Match": "*"}, 304),
    ):
        answer = request(method, f"{host.url}/api{path.replace('{name}', 'headers.jpg')}", body, headers)
        assert answer.status == status
        described_as = "GET" if status == 405 else method
        assert has_the_headers_described(described, described_as, path, answer), (method, path, answer.headers)


def test_a_model_webhook_of_cloud_events_shakes_hands(host: HostProcess) -> None:
    asked = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}
    answer = request("OPTIONS", f"{host.url}/api/models/events", headers=asked)
    assert (answer.status, answer.headers["WebHook-Allowed-Origin"]) == (200, "eventgrid.azure.net")
    assert answer.headers["WebHook-Allowed-Rate"] == "120"
    refused = request("OPTIONS", f"{host.url}/api/models/events")
    assert (refused.status, refused.headers["Content-Type"]) == (400, "application/problem+json")


def test_a_name_with_the_end_of_a_line_reaches_the_app(host: HostProcess) -> None:
    answer = request("GET", f"{host.url}/api/v1/uploads/a%0Ab.jpg")
    assert (answer.status, "control character" in json.loads(answer.body)["detail"]) == (400, True)


def test_what_looks_after_an_app_may_ask_for_its_health_by_head(host: HostProcess) -> None:
    answer = request("HEAD", f"{host.url}/api/health")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"", "application/json")


@pytest.fixture(scope="module")
def allowed(described: Any, host: HostProcess) -> Any:
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=f"{host.url}/api")
    return schema


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
def test_what_the_description_allows_is_answered_as_it_says(operation: Operation, allowed: Any) -> None:
    described = allowed[f"/{operation.template}"][operation.method]

    @settings(max_examples=10, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(described.as_strategy())
    def holds(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    holds()
