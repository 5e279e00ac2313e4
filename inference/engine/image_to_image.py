"""Image to image over a whole picture: tiles where the network's size is fixed, and what the output is joined with.

Manifest: preprocess.size = { longest_edge = N } is the size worked at (default: the picture's own, within bounds).
postprocess.params: whole = true shows the network the whole picture at once (default for "alpha", "ab" and "chroma",
whose answers need to see all of it); tile = N works in tiles of N pixels although the network takes any size, on
pictures with more pixels than one tile; overlap = the share of a tile that its neighbour also covers (default 0.25).
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
from PIL import Image as Pillow

from inference.engine.finite import odd_outputs, usable
from inference.engine.model import Model
from inference.engine.session import Session
from inference.heads.image import kind_of, origin_of, planes, to_bytes
from inference.image.lab import lab_to_rgb, rgb_to_lab
from inference.image.media import Picture, cropped
from inference.image.preprocess import MAX_FREE_PIXELS, Box
from inference.image.tile import Blend, tiles
from inference.manifest import Manifest
from inference.predictions import Bytes, Floats, OutputImage, Predictions
from inference.timing import NO_TIME, Timing

# A picture is scaled down until it needs no more tiles than this ...
MAX_TILES = 256
# ... and until what is made of it has no more pixels than this.
MAX_OUTPUT_PIXELS = 16_000_000
# Networks that halve their input several times and mirror its rim need some pixels to mirror.
MIN_SIDE = 32
# A small picture is scaled up to fill a tile, unless the ratio of its sides is larger than this.
MAX_STRIP = 4.0


class ImageToImage(Model):
    """A model whose output is an image, of all of the picture: do_center_crop, with which the models of its kind are
    trained, would leave out its rim, and what is redacted in the picture would lie elsewhere in the output."""

    def __init__(self, manifest: Manifest, session: Session, sha256: str) -> None:
        super().__init__(manifest, session, sha256)
        how = replace(self.manifest.preprocess, do_center_crop=False)
        self.manifest = replace(self.manifest, preprocess=how)

    def run(
        self, picture: Picture, box: Box | None = None, threshold: float | None = None
    ) -> tuple[Predictions, Timing]:
        """The output image, with the aspect of the picture (or of its crop `box`, xyxy in picture pixels)."""
        if box:
            picture = cropped(picture, box)
        tile = _tile(self, picture)
        start = time.perf_counter()
        odd: list[str] = []
        values, timing = _whole(self, picture, odd) if tile is None else _tiled(self, picture, tile, odd)
        values = _same_aspect(values, picture.size)
        pixels = _joined(to_bytes_or_ab(values, self.manifest), picture, kind_of(self.manifest))
        output = usable(OutputImage(pixels, origin_of(self.manifest)), list(dict.fromkeys(odd)), self.manifest.name)
        total = (time.perf_counter() - start) * 1e3
        return output, Timing(timing.preprocess, timing.inference, total - timing.preprocess - timing.inference)


def to_bytes_or_ab(values: Floats, manifest: Manifest) -> Floats | Bytes:
    """a and b of Lab are signed and stay floats."""
    return values if kind_of(manifest) == "ab" else to_bytes(values, manifest)


def _tile(model: Model, picture: Picture) -> tuple[int, int] | None:
    """(width, height) of a tile, None where the network is shown the whole picture."""
    params, spec = model.manifest.postprocess.params, model.spec
    if params.get("whole", kind_of(model.manifest) in ("alpha", "ab", "chroma")):
        return None
    if spec.width and spec.height:
        return spec.width, spec.height
    tile = int(params.get("tile", 0))
    return (tile, tile) if 0 < tile**2 < picture.size[0] * picture.size[1] else None


def _whole(model: Model, picture: Picture, odd: list[str]) -> tuple[Floats, Timing]:
    if not (model.spec.width and model.spec.height):
        picture = _resized(picture, _work_size(model.manifest, picture.size, None, (0, 0)))
        if min(picture.size) < MIN_SIDE:
            return _mirrored(model, picture, odd)
    return _once(model, picture, None, odd)


def _mirrored(model: Model, picture: Picture, odd: list[str]) -> tuple[Floats, Timing]:
    """A picture of a few pixels a side, mirrored beyond its right and lower edge, and that cut off again."""
    width, height = picture.size
    wider = ((0, max(MIN_SIDE - height, 0)), (0, max(MIN_SIDE - width, 0)), (0, 0))
    padded = Picture.of(np.pad(picture.pixels, wider, mode="symmetric"))
    values, timing = _once(model, padded, None, odd)
    scale = values.shape[1] / padded.size[0]
    return values[: max(round(height * scale), 1), : max(round(width * scale), 1)], timing


def _tiled(model: Model, picture: Picture, tile: tuple[int, int], odd: list[str]) -> tuple[Floats, Timing]:
    share = float(model.manifest.postprocess.params.get("overlap", 0.25))
    overlap = (round(tile[0] * share), round(tile[1] * share))
    work = _resized(picture, _work_size(model.manifest, picture.size, tile, overlap))
    width, height = work.size
    margin = (_margin(width, tile[0], overlap[0]), _margin(height, tile[1], overlap[1]))
    # Networks invent frames where they see the edge of their input: mirror the picture beyond its edge and cut that.
    right, bottom = max(margin[0], tile[0] - width - margin[0]), max(margin[1], tile[1] - height - margin[1])
    padded = Picture.of(np.pad(work.pixels, ((margin[1], bottom), (margin[0], right), (0, 0)), mode="symmetric"))
    blend, total, scale = None, NO_TIME, 1.0
    for x, y in tiles(padded.size, tile, overlap):
        values, timing = _once(model, padded, (x, y, x + tile[0], y + tile[1]), odd)
        total = total + timing
        if blend is None:
            scale = values.shape[1] / tile[0]
            blend = Blend((round(padded.size[0] * scale), round(padded.size[1] * scale)), values.shape[2])
        blend.add(values, (round(x * scale), round(y * scale)), (round(overlap[0] * scale), round(overlap[1] * scale)))
    assert blend is not None
    left, top = round(margin[0] * scale), round(margin[1] * scale)
    return blend.result()[top : top + round(height * scale), left : left + round(width * scale)], total


def _margin(length: int, tile: int, overlap: int) -> int:
    """How far the picture is mirrored beyond its edge: less than usual where that saves a second row of tiles."""
    usual, fitting = overlap // 2, (tile - length) // 2
    return fitting if usual // 4 <= fitting < usual else usual


def _once(model: Model, picture: Picture, box: Box | None, odd: list[str]) -> tuple[Floats, Timing]:
    """odd: takes the names of the outputs that hold NaN or infinity, which are black and white in the picture."""
    outputs, fit, timing = model.forward(picture, box)
    odd += odd_outputs(outputs)
    return planes(outputs, fit, model.manifest), timing


def _work_size(
    manifest: Manifest, size: tuple[int, int], tile: tuple[int, int] | None, overlap: tuple[int, int]
) -> tuple[int, int]:
    """The size that a picture is worked at: as asked for, within the bounds above."""
    width, height = size
    ratio = 1.0
    if "longest_edge" in manifest.preprocess.size:
        ratio = min(manifest.preprocess.size["longest_edge"] / max(width, height), 1.0)
    most = float(MAX_FREE_PIXELS)
    if kind_of(manifest) == "y":
        most = MAX_OUTPUT_PIXELS / 9
    if tile:
        steps = (tile[0] - overlap[0], tile[1] - overlap[1])
        if manifest.preprocess.size or not manifest.postprocess.params.get("tile"):
            most = min(most, MAX_TILES * steps[0] * steps[1])
        fill = max(steps[0] / width, steps[1] / height)
        if max(width, height) / min(width, height) <= MAX_STRIP and not manifest.postprocess.params.get("tile"):
            ratio = max(ratio, fill)
    ratio = min(ratio, math.sqrt(most / (width * height)))
    return max(round(width * ratio), 1), max(round(height * ratio), 1)


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    image = picture.image if picture.image.size == size else picture.image.resize(size, Pillow.Resampling.LANCZOS)
    return Picture(image, size, picture.media_type)


def _same_aspect(values: Floats, size: tuple[int, int]) -> Floats:
    """Undo the stretching to a network's shape: the same number of pixels across the longer side."""
    height, width = values.shape[:2]
    longest = max(width, height)
    right = (max(round(longest * min(size[0] / size[1], 1)), 1), max(round(longest * min(size[1] / size[0], 1)), 1))
    if abs(width - right[0]) <= 1 and abs(height - right[1]) <= 1:
        return values
    return _scaled(values, right)


def _scaled(values: Floats | Bytes, size: tuple[int, int]) -> Floats:
    layers = [Pillow.fromarray(values[:, :, c].astype(np.float32)) for c in range(values.shape[2])]
    return np.stack([np.asarray(p.resize(size, Pillow.Resampling.BICUBIC)) for p in layers], axis=2)


def _joined(values: Floats | Bytes, picture: Picture, kind: str) -> Bytes:
    """The model's planes and the picture's together, (H, W, 3) or (H, W, 4)."""
    if kind in ("rgb", "gray"):
        pixels = np.repeat(values[:, :, :1], 3, axis=2) if values.shape[2] == 1 else values[:, :, :3]
        return np.ascontiguousarray(pixels.astype(np.uint8))
    if kind == "y":
        return _with_chroma(values[:, :, 0].astype(np.uint8), picture)
    full = picture.full()
    if kind == "alpha":
        alpha = Pillow.fromarray(values[:, :, 0].astype(np.uint8)).resize(full.size, Pillow.Resampling.BICUBIC)
        return np.dstack([np.asarray(full), np.asarray(alpha)])
    if kind == "chroma":
        _, cb, cr = Pillow.fromarray(values.astype(np.uint8)).convert("YCbCr").split()
        wide = [p.resize(full.size, Pillow.Resampling.BICUBIC) for p in (cb, cr)]
        return np.asarray(Pillow.merge("YCbCr", (full.convert("L"), *wide)).convert("RGB"))
    return _with_ab(values, full)


def _with_chroma(luma: Bytes, picture: Picture) -> Bytes:
    size = (luma.shape[1], luma.shape[0])
    _, cb, cr = (p.resize(size, Pillow.Resampling.LANCZOS) for p in picture.image.convert("YCbCr").split())
    return np.asarray(Pillow.merge("YCbCr", (Pillow.fromarray(luma), cb, cr)).convert("RGB"))


def _with_ab(values: Floats | Bytes, full: Pillow.Image) -> Bytes:
    lightness = rgb_to_lab(np.asarray(full, np.float32) / 255)[:, :, :1]
    lab = np.concatenate([lightness, _scaled(values, full.size)], axis=2).astype(np.float32)
    pixels: Bytes = np.rint(lab_to_rgb(lab) * 255).astype(np.uint8)
    return pixels
