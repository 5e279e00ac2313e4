"""The v2 side of the local workspace: ARM routes and bodies against the published ones, batch invocation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema

WORKSPACE = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws"
# Not in the stable route list; the SDK uses the preview version.
_PREVIEW = [("POST", "/schedules/{name}/trigger")]
_BATCH_KEYS = ("name", "inputData", "outputData", "tags", "properties")


class Rejected(Exception):
    """The request breaks the contract."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Arm:
    """The workspace's v2 state. `clock` dates what is made."""

    specs: Path
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)  # by name
    models: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    components: dict[str, Any] = field(default_factory=dict)  # those that were put, by name and version
    codes: dict[str, Any] = field(default_factory=dict)
    keep_names: bool = True
    repeats: int = 200  # how a job is answered whose name exists: with that job, or refused with 409 or 400
    base: str = ""

    def __post_init__(self) -> None:
        routes = json.loads((self.specs / "azureml_arm_routes_2025-12-01.json").read_text())["routes"]
        prefix = re.compile(r".*/workspaces/\{workspaceName\}")
        known = [(r["method"], prefix.sub("", r["path"])) for r in routes if "/workspaces/{" in r["path"]]
        self._routes = [
            (method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$")) for method, path in known + _PREVIEW
        ]
        self._schema = json.loads((self.specs / "azureml_bodies_2025-12-01.schema.json").read_text())

    def _arm(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: Any) -> Any:
        if not any(method == verb and pattern.match(path) for verb, pattern in self._routes):
            raise Rejected(404, f"no ARM route {method} {path}")
        if "api-version" not in query:
            raise Rejected(400, "api-version is missing")
        if method == "PUT":
            self._validate(path, body)
        _, area, *rest = path.split("/") if path else ("", "")
        answer = getattr(self, f"_{area or 'workspace'}".lower())(method, rest, headers, body)
        if answer is None:
            raise Rejected(404, f"{path} was not found")
        return answer

    def _validate(self, path: str, body: Any) -> None:
        kind = ".".join(path.strip("/").split("/")[::2])
        definition = f"resource.workspaces.{kind}"
        if definition not in self._schema["$defs"]:
            raise Rejected(400, f"no schema for {definition}")
        if kind == "codes.versions" and isinstance(body["properties"].get("properties", {}).get("hash_version"), int):
            # The SDK sends a number where the schema has a text; the service takes both.
            body["properties"]["properties"]["hash_version"] = "number"
        schema = {"$ref": f"#/$defs/{definition}", "$defs": self._schema["$defs"]}
        try:
            jsonschema.Draft202012Validator(schema).validate(body)
        except jsonschema.ValidationError as error:
            raise Rejected(400, f"{definition}: {error.json_path}: {error.message[:300]}") from error

    def _workspace(self, method: str, rest: list[str], headers: dict[str, str], body: Any) -> Any:
        return {"id": WORKSPACE, "name": "ws", "location": "westeurope", "properties": {}}

    def _jobs(self, method: str, rest: list[str], headers: dict[str, str], body: Any) -> Any:
        if not rest:
            return {"value": list(self.jobs.values())}
        if method == "GET":
            return self.jobs.get(rest[0])
        if body["properties"]["jobType"] == "Pipeline" and "x-azureml-token" not in headers:
            raise Rejected(401, "x-azureml-token is missing")
        if rest[0] in self.jobs:
            self._refuse_a_repeat()
            return self.jobs[rest[0]]
        return self.add_job(rest[0], body["properties"])

    def _refuse_a_repeat(self) -> None:
        if self.repeats != 200:
            raise Rejected(self.repeats, "A job with this name already exists.")

    def add_job(self, name: str, properties: dict[str, Any]) -> dict[str, Any]:
        """A job that exists from now on."""
        created = {"createdAt": self.clock().isoformat()}
        kept = {"jobType": "Pipeline", "experimentName": "e", **properties, "status": "NotStarted"}
        self.jobs[name] = {
            "id": f"{WORKSPACE}/jobs/{name}", "name": name, "properties": kept, "systemData": created
        }  # fmt: skip
        return self.jobs[name]

    def _schedules(self, method: str, rest: list[str], headers: dict[str, str], body: Any) -> Any:
        if not rest:
            return {"value": [{"id": f"{WORKSPACE}/schedules/weekly", "name": "weekly"}]}
        if rest == ["weekly", "trigger"]:
            if set(body) != {"scheduleTime"}:
                raise Rejected(400, "the body is {scheduleTime}")
            job = self.add_job(f"weekly-{len(self.jobs) + 1}", {})
            return {"scheduleActionType": "CreateJob", "submissionId": job["name"]}
        return None

    def _codes(self, method: str, rest: list[str], headers: dict[str, str], body: Any) -> Any:
        if rest[-1] == "versions":
            return {"value": [self.codes[rest[0]]] if rest[0] in self.codes else []}
        uri = f"{self.base}/blob/c/{rest[0]}"
        if rest[-1] == "startPendingUpload":
            credential = {"credentialType": "SAS", "sasUri": f"{uri}?sig=1"}
            reference = {"blobUri": uri, "storageAccountArmId": "a", "credential": credential}
            return {"pendingUploadId": "u", "pendingUploadType": "TemporaryBlobReference",
                    "blobReferenceForConsumption": reference}  # fmt: skip
        if method == "PUT":
            self.codes[rest[0]] = self._asset("codes", rest, body)
        return self.codes.get(rest[0])

    def _environments(self, method: str, rest: list[str], headers: dict[str, str], body: Any) -> Any:
        return self._asset("environments", rest, body) if method == "PUT" else None

    def _asset(self, area: str, rest: list[str], body: Any) -> dict[str, Any]:
        return {"id": f"{WORKSPACE}/{area}/{rest[0]}/versions/{rest[2]}", "name": rest[2], **body}

    def _components(self, method: str, rest: list[str], headers: dict[str, str], body: Any) -> Any:
        if method == "PUT":
            self.components[f"{rest[0]}:{rest[2]}"] = body["properties"]["componentSpec"]
            return self._asset("components", rest, body)
        if not rest:
            return {"value": [{"id": f"{WORKSPACE}/components/score_pipe", "name": "score_pipe"}]}
        spec = {"name": "score_pipe", "version": "3", "type": "pipeline", "inputs": {}, "outputs": {}, "jobs": {}}
        version = {
            "id": f"{WORKSPACE}/components/score_pipe/versions/3", "name": "3",
            "properties": {"componentSpec": spec, "isAnonymous": False, "isArchived": False},
        }  # fmt: skip
        if rest == ["score_pipe", "versions"]:
            return {"value": [version]}
        return version if rest == ["score_pipe", "versions", "3"] else None

    def _batchendpoints(self, method: str, rest: list[str], headers: dict[str, str], body: Any) -> Any:
        endpoint = {
            "id": f"{WORKSPACE}/batchEndpoints/vision-batch", "name": "vision-batch", "location": "westeurope",
            "properties": {"authMode": "AADToken", "scoringUri": f"{self.base}/batch/vision-batch/jobs"},
        }  # fmt: skip
        if not rest:
            return {"value": [endpoint]}
        return endpoint if rest == ["vision-batch"] else None

    def _invoke(self, headers: dict[str, str], body: Any) -> Any:
        if set(body) != {"properties"}:
            raise Rejected(400, "the body has one key, properties")
        if "repeatability_request-id" not in headers:
            raise Rejected(400, "repeatability_request-id is missing")
        properties = body["properties"]
        for key in properties:
            if key not in _BATCH_KEYS:
                raise Rejected(400, f"a batch job has no {key!r}")
        for each in properties.get("inputData", {}).values():
            literal = each.get("jobInputType") == "Literal"
            if set(each) != {"jobInputType", "value" if literal else "uri"}:
                raise Rejected(400, f"input {each}")
            if not literal and each["jobInputType"] not in ("UriFolder", "UriFile"):
                raise Rejected(400, f"jobInputType {each['jobInputType']}")
        for each in properties.get("outputData", {}).values():
            if set(each) != {"jobOutputType", "uri"}:
                raise Rejected(400, f"output {each}")
        chosen = properties.get("name") if self.keep_names else None
        if chosen in self.jobs:
            self._refuse_a_repeat()
        return self.add_job(chosen or f"batch-{len(self.jobs) + 1}", {"tags": properties.get("tags", {})})

    def _models(self, method: str, rest: list[str], headers: dict[str, str], body: Any) -> Any:
        if len(rest) == 3 and method == "PUT":
            self.models[rest[0], rest[2]] = self._model(rest[0], rest[2], body["properties"])
        mine = [model for (name, _), model in self.models.items() if not rest or name == rest[0]]
        if not rest:
            return {"value": [self._container(name) for name in dict.fromkeys(n for n, _ in self.models)]}
        if len(rest) == 1:
            return self._container(rest[0]) if mine else None
        if len(rest) == 2:
            return {"value": mine[::-1]}
        return self.models.get((rest[0], rest[2]))

    def _datastores(self, method: str, rest: list[str], headers: dict[str, str], body: Any) -> Any:
        if rest != ["workspaceblobstore"]:
            return None
        kept = {"datastoreType": "AzureBlob", "accountName": "a", "containerName": "azureml", "protocol": "https"}
        return {"name": rest[0], "properties": {**kept, "endpoint": "core.windows.net", "credentials": {}}}

    def _container(self, name: str) -> dict[str, Any]:
        latest = [version for each, version in self.models if each == name][-1]
        return {
            "id": f"{WORKSPACE}/models/{name}", "name": name,
            "properties": {"latestVersion": latest, "nextVersion": str(int(latest) + 1), "isArchived": False},
        }  # fmt: skip

    def _model(self, name: str, version: str, properties: dict[str, Any]) -> dict[str, Any]:
        kept = {"flavors": {}, "isArchived": False, "tags": {}, "properties": {}, **properties}
        created = {"createdAt": self.clock().isoformat()}
        return {
            "id": f"{WORKSPACE}/models/{name}/versions/{version}", "name": version, "properties": kept,
            "systemData": created,
        }  # fmt: skip
