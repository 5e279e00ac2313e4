"""Whether a face slips through where a route blurs: another detector looks at every frame of the annotated video.

UltraFace-640 at 0.9 looks at what is published of a clip. What it takes for a face there is a slip, if it does so at
the same place in the clip, too, or YuNet does at its usual threshold, and the details are the same. The clips are those
of ../shared with faces, and clips made of its photos: heads that enter, leave, turn, cross, pass behind posts and out
of focus, before a camera that pans and shakes, at 5 to 50 frames a second, with cuts. And what blurring costs, against
the same route without.
"""

from __future__ import annotations

import math
import sys
import tempfile
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmarks import SHARED, Row, interleaved, reference_models
from inference.analysis import analyze
from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.image.media import Picture
from inference.image.nms import iou
from inference.predictions import Objects
from inference.routes import Draw, Route, Step
from inference.video.frames import Pixels
from inference.video.read import VideoReader
from inference.video.write import VideoWriter

BLURS, LOOKS = "face-yunet-2023mar", "face-ultraface-rfb640"
SURE, SAME_IOU, LIKE = 0.9, 0.3, 0.5
CLIPS = ("action/arm_wrestling.mp4", "action/basketball_two_players.mp4", "action/v_Basketball_g01_c02.mp4",
         "action/v_Biking_g01_c01.mp4", "action/v_CliffDiving_g03_c01.mp4", "action/v_Fencing_g01_c06.mp4",
         "action/v_HorseRiding_g01_c03.mp4", "action/v_SkateBoarding_g02_c01.mp4", "exercise/rohan_squat.mp4",
         "video/street-people-5frames.mp4")  # fmt: skip
# Clips are made from these numbers; the second half was not looked at while the blur was written.
SEEDS = range(40)
RATES, SIZES = (5, 10, 25, 50), ((640, 360), (960, 540), (1280, 720))
# One face, and a crowd of ten in a small picture, where blurring costs most.
SPEED_CLIPS, ROUNDS, SPEED_BAR = ("exercise/rohan_squat.mp4", "action/arm_wrestling.mp4"), 5, 0.85


def route(blur: bool) -> Route:
    """As a user writes it: faces found and blurred, nothing said of it on the picture."""
    return Route("blur", (Step(BLURS),), draw=Draw(boxes=False, labels=False, blur=("face",) if blur else ()))


@dataclass(frozen=True)
class Head:
    """A head cut from a photo, and how it goes through a clip: shares of the picture, seconds, radians."""

    picture: Image.Image
    start: tuple[float, float]
    speed: tuple[float, float]
    sway: tuple[float, float, float]  # share of the picture, turns a second, phase
    height: float  # share of the picture
    growth: float  # a second
    turn: float  # turns a second to the side, until the face is narrow, and back
    roll: float  # radians to either side

    def paste(self, canvas: Image.Image, t_s: float) -> None:
        """Draws the head where it is at that second."""
        share, hertz, phase = self.sway
        wave = share * math.sin(2 * math.pi * hertz * t_s + phase)
        x, y = (s + v * t_s for s, v in zip(self.start, self.speed, strict=True))
        high = max(8, round(canvas.height * self.height * math.exp(self.growth * t_s)))
        narrow = 0.25 + 0.75 * abs(math.cos(2 * math.pi * self.turn * t_s))
        wide = max(4, round(high * self.picture.width / self.picture.height * narrow))
        picture = self.picture.resize((wide, high), Image.Resampling.BILINEAR)
        angle = math.degrees(self.roll * math.sin(2 * math.pi * hertz * t_s))
        picture = picture.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        left, top = round((x + wave) * canvas.width), round(y * canvas.height)
        canvas.paste(picture, (left - picture.width // 2, top - picture.height // 2), picture)


def heads_of(finder: Model) -> list[Image.Image]:
    """The heads on the photos of ../shared, with a soft rim."""
    heads = []
    for path in sorted((SHARED / "media/faces").glob("*.jpg")):
        photo = Image.open(path).convert("RGB")
        for x1, y1, x2, y2 in found(finder, np.asarray(photo)).tolist():
            dx, dy = 0.35 * (x2 - x1), 0.35 * (y2 - y1)
            if y2 - y1 < 40:
                continue
            head = photo.crop((round(x1 - dx), round(y1 - dy), round(x2 + dx), round(y2 + dy)))
            rim = Image.new("L", head.size, 0)
            ImageDraw.Draw(rim).ellipse((2, 2, head.width - 3, head.height - 3), fill=255)
            head.putalpha(rim.filter(ImageFilter.GaussianBlur(head.width * 0.03)))
            heads.append(head)
    return heads


def made(seed: int, heads: list[Image.Image], path: Path) -> Path:
    """A clip of about three seconds, another for every seed."""
    rng = np.random.default_rng(seed)
    fps, size = RATES[seed % len(RATES)], SIZES[int(rng.integers(len(SIZES)))]
    count = 3 * fps
    cuts = {0, *(rng.integers(1, count, int(rng.integers(0, 3))).tolist())}
    blurred = rng.random() < 0.5
    with VideoWriter(path, fps=fps, preset="ultrafast", crf=14) as writer:
        for i in range(count):
            if i in cuts:
                scene = _Scene(rng, heads, size)
            shots = range(4) if blurred else range(1)
            pictures = [scene.at((i + shot / 8) / fps) for shot in shots]
            writer.write(np.mean(pictures, axis=0).astype(np.uint8), i / fps)
    return path


class _Scene:
    """A camera before a background, and heads that go through."""

    def __init__(self, rng: np.random.Generator, heads: list[Image.Image], size: tuple[int, int]) -> None:
        photos = sorted((SHARED / "media/coco/val2017").glob("*.jpg"))
        ground = Image.open(photos[int(rng.integers(len(photos)))]).convert("RGB")
        self._size, self._ground = (
            size,
            ground.resize((size[0] * 5 // 4, size[1] * 5 // 4)).filter(ImageFilter.GaussianBlur(6)),
        )
        self._heads = [self._head(rng, heads) for _ in range(int(rng.integers(1, 4)))]
        self._posts = rng.random(2) if rng.random() < 0.5 else ()
        self._dark_s, self._soft_s = rng.uniform(0.0, 6.0, 2)
        self._shake = rng.uniform(0, 0.02) if rng.random() < 0.5 else 0.0

    @staticmethod
    def _head(rng: np.random.Generator, heads: list[Image.Image]) -> Head:
        fast = float(rng.choice([0.0, 0.1, 0.4, 1.2]))
        side = float(rng.choice([-0.1, 1.1, 0.3, 0.7]))
        return Head(
            heads[int(rng.integers(len(heads)))],
            (side, float(rng.uniform(0.25, 0.75))),
            (fast * (1 if side < 0.5 else -1), float(rng.uniform(-0.08, 0.08))),
            (float(rng.choice([0.0, 0.05, 0.15])), float(rng.uniform(0.3, 1.5)), float(rng.uniform(0, 6))),
            float(rng.uniform(0.15, 0.5)),
            float(rng.uniform(-0.3, 0.3)),
            float(rng.choice([0.0, 0.2, 0.5])),
            float(rng.choice([0.0, 0.2, 0.6])),
        )

    def at(self, t_s: float) -> NDArray[np.uint8]:
        """(H, W, 3) at that second."""
        x, y = (math.sin(t_s * w) * math.cos(t_s * 7.7 * w) * self._shake for w in (9.0, 11.0))
        canvas = self._ground.crop((0, 0, *self._ground.size))
        spread = canvas.crop((0, 0, *self._size))
        for head in self._heads:
            head.paste(spread, t_s)
        draw = ImageDraw.Draw(spread)
        for post in self._posts:
            left = post * self._size[0]
            draw.rectangle((left, 0, left + 0.06 * self._size[0], self._size[1]), fill=(70, 60, 50))
        shift = (1, 0, -x * self._size[0], 0, 1, -y * self._size[1])
        spread = spread.transform(self._size, Image.Transform.AFFINE, shift, Image.Resampling.BILINEAR)
        if abs(t_s - self._soft_s) < 0.35:
            spread = spread.filter(ImageFilter.GaussianBlur(0.012 * self._size[1]))
        pixels = np.asarray(spread)
        if abs(t_s - self._dark_s) < 0.35:
            pixels = (pixels * 0.12).astype(np.uint8)
        return pixels


def found(model: Model, pixels: Pixels, at_least: float = SURE) -> NDArray[Any]:
    """(N, 4) boxes of the faces that reach the score, and the detector's threshold."""
    predictions, _ = model.run(Picture.of(pixels))
    assert isinstance(predictions, Objects)
    return predictions.boxes[predictions.scores >= at_least].astype(np.float64)


def shows(pixels: Pixels, published: Pixels, box: NDArray[Any]) -> bool:
    """Whether what is published has the details of the clip's frame in the middle of a box, in pixels of the clip."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 0.35
    corners, parts = np.concatenate([centre - half, centre + half]), []
    for image in (Image.fromarray(pixels), Image.fromarray(published)):
        x1, y1, x2, y2 = corners * np.tile(np.array(image.size) / (pixels.shape[1], pixels.shape[0]), 2)
        part = image.crop((math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2))).convert("L")
        part = part.resize((48, 48), Image.Resampling.BILINEAR)
        grey = np.asarray(part, float)
        parts.append(grey - np.asarray(part.filter(ImageFilter.GaussianBlur(3)), float))
    return bool(np.corrcoef(parts[0].ravel(), parts[1].ravel())[0, 1] > LIKE)


@dataclass
class Looked:
    """Frames of a clip; faces that any of the detectors finds in it; frames of what is published in which the other one
    finds one of them again (again), and in which that one has its details (slips)."""

    frames: int = 0
    faces: int = 0
    again: int = 0
    slips: int = 0


def look(clip: Path, annotated: Path, finder: Model, blurs: Model) -> Looked:
    """Compares what is published with the clip, frame by frame."""
    looked = Looked()
    published = {frame.pts_s: frame.pixels for frame in VideoReader(annotated)}
    for frame in VideoReader(clip):
        pixels = published[min(published, key=lambda t_s: abs(t_s - frame.pts_s))]
        faces = np.concatenate([found(finder, frame.pixels), found(blurs, frame.pixels, at_least=0.0)])
        looked.frames += 1
        looked.faces += len(faces)
        if not len(faces):
            continue
        found_again = found(finder, pixels) / np.tile(np.array(pixels.shape[1::-1]) / frame.pixels.shape[1::-1], 2)
        if not len(found_again):
            continue
        same = faces[(iou(faces, found_again) >= SAME_IOU).any(axis=1)]
        looked.again += bool(len(same))
        looked.slips += any(shows(frame.pixels, pixels, box) for box in same)
    return looked


def slips(registry: Registry, folder: Path) -> list[Row]:
    """A row for the clips of ../shared, and one for those made."""
    finder = registry.model(LOOKS)
    heads = heads_of(finder)
    shared = [SHARED / "media" / name for name in CLIPS]
    rows = []
    for what, clips in (
        ("the clips of ../shared", shared),
        ("clips made of its photos", [folder / f"{seed}.mp4" for seed in SEEDS]),
    ):
        total = Looked()
        for clip in clips:
            path = clip if clip.exists() else made(int(clip.stem), heads, clip)
            analysis = analyze(path, route(True), registry)  # its files lie as long as it is kept
            annotated = analysis.artifacts["annotated.mp4"]
            assert isinstance(annotated, Path)
            looked = look(path, annotated, finder, registry.model(BLURS))
            print(f"  {clip.stem}: {looked}", file=sys.stderr, flush=True)
            total = Looked(*(a + b for a, b in zip(astuple(total), astuple(looked), strict=True)))
        note = f"{total.faces} faces on {total.frames} frames of {len(clips)} clips; {total.again} found again at all"
        rows.append(Row(f"frames on which a face slips through, {what}", str(total.slips), "0", total.slips == 0, note))
    return rows


def speed(registry: Registry, name: str) -> Row:
    """The same route without blur, over that with it."""
    clip = SHARED / "media" / name
    works = {str(blur): partial(analyze, clip, route(blur), registry) for blur in (False, True)}
    times = interleaved(ROUNDS, works)
    ratio = median(plain / blurred for plain, blurred in zip(times["False"], times["True"], strict=True))
    note = f"{clip.name}, median of {ROUNDS} interleaved"
    return Row("speed with blur, of that without", f"{ratio:.2f} x", f">= {SPEED_BAR} x", ratio >= SPEED_BAR, note)


def run() -> list[Row]:
    if not SHARED.is_dir():
        return [Row("blur", "not run: no ../shared")]
    registry = reference_models()
    with tempfile.TemporaryDirectory() as name:
        return [*(speed(registry, clip) for clip in SPEED_CLIPS), *slips(registry, Path(name))]
