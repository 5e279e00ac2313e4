"""A state document, broken in every way that a disk, a hand or another program breaks one."""

from __future__ import annotations

import json
from typing import Any

# Every way but the last makes it unreadable; a further key is of a later release, and read over.
WAYS = ("cut off", "empty", "{}", "[]", "null", "no text", "wrong type", "a further key")
READABLE = ("a further key",)


def broken(document: dict[str, Any], way: str, key: str, wrong: object) -> bytes:
    """The document broken in this way; `key` is the member that has the wrong type then."""
    contents = {
        "cut off": json.dumps(document).encode()[:-9],
        "empty": b"",
        "no text": b"\xff\xfe\x00",
        "wrong type": json.dumps({**document, key: wrong}).encode(),
        "a further key": json.dumps({**document, "colour": "blue"}).encode(),
    }
    return contents.get(way, way.encode())
