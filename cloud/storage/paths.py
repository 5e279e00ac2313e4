"""Where an upload's name leads: hostile ones never leave their container, odd ones keep their identity."""

from __future__ import annotations

import hashlib
import posixpath
import re

from inference.errors import LimitExceeded, UnsupportedMedia
from inference.plain_text import single

# Azure's limit for a blob's name is 1,024 characters; what we append ("/<key>/masks/123.png") must fit too.
MAX_NAME = 900

# Escaped in our own paths: control characters, dots that end a segment (services and file systems drop them,
# "." and ".." are such), the slash of an empty segment, and a % that would read like such an escape.
_ODD = re.compile(r"[\x00-\x1f\x7f]|\.(?=\.*(?:/|\Z))|(?<![^/])/|/\Z|%(?=[0-9A-Fa-f]{2})")


def canonical(name: str) -> str:
    """The upload's name as storage itself will call it (it turns backslashes into slashes).

    Raises UnsupportedMedia for `.` and `..` segments: no client can address such a blob, because every
    HTTP library resolves them, and the request would reach another blob or even another container.
    """
    name = name.replace("\\", "/")
    if any(segment in (".", "..") for segment in name.split("/")):
        raise UnsupportedMedia(
            f"{name!r}: the name has a '.' or '..' segment, which leads elsewhere in a URL; "
            "expected a plain path: upload the file under another name"
        )
    return name


def output_path(name: str) -> str:
    """The path of this upload's results, errors and receipt: the name itself, odd characters escaped as %XX.

    Different names never share a path. Raises LimitExceeded for names so long that results would not fit.
    """
    path = _ODD.sub(lambda match: "".join(f"%{byte:02X}" for byte in match.group().encode()), name)
    if len(path) > MAX_NAME:
        raise LimitExceeded(
            f"{name[:80]!r}...: the name has {len(path)} characters; expected at most {MAX_NAME}, because "
            "the paths of its results are longer: upload the file under a shorter name"
        )
    return path


def record_path(name: str) -> str:
    """As output_path, but for every name: a name that is too long is cut, and a hash keeps it distinct."""
    try:
        return output_path(name)
    except LimitExceeded:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        # Escapes of output_path have capitals, so that none of its paths is this one: a name cannot be made to meet it.
        return f"{_ODD.sub('_', name[: MAX_NAME - 200])}%7e{digest[:24]}"


def record_prefix(prefix: str) -> str:
    """A beginning of the record_path of every name that begins with `prefix`; others may have it, too."""
    odd = _ODD.search(f"{prefix}x")  # as the name may go on
    plain = prefix[: odd.start()] if odd else prefix
    # What follows decides whether a dot or a % is escaped, and where a name is cut.
    return re.sub(r"(?:\.+|%[0-9A-Fa-f]?)\Z", "", plain)[: MAX_NAME - 200]


def name_problem(text: str) -> str:
    """Why a text can be no blob's name, nor the beginning of one or a pattern; "" where it can."""
    if not text:
        return "a name is empty, as of a variable that is not set"
    if any("\ud800" <= char <= "\udfff" for char in text):  # halves of UTF-16's pairs, or bytes that were no UTF-8
        return f"{text[:100]!r} is no UTF-8, as all names in storage are"
    return f"{text[:100]!r} has a NUL character, as no name in storage has" if "\0" in text else ""


def printable(text: str) -> str:
    """A name as it may stand in a log line or on a terminal: see `single`."""
    return single(text)


def requested_path(path: str) -> str | None:
    """The blob that a URL path asks for, normalised, or None where it would leave the container."""
    path = path.replace("\\", "/").strip("/")
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts) or any(ord(char) < 32 for char in path):
        return None
    if name_problem(path):
        return None
    return posixpath.join(*parts)
