"""A local Azure Machine Learning: the contract, not the service.

ARM requests are checked against the published routes and body schemas (../shared/specs), v1 and batch bodies
key by key against what the v1 SDK's REST client and the batch API declare. An unknown route is 404, a wrong
body 400, a token for the wrong API 401. It issues ids, moves runs through their states when told to, and
fails on demand.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.cloud.azureml.arm import WORKSPACE, Arm, Rejected
from tests.cloud.azureml.credential import make_token

_V1_KEYS: dict[str, type] = {
    "ExperimentName": str, "Description": str, "RunSource": str, "RunType": str, "ParameterAssignments": dict,
    "DataPathAssignments": dict, "DataSetDefinitionValueAssignments": dict, "ScheduleId": str,
    "ContinueRunOnStepFailure": bool, "EnableNotification": bool, "tags": dict, "Properties": dict,
}  # fmt: skip
_BATCH_KEYS = ("name", "inputData", "outputData", "tags", "properties")


class Drop(Exception):
    """Close the connection without an answer."""


class Page(Rejected):
    """An answer that is not the service's: a proxy's or a gateway's, under any status."""

    def __init__(self, status: int, body: bytes, content_type: str) -> None:
        super().__init__(status, "a page")
        self.body, self.content_type = body, content_type


@dataclass
class Fault:
    """For the next `times` requests that match: `before` or `after` the work, answer so or drop."""

    method: str
    pattern: str
    status: int = 0  # 0: drop the connection
    times: int = 1
    after: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # in place of the service's JSON
    content_type: str = "text/html"


@dataclass
class Service(Arm):
    """The state behind the server."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)  # v1, by id
    seen: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    pipelines: dict[str, str] = field(default_factory=lambda: {"pipe-1": "score", "pipe-2": "score-v2"})
    experiments: dict[str, str] = field(default_factory=lambda: {"experiment-1": "nightly-score"})
    drop_tags: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def posts(self, pattern: str = "") -> list[tuple[str, str, Any, dict[str, str]]]:
        """The submissions seen (POST, and PUT of jobs)."""
        return [
            each
            for each in self.seen
            if re.search(pattern, each[1]) and (each[0] == "POST" or (each[0] == "PUT" and "/jobs/" in each[1]))
        ]

    def handle(self, method: str, url: str, headers: dict[str, str], body: Any) -> Any:
        """The answer to one request. Raises Rejected or Drop."""
        parts = urlsplit(url)
        path, query = unquote(parts.path), {k: v[0] for k, v in parse_qs(parts.query).items()}
        with self._lock:
            self.seen.append((method, path, body, headers))
            fault = next((f for f in self.faults if f.method == method and re.search(f.pattern, path)), None)
            if fault:
                fault.times -= 1
                if fault.times == 0:
                    self.faults.remove(fault)
                if not fault.after:
                    self._fail(fault)
            answer = self._route(method, path, query, headers, body)
            if fault:
                self._fail(fault)
            return answer

    def _fail(self, fault: Fault) -> None:
        if not fault.status:
            raise Drop
        if fault.body is not None:
            raise Page(fault.status, fault.body, fault.content_type)
        raise Rejected(fault.status, "on demand")

    def _route(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: Any) -> Any:
        if path.startswith(f"/pipelines/v1.0{WORKSPACE}/"):
            self._audience(headers, "https://management.azure.com")
            return self._v1(method, path.removeprefix(f"/pipelines/v1.0{WORKSPACE}"), query, body)
        if path == f"/history/v1.0{WORKSPACE}/experiments" and method == "GET":
            self._audience(headers, "https://management.azure.com")
            return {"value": [{"name": name, "experimentId": key} for key, name in self.experiments.items()]}
        if path.startswith("/blob/"):
            return self._blob(method, path, query, body)
        if path == "/msi":
            return self._managed_identity(query, headers)
        if path == "/batch/vision-batch/jobs" and method == "POST":
            self._audience(headers, "https://ml.azure.com")
            return self._invoke(headers, body)
        if path.startswith(WORKSPACE):
            self._audience(headers, "https://management.azure.com")
            return self._arm(method, path.removeprefix(WORKSPACE), query, headers, body)
        raise Rejected(404, f"no route {method} {path}")

    def _audience(self, headers: dict[str, str], wanted: str) -> None:
        claims = headers.get("authorization", "").split(".")
        payload = json.loads(base64.urlsafe_b64decode(claims[1] + "==")) if len(claims) == 3 else {}
        if payload.get("aud") != wanted:
            raise Rejected(401, f"token audience is {payload.get('aud')!r}, wanted {wanted!r}")
        if payload.get("exp", 0) < time.time():
            raise Rejected(401, "token has expired")

    def _blob(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """The storage behind an upload of code: what a shared access signature lets the SDK do there."""
        if "sig" not in query:
            raise Rejected(403, "no signature")
        if method == "PUT" and query.get("comp") != "metadata":
            self.blobs[path] = body
            raise Rejected(201, "created")
        if path not in self.blobs:
            raise Rejected(404, "no such blob")
        return {}

    def _managed_identity(self, query: dict[str, str], headers: dict[str, str]) -> Any:
        """The token endpoint that App Service gives to an app with a managed identity."""
        if headers.get("x-identity-header") != "secret" or query.get("api-version") != "2019-08-01":
            raise Rejected(400, "x-identity-header and api-version 2019-08-01")
        expires = int(time.time()) + 3600
        token = make_token(query["resource"], expires)
        return {
            "access_token": token,
            "expires_on": str(expires),
            "resource": query["resource"],
            "token_type": "Bearer",
        }

    # The v1 dialect -------------------------------------------------------------------------------------

    def _v1(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if method == "POST" and (match := re.fullmatch(r"/PipelineRuns/PipelineSubmit/([^/]+)", path)):
            return self._submit(match[1], body)
        if method == "POST" and (
            match := re.fullmatch(r"/PipelineRuns/PipelineEndpointSubmit/Id/endpoint-1(/\d+)?", path)
        ):
            return self._submit("pipe-1" if match[1] == "/1" else "pipe-2", body)
        if method == "POST" and path == "/PipelineRuns/PipelineEndpointSubmit/Name":
            if query.get("name") != "score-endpoint":
                raise Rejected(404, f"no pipeline endpoint {query.get('name')!r}")
            return self._submit("pipe-2" if query.get("pipelineVersion", "2") == "2" else "pipe-1", body)
        if method == "GET" and (match := re.fullmatch(r"/PipelineRuns/Pipeline/([^/]+)", path)):
            return [run for run in self.runs.values() if run["PipelineId"] == match[1]]
        if method == "GET" and (match := re.fullmatch(r"/PipelineRuns/([^/]+)", path)):
            if match[1] not in self.runs:
                raise Rejected(404, "no such run")
            return self.runs[match[1]]
        if method == "GET" and path == "/Pipelines":
            return [{"Id": key, "Name": name} for key, name in self.pipelines.items()]
        versions = [{"Version": "1", "PipelineId": "pipe-1"}, {"Version": "2", "PipelineId": "pipe-2"}]
        endpoint = {
            "Name": "score-endpoint", "Id": "endpoint-1", "DefaultVersion": "2", "PipelineVersionList": versions
        }  # fmt: skip
        if method == "GET" and path == "/PipelineEndpoints":
            return [endpoint]
        if method == "GET" and path == "/PipelineEndpoints/endpoint-1":
            return endpoint
        if method == "GET" and path == "/PipelineEndpoints/Name" and query.get("name") == "score-endpoint":
            return endpoint
        raise Rejected(404, f"no v1 route {method} {path}")

    def _submit(self, pipeline: str, body: Any) -> Any:
        if pipeline not in self.pipelines:
            raise Rejected(404, f"pipeline {pipeline!r} was not found")
        for key, value in body.items():
            if key not in _V1_KEYS or not isinstance(value, _V1_KEYS[key]):
                raise Rejected(400, f"PipelineSubmissionInfo has no {key!r} of type {type(value).__name__}")
        texts = [*body.get("ParameterAssignments", {}).values(), *body.get("tags", {}).values()]
        if not all(isinstance(text, str) for text in texts):
            raise Rejected(400, "ParameterAssignments and tags are maps of strings")
        for each in body.get("DataPathAssignments", {}).values():
            if set(each) != {"DataStoreName", "RelativePath"}:
                raise Rejected(400, "DataPathAssignments need DataStoreName and RelativePath")
        if body.get("RunType", "HTTP") not in ("HTTP", "SDK", "Schedule", "Portal"):
            raise Rejected(400, "RunType")
        run = {
            "Id": f"run-{len(self.runs) + 1}",
            "Status": {"StatusCode": "NotStarted", "CreationTime": self.clock().isoformat()},
            "PipelineId": pipeline,
            "RunHistoryExperimentName": body.get("ExperimentName"),
            "tags": {} if self.drop_tags else body.get("tags", {}),
            "CreatedDate": self.clock().isoformat(),
        }
        self.runs[run["Id"]] = run
        return run


@contextmanager
def serve(service: Service) -> Iterator[Service]:
    """The service on a free loopback port; `service.base` is its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            extra: dict[str, str] = {}
            fault = next((f for f in service.faults if f.headers and f.method == self.command), None)
            if fault:
                extra = fault.headers
            content_type = "application/json"
            try:
                status = 200
                is_json = "json" in headers.get("content-type", "")
                body = json.loads(raw) if raw and is_json else raw or None
                answer = service.handle(self.command, self.path, headers, body)
            except Page as page:
                status, answer, content_type = page.status, page.body, page.content_type
            except Rejected as error:
                status, answer = error.status, {"error": {"code": str(error.status), "message": str(error)}}
            except Drop:
                self.close_connection = True
                self.connection.close()
                return
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            for name, value in extra.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        service.base = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
