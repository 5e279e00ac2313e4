"""Hostile names never leave their container; odd ones keep an identity of their own."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from cloud.storage import paths
from inference.errors import LimitExceeded, UnsupportedMedia

ODD = [
    "/lead.jpg",
    "a//b.jpg",
    "dot.",
    "dots...",
    "dir./x",
    "a%20b.jpg",
    "new\nline",
    "end/",
    "//",
    "%2F",
    "a/.../b",
]
PLAIN = [
    "street/a.jpg",
    "é✓/日本.jpg",
    "100%.jpg",
    "sp ace.jpg",
    "q?x=1#f",
    ".hidden",
    "a..b",
    "\U0001f600",
    "..."[:1] + "x",
]


@pytest.mark.parametrize("name", PLAIN)
def test_ordinary_names_are_their_own_path(name: str) -> None:
    assert paths.output_path(name) == name


def test_odd_names_are_escaped_without_meeting_another() -> None:
    found = [paths.output_path(name) for name in ODD + PLAIN]
    assert len(set(found)) == len(found)
    for name, path in zip(ODD, found, strict=False):
        assert unquote(path) == name
        assert all(part and not part.endswith(".") for part in path.split("/"))


@pytest.mark.parametrize("name", ["../x", "a/../../state/receipts/x", "a/./b", "a\\..\\b", ".."])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedMedia, match="another name"):
        paths.canonical(name)


def test_backslashes_are_what_storage_makes_of_them() -> None:
    assert paths.canonical("a\\b.jpg") == "a/b.jpg"


def test_too_long_names_are_refused_but_have_a_place_for_their_record() -> None:
    names = ["x" * 1000 + end for end in "ab"]
    with pytest.raises(LimitExceeded, match="1001"):
        paths.output_path(names[0])
    records = [paths.record_path(name) for name in names]
    assert len(set(records)) == 2
    assert max(map(len, records)) < 1000


@pytest.mark.parametrize(
    ("asked", "blob"),
    [
        ("street/a.jpg/result.json", "street/a.jpg/result.json"),
        ("/street/a.jpg/", "street/a.jpg"),
        ("../state/receipts/a", None),
        ("a/../../state/x", None),
        ("a\\..\\..\\state", None),
        ("a//b", None),
        ("", None),
        ("a\0b", None),
    ],
)
def test_requested_paths_stay_in_their_container(asked: str, blob: str | None) -> None:
    assert paths.requested_path(asked) == blob
