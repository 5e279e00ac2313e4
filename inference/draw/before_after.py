"""Before and after, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from inference.draw.colours import unit
from inference.draw.labels import Tag, draw_tags
from inference.predictions import OutputImage

# The pictures of a comparison have no more pixels than this on their longer side, and no fewer than the other.
LONGEST, SHORTEST = 1280, 320


def before_after(
    picture: Pillow.Image, images: Sequence[tuple[str, OutputImage]], labels: bool = True, longest: float | None = None
) -> Pillow.Image:
    """The picture and the output images in a row (in a column where a single one is wide).

    images: by the name that is written on them, where labels are drawn. longest: the longer side of the whole in
    pixels, at most."""
    pictures = [("before", picture), *((n, over_checks(Pillow.fromarray(r.pixels))) for n, r in images)]
    ratio = max(min(LONGEST / max(picture.size), 1.0), SHORTEST / max(picture.size))
    down = picture.width > 1.2 * picture.height and len(pictures) == 2
    gap = max(round(unit(picture.size) * ratio), 2)
    if longest:
        along, across = (picture.height, picture.width) if down else picture.size
        room = (longest - gap * (len(pictures) - 1)) / len(pictures)
        ratio = min(ratio, room / along, longest / across)
    rounded = math.floor if longest else round  # gaps and pictures together must not be longer than was asked for
    size = (max(rounded(picture.width * ratio), 1), max(rounded(picture.height * ratio), 1))
    step = (0, size[1] + gap) if down else (size[0] + gap, 0)
    last = (step[0] * (len(pictures) - 1), step[1] * (len(pictures) - 1))
    sheet = Pillow.new("RGB", (last[0] + size[0], last[1] + size[1]), "white")
    for k, (name, image) in enumerate(pictures):
        part = image.resize(size, Pillow.Resampling.LANCZOS)
        if labels:
            draw_tags(ImageDraw.Draw(part), size, [Tag(name, (0, 0, 0, 0), (245, 245, 245))])
        sheet.paste(part, (step[0] * k, step[1] * k))
    return sheet


def over_checks(image: Pillow.Image) -> Pillow.Image:
    """Transparency shown the usual way, over grey squares."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    side = max(round(4 * unit(image.size)), 4)
    ys, xs = np.mgrid[0 : image.height, 0 : image.width]
    squares = np.where((ys // side + xs // side) % 2, 205, 245).astype(np.uint8)
    board = Pillow.fromarray(np.repeat(squares[:, :, None], 3, axis=2))
    board.paste(image, mask=image.getchannel("A"))
    return board
