"""What the samples of a decoded file mean, in 8 bits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile

from inference.image.alpha import opaque
from inference.image.deep import Scale, little_used, to_8_bits

if TYPE_CHECKING:
    from inference.image.tiff import Tiff

_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
# Raw modes whose low bytes their neighbour reads: Pillow keeps the high bytes of colours only.
_LITTLE = sys.byteorder == "little"
_LOW_BYTES = {"L": "B", "B": "L", "N": "B" if _LITTLE else "L"}


# Bytes that decoding takes for a pixel, all copies counted, as measured at 25 megapixels. WebP's decoder keeps two
# canvases, AVIF's and HEIC's the planes beside the colours; deep samples are scaled in floating point.
_ITS_DECODER = {"image/webp": 22, "image/avif": 17, "image/heic": 17}
_USUAL, _TRANSPARENT, _DEEP = 10, 13, 24


def memory_a_pixel(image: Pillow.Image, media_type: str) -> int:
    """Bytes that decoding it takes for a pixel. image: not loaded yet."""
    deep = ";16" in _raw_mode(image) and image.mode in ("RGB", "RGBA")
    if deep or image.mode in ("I", "F"):
        return _DEEP
    return _ITS_DECODER.get(media_type, _TRANSPARENT if image.mode in ("RGBA", "LA", "PA") else _USUAL)


def check_scans(image: Pillow.Image, data: bytes) -> None:
    """Raises LimitExceeded for a TIFF of JPEGs with more scans than any picture needs. image: not loaded yet."""
    if tiff := _as_tiff(image):
        tiff.check_scans(data)


def eight_bits(image: Pillow.Image, again: Callable[[], Pillow.Image], notes: list[str]) -> Pillow.Image:
    """The pixels without transparency: RGB, or L, CMYK where a profile may say what their numbers are.

    image: not loaded yet. again: opens the same picture once more. notes: gets what was assumed. Deep samples are
    scaled (see `deep`). Raises what Pillow's decoders raise.
    """
    tiff = _as_tiff(image)
    premultiplied = False
    if tiff:
        notes += tiff.notes
        premultiplied = tiff.premultiplied
    raw = _raw_mode(image)
    image.load()
    if ";16" in raw and image.mode in ("RGB", "RGBA"):
        colour = _deep_colour(image, raw, again, notes)
        return colour.convert("L") if raw.startswith("LA") else colour
    if image.mode in _DEEP_GREY or (tiff and image.mode == "L" and tiff.signed_8):
        return _deep_grey(image, notes)
    if image.format == "JPEG2000" and (deep := _deep_jpeg2000(image, again, notes)):
        return deep
    if image.has_transparency_data:
        over = opaque(image, image.format, premultiplied, notes)
        return over.convert("L") if image.mode in ("1", "L", "LA", "La") else over
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "LAB":
        image.info.pop("icc_profile", None)  # what Pillow makes of it is sRGB
    return image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")


def _raw_mode(image: Pillow.Image) -> str:
    tile = getattr(image, "tile", None)
    args = tile[0].args if tile else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _scale(image: Pillow.Image, values: NDArray[Any]) -> Scale:
    """What the file says of its deep numbers."""
    tiff = _as_tiff(image)
    if tiff is None:
        significant = int(image.info.get("significant_bits", 16))  # scaled to all 16 (PNG, 11.3.2.7), or not
        within = 8 < significant < 16 and int(values.max()) < 2**significant
        return Scale(full=float(2**significant - 1) if within else None)
    full = float(2**tiff.bits - 1) if 8 < tiff.bits < 16 else None
    return Scale(full, tiff.stated_range, tiff.nodata, tiff.white_is_zero)


def _deep_grey(image: Pillow.Image, notes: list[str]) -> Pillow.Image:
    values: NDArray[Any] = np.asarray(image)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    tiff = _as_tiff(image)
    if image.mode == "L":
        values = values.view(np.int8)
    elif image.mode == "I" and tiff:
        signed = np.int16 if tiff.bits == 16 else np.int32
        values = values.view(np.uint32) if tiff.unsigned_32 else values.astype(signed)
    grey = to_8_bits(values, _scale(image, values), notes)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Pillow.fromarray(grey)


def _deep_colour(image: Pillow.Image, raw: str, again: Callable[[], Pillow.Image], notes: list[str]) -> Pillow.Image:
    """16 bits a channel: Pillow's high bytes, unless they use so little of the range that the low ones count."""
    kind, tiff = image.format, _as_tiff(image)
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    key = image.info.pop("transparency", None)
    if isinstance(key, tuple):  # a PNG's transparent colour, which Pillow would look for among the high bytes
        alpha = Pillow.fromarray((_16_bits(image, raw, again) != key).any(axis=2)).convert("L")
    used = not little_used(image.histogram()[: 3 * 256], tiff.nodata if tiff else None)
    if not used and raw[:-1] in ("RGB;16", "RGBX;16", "RGBA;16", "LA;16"):
        values = _16_bits(image, raw, again)
        image = Pillow.fromarray(to_8_bits(values, _scale(image, values), notes))
        if alpha and not np.asarray(alpha).max() >= 250:
            notes.append("its fourth channel uses little of its range, too: ignored")
        elif alpha:
            image.putalpha(alpha)
    elif not used:
        notes.append("its 16-bit values use little of their range, and are not stretched: it may look black")
    elif alpha and image.mode == "RGB":
        image.putalpha(alpha)
    premultiplied = bool(tiff and tiff.premultiplied)
    return opaque(image, kind, premultiplied, notes) if image.has_transparency_data else image


def _deep_jpeg2000(image: Pillow.Image, again: Callable[[], Pillow.Image], notes: list[str]) -> Pillow.Image | None:
    """None where it has no colours or alpha of more than 8 bits. image: loaded, so that OpenJPEG calls it sound."""
    if image.mode not in ("RGB", "RGBA", "LA"):
        return None
    from inference.image.jpeg2000 import is_deep, sixteen_bits  # lazily: few pictures are JPEG 2000

    file = again()
    assert isinstance(file, ImageFile) and file.fp
    file.fp.seek(0)
    data = file.fp.read()
    if not is_deep(data):
        return None
    values = sixteen_bits(data, image.size)
    out = Pillow.fromarray(to_8_bits(values[:, :, 0] if image.mode == "LA" else values[:, :, :3], Scale(), notes))
    if image.mode != "RGB":
        out.putalpha(Pillow.fromarray((values[:, :, 3] >> 8).astype(np.uint8)))
        out = opaque(out, image.format, False, notes)
    return out.convert("L") if image.mode == "LA" else out


def _16_bits(image: Pillow.Image, raw: str, again: Callable[[], Pillow.Image]) -> NDArray[np.uint16]:
    """(H, W, 3), or (H, W) of grey, of a loaded image of which Pillow has the high bytes."""
    low = again()
    assert isinstance(low, ImageFile)
    if tiff := _as_tiff(low):
        if tiff.in_planes:  # libtiff gives high bytes only
            from inference.image.tiff import plane

            return np.stack([np.asarray(plane(tiff, i), np.uint16) for i in range(3)], axis=2)
        low.info.pop("xmp", None)  # as for `image`: see `orientation_of`
    # Grey and alpha have four bytes as RGBA has: their high and low ones.
    swapped = "RGBA" if raw == "LA;16B" else raw[:-1] + _LOW_BYTES[raw[-1]]
    low.tile = [
        tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped) for tile in low.tile
    ]
    if swapped == "RGBA":
        pairs = np.asarray(low).astype(np.uint16)
        return np.asarray(pairs[:, :, 0] << 8 | pairs[:, :, 1], np.uint16)
    values = np.asarray(image.convert("RGB")).astype(np.uint16)
    values <<= 8
    values |= np.asarray(low.convert("RGB"))
    return values


def _as_tiff(image: Pillow.Image) -> Tiff | None:
    if image.format != "TIFF":
        return None
    from inference.image.tiff import Tiff  # lazily: it brings Pillow's reader of TIFF

    return image if isinstance(image, Tiff) else None
