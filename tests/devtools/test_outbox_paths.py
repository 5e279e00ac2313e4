"""Which file of the outbox a blob is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud.storage.paths import output_path
from devtools.outbox import local_path
from tests.inference.properties import examples

KEYS = st.text(st.sampled_from("ab./\\\0 é") | st.characters(exclude_categories=["Cs"]), max_size=12)
OUTBOX = Path("outbox").resolve()


@given(st.lists(KEYS, min_size=2, max_size=5, unique=True), st.booleans())
@example(["a//b", "a/b"], False)
@example(["a/./b", "a/b"], False)
@example(["a /b", "a./b", "a/b"], True)
@examples(150)
def test_no_two_blobs_are_the_same_file_and_none_lies_outside(names: list[str], windows: bool) -> None:
    places = [local_path(OUTBOX, f"results/{name}", windows) for name in names]
    files = [place for place in places if place]
    assert len(set(files)) == len(files)
    for name, place in zip(names, places, strict=True):
        if place:
            assert place.resolve().relative_to(OUTBOX).as_posix() == f"results/{name}"


@given(KEYS.filter(bool))
@examples(60)
def test_every_result_that_storage_takes_is_a_file(name: str) -> None:
    """What is odd in an upload's name is escaped in the path of its result."""
    key = f"results/{output_path(name.replace(chr(92), '/'))}/result.json"
    assert local_path(OUTBOX, key, windows=False) == OUTBOX / key


@pytest.mark.parametrize("part", ["a.", "a ", "a?", "c:", "..."])
def test_what_windows_would_change_is_no_file_there(part: str) -> None:
    assert local_path(OUTBOX, f"results/{part}/result.json", windows=True) is None
    assert local_path(OUTBOX, f"results/{part}/result.json", windows=False) is not None
