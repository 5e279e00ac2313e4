"""Clips made on the spot: small, coded as asked, every frame telling its own number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SIZE = (160, 96)
_BITS = 8


def picture(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A grey (H, W, 3) frame whose upper half writes `number` in eight black or white fields."""
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    width = size[0] // _BITS
    for bit in range(_BITS):
        pixels[: size[1] // 2, bit * width : (bit + 1) * width] = 255 if number >> bit & 1 else 0
    return pixels


def number_of(pixels: NDArray[np.uint8]) -> int:
    """The number that `picture` wrote, after any codec."""
    height, width = pixels.shape[:2]
    field = width // _BITS
    middle = pixels[height // 8 : height * 3 // 8]
    return sum(int(middle[:, bit * field + field // 4 : (bit + 1) * field - field // 4].mean() > 128) << bit
               for bit in range(_BITS))  # fmt: skip


def make(
    path: Path,
    times_s: Sequence[float],
    codec: str = "libx264",
    size: tuple[int, int] = SIZE,
    gop: int = 12,
    options: dict[str, str] | None = None,
    sound: bool = False,
    pix_fmt: str | None = None,
) -> Path:
    """A clip whose frame i shows `picture(i)` from `times_s[i]` on; with `sound`, a tone as long as it."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
        stream.codec_context.gop_size = gop
        base = Fraction(1, 25) if codec in ("mpeg4", "mjpeg", "mpeg2video") else Fraction(1, 1000)
        stream.codec_context.time_base = base
        audio: Any = output.add_stream("aac", rate=16_000) if sound else None
        for number, at in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = round(Fraction(at) / base), base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if audio is not None:
            samples = round(16_000 * (times_s[-1] + 0.04))
            tone = (np.sin(np.arange(samples) / 16_000 * 2 * np.pi * 440) * 0.3).astype(np.float32)
            for start in range(0, samples, 1024):
                block = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = 16_000, start, Fraction(1, 16_000)
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))
    return path
