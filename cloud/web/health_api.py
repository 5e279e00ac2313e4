"""The deep health over HTTP. It answers whatever else cannot be imported: to say what that is is what it is for."""

from __future__ import annotations

from http import HTTPStatus

import azure.functions as func

from cloud.health import report
from cloud.web.operations import Call, NoQuery, operation
from cloud.web.router import json_answer
from cloud.web.status_answers import HealthDoc


@operation("GET", "v1/health", {200: HealthDoc, 503: HealthDoc})
def read_health(_: Call[NoQuery]) -> func.HttpResponse:
    """The deep health: imports every body once, and says what is there and what is wrong."""
    document = report()
    return json_answer(document, HTTPStatus.OK if document["status"] == "ok" else HTTPStatus.SERVICE_UNAVAILABLE)


OPERATIONS = (read_health,)
