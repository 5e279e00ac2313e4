"""What a route's `match` says, beside a matcher that tries every possibility."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.route_patterns import covers, literal_beginning
from inference.routes import Route, Step
from inference.routes_file import Routes
from tests.inference.properties import examples

LETTERS = "ab/.\n[+"


def fits(pattern: str, name: str) -> bool:
    """`**` any depth (with a slash after it none, too), `*` within one folder, `?` a character, all else itself."""
    if not pattern:
        return not name
    if pattern.startswith("**/") and fits(pattern[3:], name):
        return True
    if pattern.startswith("**"):
        rest = pattern[2:]
        if rest.startswith("/"):  # the folders that it stands for end with a slash
            return any(name[k] == "/" and fits(rest[1:], name[k + 1 :]) for k in range(len(name)))
        return any(fits(rest, name[k:]) for k in range(len(name) + 1))
    if pattern.startswith("*"):
        longest = name.find("/") if "/" in name else len(name)
        return any(fits(pattern[1:], name[k:]) for k in range(longest + 1))
    if not name or (name[0] == "/" if pattern[0] == "?" else name[0] != pattern[0]):
        return False
    return fits(pattern[1:], name[1:])


PATTERNS = st.lists(st.sampled_from(["**/", "**", "*", "?", *LETTERS]), min_size=1, max_size=6).map("".join)


@given(PATTERNS, st.lists(st.text(LETTERS, max_size=6), min_size=4, max_size=12))
@example("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "ab", "a/xb", "a//b"])
@example("**/*.a", [".a", "a.a", "b/a.a", "b/a.aa"])
@examples(100)
def test_a_route_takes_the_names_that_its_pattern_says(pattern: str, names: list[str]) -> None:
    routes = Routes((Route("r", (Step("sketch"),), match=pattern),))
    for name in names:
        assert (routes.match(name) is not None) == fits(pattern, name), (pattern, name)


@pytest.mark.parametrize("pattern", ["*" * 400 + "b", "a*" * 200 + "b", "**/" * 200 + "*b", "**a" * 200 + "*"])
def test_no_pattern_keeps_the_process_from_everything_else(pattern: str) -> None:
    # In a process of its own: what takes for ever holds the lock of the interpreter, and nothing ends it from within.
    asked = f"from inference.route_patterns import fits; print(fits({pattern!r}, 'a' * 100 + '/a' * 400))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"{pattern.endswith('a*')}\n"


@given(PATTERNS, PATTERNS, st.lists(st.text(LETTERS, max_size=6), min_size=4, max_size=12))
@example("**/*.a", "b/*.a", ["b/.a", "b/a.a"])
@example("a/**", "a/**/b", ["a/b", "a/a/b"])
@examples(100)
def test_a_pattern_covers_no_name_that_it_does_not_take(pattern: str, other: str, names: list[str]) -> None:
    if covers(pattern, other):
        for name in names:
            assert fits(pattern, name) or not fits(other, name), (pattern, other, name)


def test_accents_are_alike_however_they_are_written() -> None:
    one, two = "Müller", "Mu\u0308ller"  # as a keyboard gives it, and as a Mac names files
    assert one != two
    for pattern in (one, two):
        routes = Routes((Route("r", (Step("sketch"),), match=f"{pattern}/?.jpg"),))
        assert all(routes.match(f"{name}/{two[1:3]}.jpg") for name in (one, two))
        assert literal_beginning(pattern) == "M"
    assert Routes((Route("r", (Step("sketch"),), match="Muller/**"),)).match(f"{two}/a.jpg") is None
