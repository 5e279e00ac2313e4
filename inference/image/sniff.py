"""The media type of a file by its content; its name is never asked."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from inference.errors import UnsupportedMedia
from inference.image.jpeg_stream import JPEG_BYTES
from inference.image.video_kinds import video_kind

SNIFF_BYTES = 4096
# First bytes that decide the type on their own.
_SIGNATURES = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "image/jp2": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
}
# Canon CR2 and Phase One IIQ say behind TIFF's header that they are none.
_RAW_IN_TIFF = (b"CR\x02", b"IIII", b"MMMM")
# "P6", width, height: comments may stand between them (netpbm's man pages).
_PNM = re.compile(rb"P[1-6](?:\s|#[^\r\n]*+[\r\n])++\d++(?:\s|#[^\r\n]*+[\r\n])++\d")
_PNM_TEXT = re.compile(rb"(?:[\s\d]|#[^\r\n]*+)*+")
# Brands of the first box: of pictures (ISO/IEC 23008-12 and 23000-22), and of what is neither picture nor video.
_AVIF_BRANDS = {b"avif", b"avis", b"MA1A", b"MA1B"}
_HEIF_BRANDS = {
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"mif3", b"msf1"),
    *(b"miaf", b"MiHA", b"MiHB", b"MiHE", b"avci", b"avcs", b"jpeg", b"jpgs", b"j2ki", b"j2is", b"vvic", b"vvis"),
}
_VIDEO_BRANDS = (b"iso", b"mp4", b"avc", b"qt  ", b"M4V", b"3g", b"dash", b"MSNV", b"F4V", b"XAVC", b"f4v", b"mmp4")
_OTHER_BRANDS = {b"crx ", b"jxs ", b"M4A ", b"M4B ", b"M4P ", b"F4A "}
EXPECTED = (
    "expected an image (JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC, AVIF, JPEG 2000, PNM) "
    "or a video (MP4, MOV, WebM, MKV, AVI, MPEG)"
)


def head_of(file: BinaryIO) -> bytes:
    """As much of a file's beginning as `sniff` needs: SNIFF_BYTES, and of a JPEG, which may be the first of many,
    JPEG_BYTES."""
    head = file.read(SNIFF_BYTES)
    return head + file.read(JPEG_BYTES - SNIFF_BYTES) if head.startswith(_SIGNATURES["image/jpeg"]) else head


def sniff(head: bytes) -> str:
    """The media type ("image/jpeg", "video/mp4" ...) that the first bytes of a file show.

    head: what `head_of` reads, or more. Raises UnsupportedMedia for anything that is neither a known image nor a known
    video.
    """
    head = head[: JPEG_BYTES if head.startswith(_SIGNATURES["image/jpeg"]) else SNIFF_BYTES]
    media_type = _type_of(head)
    if media_type is None:
        raise UnsupportedMedia(_refusal(head))
    return media_type


def _type_of(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return _type_by_brands(head)
    picture = _picture_type(head)
    if picture in (None, "image/jpeg") and (kind := video_kind(head)):
        return kind.media_type
    return picture


def _picture_type(head: bytes) -> str | None:
    for media_type, beginnings in _SIGNATURES.items():
        if head.startswith(beginnings) and not (media_type == "image/tiff" and head[8:].startswith(_RAW_IN_TIFF)):
            return media_type
    if head[:2] == b"BM" and len(head) >= 18 and _is_bmp_header(struct.unpack_from("<I", head, 14)[0]):
        return "image/bmp"
    if _PNM.match(head) and (head[1:2] > b"3" or _PNM_TEXT.fullmatch(head, 2)):
        return "image/x-portable-anymap"
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def _is_bmp_header(size: int) -> bool:
    """Whether it is Windows', or OS/2's: 12 bytes, or the first 16 to 64 of BITMAPINFOHEADER2."""
    return size in (12, 108, 124) or 16 <= size <= 64


def _type_by_brands(head: bytes) -> str | None:
    size = min(struct.unpack(">I", head[:4])[0], len(head))
    major, brands = head[8:12], {head[i : i + 4] for i in (8, *range(16, size - 3, 4))}
    if major in _OTHER_BRANDS:
        return None
    if major in _AVIF_BRANDS | _HEIF_BRANDS or not major.startswith(_VIDEO_BRANDS):
        if brands & _AVIF_BRANDS:
            return "image/avif"
        if brands & _HEIF_BRANDS:
            return "image/heic"
    return "video/quicktime" if major == b"qt  " else "video/mp4"


def _refusal(head: bytes) -> str:
    if not head:
        return f"the file is empty (0 bytes): upload it again; {EXPECTED}"
    what, do = what_it_is(head)
    return f"this is {what}: {do}; {EXPECTED}"


def what_it_is(head: bytes) -> tuple[str, str]:
    """(what a file is that is neither a known image nor a known video, what to do), by its first bytes."""
    from inference.image.other_kinds import binary_kind  # lazily: most files are pictures
    from inference.image.sent_as_text import kind_behind, text_kind

    found = text_kind(head, _type_of) or binary_kind(head) or kind_behind(head, _type_of)
    if found:
        return found
    shown = f"a file of an unknown kind that starts with {head[:8].hex(' ')}"
    return shown, "open it with the program that wrote it and save it as JPEG or PNG"
