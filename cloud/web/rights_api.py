"""What the key at hand opens: an operation for each right, which does nothing else."""

from __future__ import annotations

import azure.functions as func

from cloud.web.operations import Call, NoQuery, operation
from cloud.web.router import json_answer
from cloud.web.status_answers import RightDoc


@operation("GET", "v1/rights", {200: RightDoc})
def may_read(_: Call[NoQuery]) -> func.HttpResponse:
    """Whether the key at hand may read."""
    return _right({"right": "read"})


@operation("POST", "v1/rights", {200: RightDoc}, stores_nothing=True)
def may_contribute(_: Call[NoQuery]) -> func.HttpResponse:
    """Whether the key at hand may contribute."""
    return _right({"right": "contribute"})


@operation("DELETE", "v1/rights", {200: RightDoc}, stores_nothing=True)
def may_operate(_: Call[NoQuery]) -> func.HttpResponse:
    """Whether the key at hand may operate."""
    return _right({"right": "operate"})


@operation("POST", "operate/rights", {200: RightDoc}, stores_nothing=True)
def may_act(_: Call[NoQuery]) -> func.HttpResponse:
    """Whether the key at hand may start replays and pipelines."""
    return _right({"right": "operate_actions"})


def _right(document: RightDoc) -> func.HttpResponse:
    return json_answer(document)


OPERATIONS = (may_read, may_contribute, may_operate, may_act)
