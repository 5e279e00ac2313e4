"""Pictures that arrive as text, other texts, and bytes that a text mode has changed: in words, with what to do."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Callable
from itertools import islice
from urllib.parse import unquote_to_bytes

from inference.image.other_kinds import BINARY, DRAWING, NOTHING, NUMBERS, PAGES, RENDER, SAVE, SOUND

_BYTES = "send the bytes of the picture"
_BODY = "send the picture as the body itself (curl --data-binary @photo.jpg)"
_DECODE = f"decode it and {_BYTES} (in Power Automate and Logic Apps: base64ToBinary)"
_PAGE = "it may be an error or a sign-in page in place of the picture: download the picture itself"
_BESIDE = "nothing to analyse: the picture is the file beside it"

# What a file begins with, in lower case; what follows may be binary. The first that fits counts.
_BEGINNINGS = (
    (b"%pdf", "a PDF document", PAGES),
    (b"%!ps", "a PostScript or EPS file", DRAWING),
    (b"{\\rtf", "an RTF document", PAGES),
    (b"p7\n", "a PAM picture", "convert it to PPM, PNG or JPEG"),
    (b"pf\n", "a PFM picture of floating point numbers", SAVE),
    (b"pf4\n", "a PFM picture of floating point numbers", SAVE),
    (b"#?radiance", "a Radiance HDR picture", SAVE),
    (b"#?rgbe", "a Radiance HDR picture", SAVE),
    (b"/* xpm */", "an XPM picture", SAVE),
    (b"#define ", "C text, maybe an XBM picture", SAVE),
    (b"image type: ", "an IM picture", SAVE),
    (b"paint shop pro image", "a Paint Shop Pro document", SAVE),
    (b"id=imagemagick", "an ImageMagick MIFF picture", SAVE),
    (b"simple  =", "a FITS file of astronomy", NUMBERS),
    (b"xisf0100", "an XISF file of astronomy", NUMBERS),
    (b"nrrd0", "an NRRD volume", NUMBERS),
    (b"objecttype =", "a MetaImage volume", NUMBERS),
    (b"matlab 5.0", "a MATLAB file", NUMBERS),
    (b"ply\n", "a 3D model (PLY)", RENDER),
    (b"ply\r\n", "a 3D model (PLY)", RENDER),
    (b"blender", "a Blender scene", RENDER),
    (b"#!amr", "an AMR file", SOUND),
    (b"version https://git-lfs", "a Git LFS pointer in place of the file", "run `git lfs pull`, send the file itself"),
    (b"[.shellclassinfo]", "a desktop.ini of a Windows folder", NOTHING),
    (b"[internetshortcut]", "a shortcut to a web page (.url)", "download the picture and send that"),
    (b"age-encryption.org/", "an encrypted file (age)", "decrypt it first"),
    (b"-----begin pgp", "an encrypted file (PGP)", "decrypt it first"),
    (b"http/", "an answer of a web server with its headers", _BYTES),
    (b"post /", "an HTTP request with its headers", _BYTES),
    (b"put /", "an HTTP request with its headers", _BYTES),
    (b"<svg", "an SVG drawing", DRAWING),
    (b"<!doctype html", "a web page", _PAGE),
    (b"<html", "a web page", _PAGE),
    (b"<head", "a web page", _PAGE),
    (b"<script", "a web page", _PAGE),
    (b"<x:xmpmeta", "an XMP side file", _BESIDE),
    (b"delivered-to:", "an e-mail", "send the attached pictures"),
    (b"return-path:", "an e-mail", "send the attached pictures"),
    (b"received:", "an e-mail", "send the attached pictures"),
    (b"mime-version:", "an e-mail", "send the attached pictures"),
)  # fmt: skip
# What an XML file holds, by what stands anywhere in its beginning.
_XML = (
    (b"<svg", "an SVG drawing", DRAWING),
    (b"<html", "a web page", _PAGE),
    (b"<!doctype plist", "an Apple property list (such as an .AAE side file of an iPhone photo)", _BESIDE),
    (b"<x:xmpmeta", "an XMP side file", _BESIDE),
    (b"<error", "an error that a server answered with, as XML", "download the picture again"),
)
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_FORM = re.compile(rb"[\w.%+\[\]-]{1,100}=[!-~]+")
_NUMBER = re.compile(rb"(?<![\w\".])\d{1,3}(?![\w\".])")
_START = re.compile(
    rb"\xff\xd8\xff[\xdb\xe0-\xef]|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBPVP8|....ftyp(?:heic|avif|mif1)", re.S
)
_NAME = re.compile(r"@?[^\n]{1,300}\.(jpe?g|png|gif|webp|tiff?|bmp|hei[cf]|avif|mp4|mov)", re.IGNORECASE)
RUNS_TRIED = 8

# The media type of bytes, None for what is neither a picture nor a video.
TypeOf = Callable[[bytes], str | None]


def text_kind(head: bytes, type_of: TypeOf) -> tuple[str, str] | None:
    """(what it is, what to do) of a text, or of a picture that text surrounds; None for anything else."""
    text = _text(head)
    start = head if text is None else text.encode("utf-8")
    low = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if low.startswith(b"--") and b"content-disposition: form-data" in low:
        return "a form (multipart/form-data), as curl -F and web pages send it", _BODY
    for beginning, what, do in _BEGINNINGS:
        if low.startswith(beginning):
            return what, do
    if b"\nmime-version:" in low:
        return "an e-mail or a saved web page (MHTML)", "send the pictures in it"
    if low.startswith(b"<") and (found := next(((what, do) for part, what, do in _XML if part in low), None)):
        return found
    if text is None:
        return _once_binary(head, type_of)
    return _pictured(text, type_of) or (("XML text", _BYTES) if low.startswith(b"<") else _plain(text))


def _pictured(text: str, type_of: TypeOf) -> tuple[str, str] | None:
    """A picture written as text: base64 (bare, in JSON, in a data: URL or a form), hexadecimal, Python's bytes."""
    data = text.encode("utf-8").strip()
    if data[:2] in (b"b'", b'b"') and b"\\x" in data:
        return "the text that Python prints for bytes", f"{_BYTES}, written to a file opened as binary"
    numbers = bytes(int(n) for n in _NUMBER.findall(data[:400]) if int(n) < 256)
    if kind := type_of(numbers):
        return f"a list of numbers, the bytes of a picture ({kind})", _BYTES
    form = data.partition(b"=")[2] if _FORM.fullmatch(data) else b""
    if form and (kind := type_of(unquote_to_bytes(form))):
        return f"form text of a picture ({kind})", _BODY
    compact = b"".join(unquote_to_bytes(data).replace(b"\\/", b"/").split())
    if re.fullmatch(rb"(0x|\\x)?[0-9a-fA-F]{16,}", compact):
        digits = compact.removeprefix(b"0x").removeprefix(b"\\x")
        kind = type_of(binascii.unhexlify(digits[: len(digits) // 2 * 2]))
        if kind:
            return f"hexadecimal text of a picture ({kind})", f"decode it and {_BYTES}"
    # Where lines are longer than the shortest run, also line by line: the word before them may be of the same alphabet.
    runs = [*islice(_RUN.finditer(compact), RUNS_TRIED), *islice(_RUN.finditer(data), RUNS_TRIED)]
    for run in runs:
        if kind := type_of(_decoded(run.group())):
            where = " in JSON" if data[:1] in b"{[" else " in a form" if form else ""
            return f"base64 text of a picture ({kind}){where}", _DECODE
    return None


def _decoded(run: bytes) -> bytes:
    """The bytes of base64 text, of either alphabet; its last incomplete group is left out."""
    return base64.b64decode(run[: len(run) // 4 * 4].replace(b"-", b"+").replace(b"_", b"/"))


def _plain(text: str) -> tuple[str, str]:
    start = text.strip()
    data = start.encode("utf-8")
    if start.startswith("data:"):
        return "a data: URL", _DECODE
    if re.match(r"[{\[]\s*[\"{\[\d}\]-]", start):
        return "JSON text", f"{_BYTES} itself, without JSON around it"
    if re.fullmatch(r"https?://\S+", start):
        return "the address of a web page or a file", "download the picture and send its bytes"
    if _NAME.fullmatch(start):
        return "the name of a file, without its content", _BODY
    if b"=" in data[1:101] and _FORM.fullmatch(data):
        return "form text (application/x-www-form-urlencoded)", _BODY
    return "a text file", "there is no picture in it; give the picture or video itself"


def _once_binary(head: bytes, type_of: TypeOf) -> tuple[str, str] | None:
    """Binary content that was read as text of one encoding and written as UTF-8, or as UTF-16 (PowerShell's >)."""
    encoding = _utf_16(head) or "utf-8"
    try:
        text = "" if head.isascii() else codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return None
    for read_as in ("latin-1", "cp1252", "cp437", "cp850"):  # the last two of Windows' consoles
        if kind := type_of(text.encode(read_as, "ignore")):
            return f"a picture ({kind}) that was written as text ({encoding.upper()[:6].rstrip('-')})", BINARY
    return ("a binary file that was read as text (UTF-8)", BINARY) if head.count(b"\xef\xbf\xbd") > 2 else None


def kind_behind(head: bytes, type_of: TypeOf) -> tuple[str, str] | None:
    """A picture that begins later than with the first byte: behind a header, a length, an odd line end."""
    start = _START.search(head, 1)
    if start and (kind := type_of(head[start.start() :])):
        return f"a picture ({kind}) behind {start.start():,} other bytes", "send the picture alone"
    return None


def _text(head: bytes) -> str | None:
    """The text, UTF-8 or UTF-16, if it has no control characters; its last character may be cut."""
    encoding = _utf_16(head) or "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return None
    return text if all(c.isspace() or unicodedata.category(c) != "Cc" for c in text) else None


def _utf_16(head: bytes) -> str:
    """The name of UTF-16 for what begins with its mark, or has 0 for every second of its first bytes; else ""."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    even, odd = head[:64:2], head[1:64:2]
    if len(odd) < 4 or any(even) == any(odd):
        return ""
    return "utf-16-le" if any(even) else "utf-16-be"


def changed_on_the_way(data: bytes, compressed: bool) -> str:
    """How a text mode changed a binary file that is broken, as a clause with what to do; "" where none did.

    compressed: each value of a byte is as frequent as the others (one in 256), so that missing line ends mean something
    in some kilobytes.
    """
    if data.count(b"\xef\xbf\xbd") * 100 > len(data):
        return f"its bytes were read as text (UTF-8) on the way: {BINARY}"
    stripped = data.startswith(b"JFIF", 5) or (b"Exif" in data[4:11] and b"Exif\0\0" not in data[4:12])
    if not stripped and (len(data) < 8192 or not compressed):
        return ""
    feeds, returns = data.count(b"\n"), data.count(b"\r")
    if not feeds and not returns:
        return f"its line ends were taken out on the way, as curl -d does: {BINARY}"
    if not returns or (feeds == data.count(b"\r\n")):
        return f"its line ends were changed on the way: {BINARY}"
    return ""
