"""From untrusted bytes to an upright RGB picture, inside stated limits."""

from __future__ import annotations

import io
import math
import struct
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from inference.errors import CorruptMedia, LimitExceeded, OutOfMemory, UnsupportedMedia
from inference.image import damage
from inference.image.chunks import said
from inference.image.colour import ToSrgb, to_srgb
from inference.image.containers import prepared
from inference.image.limits import DEFAULT_LIMITS, Limits, check_bytes, check_size
from inference.image.orientation import orientation_of, upright
from inference.image.pixels import check_scans, eight_bits, memory_a_pixel
from inference.image.sniff import EXPECTED, sniff
from inference.machine import keep_little_memory
from inference.memory import reserve

# Pillow's names of the types that are read.
_IMAGE_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
    "image/avif": "AVIF",
    "image/heic": "HEIF",
    "image/jp2": "JPEG2000",
    "image/x-portable-anymap": "PPM",
}
# Those that a route may have analysed as videos.
ANIMATIONS = ("image/gif", "image/webp", "image/png")


@dataclass(frozen=True)
class Picture:
    """One decoded picture, upright.

    native: 8-bit Pillow image in the file's own colours, RGB where `to_srgb` is None. size: (width, height) of the full
    upright picture; `native` may be smaller when it was decoded at a reduced scale. All coordinates that leave the
    engine are in pixels of `size`.
    orientation: the EXIF value of the file (1..8). frames: how many the file holds (animations give their first), 0
    for not counted. notes: what was assumed or left out while it was read, a sentence each. to_srgb: what brings the
    native colours to sRGB. Whoever resizes or crops takes `native` and ends with `srgb`, since that is quicker for few
    pixels than for all; everyone else takes `image`, `pixels` or `full`.
    """

    native: Pillow.Image
    size: tuple[int, int]
    media_type: str = "image/x-raw"
    orientation: int = 1
    frames: int = 1
    notes: tuple[str, ...] = ()
    to_srgb: ToSrgb | None = None

    @staticmethod
    def of(pixels: NDArray[np.uint8], media_type: str = "image/x-raw") -> Picture:
        """A picture of an (H, W, 3) uint8 RGB array, such as a video frame."""
        image = Pillow.fromarray(pixels)
        return Picture(image, image.size, media_type)

    def srgb(self, part: Pillow.Image) -> Pillow.Image:
        """What was resized or cropped of `native`, as sRGB."""
        return self.to_srgb(part) if self.to_srgb else part

    @cached_property
    def image(self) -> Pillow.Image:
        """Pillow RGB image, sRGB, at the decoded scale."""
        return self.srgb(self.native)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 sRGB, read-only, at the decoded scale."""
        return np.asarray(self.image)

    def full(self) -> Pillow.Image:
        """The picture at its full size."""
        return self.image if self.image.size == self.size else self.image.resize(self.size, Pillow.Resampling.BICUBIC)


def cropped(picture: Picture, box: tuple[float, float, float, float]) -> Picture:
    """The part of a picture inside `box` (xyxy in its pixels), widened to whole pixels, at least 1 x 1."""
    whole = picture.native.size == picture.size
    full = picture.native if whole else picture.full()
    x1, y1 = (min(max(math.floor(v), 0), side - 1) for v, side in zip(box[:2], full.size, strict=True))
    x2, y2 = min(math.ceil(box[2]), full.width), min(math.ceil(box[3]), full.height)
    crop = full.crop((x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)))
    return Picture(crop, crop.size, picture.media_type, to_srgb=picture.to_srgb if whole else None)


def own_process() -> None:
    """For programs, whose process is theirs: only our own limits count, and Pillow is quiet about odd metadata.

    A library must not do this to its host: `decode` works without it, under Pillow's limits for the few pictures
    whose decoders ask for them (WebP, tiled TIFF; 179 megapixels unless the host says otherwise).
    """
    keep_little_memory()
    Pillow.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings("ignore", module="PIL")


def open_image(file: BinaryIO, kind: str) -> Pillow.Image:
    """Pillow's image of a file of Pillow's format `kind`, header read, for `check_size` to look at.

    Not through Pillow.open, which holds it to a limit that is global to the process and may be below ours, and
    knows HEIF only in processes that registered it. Raises UnidentifiedImageError, and what Pillow's decoders raise.
    """
    if kind == "HEIF":
        from pi_heif import HeifImageFile  # lazily: it brings its own codec libraries

        factory, accept = HeifImageFile, None
    elif kind == "TIFF":
        from inference.image.tiff import Tiff  # lazily: Pillow loads its own at the first TIFF

        factory, accept = Tiff, None
    else:
        Pillow.preinit()
        if kind not in Pillow.OPEN:
            Pillow.init()
        factory, accept = Pillow.OPEN[kind]
    start = file.tell()
    fits = accept is None or accept(file.read(16))
    file.seek(start)
    if not fits or isinstance(fits, str):  # in words: what this Pillow was built without
        raise UnidentifiedImageError(fits or f"not {kind}")
    try:
        image: Pillow.Image = factory(file, "")
        return image
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(_plain(error)) from error


def open_file(file: damage.File, kind: str) -> tuple[Pillow.Image, damage.File]:
    """`open_image` of what `damage.prepared` gives; again without metadata where the header cannot be read."""
    try:
        image = open_image(io.BytesIO(file.data), kind)
    except BROKEN:
        file = file.without_metadata()
        image = open_image(io.BytesIO(file.data), kind)
    if file.at_once:
        image.decodermaxblock = len(file.data)  # type: ignore[attr-defined]
    return image, file


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS, at_least: int | None = None, media_type: str = "") -> Picture:
    """Decode an image file to an upright RGB picture.

    at_least: a JPEG may be decoded at 1/2, 1/4 or 1/8 scale as long as its shorter side keeps this many
    pixels; None decodes in full. Grey, palette, CMYK, 16-bit and float pictures come out as 8-bit sRGB;
    transparency is laid over white; animations give their first frame, TIFF its first page that is no reduced copy. Of
    the file's metadata nothing stays but what its colours mean. media_type: as `sniff` says, where it was asked before.
    Raises UnsupportedMedia, CorruptMedia, LimitExceeded, OutOfMemory.
    """
    check_bytes(len(data), limits)
    media_type = media_type or sniff(data)
    if media_type not in _IMAGE_FORMATS:
        raise UnsupportedMedia(f"this is a video ({media_type}); expected an image here")
    try:
        return _decode(data, media_type, limits, at_least)
    except BROKEN as error:
        raise _refused(data, media_type, error) from error
    except Pillow.DecompressionBombError as error:
        raise LimitExceeded(f"{_plain(error)}: scale it down first, or raise PIL.Image.MAX_IMAGE_PIXELS") from error
    except MemoryError as error:
        raise OutOfMemory(
            f"decoding the {media_type} ran out of memory; give the process more, or less to do at once"
        ) from error


# Kinds whose pixels mostly are stored as they are.
_PLAIN = ("image/tiff", "image/bmp", "image/x-portable-anymap")
_AGAIN = "export or upload the file again"
# Pillow's decoders raise any of these on broken files, whichever line trips first; RuntimeError is AVIF's.
BROKEN = (
    OSError, SyntaxError, ValueError, struct.error, EOFError, LookupError, TypeError, RuntimeError, AssertionError,
)  # fmt: skip


def _refused(data: bytes, media_type: str, error: BaseException) -> UnsupportedMedia | CorruptMedia:
    """Of a picture that a decoder refused: an intact file of a kind that is not read, or a broken one."""
    from inference.image.sent_as_text import changed_on_the_way  # lazily: most pictures are read
    from inference.image.unread import unread_kind

    if how := changed_on_the_way(data, compressed=media_type not in _PLAIN):
        return CorruptMedia(f"the file begins like {media_type}, but {how}")
    if kind := unread_kind(data, media_type, error):
        return UnsupportedMedia(f"this is {kind}; {EXPECTED}")
    if isinstance(error, UnidentifiedImageError):
        return CorruptMedia(f"the file begins like {media_type} but has no readable header; {_AGAIN}")
    return CorruptMedia(f"the {media_type} data is broken ({_plain(error)}); {_AGAIN}")


def _plain(error: BaseException) -> str:
    return (str(error) or type(error).__name__).replace("\n", " ")[:200]


def _decode(data: bytes, media_type: str, limits: Limits, at_least: int | None) -> Picture:
    data, pages, note = prepared(data, media_type, limits)
    image, file = open_file(damage.prepared(data, media_type), _IMAGE_FORMATS[media_type])

    def opened() -> Pillow.Image:
        return open_image(io.BytesIO(file.data), _IMAGE_FORMATS[media_type])

    memory = memory_a_pixel(image, media_type)
    check_size(*image.size, limits, memory)
    reserve(image.size[0] * image.size[1] * memory)
    check_scans(image, file.data)
    frames, some = (pages, 0) if pages is not None else _frames(image, media_type, file.data)
    # Pillow turns a TIFF when it loads it, and says the upright size before; AVIF gives its own turn as an EXIF value.
    tiff = media_type == "image/tiff"
    orientation = orientation_of(image) if tiff else 1
    width, height = image.size
    # A lossless JPEG has no tables of quantization, and no smaller scales.
    if at_least and image.format == "JPEG" and image.mode in ("RGB", "L") and getattr(image, "quantization", None):
        ratio = max(at_least / min(width, height), 0.125)
        image.draft(image.mode, (int(width * ratio), int(height * ratio)))
    note = note or _of_several(media_type, frames, some)
    notes = [*([note] if note else []), *file.notes]
    if image.mode == "I" and image.format == "PPM":
        image = image.convert("I;16")  # 16 bits, as dark as they may be
    image.info |= said(image, file.data, media_type)
    native = eight_bits(image, opened, notes)
    file.check(image)
    convert = to_srgb(image.info, native.mode, notes)
    if convert is None and native.mode != "RGB":
        native = native.convert("RGB")
    # HEIF's decoder turns the picture itself, and its EXIF value is for information only.
    if not tiff and media_type != "image/heic":
        orientation = orientation_of(image)
    turn = 1 if tiff else orientation
    native = upright(native, turn)
    native.info = {}  # Pillow would write the file's comment and profile into whatever is saved of this picture
    size = (height, width) if turn >= 5 else (width, height)
    return Picture(native, size, media_type, orientation, frames, tuple(notes), convert)


def _of_several(media_type: str, frames: int, some: int) -> str:
    """What is said where one picture of several is read; "" where the others are its copies (MPO) or missing.

    some: how many there are at least, where they were not counted to the end.
    """
    if max(frames, some) < 2 or media_type == "image/jpeg":
        return ""
    if media_type == "image/tiff":
        return f"it holds {frames} pictures, of which the first is analysed; split it to have all"
    more = "; animations = true in the route's [route.video] analyses all" if media_type in ANIMATIONS else ""
    many = str(frames) if frames else f"at least {some:,}"
    return f"an animation of {many} frames, of which the first is analysed{more}"


def _frames(image: Pillow.Image, media_type: str, data: bytes) -> tuple[int, int]:
    """(how many pictures the file holds or 0, at least how many where counting would mean walking through all of a
    large file)."""
    if media_type == "image/heic":
        return 1, 0
    if media_type == "image/gif":
        from inference.image import gif_blocks  # loaded already

        counted = gif_blocks.count(data)
        return (counted.pictures, 0) if counted.all else (0, counted.pictures)
    return int(getattr(image, "n_frames", 1)), 0
