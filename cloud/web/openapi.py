"""The OpenAPI 3.1 document of the API, made from the declarations of its operations and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from http import HTTPStatus
from typing import Any

from cloud.web.answers import ProblemDoc
from cloud.web.operations import File, Header, Operation, Takes
from cloud.web.parameters import kinds_of
from cloud.web.problems import MEDIA_TYPE
from inference.results.schema import schema_of
from inference.version import __version__

_PLACE = "#/components/schemas/"
_RIGHTS = {
    "read": "GET and HEAD below v1: the key of the function `read`",
    "contribute": "PUT and POST below v1: the key of the function `contribute`",
    "operate": "DELETE below v1: the key of the function `operate`",
    "operate_actions": "POST below operate: the key of the function `operate_actions`",
}
_NAME = "The last segment of the path, slashes included: `a/b.jpg` and `a%2Fb.jpg` are the same."
_OF_PROBLEMS = {
    "Retry-After": Header("After so many seconds asking again makes sense, where it does.", always=False),
    "Allow": Header("The methods that there are, with 405.", always=False),
    "Content-Range": Header("How many bytes there are (`bytes */1463`), with 416.", always=False),
}
_ABOUT = (
    "Pictures and videos in, what is in them out. A key is given in the header x-functions-key or as ?code=, and opens "
    "what its function does: " + "; ".join(_RIGHTS.values()) + ". A host key opens all. Errors are problem documents "
    "(RFC 9457)."
)


def document(operations: Iterable[Operation], server: str) -> dict[str, Any]:
    """The document of these operations. server: the path below which the API is, such as "/api"."""
    definitions: dict[str, Any] = {}
    problem = schema_of(ProblemDoc, definitions, _PLACE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = paths.setdefault(f"/{operation.template}", {})
        path[operation.method.lower()] = _operation(operation, definitions)
        if operation.also_head:
            path["head"] = _head(operation, definitions)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dropsight", "version": __version__, "description": _ABOUT},
        "servers": [{"url": server}],
        "security": [{"key": []}, {"code": []}, {}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(definitions.items())),
            "responses": {
                "problem": {
                    "description": "What is wrong.",
                    "headers": _headers(_OF_PROBLEMS),
                    "content": {MEDIA_TYPE: {"schema": problem}},
                }
            },
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "code": {"type": "apiKey", "in": "query", "name": "code"},
            },
        },
    }


def _operation(operation: Operation, definitions: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.template.split("/")[1].removesuffix(".json")],
        "summary": operation.says.partition(". ")[0].rstrip("."),
        "description": f"{operation.says} Needs the right `{operation.right}`.",
        "parameters": list(_parameters(operation, definitions)),
        "responses": _responses(operation, definitions),
    }
    if operation.takes:
        said["requestBody"] = _body(operation.takes, definitions)
    return said


def _head(operation: Operation, definitions: dict[str, Any]) -> dict[str, Any]:
    said = _operation(operation, definitions)
    answers = {status: {name: answer[name] for name in ("description", "headers") if name in answer}
               for status, answer in said["responses"].items() if status in ("200", "304", "401")}  # fmt: skip
    said["responses"] = answers | {"default": {"description": "What is wrong."}}
    said["parameters"] = [each for each in said["parameters"] if each["name"] not in ("Range", "If-Range")]
    return said | {"operationId": f"{operation.name}_head"}


def _parameters(operation: Operation, definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if operation.parameter:
        yield {
            "name": operation.parameter,
            "in": "path",
            "required": True,
            "description": _NAME if operation.parameter == "name" else "As the list has it.",
            "schema": {"type": "string", "minLength": 1},
        }
    kinds = kinds_of(operation.query)
    for item in fields(operation.query):
        schema = schema_of(kinds[item.name], definitions, _PLACE)
        if schema.get("type") == "boolean":
            schema["default"] = item.default
        bounds = {"minimum": item.metadata["low"], "maximum": item.metadata["high"]}
        schema |= {name: bound for name, bound in bounds.items() if bound is not None}
        if item.default not in (None, "", False):
            schema["default"] = item.default
        yield {"name": item.name, "in": "query", "description": item.metadata["says"], "schema": schema}
    for name, says in operation.headers.items():
        yield {"name": name, "in": "header", "description": says, "schema": {"type": "string"}}


def _responses(operation: Operation, definitions: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kinds in operation.answers.items():
        answer: dict[str, Any] = {"description": f"{HTTPStatus(status).phrase}."}
        content: dict[str, Any] = {}
        for kind in kinds if isinstance(kinds, tuple) else (kinds,):
            content |= _content(kind, definitions)
        if content:
            answer["content"] = content
        if gives := operation.gives.get(status):
            answer["headers"] = _headers(gives)
        responses[str(status)] = answer
    responses["401"] = {"description": "No key, or one that does not open this: the host's own answer, without a body."}
    responses["default"] = {"$ref": "#/components/responses/problem"}
    return responses


def _headers(gives: Mapping[str, Header]) -> dict[str, Any]:
    return {
        name: {"description": header.says, "schema": {"type": "string"}} | ({"required": True} if header.always else {})
        for name, header in gives.items()
    }


def _content(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind is None:
        return {}
    if isinstance(kind, File):
        return {media_type: {"schema": {}} for media_type in kind.media_types}
    return {"application/json": {"schema": schema_of(kind, definitions, _PLACE)}}


def _body(takes: Takes, definitions: dict[str, Any]) -> dict[str, Any]:
    content: Mapping[str, Any] = {
        media_type: {"schema": _bytes(media_type) if kind is None else schema_of(kind, definitions, _PLACE)}
        for media_type, kind in takes.kinds.items()
    }
    return {"required": not takes.optional, "content": content}


def _bytes(media_type: str) -> dict[str, Any]:
    # As OpenAPI 3.0 has it, which 3.1 leaves open, and by which generators know a file.
    file = {"type": "string", "format": "binary"}
    if media_type != "multipart/form-data":
        return file
    return {"type": "object", "properties": {"file": file}, "required": ["file"]}
