"""Sequences of walking people with known truth, and what a detector would say of them; the same for the same seed.

People walk on a level ground before a pinhole camera: further off they are smaller, nearer ones and posts hide them.
The noise of boxes and scores is of the size that it has on TUD-Campus: centres err by a tenth of the width and a
twenty-fifth of the height, widths by a fifth, and one false box is seen a frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.tracking.assignment import iou

Floats = NDArray[np.float64]
WIDTH, HEIGHT, FOCAL = 1280, 720, 1000.0  # pixels
PERSON_M, LEAST_SCORE, NMS_IOU = 1.7, 0.1, 0.65
# Standard deviations of a box's centre and size, as shares of its own size, and how long an error lasts.
_JITTER, _JITTER_S = np.array([0.10, 0.035, 0.17, 0.08]), 0.1


@dataclass(frozen=True)
class Seen:
    """The detections of a frame (xyxy, scores, label ids), and what is true of it: numbers and boxes."""

    t_s: float
    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]
    numbers: NDArray[np.int64] | None = None
    true_boxes: Floats | None = None


@dataclass(frozen=True)
class Family:
    """How people walk and how they are seen. Metres and seconds, but for `shake` and `pan` (pixels)."""

    fps: float = 25.0
    people: int = 8
    nearest: float = 6.0
    furthest: float = 16.0
    camera: float = 1.8  # above the ground
    horizon: float = 300.0  # row of the picture
    group: int = 1  # how many walk together
    turns: float = 0.1  # radians a second: standard deviation of the way's bending after a second
    stops: float = 0.0  # a second, of each
    posts: tuple[float, ...] = ()  # widths of posts between camera and people
    shake: float = 0.0  # standard deviation
    pan: float = 0.0  # to either side, in four seconds
    misses: float = 0.04  # share of people in full sight who are not found
    jitter: float = 1.0  # of boxes, where 1 is that of TUD-Campus
    least_score: float = LEAST_SCORE
    seconds: float = 20.0


FAMILIES: dict[str, Family] = {
    "street": Family(),
    "cut at 0.5": Family(least_score=0.5, people=7),
    "posts": Family(posts=(0.4, 0.8, 1.4, 2.0)),
    "groups": Family(group=3, people=9),
    "10 a second": Family(fps=10.0),
    "crowd": Family(fps=30.0, people=22, nearest=7.0, furthest=25.0, camera=3.0, horizon=200.0, jitter=0.5),
    "turning": Family(turns=0.9, stops=0.15, people=9, jitter=0.5),
    "shake": Family(shake=10.0, jitter=0.6),
    "pan": Family(pan=400.0, fps=30.0, jitter=0.6),
    "plaza": Family(
        fps=7.0, people=14, nearest=18.0, furthest=40.0, camera=6.0, horizon=-40.0, turns=0.3, stops=0.05, jitter=0.5
    ),
    "15 a second, misses": Family(fps=15.0, misses=0.2, jitter=0.6),
    "5 a second": Family(fps=5.0, people=6),
}


@dataclass
class _Walkers:
    """(N, 2) places and ways on the ground: metres to the right of the camera and away from it."""

    place: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    way: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    stands_s: Floats = field(default_factory=lambda: np.zeros(0))
    error: Floats = field(default_factory=lambda: np.zeros((0, 5)))  # of box and score, in standard deviations
    number: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def take(self, rows: NDArray[np.bool_]) -> _Walkers:
        return _Walkers(self.place[rows], self.way[rows], self.stands_s[rows], self.error[rows], self.number[rows])

    def add(self, place: Floats, way: Floats, first: int, rng: np.random.Generator) -> None:
        n = len(place)
        self.place, self.way = np.concatenate([self.place, place]), np.concatenate([self.way, way])
        self.stands_s = np.concatenate([self.stands_s, np.zeros(n)])
        self.error = np.concatenate([self.error, rng.normal(size=(n, 5))])
        self.number = np.concatenate([self.number, first + np.arange(n)])


def sequence(family: Family, seed: int) -> list[Seen]:
    """The frames of a sequence: detections with their scores, and the people in the picture with their numbers."""
    rng, step = np.random.default_rng(seed), 1.0 / family.fps
    walkers, born = _Walkers(), 1
    posts = np.column_stack([
        rng.uniform(-0.35, 0.35, len(family.posts)) * family.nearest * 0.9,
        np.full(len(family.posts), family.nearest * 0.9), np.array(family.posts),
    ])  # fmt: skip
    spots = rng.uniform([0, HEIGHT * 0.3], [WIDTH, HEIGHT * 0.7], (6, 2))  # what is sometimes taken for a person
    frames, shift = [], np.zeros(2)
    for i in range(int(family.seconds * family.fps)):
        t_s = i * step
        for _ in range(rng.poisson(family.people / family.group * (0.13 * step if i else 1.0))):
            place, way = _enter(family, rng, inside=not i)
            walkers.add(place, way, born, rng)
            born += len(place)
        _walk(walkers, family, step, rng)
        walkers = walkers.take(np.abs(walkers.place[:, 0]) < walkers.place[:, 1] * WIDTH / FOCAL / 2 + 3.0)
        keep = np.exp(-step / 0.15)
        shift = keep * shift + rng.normal(size=2) * family.shake * np.sqrt(1 - keep**2)
        camera = shift + np.array([family.pan * np.sin(2 * np.pi * t_s / 4.0), 0.0])
        frames.append(_frame(walkers, family, t_s, camera, posts, spots + camera, rng))
    return frames


def _enter(family: Family, rng: np.random.Generator, inside: bool) -> tuple[Floats, Floats]:
    """Places and ways of a group that comes in from a side, or is there already."""
    depth, side = rng.uniform(family.nearest, family.furthest), rng.choice([-1.0, 1.0])
    border = depth * WIDTH / FOCAL / 2 + 0.5
    x = rng.uniform(-border, border) if inside else side * border
    bend = rng.normal(0, 0.25)
    way = rng.uniform(0.8, 1.8) * np.array([-side * np.cos(bend), np.sin(bend)])
    # Who walks together walks side by side: seen from the side, each hides the next.
    offsets = rng.uniform([-0.4, 0.3], [0.4, 0.7], (family.group, 2)) * np.arange(family.group)[:, None]
    return np.array([x, depth]) + offsets, np.tile(way, (family.group, 1))


def _walk(walkers: _Walkers, family: Family, step: float, rng: np.random.Generator) -> None:
    n = len(walkers.place)
    angle = rng.normal(size=n) * family.turns * np.sqrt(step)
    cos, sin = np.cos(angle), np.sin(angle)
    x, z = walkers.way.T
    walkers.way = np.column_stack([cos * x - sin * z, sin * x + cos * z])
    outside = (walkers.place[:, 1] < family.nearest) | (walkers.place[:, 1] > family.furthest)
    inward = np.sign((family.nearest + family.furthest) / 2 - walkers.place[:, 1])
    walkers.way[:, 1] = np.where(outside, inward * np.abs(walkers.way[:, 1]), walkers.way[:, 1])
    walkers.stands_s -= step
    stop = rng.uniform(size=n) < family.stops * step
    walkers.stands_s[stop] = rng.uniform(0.5, 3.0, int(stop.sum()))
    walkers.way[stop & (rng.uniform(size=n) < 0.5)] *= -1.0  # some go back where they came from
    walkers.place += walkers.way * step * (walkers.stands_s <= 0)[:, None]
    keep = np.exp(-step / _JITTER_S)
    walkers.error = keep * walkers.error + rng.normal(size=(n, 5)) * np.sqrt(1 - keep**2)


def _boxes(walkers: _Walkers, family: Family, t_s: float, camera: Floats) -> Floats:
    """(N, 4) true boxes; a walking person is now wider, now narrower."""
    x, z = walkers.place.T
    height = FOCAL * PERSON_M * (1 + 0.06 * np.sin(walkers.number)) / z
    gait = np.where(walkers.stands_s > 0, 0.0, np.sin(2 * np.pi * t_s + walkers.number))
    half = height * (0.2 + 0.05 * gait)
    middle, foot = WIDTH / 2 + FOCAL * x / z + camera[0], family.horizon + FOCAL * family.camera / z + camera[1]
    return np.column_stack([middle - half, foot - height, middle + half, foot])


def _visible(boxes: Floats, depth: Floats, posts: Floats, camera: Floats) -> Floats:
    """(N,) the share of each box that is in the picture, and that nothing nearer hides."""
    at = (np.stack(np.meshgrid(np.arange(8), np.arange(10)), -1).reshape(-1, 2) + 0.5) / [8, 10]
    points = boxes[:, None, :2] + at * (boxes[:, None, 2:] - boxes[:, None, :2])
    middle, half = WIDTH / 2 + FOCAL * posts[:, 0] / posts[:, 1] + camera[0], FOCAL * posts[:, 2] / posts[:, 1] / 2
    hidden = (np.abs(points[:, :, None, 0] - middle) < half).any(2)
    hidden |= ((points < 0) | (points > [WIDTH, HEIGHT])).any(2)
    # People are narrower than their boxes.
    margin = (boxes[:, 2:] - boxes[:, :2]) * [0.15, 0.02]
    low, high = boxes[:, :2] + margin, boxes[:, 2:] - margin
    inside = ((points[:, :, None] > low) & (points[:, :, None] < high)).all(-1)  # (N, points, N)
    hidden |= (inside & (depth[None, :] < depth[:, None])[:, None, :]).any(2)
    result: Floats = 1.0 - hidden.mean(1)
    return result


def _frame(
    walkers: _Walkers, family: Family, t_s: float, camera: Floats, posts: Floats, spots: Floats,
    rng: np.random.Generator,
) -> Seen:  # fmt: skip
    true = _boxes(walkers, family, t_s, camera)
    visible = _visible(true, walkers.place[:, 1], posts, camera)
    middle = (true[:, 0] + true[:, 2]) / 2
    in_picture = (middle > 0) & (middle < WIDTH)
    found = rng.uniform(size=len(true)) < np.clip((visible - 0.15) / 0.35, 0.0, 1.0) * (1.0 - family.misses)
    boxes, scores = _seen(true, visible, walkers.error * ([family.jitter] * 4 + [1.0]))
    twice = found & (rng.uniform(size=len(true)) < 0.03)
    again = boxes[twice] + rng.normal(0, 0.15, (int(twice.sum()), 4)) * np.tile(_size(boxes[twice]), 2)
    false = spots[rng.uniform(size=len(spots)) < 0.12]
    size = np.array([60.0, 150.0]) * rng.uniform(0.8, 1.2, (len(false), 1))
    false_boxes = np.concatenate([false - size / 2, false + size / 2], 1) + rng.normal(0, 4, (len(false), 4))
    boxes = np.concatenate([boxes[found], again, false_boxes])
    scores = np.concatenate([scores[found], scores[twice] * 0.8, rng.uniform(0.05, 0.85, len(false))])
    kept = _after_nms(boxes, scores, family.least_score)
    return Seen(t_s, boxes[kept], scores[kept], np.zeros(len(kept), np.int64), walkers.number[in_picture],
                true[in_picture])  # fmt: skip


def _size(boxes: Floats) -> Floats:
    size: Floats = boxes[:, 2:] - boxes[:, :2]
    return size


def _seen(true: Floats, visible: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Boxes and scores as a detector gives them: the less is visible, the worse."""
    blur = (1.0 + 1.5 * (1.0 - visible))[:, None] * error[:, :4] * _JITTER
    size = _size(true)
    centre = (true[:, :2] + true[:, 2:]) / 2 + blur[:, :2] * size
    half = size * np.exp(blur[:, 2:]) / 2
    scores = 1.0 / (1.0 + np.exp(-(4.0 - 6.0 * (1.0 - visible) + 1.2 * error[:, 4])))
    return np.concatenate([centre - half, centre + half], 1), scores


def _after_nms(boxes: Floats, scores: Floats, least: float) -> NDArray[np.intp]:
    kept: list[int] = []
    overlap = iou(boxes, boxes)
    for row in np.argsort(-scores, kind="stable"):
        if scores[row] >= least and not (overlap[row, kept] > NMS_IOU).any():
            kept.append(int(row))
    return np.array(kept, np.intp)
