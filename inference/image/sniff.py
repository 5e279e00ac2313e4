"""The media type of a file by its content; its name is never asked."""

from __future__ import annotations

import codecs
import struct
import unicodedata

from inference.errors import UnsupportedMedia

SNIFF_BYTES = 4096
# First bytes that decide the type on their own.
_SIGNATURES = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "video/x-flv": (b"FLV\x01",),
    "video/x-ms-wmv": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",),
    "video/mpeg": (b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\0\0\x01\xb0"),
}
_RIFF = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_BMP_HEADER_SIZES = (12, 40, 52, 56, 108, 124)
# What is uploaded by mistake.
_OTHERS = {
    "a web page or XML text": (b"<!doctype", b"<html", b"<?xml", b"<svg"),
    "a PDF document": (b"%pdf",),
    "a zip archive": (b"pk\x03\x04",),
}


def sniff(head: bytes) -> str:
    """The media type ("image/jpeg", "video/mp4" ...) that the first bytes of a file show.

    head: at least the first SNIFF_BYTES of the file, or all of it.
    Raises UnsupportedMedia for anything that is neither a known image nor a known video container.
    """
    if head[4:8] == b"ftyp":
        return _sniff_ftyp(head)
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "video/quicktime"
    for media_type, beginnings in _SIGNATURES.items():
        if head.startswith(beginnings):
            return media_type
    if head[:2] == b"BM" and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADER_SIZES:
        return "image/bmp"
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:1] == head[188:189] == head[376:377] == b"G":
        return "video/mp2t"
    raise UnsupportedMedia(_refusal(head))


def _sniff_ftyp(head: bytes) -> str:
    size = min(struct.unpack(">I", head[:4])[0], len(head))
    brands = {head[8:12]} | {head[i : i + 4] for i in range(16, size - 3, 4)}
    if brands & {b"avif", b"avis"}:
        return "image/avif"
    if head[8:12] in _HEIF_BRANDS:
        return "image/heic"
    return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"


def _refusal(head: bytes) -> str:
    expected = (
        "expected an image (JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC, AVIF) or a video (MP4, MOV, WebM, MKV, AVI, MPEG)"
    )
    if not head:
        return f"the file is empty (0 bytes); {expected}. Upload it again"
    start = head.lstrip()[:15].lower()
    kinds = (kind for kind, beginnings in _OTHERS.items() if start.startswith(beginnings))
    other = "a text file" if _is_text(head) else f"a file of an unknown kind that starts with {head[:8].hex(' ')}"
    return f"this is {next(kinds, other)}; {expected}"


def _is_text(head: bytes) -> bool:
    """Whether the bytes are UTF-8 without control characters; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(c.isspace() or unicodedata.category(c) != "Cc" for c in text)
