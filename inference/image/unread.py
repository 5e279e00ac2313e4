"""Intact pictures whose kind the decoders do not read, told from broken ones by their own headers."""

from __future__ import annotations

import struct

_SAVE_8_BIT = "convert it to 8-bit RGB (JPEG, PNG or an uncompressed TIFF)"
_SAVE = "save it as a common JPEG or PNG"
# Pillow's words for samples that it has no mode for.
_NO_MODE = ("unknown pixel mode", "unknown data organization", "not yet supported")
_MAX_SEGMENTS = 1000
_BMP_COMPRESSIONS = {
    1: "RLE of 8 bits", 2: "RLE of 4 bits", 3: "bit fields", 4: "a JPEG inside, or OS/2's RLE of 24 bits",
    5: "a PNG inside", 6: "bit fields with alpha", 11: "CMYK", 12: "CMYK RLE", 13: "CMYK RLE",
}  # fmt: skip


def unread_kind(data: bytes, media_type: str, error: BaseException) -> str | None:
    """What a picture is that a decoder refused, with what to do, where it is only of a kind that is not read.

    error: the decoder's. None for what is broken.
    """
    said = f"{error} {error.__cause__ or ''}"
    try:
        if media_type == "image/tiff":
            return _tiff(data, said)
        if media_type == "image/jpeg":
            return _jpeg(data)
        if media_type == "image/bmp":
            return _bmp(data) if "Unsupported BMP" in said else None
        if media_type in ("image/heic", "image/avif"):
            known = "nsupported" not in said and "not been built in" not in said
            return None if known else f"a HEIF picture whose coding is not read ({said.strip()[:120]}): {_SAVE}"
        if media_type == "image/jp2" and "image mode" in said:
            return f"a JPEG 2000 picture of more than four components: {_SAVE_8_BIT}"
    except struct.error:  # cut in its header
        return None
    return None


def _tiff(data: bytes, said: str) -> str | None:
    from PIL.TiffImagePlugin import COMPRESSION_INFO

    from inference.image.tiff_pages import described, first_page, is_unusual

    page = first_page(data)
    if page is None:
        return None
    if data[:4] == b"MM\0+":
        return f"{described(page)}, in a BigTIFF of big-endian order: save it as a plain TIFF or PNG"
    unread = page.compression not in COMPRESSION_INFO or is_unusual(page) or any(words in said for words in _NO_MODE)
    return f"{described(page)}: {_SAVE_8_BIT}" if unread else None


def _jpeg(data: bytes) -> str | None:
    """By the frame header (ITU-T T.81, B.2.2; T.87 for JPEG-LS): what libjpeg decodes is 8-bit, not hierarchical."""
    found = frame_of(data)
    if found is None:
        return None
    marker, bits, components = found
    if marker == 0xF7:
        return f"a JPEG-LS picture: {_SAVE}"
    if marker in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE):
        return f"a hierarchical JPEG: {_SAVE}"
    if marker == 0xCB:
        return f"a lossless JPEG of arithmetic coding: {_SAVE}"
    if bits == 12 or (marker == 0xC3 and bits != 8 and 2 <= bits <= 16):
        return f"a {'lossless ' if marker == 0xC3 else ''}JPEG of {bits} bits a sample: {_SAVE_8_BIT}"
    return f"a JPEG of {components} components: {_SAVE}" if components not in (1, 3, 4) else None


def frame_of(data: bytes) -> tuple[int, int, int] | None:
    """(marker, bits a sample, components) of a JPEG's first frame; None where there is none before its pixels."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        at = data.find(b"\xff", at)
        while data[at + 1 : at + 2] == b"\xff":
            at += 1
        if at < 0 or at + 10 > len(data) or data[at + 1] == 0xDA:
            return None
        marker = data[at + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xDE:
            return marker, data[at + 4], data[at + 9]
        at += 2 + (
            struct.unpack_from(">H", data, at + 2)[0] if 0xC0 <= marker != 0xFF and not 0xD0 <= marker <= 0xD7 else 0
        )
    return None


def _bmp(data: bytes) -> str:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        bits, compression = struct.unpack_from("<H", data, 24)[0], 0
    else:
        bits, compression = struct.unpack_from("<HI", data, 28)
    how = _BMP_COMPRESSIONS.get(compression, "none" if not compression else "unknown")
    masks = ""
    if compression in (3, 6) and size >= 40:
        masks = ", masks " + " ".join(f"{mask:08x}" for mask in struct.unpack_from("<3I", data, 54))
    return f"a BMP of {bits} bits a pixel, compression {compression} ({how}{masks}): {_SAVE}"
