"""Hostile names never leave their container; odd ones keep an identity of their own."""

from __future__ import annotations

from urllib.parse import quote, unquote, urljoin

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud.storage import paths
from inference.errors import LimitExceeded, UnsupportedMedia
from tests.inference.properties import examples

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


NAMES = st.text(
    st.sampled_from("ab./%\\\n\x7f 2Ee+?#\u00e9\u0301") | st.characters(exclude_categories=["Cs"]), min_size=1
)


@pytest.mark.slow
@given(NAMES)
@example("%2E")
@example("%2.")
@example("%\n41")
@examples(150)
def test_every_path_leads_back_to_its_name(name: str) -> None:
    """So no two names share one, and none leaves its folder or loses a part of its path on the way."""
    path = paths.output_path(name)
    assert unquote(path) == name
    assert paths.requested_path(path.replace("\\", "x")) == path.replace("\\", "x")
    assert all(part and not part.endswith(".") for part in path.split("/"))
    assert paths.record_path(name) == path


@pytest.mark.slow
@given(NAMES)
@examples(60)
def test_a_name_leads_elsewhere_only_where_a_url_would(name: str) -> None:
    url = urljoin("http://account/uploads/", "./" + quote(name.replace("\\", "/"), safe="/"))
    if url == "http://account/uploads/" + quote(name.replace("\\", "/"), safe="/"):
        assert paths.canonical(name) == name.replace("\\", "/")
    elif not name.replace("\\", "/").startswith("/"):
        with pytest.raises(UnsupportedMedia):
            paths.canonical(name)


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


def test_no_name_can_be_made_to_meet_the_record_of_another() -> None:
    record = paths.record_path("x" * 1000)
    assert paths.record_path(record) != record


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
