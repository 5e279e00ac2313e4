"""YOLO's layouts told apart by the lengths of the axes and by the values, without being named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import BadModel
from inference.heads import find_head
from inference.heads._yolo_layouts import fitting
from inference.predictions import Objects
from tests.inference.heads.decoding import fit, manifest

GRIDS = ("raw", "v5", "raw_transposed", "v5_transposed")


def grid(layout: str, classes: int, cells: int, found: list[tuple[list[float], float, int]]) -> Any:
    """(1, ...) of a layout: boxes xyxy in pixels with score and class; all other rows score 0.001."""
    anchors, start = (3 * cells, 5) if layout.startswith("v5") else (cells, 4)
    rows = np.full((anchors, start + classes), 0.001, np.float32)
    rows[:, :4] = np.random.default_rng(0).uniform(20, 40, (anchors, 4))
    for i, ((x1, y1, x2, y2), score, label) in enumerate(found):
        rows[7 * i, :4] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
        rows[7 * i, start - 1] = 1 if start == 5 else rows[7 * i, start - 1]
        rows[7 * i, start + label] = score
    return rows[None] if layout in ("v5", "raw_transposed") else rows.T[None]


def decode(output: Any, labels: int, size: int = 64, **params: Any) -> Objects:
    found = find_head("yolo").decode(
        {"output0": output}, fit(size, size), manifest("yolo", labels=labels, params=params)
    )
    assert isinstance(found, Objects)
    return found


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(GRIDS), st.integers(1, 90), st.sampled_from([64, 96, 320]), st.data())
def test_every_grid_is_told_by_its_axes(layout: str, classes: int, size: int, data: st.DataObject) -> None:
    cells = sum((size // s) ** 2 for s in (8, 16, 32))
    label = data.draw(st.integers(0, classes - 1))
    output = grid(layout, classes, cells, [([4, 8, 20, 28], 0.75, label)])
    if output.shape[1] == output.shape[2]:  # 84 cells and 80 classes: raw, as Ultralytics writes it
        return
    found = decode(output, classes, size)
    assert (found.label_ids.tolist(), found.scores.tolist()) == ([label], [0.75])
    np.testing.assert_allclose(found.boxes, [[4, 8, 20, 28]], atol=1e-4)


def queries(classes: int, scored: bool) -> Any:
    """(1, 300, ...) as RT-DETR has it: centres and sizes in 0..1, then score and class, or class probabilities."""
    random = np.random.default_rng(0)
    rows = random.uniform(0.001, 0.05, (300, 6 if scored else 4 + classes)).astype(np.float32)
    rows[:, :4] = random.uniform(0.1, 0.9, (300, 4))
    if scored:
        rows[:, 5] = random.integers(0, classes, 300)
    rows[0, :4] = 0.5, 0.25, 0.25, 0.5
    rows[0, 4:] = (0.9, classes - 1) if scored else [0.01] * (classes - 1) + [0.9]
    return rows[None]


@pytest.mark.parametrize("said", [{}, {"layout": "rtdetr"}])
@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("classes", [1, 2, 3, 80])
def test_rtdetr_of_any_number_of_classes(classes: int, scored: bool, said: dict[str, Any]) -> None:
    """Two classes make six columns, as score and class do; a class of 1 is no probability of 1."""
    found = decode(queries(classes, scored), classes, **said)
    assert found.label_ids.tolist() == [classes - 1] and found.scores.tolist() == pytest.approx([0.9])
    np.testing.assert_allclose(found.boxes, [[24, 0, 40, 32]], atol=1e-4)  # of 64 pixels


@pytest.mark.parametrize("labels", [0, 1, 2, 3])
def test_rows_after_nms_are_told_from_grids_of_as_many_numbers(labels: int) -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = 4, 8, 20, 28, 0.9, 0
    rows[0, 1] = 5, 8, 21, 28, 0.8, 0  # stays: NMS is done
    found = decode(rows, labels)
    np.testing.assert_allclose(found.boxes, [[4, 8, 20, 28], [5, 8, 21, 28]])
    assert len(decode(np.zeros((1, 300, 6), np.float32), labels)) == 0


def test_one_class_with_an_objectness_on_few_cells_is_no_end_to_end() -> None:
    found = decode(grid("v5", 1, 84, [([4, 8, 20, 28], 0.75, 0)]), 1)  # 252 rows of 6 numbers
    assert found.scores.tolist() == [0.75]
    np.testing.assert_allclose(found.boxes, [[4, 8, 20, 28]], atol=1e-4)


@pytest.mark.parametrize(
    ("layout", "labels", "words"),
    [
        ("v5", 3, r"\[1, 252, 7\] fits no layout.* 3 labels: expected 8 numbers .*objectness among them"),
        ("raw", 3, r"\[1, 6, 84\] fits no layout.*: expected 7 numbers .*8 with an objectness"),
        ("raw_transposed", 0, "nothing says whether an objectness"),
    ],
)
def test_labels_that_do_not_fit_and_no_labels_are_no_silent_answer(layout: str, labels: int, words: str) -> None:
    with pytest.raises(BadModel, match=words):
        decode(grid(layout, 2, 84, [([4, 8, 20, 28], 0.75, 1)]), labels)


def test_without_labels_three_boxes_per_cell_or_ones_throughout_show_the_objectness() -> None:
    assert decode(grid("v5", 2, 84, [([4, 8, 20, 28], 0.75, 1)]), 0).label_ids.tolist() == [1]
    yolov6 = grid("v5", 2, 84, [([4, 8, 20, 28], 0.75, 1)])[:, :84]
    yolov6[:, :, 4] = 1
    assert decode(yolov6, 0).label_ids.tolist() == [1]


@pytest.mark.parametrize(
    ("layout", "output", "words"),
    [
        ("end2end", queries(2, True), "boxes in 0..1 that are no corners"),
        ("rtdetr", np.full((1, 300, 6), 30, np.float32), "boxes in pixels, expected 0..1"),
        ("rtdetr", queries(2, False), "fractions as classes"),
        ("raw", grid("v5", 2, 84, []), r"scores up to .*, expected 0..1"),
        ("end2end", np.full((1, 300, 6), 0.6, np.float32) * [9, 9, 19, 19, 1, 1], "fractions as classes"),
    ],
)
def test_a_stated_layout_that_the_values_deny_is_refused(layout: str, output: Any, words: str) -> None:
    with pytest.raises(BadModel, match=rf"{words}.*layout '{layout}'.*postprocess.params.layout"):
        decode(output, 3, layout=layout)


@pytest.mark.parametrize("scored", [False, True])
def test_a_row_without_numbers_decides_nothing(scored: bool) -> None:
    output = queries(2, scored)
    output[0, 9] = np.nan
    assert decode(output, 2).scores.tolist() == pytest.approx([0.9])


def test_one_infinite_score_is_no_other_layout() -> None:
    output = grid("raw", 2, 84, [([4, 8, 20, 28], 0.75, 1)])
    output[0, 4, 50] = np.inf
    found = decode(output, 2)
    assert 0.75 in found.scores.tolist()  # what is left out of the others is not for the layout to say
    rows = np.zeros((1, 9, 6), np.float32)
    rows[0, :2] = (4, 8, 20, 28, 0.75, 1), (4, 8, 20, 28, np.inf, 0)
    assert 0.75 in decode(rows, 2).scores.tolist()


def test_known_axes_come_before_free_ones() -> None:
    assert fitting((1, 6, None), 2, 0) == ("raw",)
    assert fitting((1, None, 7), 2, 0) == ("v5",)
    assert fitting((1, None, 6), 2, 0) == ("end2end", "raw_transposed")
    assert set(fitting((1, None, None), 2, 0)) == {"end2end", *GRIDS}
    assert fitting((1, 38, 8400), 2, 32) == ("raw",) and fitting((1, 300, 38), 80, 32) == ("end2end",)


@pytest.mark.parametrize("shape", [(5, 4), (0, 4), (4, 5), (4, 4), (300, 1)])
def test_boxes_without_room_for_a_class_are_refused(shape: tuple[int, int]) -> None:
    assert fitting((1, *shape), 0, 0) == ()
    with pytest.raises(BadModel, match=r"fits no layout of head yolo: expected 5 numbers for each box or more"):
        decode(np.full((1, *shape), 0.5, np.float32), labels=0)
    assert fitting((1, 5, 8400), 0, 0) == ("raw",)
