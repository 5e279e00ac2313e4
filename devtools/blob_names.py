"""What a file of the inbox is called in storage, and which names storage cannot hold."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePosixPath

LONGEST_NAME = 1024
MOST_SEGMENTS = 254
# Characters that XML 1.0 has no place for (section 2.2). Azurite takes a blob of such a name, and then answers every
# listing of its container with a 500, so that no other upload would be found. Single surrogates: a name not in UTF-8.
_NOT_IN_LISTINGS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def blob_name(relative: Path) -> str:
    """The blob's name: the path with forward slashes, composed (macOS hands out decomposed names).

    Storage takes a backslash for a slash: under another name than storage's, every start would upload the file again.
    """
    return unicodedata.normalize("NFC", str(PurePosixPath(*relative.parts))).replace("\\", "/")


def check_name(name: str) -> None:
    """Raise ValueError, with what to do, for a blob's name that storage does not take, or could not list."""
    odd = sorted(set(_NOT_IN_LISTINGS.findall(name)))
    if any("\ud800" <= c <= "\udfff" for c in odd):
        raise ValueError("its name is not UTF-8; rename it")
    if odd:
        characters = ", ".join(f"U+{ord(c):04X}" for c in odd)
        raise ValueError(f"its name has characters that storage cannot list ({characters}); rename it")
    units = len(name.encode("utf-16-le")) // 2
    if units > LONGEST_NAME:
        raise ValueError(f"its path has {units} characters, storage takes {LONGEST_NAME}; rename it")
    segments = name.split("/")
    if len(segments) > MOST_SEGMENTS:
        raise ValueError(f"it lies {len(segments) - 1} folders deep, storage takes {MOST_SEGMENTS - 1}; move it up")
    if not segments[-1]:
        raise ValueError("its name ends with a slash, as storage takes it, and would be a folder's; rename it")
    if dotted := next((segment for segment in segments if segment.endswith(".")), None):
        raise ValueError(f"{dotted!r} ends with a dot, which storage and browsers drop; rename it")
