"""Parameters of the query that no function knows: one sentence with the nearest name, never the plain answer."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import azure.functions as func
import pytest

import function_app
from cloud.web import parameters, router
from cloud.web.router import json_answer


def ask(query: str, method: str = "GET") -> func.HttpRequest:
    """As the host gives it: what has no value is left out, what is given twice is joined."""
    params = {name: ",".join(values) for name, values in parse_qs(query).items()}
    return func.HttpRequest(method, f"http://x/api/f?{query}", params=params, route_params={}, body=b"")


@pytest.mark.parametrize(
    ("function", "query", "words"),
    [
        ("analyze", "rout=street", "unknown parameter 'rout'; did you mean 'route'? (known: name, route)"),
        ("analyze", "Route=street", "unknown parameter 'Route'; did you mean 'route'? (known: name, route)"),
        ("analyze", "rout=", "unknown parameter 'rout'; did you mean 'route'? (known: name, route)"),
        ("analyze", "confidence=0.9&code=k", "unknown parameter 'confidence'; known: name, route"),
        ("analyze", "route=a&route=b", "parameter 'route' is given 2 times; give it once"),
        ("results", "version=2", "unknown parameter 'version'; none are known here"),
        ("jobs", "nme=a.mp4", "unknown parameter 'nme'; did you mean 'name'? (known: name)"),
        ("health_deep", "deap=1", "unknown parameter 'deap'; none are known here"),
        ("health", "deap=1", "unknown parameter 'deap'; did you mean 'deep'? (known: deep)"),
        ("health", "Deep=1", "unknown parameter 'Deep'; did you mean 'deep'? (known: deep)"),
        ("health", "deep=2", "deep is '2', expected 1 for the deep answer, or 0"),
        ("health", "deep", "deep is '', expected 1 for the deep answer, or 0"),
        ("health", "deep=0&deep=1", "parameter 'deep' is given 2 times; give it once"),
    ],
)
def test_what_is_not_known_is_answered_in_one_sentence(function: str, query: str, words: str) -> None:
    answer = getattr(function_app, function)(ask(query))
    error = json.loads(answer.get_body())["error"]
    assert (answer.status_code, error["class"], error["message"]) == (422, "BadRequest", words)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        *((f"deep={word}", 307) for word in ("1", "true", "True", "yes", "on")),
        *((f"deep={word}", 200) for word in ("0", "false", "no", "off")),
        ("", 200),
        ("code=k", 200),
        ("de%65p=1&code=k&clientId=default", 307),
    ],
)
def test_health_is_deep_where_it_is_asked_so(query: str, status: int) -> None:
    assert function_app.health(ask(query)).status_code == status


@pytest.mark.parametrize(
    ("function", "query"),
    [
        ("analyze", "route=street&name=a.jpg&code=k&clientId=default"),
        ("analyze", "route=&name="),
        ("results", "code=k"),
        ("results", "Code=k&clientid=default&subscription-key=k"),
        ("jobs", "name=a%26b.mp4"),
        ("model_registered", "anything=1&api-version=2"),
    ],
)
def test_what_is_known_goes_on(function: str, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(router.BODIES, function, ("cloud.web.router", "fine"))
    monkeypatch.setattr(router, "fine", lambda request: json_answer({}), raising=False)
    assert getattr(function_app, function)(ask(query, "POST")).status_code == 200


def test_every_function_says_what_it_knows() -> None:
    assert {*parameters.KNOWN} == {*router.BODIES} - {"model_registered"}
