"""Scenes with several faces, made up from portraits with one: backgrounds, shoulders, decoys, faces, camera.

A detector that learns from pasted pictures may learn the pasting. So decoys are pasted exactly as faces are (same
masks, same softness), and the whole scene is blurred, dimmed and made noisy afterwards as one picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from training.boxes import cut

Grey = NDArray[np.float32]
BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Material:
    """Grey bytes: portraits (N, 144, 144) with face boxes (N, 4), and backgrounds, each (h, w)."""

    portraits: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    backgrounds: list[NDArray[np.uint8]]


def texture(material: Material, rng: np.random.Generator, height: int, width: int) -> Grey:
    """A random part of a random background at a random scale, or a plain gradient with noise."""
    if rng.random() < 0.12:
        y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        a, b, c = rng.uniform(0, 255), rng.uniform(-120, 120), rng.uniform(-120, 120)
        return np.asarray(a + b * x + c * y + rng.normal(0, rng.uniform(0, 12), (height, width)), np.float32)
    source = material.backgrounds[rng.integers(len(material.backgrounds))]
    h, w = source.shape
    scale = min(h / height, w / width) * rng.uniform(0.3, 1.0)
    ph, pw = max(2, int(height * scale)), max(2, int(width * scale))
    top, left = rng.integers(h - ph + 1), rng.integers(w - pw + 1)
    part = Image.fromarray(source[top : top + ph, left : left + pw]).resize((width, height), BILINEAR)
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(part, np.float32)


def tone(patch: Grey, rng: np.random.Generator) -> Grey:
    """Another contrast, brightness and gamma."""
    gamma = math.exp(rng.uniform(-0.45, 0.45))
    y = 255 * (np.clip(patch, 0, 255) / 255) ** gamma
    mean = y.mean()
    return np.asarray((mean + (y - mean) * rng.uniform(0.5, 1.25)) * rng.uniform(0.55, 1.25), np.float32)


def mask_of(height: int, width: int, box: NDArray[np.float32], rng: np.random.Generator) -> Grey:
    """Opacity 0..1 round a face box: an oval with hair, or the whole patch, with an edge of any softness."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if rng.random() < 0.65:
        cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - 0.06 * (box[3] - box[1])
        rx = (box[2] - box[0]) / 2 * rng.uniform(1.05, 1.5)
        ry = (box[3] - box[1]) / 2 * rng.uniform(1.05, 1.4)
        distance = (1 - np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)) * min(rx, ry)
    else:
        distance = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    soft = max(0.7, rng.uniform(0, 0.14) * min(height, width))
    return np.asarray(np.clip(distance / soft, 0, 1), np.float32)


def paste(scene: Grey, patch: Grey, mask: Grey, left: int, top: int) -> None:
    """Blend `patch` into `scene` at (left, top), cut at the borders."""
    h, w = patch.shape
    y0, x0, y1, x1 = max(0, top), max(0, left), min(scene.shape[0], top + h), min(scene.shape[1], left + w)
    if y1 <= y0 or x1 <= x0:
        return
    inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    under = scene[y0:y1, x0:x1]
    under += (patch[inner] - under) * mask[inner]


def portrait(material: Material, rng: np.random.Generator, size: float) -> tuple[Grey, Grey, NDArray[np.float32]]:
    """One portrait whose face is `size` pixels high, turned a little: patch, mask, face box in the patch."""
    i = int(rng.integers(len(material.portraits)))
    box = material.boxes[i].copy()
    image = Image.fromarray(material.portraits[i])
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        box[[0, 2]] = 144 - box[[2, 0]]
    side = max(10, round(144 * size / (box[3] - box[1])))
    box *= side / 144
    image = image.resize((side, side), BILINEAR)
    mask = mask_of(side, side, box, rng)
    angle = float(rng.normal(0, 12))
    patch = np.asarray(image.rotate(angle, BILINEAR, fillcolor=128), np.float32)
    mask = np.asarray(Image.fromarray(mask).rotate(angle, BILINEAR), np.float32)
    dx, dy = (box[0] + box[2]) / 2 - side / 2, (box[1] + box[3]) / 2 - side / 2
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    cx, cy = side / 2 + dx * c + dy * s, side / 2 - dx * s + dy * c
    half = (box[2:] - box[:2]) / 2
    return tone(patch, rng), mask, np.array([cx - half[0], cy - half[1], cx + half[0], cy + half[1]], np.float32)


def shoulders(scene: Grey, material: Material, rng: np.random.Generator, box: NDArray[np.float32]) -> None:
    """A neck and a clothed body under a face that is about to be pasted."""
    w, h = box[2] - box[0], box[3] - box[1]
    cx, chin = (box[0] + box[2]) / 2, box[3] - 0.1 * h
    bw, bh = int(w * rng.uniform(2, 3.4)), int(h * rng.uniform(2, 5))
    if bw < 4 or bh < 4:
        return
    cloth = rng.normal(0, 4, (bh, bw))
    cloth += texture(material, rng, bh, bw) if rng.random() < 0.5 else rng.uniform(0, 255)
    y, x = np.mgrid[0:bh, 0:bw].astype(np.float32)
    slope = (np.abs(x / bw - 0.5) * 2) ** 3 * 0.9 * h
    edge = np.clip((y - slope - 0.2 * h) / max(1.0, 0.04 * h), 0, 1) * (np.abs(x / bw - 0.5) < 0.49)
    paste(scene, cloth.astype(np.float32), edge.astype(np.float32), int(cx - bw / 2), int(chin))
    nw, nh = max(2, int(w * 0.6)), max(2, int(h * 0.45))
    paste(
        scene,
        np.full((nh, nw), rng.uniform(30, 200), np.float32),
        np.ones((nh, nw), np.float32),
        int(cx - nw / 2),
        int(chin),
    )


def decoy(scene: Grey, material: Material, rng: np.random.Generator) -> None:
    """Something pasted like a face that is none: texture, or a plain shaded oval like the back of a head."""
    size = int(math.exp(rng.uniform(math.log(12), math.log(140))))
    patch = tone(texture(material, rng, size, size), rng)
    if rng.random() < 0.4:
        patch = patch * 0.1 + rng.uniform(20, 220)
        patch += np.linspace(-1, 1, size, dtype=np.float32)[:, None] * rng.uniform(-50, 50)
        patch += np.linspace(-1, 1, size, dtype=np.float32)[None] * rng.uniform(-50, 50)
    inset = size * np.array([0.12, 0.08, 0.88, 0.92], np.float32)
    place = rng.integers(-size // 2, np.array(scene.shape) - size // 2)
    paste(scene, patch.astype(np.float32), mask_of(size, size, inset, rng), int(place[1]), int(place[0]))


def camera(scene: Grey, rng: np.random.Generator) -> Grey:
    """What happens to a whole photo: blur or lost resolution, noise, exposure."""
    kind = rng.random()
    image = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    if kind < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.3)))
    elif kind < 0.35:
        small = [max(8, int(v * rng.uniform(0.45, 0.9))) for v in image.size]
        image = image.resize((small[0], small[1]), BILINEAR).resize(image.size, BILINEAR)
    elif kind < 0.5:
        image = image.filter(ImageFilter.UnsharpMask(1.5, int(rng.uniform(40, 160))))
    result = np.asarray(image, np.float64)
    if rng.random() < 0.4:
        result = result + rng.normal(0, rng.uniform(1, 12), scene.shape)
    result = (result - 128) * rng.uniform(0.7, 1.2) + 128 + rng.uniform(-35, 35)
    return np.clip(result, 0, 255).astype(np.float32)


def compose(
    material: Material, rng: np.random.Generator, side: int, sizes: tuple[float, float] = (13, 192)
) -> tuple[Grey, NDArray[np.float32]]:
    """A scene (side, side), 0..255, and its face boxes (n, 4). Faces of one scene are about as large as each other,
    somewhere in `sizes` (pixels high)."""
    scene = tone(texture(material, rng, side, side), rng)
    for _ in range(rng.integers(0, 5)):
        decoy(scene, material, rng)
    base = math.exp(rng.uniform(math.log(sizes[0]), math.log(sizes[1])))
    count = 0 if rng.random() < 0.08 else int(rng.integers(1, 1 + np.clip((side / base) ** 2 / 3, 1, 10)))
    placed: list[tuple[Grey, Grey, int, int]] = []
    boxes: list[NDArray[np.float32]] = []
    for _ in range(count):
        patch, mask, box = portrait(material, rng, max(10, base * math.exp(rng.uniform(-0.35, 0.35))))
        for _ in range(6):
            left, top = (int(v) for v in rng.uniform(-0.2 * len(patch), side - 0.8 * len(patch), 2))
            moved = box + np.array([left, top, left, top], np.float32)
            if not any(_covers(moved, other) for other in boxes):
                placed.append((patch, mask, left, top))
                boxes.append(moved)
                break
    for box in boxes:
        if rng.random() < 0.6:
            shoulders(scene, material, rng, box)
    for patch, mask, left, top in placed:
        paste(scene, patch, mask, left, top)
    for _ in range(rng.integers(0, 3)):
        if rng.random() < 0.3:
            _strand(scene, rng)
    return camera(scene, rng), _visible(boxes, side)


def _covers(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether a new face, with its hair, would hide too much of an earlier one."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return bool(shared > 0.1 * (b[2:] - b[:2]).prod())


def _strand(scene: Grey, rng: np.random.Generator) -> None:
    """A thin bar across the picture: a pole, a microphone, a strand of hair."""
    side = len(scene)
    width, length = int(rng.integers(1, 6)), int(rng.integers(20, side))
    bar = np.full((length, width), rng.uniform(0, 255), np.float32)
    bar = bar if rng.random() < 0.5 else bar.T
    paste(scene, bar, np.ones_like(bar), int(rng.integers(side)), int(rng.integers(side)))


def _visible(boxes: list[NDArray[np.float32]], side: int) -> NDArray[np.float32]:
    """The boxes, cut at the scene's border; those cut by more than half are left out."""
    if not boxes:
        return np.zeros((0, 4), np.float32)
    inside, kept = cut(np.stack(boxes), side, 0.5)
    return inside[kept]
