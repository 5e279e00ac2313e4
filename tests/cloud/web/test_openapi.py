"""The OpenAPI document says what the app serves, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import azure.functions as func
import jsonschema
import pytest

from cloud.web.api_router import answer_api, find, operations
from cloud.web.description_api import read_openapi
from cloud.web.openapi import document
from cloud.web.operations import Operation
from tests.cloud.web.asking import ask, said

OPERATIONS = operations()
DESCRIBED = document(OPERATIONS, "/api")
DOCS = Path(__file__).resolve().parents[3] / "docs" / "api.md"


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (part["$ref"] for _ in range(1) if "$ref" in part)
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_operation_is_found_by_its_own_path() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    for operation in OPERATIONS:
        path = re.sub(r"\{\w+\}", "a/b.jpg", operation.template)
        assert find(operation.method, path) == (operation, "a/b.jpg" if operation.parameter else "")


def test_the_document_has_every_operation_once_and_what_it_refers_to() -> None:
    found = {
        (method.upper(), path.removeprefix("/"))
        for path, methods in DESCRIBED["paths"].items()
        for method in methods
        if method != "head"
    }
    assert found == {(operation.method, operation.template) for operation in OPERATIONS}
    for reference in references(DESCRIBED):
        part: Any = DESCRIBED
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
        assert part
    for name, schema in DESCRIBED["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["description"], name


@pytest.mark.parametrize("prefix", ["/api", "/api/gallery", "/"])
def test_the_document_names_the_prefix_by_which_it_was_asked_for(prefix: str) -> None:
    request = func.HttpRequest("GET", f"http://app{prefix.rstrip('/')}/v1/openapi.json?code=k", body=b"")
    answer = answer_api(request, "GET", "v1/openapi.json", frozenset({"read"}))
    assert said(answer) == {**DESCRIBED, "servers": [{"url": prefix}]}


def test_a_problem_is_as_it_is_described() -> None:
    schema = {"$ref": "#/components/schemas/problem", "components": DESCRIBED["components"]}
    jsonschema.validate(said(ask("GET", "v1/nothing")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"status": "error"}, schema)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_in_the_docs_with_its_right(operation: Operation) -> None:
    if operation is read_openapi:  # told before the table
        return
    rows = [line.split("|") for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    [rights] = [row[2] for row in rows if f"{operation.template}`" in row[1] and operation.method in row[1]]
    assert f"`{operation.right}`" in rights or "each its own" in rights
