"""Binding expressions and blob path patterns."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from localhost.errors import ExpressionError
from localhost.expressions import BlobPattern, Template, format_datetime, resolve_settings

MOMENT = datetime(2026, 3, 7, 14, 5, 9, 123456, tzinfo=UTC)


def test_settings_are_replaced() -> None:
    settings = {"A": "x", "B": "y/z"}
    assert resolve_settings("%A%-{name}/%B%", settings.get) == "x-{name}/y/z"
    with pytest.raises(ExpressionError, match="^'%C%' does not resolve to a value.$"):
        resolve_settings("%A%/%C%", settings.get)
    with pytest.raises(ExpressionError, match="does not have a closing '%'"):
        resolve_settings("50%", settings.get)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{name}.{EXT}", "pic.png"),  # names are compared case-insensitively
        ("{a.b.c}", "deep"),
        ("{body.inner}", "from JSON text"),
        ("{{{name}}}", "{pic}"),
        ("{number}/{yes}/{none}.", "7/True/."),
        ("{sys.methodname}", "on_it"),
        ("{datetime}", "the user's own"),
    ],
)
def test_values(text: str, expected: str) -> None:
    data = {
        "name": "pic", "ext": "png", "a": {"B": {"c": "deep"}}, "body": '{"inner": "from JSON text"}',
        "number": 7, "yes": True, "none": None, "DateTime": "the user's own",
    }  # fmt: skip
    assert Template(text).bind(data, "on_it") == expected


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("{rand-guid}", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("{rand-guid:N}", r"[0-9a-f]{32}"),
        ("{rand-guid:B}", r"\{[0-9a-f-]{36}\}"),
        ("{sys.randguid}", r"[0-9a-f-]{36}"),
        ("{DateTime}", r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"),
        ("{DateTime:yyyy-MM}", r"\d{4}-\d\d"),
        ("{sys.utcnow}", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z"),
    ],
)
def test_system_values(text: str, pattern: str) -> None:
    assert re.fullmatch(pattern, Template(text).bind({}))


@pytest.mark.parametrize("text", ["{absent}", "{a.absent}", "{rand-guid:Q}"])
def test_no_value(text: str) -> None:
    with pytest.raises(ExpressionError, match=f"^No value for named parameter '{text[1:-1]}'.$"):
        Template(text).bind({"a": {}})


@pytest.mark.parametrize("text", ["{open", "close}", "{}", "{a{b}}"])
def test_malformed(text: str) -> None:
    with pytest.raises(ExpressionError):
        Template(text)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("yyyy/MM/dd HH:mm:ss", "2026/03/07 14:05:09"),
        ("yy-M-d h:m:s tt", "26-3-7 2:5:9 PM"),
        ("ddd dddd MMM MMMM", "Sat Saturday Mar March"),
        ("ss.fff fffffff K zzz", "09.123 1234560 Z +00:00"),
        ("'year' yyyy \\y \"d\"", "year 2026 y d"),
    ],
)
def test_dotnet_dates(pattern: str, expected: str) -> None:
    assert format_datetime(MOMENT, pattern) == expected


@pytest.mark.parametrize(
    ("path", "blob", "expected"),
    [
        ("uploads/{name}", "a/b.png", {"name": "a/b.png"}),
        ("uploads/{name}", "", {"name": ""}),
        ("uploads/{folder}/{name}.{ext}", "a/b/c.tar.gz", {"folder": "a/b", "name": "c.tar", "ext": "gz"}),
        ("uploads/{folder}/{name}.{ext}", "top.png", None),
        ("uploads", "anything/at all", {}),
        ("UPLOADS/x.png", "x.png", {}),
        ("uploads/x.png", "xzpng", None),
        ("uploads/{{{name}}}", "{a}", {"name": "a"}),
        ("uploads/{name}", "line\nbreak", {"name": "line\nbreak"}),
    ],
)
def test_blob_patterns(path: str, blob: str, expected: dict[str, str] | None) -> None:
    assert BlobPattern(path).match("uploads", blob) == expected
    assert BlobPattern(path).match("other", blob) is None


@pytest.mark.parametrize("path", ["{container}/{name}", "", "uploads/{a}/{a}"])
def test_bad_blob_patterns(path: str) -> None:
    with pytest.raises(ExpressionError):
        BlobPattern(path)
