"""The picture in the body of a request, however it was wrapped: a form, base64, a data: URL, JSON."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

from inference.errors import BadRequest, UnsupportedMedia
from inference.image.sniff import sniff

# Members of JSON under which people send pictures.
MEMBERS = ("image", "data", "content", "file", "picture")
_BOUNDARY = re.compile(rb"--([^\r\n]{1,70})\r\n")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_=\s-]+")
_MOST_PARTS, _MOST_HEADERS = 20, 8192
# No picture of that size is without a byte that ends a line.
_LARGE = 8192
_LOST = (
    "the line ends of the picture were taken out on the way, as curl -d does; send it with --data-binary @photo.jpg, "
    "or as a form with -F file=@photo.jpg"
)


@dataclass(frozen=True)
class Envelope:
    """What was in a body. name: of the file, where a form says one."""

    content: bytes
    name: str = ""


def unwrapped(body: bytes, content_type: str) -> Envelope:
    """The picture in a body: what it is says its content, the Content-Type only where a form ends.

    Raises BadRequest where there is no single one; UnsupportedMedia for what is none.
    """
    kind, _, options = content_type.partition(";")
    kind = kind.strip().lower()
    start = body[:4096].lstrip()
    if boundary := _boundary(kind, options, body):
        return _file_of(body, boundary)
    if start.startswith((b"{", b'"')):
        return Envelope(_of_json(body))
    if start[:5].lower() == b"data:":
        return Envelope(_of_text(body))
    if _is_picture(body):
        if kind == "application/x-www-form-urlencoded" and _lost_line_ends(body):
            raise BadRequest(_LOST)
        return Envelope(body)
    decoded = _base64(body) if _BASE64.fullmatch(start) else None
    if decoded is not None and _is_picture(decoded):
        return Envelope(decoded)
    sniff(body)  # raises what says best what it is
    return Envelope(body)


def _is_picture(content: bytes) -> bool:
    try:
        sniff(content)
    except UnsupportedMedia:
        return False
    return True


def _lost_line_ends(body: bytes) -> bool:
    return not (b"\n" in body or b"\r" in body) and (len(body) >= _LARGE or b"\0" not in body)


def _boundary(kind: str, options: str, body: bytes) -> bytes:
    """What stands between the parts of a form; b"" for no form."""
    if kind.startswith("multipart/"):
        header = Message()
        header["Content-Type"] = f"{kind};{options}"
        return (header.get_boundary() or "").encode("latin-1", "replace") or _first_line(body)
    if body.startswith(b"--") and b"content-disposition: form-data" in body[:_MOST_HEADERS].lower():
        return _first_line(body)  # whose Content-Type was lost
    return b""


def _first_line(body: bytes) -> bytes:
    found = _BOUNDARY.match(body)
    if not found:
        raise BadRequest("this is a form (multipart/form-data) that does not say its boundary; send it as curl -F does")
    return found[1]


@dataclass(frozen=True)
class _Part:
    field: str
    name: str
    content: bytes


def _file_of(body: bytes, boundary: bytes) -> Envelope:
    """The one file of a form. Raises BadRequest."""
    parts = list(_parts(body, boundary))
    files = [part for part in parts if part.name] or [part for part in parts if _is_picture(part.content)]
    if len(files) == 1:
        return Envelope(files[0].content, files[0].name)
    if files:
        found = ", ".join(repr(part.name[:60] or part.field[:60]) for part in files)
        raise BadRequest(f"the form has {len(files)} files ({found}), expected one; send each by a request of its own")
    fields = ", ".join(repr(part.field[:60]) for part in parts) or "none"
    raise BadRequest(f"the form has no file (its fields: {fields}), expected one, as by curl -F file=@photo.jpg")


def _parts(body: bytes, boundary: bytes) -> Iterator[_Part]:
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, _MOST_PARTS + 2)
    if len(pieces) > _MOST_PARTS + 2:
        raise BadRequest(f"the form has more than {_MOST_PARTS} parts, expected a single file")
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise BadRequest("the form is cut off, or has another boundary than its Content-Type says; send it again")
    for piece in pieces[1:-1]:
        head, separator, content = piece.partition(b"\r\n\r\n")
        if not separator or len(head) > _MOST_HEADERS:
            raise BadRequest("a part of the form has no headers, or too many; send it as curl -F does")
        headers = HeaderParser().parsestr(head.strip().decode("utf-8", "replace"))
        yield _Part(
            str(headers.get_param("name", "", "content-disposition")),
            headers.get_filename("") or "",
            _transferred(headers, content),
        )


def _transferred(headers: Message, content: bytes) -> bytes:
    if str(headers.get("Content-Transfer-Encoding", "")).strip().lower() != "base64":
        return content
    decoded = _base64(content)
    if decoded is None:
        raise BadRequest("a part of the form says that it is base64, and is none")
    return decoded


def _of_json(body: bytes) -> bytes:
    """The picture in a JSON object, or in a JSON text. Raises BadRequest."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body begins as JSON and is none ({str(error)[:100]})") from error
    if isinstance(document, str):
        return _of_text(document.encode("utf-8", "replace"))
    found = [name for name in MEMBERS if name in document]
    expected = f'expected such as {{"image": "<base64>"}}, with one of {", ".join(MEMBERS)}'
    if len(found) != 1:
        has = ", ".join(repr(str(name)[:40]) for name in list(document)[:10]) or "none"
        raise BadRequest(f"the members of the JSON object are {has}; {expected}")
    text = document[found[0]]
    if not isinstance(text, str):
        raise BadRequest(f"{found[0]} is no text; {expected}")
    return _of_text(text.encode("utf-8", "replace"))


def _of_text(text: bytes) -> bytes:
    """The bytes of base64, or of a data: URL. Raises BadRequest."""
    data = text.strip()
    if data[:5].lower() == b"data:":
        head, separator, data = data.partition(b",")
        if not separator or not head.lower().endswith(b";base64"):
            raise BadRequest("the data: URL is not base64; expected data:image/jpeg;base64,...")
    decoded = _base64(data)
    if decoded is None:
        raise BadRequest(f"what should be base64 is none (it begins with {text[:40].decode('utf-8', 'replace')!r})")
    return decoded


def _base64(text: bytes) -> bytes | None:
    """The bytes of base64 of either alphabet, with or without its padding; None for what is none."""
    compact = b"".join(text.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except binascii.Error:
        return None
