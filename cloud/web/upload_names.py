"""The names of uploads in the addresses of the API: always the last segment, with slashes in it."""

from __future__ import annotations

import re
import unicodedata

from cloud.storage.paths import MAX_NAME, name_problem, output_path
from cloud.uploads.names import LONGEST
from inference.errors import BadRequest, LimitExceeded

_SLASH = re.compile("%2f", re.IGNORECASE)


def decoded(name: str) -> str:
    """The name that a path has: `a/b.jpg`, or `a%2Fb.jpg`, which some hosts decode and others leave.

    So a name that has %2F in it cannot be said in an address: the command `python -m cloud` takes any name.
    """
    return _SLASH.sub("/", name)


def upload_name(given: str, *, new: bool = False) -> str:
    """The upload that the last segment of a path names. new: it is to be written. Raises BadRequest."""
    name = decoded(given).replace("\\", "/")
    if problem := name_problem(name):
        raise BadRequest(problem)
    if odd := next((char for char in name if ord(char) < 32 or ord(char) == 127 or (new and _is_odd(char))), None):
        raise BadRequest(f"{name[:100]!r} has the control character {odd!r}; give the upload another name")
    # What was put into storage otherwise may have empty segments, but a folder is no upload.
    refused = ("", ".", "..") if new else (".", "..")
    if name.endswith("/") or any(segment in refused for segment in name.split("/")):
        raise BadRequest(
            f"{name[:100]!r} is not the plain name of an upload: it ends with a slash, or has an empty segment, a '.' "
            "or a '..' between its slashes; expected such as street/photo.jpg"
        )
    if len(name) > LONGEST:
        raise BadRequest(f"the name has {len(name):,} characters, and no name in storage has more than {LONGEST:,}")
    if new:
        _check_room(name)
    return name


def _is_odd(char: str) -> bool:
    """Whether lists of storage, which are XML, cannot say it, or nobody can read it: with U+FFFE in a single name some
    storage lists no upload any more."""
    return unicodedata.category(char) == "Cc" or ord(char) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF


def _check_room(name: str) -> None:
    try:
        output_path(name)
    except LimitExceeded:
        raise BadRequest(
            f"the name has {len(name):,} characters, expected at most {MAX_NAME}, since the paths of its results are "
            "longer: upload it under a shorter name"
        ) from None
