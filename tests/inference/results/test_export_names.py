"""What pictures are called in exports: relative, whatever their results say, and never the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import BadRoute
from inference.results.export_names import export_names
from inference.results.export_options import Notes
from tests.inference.properties import examples


def names(*found: tuple[str, str]) -> list[str]:
    return export_names(found, Notes())


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("cam1/a.jpg", "cam1/a.jpg", "cam1/a.jpg"),
        ("cam1/a.jpg", "", "cam1/a.jpg"),
        ("cam1/a.jpg", "a.jpg", "cam1/a.jpg"),  # of a folder inside the results
        ("./cam1//a.jpg", "cam1/a.jpg", "cam1/a.jpg"),
        ("/home/me/in/cam1/a.jpg", "cam1/a.jpg", "cam1/a.jpg"),
        ("../photos/cam1/a.jpg", "cam1/a.jpg", "cam1/a.jpg"),
        ("in/../../x/a.jpg", "a.jpg", "a.jpg"),
        ("C:\\photos\\cam1\\a.jpg", "cam1/a.jpg", "cam1/a.jpg"),
        ("\\\\server\\share\\a.jpg", "a.jpg", "a.jpg"),
        ("in\\cam1\\a.jpg", "cam1/a.jpg", "in/cam1/a.jpg"),
        ("2024-05-01T12:30:00.jpg", "", "2024-05-01T12:30:00.jpg"),
        ("/elsewhere/a.jpg", "b.jpg", "a.jpg"),
        ("", "", "picture"),
        ("..", "", "picture"),
    ],
)
def test_a_name_is_relative(name: str, place: str, expected: str) -> None:
    assert names((name, place)) == [expected]


def test_without_places_the_common_folder_is_taken_off() -> None:
    assert names(("/in/cam1/a.jpg", ""), ("/in/cam2/a.jpg", ""), ("b.jpg", "")) == ["cam1/a.jpg", "cam2/a.jpg", "b.jpg"]


def test_pictures_called_alike_are_called_as_their_places() -> None:
    """The results of two days, each named below its own folder."""
    found = [("a.jpg", "monday/a.jpg"), ("a.jpg", "tuesday/a.jpg"), ("b.jpg", "monday/b.jpg")]
    notes = Notes()
    assert export_names(found, notes) == ["monday/a.jpg", "tuesday/a.jpg", "b.jpg"]
    assert [line.endswith("(2: monday/a.jpg, tuesday/a.jpg)") for line in notes.lines()] == [True]


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(BadRoute, match=r"a/b\.jpg: two results, in x and \?"):
        names(("a/b.jpg", "x"), ("a\\b.jpg", ""))


@given(
    st.lists(st.tuples(st.text(st.sampled_from("ab./\\:C"), max_size=8), st.text(st.sampled_from("ab/."), max_size=4)))
)
@examples(100)
def test_no_name_leads_out_and_none_is_twice(found: list[tuple[str, str]]) -> None:
    try:
        made = names(*found)
    except BadRoute:
        return
    assert len(set(made)) == len(found)
    for name in made:
        assert name and not name.startswith("/") and "\\" not in name
        assert not {"", ".", ".."} & set(name.split("/"))
