"""The PNG files of label ids and masks beside a result, read back; nobody has checked what lies there."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.errors import CorruptMedia, LimitExceeded
from inference.predictions import Masks
from inference.results.document import RleDoc
from inference.results.rle import encode
from inference.small_file import content_of

# A map of 16 bits of the largest picture that is read takes less.
MOST_BYTES = 256 * 1024 * 1024
_MODES = ("1", "L", "I;16", "I")


def read_beside(folder: Path) -> Callable[[str, str], bytes]:
    """A ReadFile below a folder of results on this machine."""

    def read(place: str, name: str) -> bytes:
        base = (folder / place).resolve()
        path = base / inside(place, name)
        try:
            if not path.resolve().is_relative_to(base):
                raise CorruptMedia(f"{folder / place}: {name!r} leads out of the result's folder")
            if (size := path.stat().st_size) > MOST_BYTES:
                raise LimitExceeded(f"{path}: {size} bytes, expected at most {MOST_BYTES}")
            return content_of(path, MOST_BYTES)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise CorruptMedia(f"{path}: cannot be read ({why}); analyse the picture again") from error

    return read


def inside(place: str, name: str) -> str:
    """The name of a file beside a document. Raises CorruptMedia for one that leads elsewhere."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or not path.parts or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        raise CorruptMedia(f"{place}: {name!r} is no file beside the result; analyse the picture again")
    return path.as_posix()


def label_ids(content: bytes, width: int, height: int, where: str) -> NDArray[Any]:
    """The label ids (height, width) of a map. Raises CorruptMedia, with `where` first, for what is no grey PNG of that
    size."""
    try:
        with Pillow.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size != (width, height) or image.mode not in _MODES:
                raise CorruptMedia(
                    f"{where}: a PNG of kind {image.mode}, {image.width} x {image.height} pixels, expected a grey one "
                    f"of {width} x {height}; analyse the picture again"
                )
            return np.array(image)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise CorruptMedia(f"{where}: not a readable PNG ({error}); analyse the picture again") from error


def mask_of(bits: NDArray[np.bool_]) -> tuple[RleDoc, list[int], int] | None:
    """(the mask in run lengths, its box x, y, width, height, its pixels) of bits (height, width); None where all are
    False."""
    rows, columns = np.flatnonzero(bits.any(1)), np.flatnonzero(bits.any(0))
    if not len(rows):
        return None
    x1, y1, x2, y2 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    masks = Masks((bits.shape[0], bits.shape[1]), np.asarray([[x1, y1, x2, y2]]), (bits[y1:y2, x1:x2],))
    return encode(masks, 0), [x1, y1, x2 - x1, y2 - y1], masks.area(0)
