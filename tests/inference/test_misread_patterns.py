"""Patterns that other tools read otherwise: refused with what is meant, and what is meant waits."""

from __future__ import annotations

import time

import pytest

from inference.errors import RouteUnavailable
from inference.misread_patterns import meanings, misread
from inference.route_patterns import fits
from inference.routes_file import Routes, read_routes

JPG = ("jpg", "jpG", "jPg", "jPG", "Jpg", "JpG", "JPg", "JPG")


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("people/", ["people/**"]),
        ("people", ["people/**"]),
        ("people/door 2", ["people/door 2/**"]),
        ("people/*/", ["people/*/**"]),
        ("people/**/", ["people/**"]),
        ("/people/**", ["people/**"]),
        ("./people/**", ["people/**"]),
        ("../people/**", ["people/**"]),
        ("uploads/people/**", ["people/**"]),
        ("/uploads/people", ["people/**"]),
        ("uploads", ["**"]),
        ("uploads/{name}", ["**"]),
        ("https://account.blob.core.windows.net/uploads/people/**", ["people/**"]),
        ("people\\**", ["people/**"]),
        ("C:\\people\\**\\*.jpg", ["people/**/*.jpg"]),
        (" people/**\n", ["people/**"]),
        ("people//x.jpg", ["people/x.jpg"]),
        ("people/./**", ["people/**"]),
        ("people/***", ["people/**"]),
        ("", ["**"]),
        (".jpg", ["**/*.jpg"]),
        ("people/.jpg", ["people/*.jpg"]),
        ("people/{name}", ["people/**"]),
        ("people/*.{jpg,png}", ["people/*.jpg", "people/*.png"]),
        ("{a,{b, c}}/**", ["a/**", "b/**", "c/**"]),
        ("cam{8..11}/**", ["cam8/**", "cam9/**", "cam10/**", "cam11/**"]),
        ("*.(jpg|png)", ["*.jpg", "*.png"]),
        ("people/**, cars/**", ["people/**", "cars/**"]),
        ("people/**|cars/**", ["people/**", "cars/**"]),
        ("people/*.[jJ][pP][gG]", [f"people/*.{end}" for end in JPG]),
        ("cam[1-3]/**", ["cam1/**", "cam2/**", "cam3/**"]),
        ("cam[!1]/**", ["cam?/**"]),
        ("^people/.*\\.jpg$", ["people/**.jpg"]),
        ("people/.*", ["people/**"]),
        ("people/.+", ["people/**"]),
        ("(?i)people/\\d+/.*\\.jpe?g", ["people/*/**.jpeg", "people/*/**.jpg"]),
        ("people/[0-9]+/.*", ["people/*/**"]),
        ("people, cars", ["people/**", "cars/**"]),
        ("people/**, cars/", ["people/**", "cars/**"]),
        ("people/**\ncars/*.jpg", ["people/**", "cars/*.jpg"]),
        ("a.jpg;b.jpg", ["a.jpg", "b.jpg"]),
        ("*.jpg people/*.png", ["*.jpg", "people/*.png"]),
        ("cam{08..10}/**", ["cam08/**", "cam09/**", "cam10/**"]),
        ("{c..a}/**", ["a/**", "b/**", "c/**"]),
        ("people/{*path}", ["people/**"]),
        ("people/{name}.{ext}", ["people/**"]),
        ("people/{name}.jpg", ["people/**/*.jpg"]),
        ("[[]raw[]]/**", ["?raw?/**"]),
        ("\\[raw\\]/**", ["?raw?/**"]),
        ("my\\ folder/**", ["my folder/**"]),
        ("[[:digit:]]/**", ["?/**"]),
        ("'people/**'", ["people/**"]),
        ("“people/**”", ["people/**"]),
        ("people/＊", ["people/*"]),
        ("\u202apeople/**", ["people/**"]),
        ("people\u200b/**", ["people/**"]),
        ("cars/../people/", ["people/**"]),
        (".", ["**"]),
        ("people/**/", ["people/**"]),
        ("/blobServices/default/containers/uploads/blobs/people/", ["people/**"]),
        ("https://a.blob.core.windows.net/uploads/my%20people/**?sv=2024", ["my people/**"]),
        ("!people/**", ["**"]),
        ("people/!(door)/**", ["people/*/**"]),
        ("x" * 1025, ["**"]),
    ],
)
def test_what_no_upload_can_fit_names_what_is_meant(pattern: str, meant: list[str]) -> None:
    words, found = misread(pattern)
    assert [*found] == meant
    assert repr(meant[0]) in words
    assert all(misread(each) == ("", (each,)) for each in meant)


@pytest.mark.parametrize(
    "pattern",
    [
        *("**", "*", "people/**", "*.JPG", "**/*.jpg", "people/a.mp4", "a.7z", "people/**.jpg", "photo.*", "door?/*"),
        *("**/uploads/people/**", "Uploads/**", "[2024]/**", "[final cut]/**", "photos (1)/**", "a,b/**"),
        *("Smith, John/**", "なに？/**", "* *.jpg", "photo (?).jpg", "*.*", "a?b.jpg", "people/.?*"),
        *("{3F2504E0-4F89-11D3-9A0C-0305E82C3301}/**", "a+b/**", "**/.hidden/*", "50%/**", "**/original"),
    ],
)  # fmt: skip
def test_names_with_odd_characters_are_no_mistakes(pattern: str) -> None:
    assert misread(pattern) == ("", (pattern,))


@pytest.mark.parametrize(
    ("pattern", "name", "right"),
    [
        ("[raw]/**", "[raw]/a.jpg", "?raw?/**"),
        ("[raw]", "[raw]/a.jpg", "?raw?/**"),
        ("{draft}/**", "{draft}/a.jpg", "?draft?/**"),
        ("!first/**", "!first/a.jpg", "?first/**"),
        ("uploads/", "uploads/a.jpg", "**/uploads/**"),
        ("people/README", "people/README", "**/people/README"),
        ("people/.*", "people/.a.jpg", "people/.?*"),
        ("people, cars", "people, cars/a.jpg", "people, cars/**"),
        ("**/Smith, John/**", "a/Smith, John/b.jpg", "**/Smith? John/**"),
    ],
)
def test_what_is_really_called_so_waits_and_has_a_spelling(pattern: str, name: str, right: str) -> None:
    words, _ = misread(pattern)
    assert f", or {right!r} for what is really called so" in words
    assert misread(right) == ("", (right,)) and fits(right, name)
    assert any(fits(each, name) for each in meanings(pattern))


def test_many_patterns_have_one_for_all_that_are_like_them() -> None:
    words, _ = misread("IMG_[0-9]*.jpg")
    assert "write 'IMG_0*.jpg', ..., 'IMG_9*.jpg', each in a route of its own, or 'IMG_?*.jpg' for all" in words


def test_a_pattern_of_very_many_alternatives_is_widened() -> None:
    start = time.monotonic()
    for pattern in (
        "{a,b,c,d}" * 200,
        "[a-z]" * 300,
        "{" * 5000,
        "(" * 5000 + "|",
        "cam{1..9999}/**",
        "{1..1}" * 170,
        "[!a]" * 250,
    ):
        words, meant = misread(pattern)
        assert len(meant) <= 64 and len(words) < 12_000
    assert time.monotonic() - start < 5


TEXT = """
[[route]]
name = "people"
match = '{}'
steps = [{{ model = "faces" }}]
[[route]]
name = "rest"
steps = [{{ model = "sketch" }}]
"""


@pytest.mark.parametrize(
    ("pattern", "waits", "goes"),
    [
        ("people/", "people/a/b.jpg", "cars/a.jpg"),
        ("uploads/people/**", "people/a.jpg", "cars/a.jpg"),
        ("uploads/people/**", "uploads/people/a.jpg", "uploads/cars/a.jpg"),
        ("people/*.{jpg,png}", "people/a.png", "people/a.gif"),
        ("people/*.[jJ][pP][gG]", "people/a.JPG", "people/a.png"),
        ("people/*.[jJ][pP][gG]", "people/a.jpg", "people/b/a.jpg"),
        ("people/**, cars/**", "cars/a.jpg", "dogs/a.jpg"),
        ("people\\**", "people/a.jpg", "cars/a.jpg"),
        ("people, cars", "cars/a.jpg", "dogs/a.jpg"),
        ("^people/.*\\.jpg$", "people/a/b.jpg", "people/a/b.png"),
        ("people/{name}.{ext}", "people/a/b.jpg", "cars/a.jpg"),
        ("cam{01..03}/**", "cam02/a.jpg", "cam2/a.jpg"),
    ],
)
def test_what_is_meant_waits_and_goes_by_no_other_route(pattern: str, waits: str, goes: str) -> None:
    routes = read_routes(TEXT.format(pattern), "r")
    assert _route(routes, goes) == "rest"
    with pytest.raises(RouteUnavailable, match="r: route 'people': match is "):
        routes.match(waits)


def test_a_route_that_leaves_something_out_holds_everything() -> None:
    routes = read_routes(TEXT.format("!cars/**"), "r")
    for name in ("people/a.jpg", "cars/a.jpg"):
        with pytest.raises(RouteUnavailable, match="give what it leaves out a route of its own before this one"):
            routes.match(name)


def test_an_entry_with_another_mistake_waits_for_what_its_pattern_means() -> None:
    for match in ("match = 'uploads/people'", "mach = ['people/', 'cars/**']"):
        text = TEXT.format("x/**").replace("match = 'x/**'", f"{match}\ndrow = 1")
        routes = read_routes(text, "r")
        assert _route(routes, "dogs/a.jpg") == "rest"
        with pytest.raises(RouteUnavailable, match="unknown key"):
            routes.match("people/a.jpg")


def _route(routes: Routes, name: str) -> str:
    route = routes.match(name)
    assert route
    return route.name


@pytest.mark.parametrize(
    ("first", "second", "reached"),
    [
        ("**", "people/**", False),
        ("**/*", "*", False),
        ("people/**", "people/**", False),
        ("people/**", "people/door/*.jpg", False),
        ("**/*.jpg", "people/**/*.jpg", False),
        ("people/**", "people?/**", True),
        ("people/*", "people/**", True),
        ("**/*.jpg", "people/*.JPG", True),
        ("*.jpg", "people/*.jpg", True),
        ("*", "people/**", True),
    ],
)
def test_a_route_behind_one_that_takes_all_of_its_names_is_said(first: str, second: str, reached: bool) -> None:
    text = TEXT.format(first) + f"match = '{second}'\n"
    said = read_routes(text, "r").unreachable()
    expected = f"route 'rest' is never reached by a name: 'people' before it takes all of '{second}'"
    assert said == ([] if reached else [expected])
