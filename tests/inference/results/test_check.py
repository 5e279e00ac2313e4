"""A document that passes the check can be exported in every form; what is damaged is refused, by its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference.results.check import checked_result
from inference.results.export_rows import Found
from inference.results.formats import FORMATS, write
from inference.results.summary import labels_of
from tests.inference.results.test_formats import document

pytestmark = pytest.mark.slow

WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    2**70,
    float("nan"),
    "x",
    "",
    "caf\udce9",
    "\ud800",
    [],
    [1],
    [[1, 2]],
    {},
    {"x": 1},
)
Path_ = tuple[Any, ...]


def rich() -> dict[str, Any]:
    """With every member that readers take."""
    made = document()
    made["steps"][0]["embedding"] = {"dim": 3, "artifact": "vector.npy"}
    for number, prediction in enumerate(made["steps"][0]["predictions"]):
        prediction |= {"track": number, "corners": [[1, 2], [3, 4], [5, 6.5], [7, 8]], "label_id": 3}
        prediction["keypoints"] = prediction["keypoints"][:3]
    return made


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def damaged() -> Iterator[Any]:
    """A whole document with one thing wrong: every member in turn, in every way."""
    for path in places(rich()):
        for wrong in (*WRONG, ...):
            made = rich_copy()
            at = made
            for key in path[:-1]:
                at = at[key]
            if wrong is ...:
                del at[path[-1]]
            else:
                at[path[-1]] = wrong
            yield made


_TEXT = json.dumps(rich())


def rich_copy() -> Any:
    return json.loads(_TEXT)


def passing() -> list[dict[str, Any]]:
    """Those of the damaged ones that count as results all the same."""
    kept = []
    for made in damaged():
        try:
            kept.append(dict(checked_result(made)))
        except ValueError as error:
            assert "expected" in str(error) or "missing" in str(error) or "no label" in str(error)
    return kept


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_whatever_passes_can_be_exported(form: str, tmp_path: Path) -> None:
    documents = passing()
    assert len(documents) > 500
    assert write([Found(d, str(i)) for i, d in enumerate(documents)], form, tmp_path / "out").count > 100
    for each in documents:
        labels_of(each)


@pytest.mark.parametrize(
    ("path", "wrong", "said"),
    [
        (("schema",), "other/1", "schema: found 'other/1', expected 'dropsight/1'"),
        (("source",), ..., "the document: 'source' is missing"),
        (("source", "name"), 5, "source.name: found 5, expected text"),
        (("source", "width"), 2**40, "source.width: found 1099511627776, expected a whole number"),
        (("route",), ..., "'route' is missing"),
        (("steps",), {"0": 1}, "steps: found {'0': 1}, expected a list"),
        (("steps", 0, "model"), "yolo", "steps[0].model: found 'yolo', expected a table"),
        (("steps", 0, "model", "version"), ..., "steps[0].model: 'version' is missing"),
        (("steps", 0, "predictions"), 3, "steps[0].predictions: found 3, expected a list"),
        (("steps", 0, "predictions", 1), "cat", "steps[0].predictions[1]: found 'cat', expected a table"),
        (("steps", 0, "predictions", 1, "score"), "high", "predictions[1].score: found 'high', expected a number"),
        (("steps", 0, "predictions", 1, "score"), float("inf"), "predictions[1].score: found inf, expected a number"),
        (("steps", 0, "predictions", 1, "box"), [1, 2, 3], "predictions[1].box: found [1, 2, 3], expected a list of 4"),
        (("steps", 0, "predictions", 1, "box", 2), "3", "predictions[1].box[2]: found '3', expected a number"),
        (("steps", 0, "predictions", 1, "label"), ..., "predictions[1]: it has a box and no label"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(path: Path_, wrong: Any, said: str) -> None:
    made = rich_copy()
    at = made
    for key in path[:-1]:
        at = at[key]
    at.pop(path[-1]) if wrong is ... else at.__setitem__(path[-1], wrong)
    with pytest.raises(ValueError) as caught:
        checked_result(made)
    assert said in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 5, "x", [], {}, [{}]])
def test_what_is_no_table_of_a_result_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="the document: "):
        checked_result(wrong)


def test_older_and_later_releases_and_documents_without_schema_are_read() -> None:
    older = rich_copy()
    del older["schema"], older["cost"], older["versions"], older["source"]["duration_s"]
    older["summary"] = {"person": 2, "objects": 1}
    for prediction in older["steps"][0]["predictions"]:
        prediction["skeleton"] = "coco17"
    later = copy.deepcopy(rich_copy()) | {"schema": "dropsight/2", "colour": ["red"]}
    for made in (older, later):
        assert checked_result(made) is made
