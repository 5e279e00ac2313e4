"""TOML in and out: what is written reads back the same, and files read as Windows editors save them."""

from __future__ import annotations

import codecs
import math
import tomllib
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.errors import BadManifest, BadRoute
from inference.label_lists import labels_in, read_labels
from inference.tables import build, read_toml, text_of, to_toml
from tests.inference.properties import examples

# TOML is Unicode: half of a surrogate pair is no character.
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["", ".", "a.b", '"', "'", "\\", "\n", "\r\n", "\x7f", "\x85", "\u2028", '"""', "\U0001f600", "#", "true", "1"]
)
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e22, 5e-324, 1e-7])
    | TEXT
    | st.dates()
    | (st.datetimes(timezones=st.none() | ZONES) | st.times()).map(lambda t: t.replace(fold=0)),  # TOML has no fold
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SECTION = st.dictionaries(TEXT | st.just("preprocess"), VALUES, max_size=4)
TABLES = st.fixed_dictionaries({}, optional={"preprocess": SECTION, "postprocess": SECTION}).flatmap(
    lambda sections: st.dictionaries(TEXT, VALUES, max_size=4).map(lambda plain: {**plain, **sections})
)


def spelt(value: Any) -> Any:
    """The same for the same value and type, that of -0.0 and of NaN too."""
    if isinstance(value, dict):
        return sorted((key, spelt(inner)) for key, inner in value.items())
    return [spelt(inner) for inner in value] if isinstance(value, list) else repr(value)


@pytest.mark.slow
@given(TABLES)
@example(
    {"params": {"points": [{"x": 1.0}, {"x": -0.0, "names": []}], "a.b": {}}, "postprocess": {"params": {"": 1e22}}}
)
@example({"preprocess": {"preprocess": {"postprocess": {"": date(2026, 12, 1)}}}})
@examples(60)
def test_what_is_written_reads_back_the_same(table: dict[str, Any]) -> None:
    assert spelt(tomllib.loads(to_toml(table))) == spelt(table)


def test_numbers_that_numpy_computed_are_numbers() -> None:
    table = {"mean": [np.float64(0.485), np.float64(1e22)], "size": (1, 2)}
    assert tomllib.loads(to_toml(table)) == {"mean": [0.485, 1e22], "size": [1, 2]}


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.replace("\n", "\r\n").encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: codecs.BOM_UTF32_LE + text.encode("utf-32-le"),
        lambda text: text.replace("\n", "\r").encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\r\n").encode(),
    ],
)
def test_files_as_windows_editors_save_them(encoded: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(encoded('name = "Zürich"\nlist = [\n 1,\n 2,\n]\n'))
    assert read_toml(file) == read_toml(file.read_bytes()) == {"name": "Zürich", "list": [1, 2]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"name = 'Z\xfcrich'",
            r"a.toml: cannot be read \(line 1, .*xfcrich'\", is not UTF-8 text\); save it as UTF-8",
        ),
        (b"a = 1\nb = 'x\0'", "a.toml: cannot be read .line 2, .* is no text, as it has NUL bytes.; save it as UTF-8"),
        ("a = 1\n".encode("utf-16-le")[:-1], "save it as UTF-8"),
        (codecs.BOM_UTF16_LE + b"a", "is not UTF-16-LE text"),
        (b"name =", "a.toml: not valid TOML"),
        (b"deep = " + b"[" * 5000, "a.toml: not valid TOML"),
        (b"long = " + b"9" * 5000, "a.toml: not valid TOML"),
    ],
)
def test_what_is_no_toml_is_one_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(BadManifest, match=words):
        read_toml(tmp_path / "a.toml")
    with pytest.raises(BadRoute, match="cannot be read"):
        read_toml(tmp_path / "none.toml", error=BadRoute)


@dataclass(frozen=True)
class _Area:
    points: tuple[tuple[float, float], ...] = ()
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"seconds is {self.seconds}, expected more than 0")


@dataclass(frozen=True)
class _Both:
    areas: tuple[_Area, ...] = ()


@pytest.mark.parametrize(
    ("area", "words"),
    [
        ({"second": 3}, r"f: areas\[1\]: unknown key 'second'; did you mean 'seconds'"),
        ({"points": [[0, 1], [1]]}, r"f: areas\[1\]: points\[1\]: found \[1\], expected 2 values"),
        ({"seconds": 0}, r"f: areas\[1\]: seconds is 0.0, expected more than 0"),
        ("yard", r"f: areas\[1\]: found 'yard', expected a table"),
        ({"seconds": float("inf")}, r"f: areas\[1\]: seconds: found inf, expected a finite number"),
    ],
)
def test_a_fault_deep_inside_is_named_with_its_place(area: object, words: str) -> None:
    with pytest.raises(BadManifest, match=words):
        build(_Both, {"areas": [{}, area]}, "f")


LINES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\u00a0"), min_size=1, max_size=9
)


@given(
    st.lists(LINES.map(str.strip).filter(bool), min_size=1, max_size=6),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    st.sampled_from(["\n", "\r\n", "\r", " \n", "\r\r\n"]),
    st.sampled_from(["", "\n", "\r\n\r\n", "\n \n"]),
)
@example(["a\u2028b", "c\x85d\x0ce"], "utf-8", "\n", "")
def test_labels_are_the_same_however_they_are_saved(labels: list[str], encoding: str, end: str, last: str) -> None:
    """Only line breaks part them; form feeds and Unicode's line marks may be within one."""
    assert labels_in(text_of((end.join(labels) + last).encode(encoding))) == labels


def test_marks_in_the_middle_and_empty_lines() -> None:
    """Two files joined by `copy a + b` have a mark in the middle; an empty line keeps the places of those behind it."""
    joined = "cat\r\n".encode("utf-8-sig") + "dog\r\n\r\nbird\r\n\r\n".encode("utf-8-sig")
    assert labels_in(text_of(joined)) == ["cat", "dog", "", "bird"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"), ("\n<!DOCTYPE html>", "web page")],
)
def test_what_is_saved_under_the_name_of_a_list_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_labels("labels.txt", text)


def test_a_key_of_thousands_of_dots_is_refused_at_once() -> None:
    """tomllib's time grows with the square of its length: this one would take it minutes."""
    with pytest.raises(BadManifest, match="more than 100 parts"):
        read_toml(".".join(["a"] * 30_000) + " = 1", "x")
    assert read_toml(f'a.b.c = "{"." * 500} {"x.y " * 500}"')["a"]["b"]["c"]
