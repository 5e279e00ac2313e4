"""JSON that every reader takes, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.results.export_rows import Found
from inference.results.formats import write
from inference.results.strict_json import cell, json_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def no_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.slow
@given(VALUES)
def test_every_document_is_strict(value: Any) -> None:
    read = json.loads(json_text(value), parse_constant=no_constant)
    if "inf" not in repr(value) and "nan" not in repr(value):
        assert read == value


def test_what_is_not_finite_is_null() -> None:
    assert json_text({"a": [1.5, float("nan")], "b": float("-inf")}, compact=True) == '{"a":[1.5,null],"b":null}'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "\uff201"])
def test_text_that_would_be_a_formula_begins_with_an_apostrophe(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", [-1, -0.5, 3, "", "a=b", "IMG-1.jpg", None])
def test_numbers_stay_numbers_and_other_text_stays(value: Any) -> None:
    assert cell(value) == value and type(cell(value)) is type(value)


def test_neither_names_nor_labels_are_formulas_in_a_table(tmp_path: Path) -> None:
    prediction = {"id": "s/0", "label": "@cmd", "label_id": 0, "score": 0.5, "box": [-1.5, 2, 3, 4]}
    step = {"name": "+s", "task": "object-detection", "predictions": [prediction]}
    source = {"name": '=HYPERLINK("http:x")', "width": 8, "height": 8, "duration_s": None}
    write([Found({"source": source, "steps": [step]})], "csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["file"], row["step"], row["label"]) == ('\'=HYPERLINK("http:x")', "'+s", "'@cmd")
    assert float(row["x1"]) == -1.5  # a number below zero is no formula
