"""What a detector is trained and measured with: decoding, assignment, matching, average precision, made-up scenes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (training/requirements.txt)")

from inference.heads._detection import grid as engine_grid  # noqa: E402
from training import boxes  # noqa: E402
from training.scenes import Material, compose  # noqa: E402

pytestmark = pytest.mark.slow


def test_cells_are_those_of_the_engines_head() -> None:
    cells, strides = engine_grid(96, 64, (8, 16, 32))
    ours = boxes.grid(64, 96, (8, 16, 32)).numpy()
    assert np.array_equal(ours[:, :2], cells)
    assert np.array_equal(ours[:, 2:], strides)


def test_a_box_that_is_predicted_exactly_costs_nothing_and_is_assigned() -> None:
    cells = boxes.grid(64, 64, (8, 16, 32))
    truth = torch.tensor([[14.0, 10.0, 34.0, 40.0]])
    centre, size = (truth[:, :2] + truth[:, 2:]) / 2, truth[:, 2:] - truth[:, :2]
    raw = torch.cat([centre / cells[:, 2:] - cells[:, :2], (size / cells[:, 2:]).log()], 1)
    decoded = boxes.decode(raw, cells)
    assert torch.allclose(decoded, truth.expand_as(decoded), atol=1e-3)
    assert boxes.giou_loss(decoded, truth.expand_as(decoded)).abs().max() < 1e-3

    logits = torch.zeros(len(cells), 2)
    cell, owner, iou = boxes.assign(decoded, logits, truth, torch.tensor([0]), cells)
    assert len(cell) > 0
    assert (owner == 0).all()
    assert iou.min() > 0.999
    points = (cells[cell, :2] + 0.5) * cells[cell, 2:]
    assert ((points - centre).abs() <= 1.5 * cells[cell, 2:]).all()


def test_every_cell_answers_for_one_box_only() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 40, (6, 2))
    truth = torch.tensor(np.concatenate([low, low + rng.uniform(8, 24, (6, 2))], 1), dtype=torch.float32)
    cells = boxes.grid(64, 64, (8, 16, 32))
    raw = torch.from_numpy(rng.normal(0, 0.3, (len(cells), 4)).astype(np.float32))
    cell, owner, _ = boxes.assign(
        boxes.decode(raw, cells), torch.zeros(len(cells), 2), truth, torch.zeros(6, dtype=torch.long), cells
    )
    assert len(set(cell.tolist())) == len(cell)
    assert set(owner.tolist()) <= set(range(6))


BOXES = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.float32)


def test_a_true_box_counts_once() -> None:
    matches = boxes.Matches(0.5)
    matches.add(BOXES, np.array([0.9, 0.8, 0.7], np.float32), BOXES[:1])
    assert matches.ranked[1].tolist() == [True, False, False]


def test_average_precision_of_a_worked_example_over_two_pictures() -> None:
    # precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: made monotone 1, 2/3, 2/3
    matches = boxes.Matches(0.5)
    matches.add(BOXES[2:], np.array([0.7], np.float32), BOXES[2:])
    matches.add(BOXES[:2], np.array([0.9, 0.8], np.float32), BOXES[:1])
    assert matches.ranked[1].tolist() == [True, False, True]
    assert matches.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_boxes_that_a_crop_leaves_too_little_of_are_named() -> None:
    whole = np.array([[-6, 0, 4, 10], [-3, 0, 7, 10]], np.float32)
    inside, kept = boxes.cut(whole, 20, 0.5)
    assert inside.tolist() == [[0, 0, 4, 10], [0, 0, 7, 10]]
    assert kept.tolist() == [False, True]


def test_a_scene_says_where_its_faces_are() -> None:
    face = np.full((144, 144), 128, np.uint8)
    material = Material(face[None], np.array([[30, 20, 110, 130]], np.float32), [np.zeros((360, 480), np.uint8)])
    scenes = [compose(material, np.random.default_rng(seed), 160, (13, 120)) for seed in range(12)]
    assert sum(len(faces) for _, faces in scenes) >= 12
    for picture, faces in scenes:
        assert picture.shape == (160, 160)
        assert picture.min() >= 0
        assert picture.max() <= 255
        assert (faces >= 0).all()
        assert (faces <= 160).all()
        assert (faces[:, 2:] > faces[:, :2]).all()
    again, _ = compose(material, np.random.default_rng(3), 160, (13, 120))
    assert np.array_equal(again, scenes[3][0])
