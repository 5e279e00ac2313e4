"""HTTP route templates: constraints, defaults, optional and catch-all parameters, and which route is tried first."""

from __future__ import annotations

import pytest

from localhost.errors import BindingError
from localhost.routes import Route, path_segments

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("a/b", "A/b", {}),
        ("a/b", "a", None),
        ("a/b", "a/b/c", None),
        ("", "", {}),
        ("items/{id}", "items/x", {"id": "x"}),
        ("items/{id}", "items", None),
        ("items/{id?}", "items", {}),
        ("items/{id=5}", "items", {"id": "5"}),
        ("items/{id:int?}", "items/12", {"id": "12"}),
        ("items/{id:int?}", "items/x", None),
        ("files/{*path}", "files", {"path": ""}),
        ("files/{*path}", "files/a/b", {"path": "a/b"}),
        ("files/{**path}", "files/a/b", {"path": "a/b"}),
        ("{name}.{ext}", "a.tar.gz", {"name": "a", "ext": "tar.gz"}),
        ("v{version:int}/x", "v2/x", {"version": "2"}),
        ("{a}-{b}", "x-y", {"a": "x", "b": "y"}),
        ("{x:regex(^\\d{{3}}$)}", "123", {"x": "123"}),
        ("{x:regex(^\\d{{3}}$)}", "12", None),
        ("{x:regex(^\\d+$)}", "123", {"x": "123"}),
        ("{x:regex(^\\d+$)}", "12a", None),
    ],
)
def test_match(template: str, path: str, expected: dict[str, str] | None) -> None:
    assert Route(template).match(path_segments(path)) == expected


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        ("int", ["0", "-5", "2147483647"], ["x", "2147483648", "1.5"]),
        ("long", ["9223372036854775807"], ["9223372036854775808"]),
        ("bool", ["true", "FALSE"], ["1", "yes"]),
        ("guid", [GUID], ["0f8fad5b"]),
        ("alpha", ["abcZ"], ["ab1"]),
        ("decimal", ["1.5", "-2"], ["x"]),
        ("double", ["1e5"], ["one"]),
        ("float", [".5"], ["-"]),
        ("datetime", ["2026-12-31", "2026-12-31T10:00:00"], ["2026-13-31", "x"]),
        ("length(3)", ["abc"], ["ab", "abcd"]),
        ("length(2,3)", ["ab", "abc"], ["a", "abcd"]),
        ("minlength(2)", ["ab"], ["a"]),
        ("maxlength(2)", ["ab"], ["abc"]),
        ("min(18)", ["18", "99"], ["17", "x"]),
        ("max(120)", ["120"], ["121"]),
        ("range(1,5)", ["1", "5"], ["0", "6"]),
        ("int:min(5)", ["5"], ["4", "x"]),
    ],
)
def test_constraints(constraint: str, good: list[str], bad: list[str]) -> None:
    route = Route(f"x/{{value:{constraint}}}")
    assert [route.match(["x", each]) for each in good] == [{"value": each} for each in good]
    assert [route.match(["x", each]) for each in bad] == [None for _ in bad]


@pytest.mark.parametrize("template", ["{x:nosuch}", "{x:min(a)}", "a/{x", "a/x}", "{*all}/more"])
def test_malformed(template: str) -> None:
    with pytest.raises(BindingError):
        Route(template)


def test_literals_come_before_parameters_before_catch_all() -> None:
    templates = ["{*all}", "items/{id}", "items/{id:int}", "items/special", "items"]
    ordered = sorted((Route(template) for template in templates), key=lambda route: route.order)
    paths = ["items/special", "items/12", "items/x", "items", "a/b"]
    first = [next(r.template for r in ordered if r.match(path.split("/")) is not None) for path in paths]
    assert first == ["items/special", "items/{id:int}", "items/{id}", "items", "{*all}"]


def test_segments() -> None:
    assert path_segments("/a%20b/%C3%A4/c%2Fd") == ["a b", "ä", "c%2Fd"]
    assert path_segments("/a/./b/../../c/%2e%2e/d") == ["d"]
    assert path_segments("/") == []
