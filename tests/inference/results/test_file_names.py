"""What a step writes is another file than what the next one writes."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from inference.results.file_names import file_name
from tests.inference.properties import examples

TITLES = st.text(st.sampled_from("ab._- /\\:\n人顔") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@given(st.lists(TITLES, min_size=2, max_size=6, unique=True))
@example(["人", "顔", "_", "..", "a b", "a_b", "a.", "a", "annotated"])
@examples(100)
def test_no_two_steps_share_a_file(titles: list[str]) -> None:
    names = [file_name(title) for title in titles]
    assert len(set(names)) == len(names)
    for title, name in zip(titles, names, strict=True):
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name) and not name.endswith(".")
        assert name == title or title == "annotated" or not re.fullmatch(r"[A-Za-z0-9_-]+", title)
        assert name != "annotated"
