"""Parameters of the query that no function knows: one sentence with the nearest name, never the plain answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs

import azure.functions as func
import pytest

import function_app
from cloud.web import router
from cloud.web.parameters import parameter, read_parameters
from cloud.web.router import json_answer
from inference.errors import BadRequest

# Of each right a path, and the method by which it is asked for.
PATHS = {"analyze": ("contribute", "POST"), "results/a": ("read", "GET"), "jobs": ("read", "GET"),
         "uploads": ("read", "GET"), "uploads/a": ("operate", "DELETE"), "health": ("read", "GET")}  # fmt: skip


def ask(query: str, method: str = "GET", path: str = "") -> func.HttpRequest:
    """As the host gives it: what has no value is left out, what is given twice is joined."""
    params = {name: ",".join(values) for name, values in parse_qs(query).items()}
    return func.HttpRequest(method, f"http://x/api/f?{query}", params=params, route_params={"path": path}, body=b"")


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("analyze", "rout=street", "unknown parameter 'rout'; did you mean 'route'? (known: name, route, artifacts)"),
        ("analyze", "Route=street", "unknown parameter 'Route'; did you mean 'route'? (known: name, route, artifacts)"),
        ("analyze", "rout=", "unknown parameter 'rout'; did you mean 'route'? (known: name, route, artifacts)"),
        ("analyze", "confidence=0.9&code=k", "unknown parameter 'confidence'; known: name, route, artifacts"),
        ("analyze", "route=a&route=b", "parameter 'route' is given 2 times; give it once"),
        (
            "analyze",
            "artifacts=anotated",
            "artifacts is 'anotated'; did you mean 'annotated'? (known: none, annotated)",
        ),
        ("results/a", "version=2", "unknown parameter 'version'; none are known here"),
        ("jobs", "name=a.mp4", "unknown parameter 'name'; none are known here"),
        ("health", "deap=1", "unknown parameter 'deap'; none are known here"),
        ("uploads", "limit=many", "limit is 'many', expected a whole number from 1 to 200"),
        ("uploads", "limit=1_0", "limit is '1_0', expected a whole number from 1 to 200"),
        ("uploads", "limit=%D9%A1", "limit is '\u0661', expected a whole number from 1 to 200"),
        ("uploads", "limit=201", "limit is 201, expected a whole number from 1 to 200"),
        ("uploads", "min_score=nan", "min_score is nan, expected a number from 0 to 1"),
        (
            "uploads",
            "state=don",
            "state is 'don'; did you mean 'done'? (known: waiting, working, done, partial, failed, cancelled)",
        ),
        (
            "uploads",
            "since=yesterday",
            "since is 'yesterday', expected a date or a time such as 2026-05-31 or 2026-05-31T18:00 (UTC)",
        ),
        ("uploads/a", "dry_run=perhaps", "dry_run is 'perhaps', expected true or false"),
    ],
)
def test_what_is_not_known_is_answered_in_one_sentence(path: str, query: str, words: str) -> None:
    function, method = PATHS[path]
    answer = getattr(function_app, function)(ask(query, method, path))
    error = json.loads(answer.get_body())["error"]
    assert (answer.status_code, error["class"], error["message"]) == (400, "BadRequest", words)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("deap=1", "unknown parameter 'deap'; did you mean 'deep'? (known: deep)"),
        ("Deep=1", "unknown parameter 'Deep'; did you mean 'deep'? (known: deep)"),
        ("deep=2", "deep is '2', expected 1 for the deep answer, or 0"),
        ("deep", "deep is '', expected 1 for the deep answer, or 0"),
        ("deep=0&deep=1", "parameter 'deep' is given 2 times; give it once"),
    ],
)
def test_health_refuses_what_it_is_not_asked(query: str, words: str) -> None:
    answer = function_app.health(ask(query))
    error = json.loads(answer.get_body())["error"]
    assert (answer.status_code, error["class"], error["message"]) == (400, "BadRequest", words)


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


@dataclass(frozen=True)
class Query:
    name: str = parameter("", "A name.")
    since: datetime | None = parameter(None, "A moment.")
    share: float | None = parameter(None, "A share.", low=0, high=1)
    sure: bool = parameter(False, "Whether.")


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("name=a%26b.mp4&code=k&clientId=default", Query("a&b.mp4")),
        ("name=&share=", Query()),
        ("Code=k&clientid=default&subscription-key=k", Query()),
        ("share=0.5&sure=Yes", Query(share=0.5, sure=True)),
        ("since=2026-05-31", Query(since=datetime(2026, 5, 31, tzinfo=UTC))),
        ("since=2026-05-31T18:00:00%2B02:00", Query(since=datetime(2026, 5, 31, 16, tzinfo=UTC))),
        ("since=2026-05-31T18:00:00+02:00", Query(since=datetime(2026, 5, 31, 16, tzinfo=UTC))),
    ],
)
def test_what_is_known_is_read_by_its_type(query: str, read: Query) -> None:
    assert read_parameters(ask(query), Query) == read


@pytest.mark.parametrize("query", ["since=0001-01-01T00:00:00%2B14:00", "name=%ED%A0%80&name=", "share=1e999"])
def test_what_has_no_place_in_its_type_is_refused(query: str) -> None:
    request = ask(query)
    if "name" in query:
        request = func.HttpRequest("GET", "http://x/", params={"name": "\ud800"}, body=b"")
    with pytest.raises(BadRequest):
        read_parameters(request, Query)


def test_the_webhook_takes_any_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(router.BODIES, "model_registered", ("cloud.web.router", "fine"))
    monkeypatch.setattr(router, "fine", lambda request: json_answer({}), raising=False)
    assert function_app.model_registered(ask("anything=1&api-version=2", "POST")).status_code == 200
