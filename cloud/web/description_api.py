"""The description of the API over HTTP."""

from __future__ import annotations

from typing import Any

import azure.functions as func

from cloud.web.api_router import operations
from cloud.web.openapi import document
from cloud.web.operations import Call, NoQuery, operation
from cloud.web.router import json_answer


@operation("GET", "v1/openapi.json", {200: dict[str, Any]})
def read_openapi(call: Call[NoQuery]) -> func.HttpResponse:
    """The OpenAPI document of this API."""
    # As it is asked for, below whatever prefix.
    path = call.request.url.partition("?")[0].partition("://")[2].partition("/")[2]
    prefix = path.removesuffix("v1/openapi.json").strip("/")
    return json_answer(document(operations(), f"/{prefix}" if prefix else "/"))


OPERATIONS = (read_openapi,)
