"""Keypoints and the bones between them: warm on the person's left, cold on the right, with a dark rim."""

from __future__ import annotations

from PIL import ImageDraw

from inference.draw.colours import DARK, Colour
from inference.predictions import Floats
from inference.results.skeletons import SKELETONS, Skeleton

# Keypoints below this score are guesses; they stand in the document, but are not drawn.
SHOWN = 0.3
LEFT, RIGHT, MIDDLE = (255, 140, 40), (60, 160, 255), (90, 220, 120)


def draw_skeleton(pen: ImageDraw.ImageDraw, points: Floats, name: str | None, size: float, step: float) -> None:
    """points (K, 3 or 4): x, y, (z,) score. size: the person's in pixels, which the strokes follow; step: see unit."""
    skeleton = SKELETONS.get(name or "", Skeleton((), ()))
    width = max(min(1.4 * step, size / 60), 1.5)
    radius = max(min(1.6 * step, size / 45), 1.5)
    rim = max(width / 3, 1)
    visible = points[:, -1] > SHOWN
    bones = [(a, b) for a, b in skeleton.bones if max(a, b) < len(points) and visible[a] and visible[b]]
    for a, b in bones:
        pen.line((*points[a, :2].tolist(), *points[b, :2].tolist()), fill=DARK, width=round(width + 2 * rim))
    for a, b in bones:
        pen.line((*points[a, :2].tolist(), *points[b, :2].tolist()), fill=shade(skeleton, b), width=round(width))
    for k, (x, y) in enumerate(points[:, :2].tolist()):
        if visible[k]:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), shade(skeleton, k), DARK, round(rim))


def shade(skeleton: Skeleton, k: int) -> Colour:
    name = skeleton.names[k] if k < len(skeleton.names) else ""
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else MIDDLE
