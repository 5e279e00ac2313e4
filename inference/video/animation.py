"""Animated GIF, WebP and PNG as short videos (Pillow: FFmpeg does not decode animated WebP)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.image.colour import to_srgb
from inference.image.damage import File, prepared
from inference.image.media import BROKEN, open_file, open_image
from inference.image.sniff import head_of, sniff
from inference.video.container import open_binary
from inference.video.frames import Damage, Media, Timed, VideoInfo, VideoLimits

# Browsers show frames with less than 20 ms for 100 ms; so do we, or a 0 ms GIF would last no time.
_SHORTEST_MS = 20
_DEFAULT_MS = 100


def is_animation(source: Media) -> bool:
    """Whether it is a GIF, a WebP or a PNG, by its first bytes (a still picture is a clip of a single frame)."""
    with open_binary(source) as file:
        head = file.read(12)
        file.seek(0)
    return head[:4] == b"GIF8" or head[:8] == b"\x89PNG\r\n\x1a\n" or (head[:4], head[8:]) == (b"RIFF", b"WEBP")


def probe(source: Media, limits: VideoLimits) -> VideoInfo:
    """Size and frame count. Raises CorruptMedia and LimitExceeded."""
    with open_binary(source) as file, _opened(file)[0] as image:
        limits.check_size(*image.size)
        kind = (image.format or "").lower()
        return VideoInfo(kind, kind, *image.size, None, None, _count(image), False, None, f"image/{kind}")


def _count(image: Image.Image) -> int | None:
    """The number of frames; None where the file is cut or damaged: reading shows how many there are."""
    try:
        return int(getattr(image, "n_frames", 1))
    except BROKEN:
        return None


def frames(source: Media, limits: VideoLimits, damage: Damage) -> Iterator[Timed]:
    """Every frame, (H, W, 3) sRGB, composed over white. A cut file yields what is there."""
    with open_binary(source) as file:
        image, whole = _opened(file)
        with image:
            limits.check_size(*image.size)
            at_s = 0.0
            mode = "L" if image.mode in ("L", "LA") else "RGB"
            convert = to_srgb(image.info, mode, [])
            try:
                for number, frame in enumerate(ImageSequence.Iterator(image)):
                    over = _over_white(frame)
                    if number == 0 and whole:
                        whole.check(frame)
                    pixels = np.asarray(convert(over.convert(mode)) if convert else over.convert("RGB"))
                    duration_ms = float(frame.info.get("duration") or 0)
                    lasts_s = (duration_ms if duration_ms >= _SHORTEST_MS else _DEFAULT_MS) / 1000
                    yield Timed(at_s, pixels, lasts_s)
                    at_s += lasts_s
            except (CorruptMedia, *BROKEN) as error:
                damage.note(str(error) or type(error).__name__, at_s)


def _over_white(frame: Image.Image) -> Image.Image:
    rgba = frame.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def _opened(file: BinaryIO) -> tuple[Image.Image, File | None]:
    """The animation, and what tells whether its first frame is whole; None for GIF, whose decoder tells."""
    try:
        media_type = sniff(head_of(file))
        file.seek(0)
        kind = media_type.removeprefix("image/").upper()
        if kind == "GIF":
            return open_image(file, kind), None
        return open_file(prepared(file.read(), media_type), kind)
    except (UnsupportedMedia, Image.DecompressionBombError, *BROKEN) as error:
        raise CorruptMedia(f"an animation that cannot be read ({error}); upload it again") from error
