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


def test_the_better_of_two_overlapping_boxes_stays() -> None:
    found = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]], np.float32)
    assert boxes.nms(found, np.array([0.5, 0.9, 0.4], np.float32), 0.5).tolist() == [1, 2]


def test_a_true_box_counts_once() -> None:
    found = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.float32)
    truth = np.array([[0, 0, 10, 10]], np.float32)
    assert boxes.match(found, truth, 0.5).tolist() == [True, False, False]


def test_average_precision_of_a_worked_example() -> None:
    # precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: made monotone 1, 2/3, 2/3
    scores, right = np.array([0.9, 0.8, 0.7], np.float32), np.array([True, False, True])
    assert boxes.average_precision(scores, right, 2) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_a_scene_says_where_its_faces_are() -> None:
    face = np.full((144, 144), 128, np.uint8)
    material = Material(face[None], np.array([[30, 20, 110, 130]], np.float32), [np.zeros((360, 480), np.uint8)])
    scenes = [compose(material, np.random.default_rng(seed), 160, (13, 120)) for seed in range(12)]
    assert sum(len(found) for _, found in scenes) >= 12
    for picture, found in scenes:
        assert picture.shape == (160, 160)
        assert picture.min() >= 0
        assert picture.max() <= 255
        assert (found >= 0).all()
        assert (found <= 160).all()
        assert (found[:, 2:] > found[:, :2]).all()
    again, _ = compose(material, np.random.default_rng(3), 160, (13, 120))
    assert np.array_equal(again, scenes[3][0])
