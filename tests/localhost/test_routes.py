"""HTTP route templates, what overlaps, and patterns of blob paths."""

from __future__ import annotations

import pytest

from localhost.blob_trigger import BlobPattern
from localhost.errors import BindingError
from localhost.http_routes import RouteTemplate, path_segments

pytestmark = pytest.mark.slow
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
        ("items/{id?}", "items/x", {"id": "x"}),
        ("items/{id?}", "items/x/y", None),
        ("items/{id:int?}", "items/12", {"id": "12"}),
        ("items/{id:int?}", "items/x", None),
        ("files/{*path}", "files", {"path": ""}),
        ("files/{*path}", "files/a/b", {"path": "a/b"}),
        ("files/{**path}", "files/a/b", {"path": "a/b"}),
        ("{x:guid}", GUID, {"x": GUID}),
        ("{x:guid}", "0f8fad5b", None),
        ("{x:bool}", "TRUE", {"x": "TRUE"}),
        ("{x:alpha}", "ab1", None),
        ("{x:long}", "-5", {"x": "-5"}),
    ],
)
def test_match(template: str, path: str, expected: dict[str, str] | None) -> None:
    assert RouteTemplate(template).match(path_segments(path)) == expected


@pytest.mark.parametrize(
    "template", ["{x:nosuch}", "{x:min(5)}", "a/{x", "a/x}", "{*all}/more", "{x?}/more", "{name}.{ext}", "{x=5}"]
)
def test_refused(template: str) -> None:
    with pytest.raises(BindingError, match="route"):
        RouteTemplate(template)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("health", "health/deep", False),
        ("health/{x?}", "health/deep", True),
        ("health/{x}", "health", False),
        ("health/{x?}", "HEALTH", True),
        ("a/{x}", "a/{y}", True),
        ("a/{x:int}", "a/b", False),
        ("a/{x:int}", "a/12", True),
        ("a/{*x}", "a", True),
        ("a/{*x}", "a/b/c", True),
        ("a/{*x}", "b/{*x}", False),
        ("{*x}", "a/b/{c}", True),
        ("a/{x?}", "a/{y?}", True),
        ("a/{x}/c", "a/b/d", False),
    ],
)
def test_overlaps(one: str, other: str, expected: bool) -> None:
    assert (
        RouteTemplate(one).overlaps(RouteTemplate(other))
        is RouteTemplate(other).overlaps(RouteTemplate(one))
        is expected
    )


def test_segments() -> None:
    assert path_segments("/a%20b/%C3%A4/c%2Fd") == ["a b", "ä", "c%2Fd"]
    assert path_segments("/a/./b/../../c/%2e%2e/d") == ["d"]
    assert path_segments("/") == []


@pytest.mark.parametrize(
    ("path", "blob", "expected"),
    [
        ("uploads/{name}", "a/b.png", True),
        ("uploads/{name}", "", True),
        ("uploads/{folder}/{name}.{ext}", "a/b/c.tar.gz", True),
        ("uploads/{folder}/{name}.{ext}", "top.png", False),
        ("uploads", "anything/at all", True),
        ("uploads/x.png", "xzpng", False),
        ("uploads/{{{name}}}", "{a}", True),
        ("uploads/{{{name}}}", "a", False),
        ("uploads/{name}", "line\nbreak", True),
    ],
)
def test_blob_patterns(path: str, blob: str, expected: bool) -> None:
    assert BlobPattern(path).matches(blob) is expected


@pytest.mark.parametrize(
    "path", ["{container}/{name}", "", "UPLOADS/x", "uploads/{a}/{a}", "uploads/{a", "uploads/a}", "uploads/{}"]
)
def test_bad_blob_patterns(path: str) -> None:
    with pytest.raises(BindingError):
        BlobPattern(path)
