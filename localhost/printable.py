"""Names in log lines: blobs may be called anything."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control characters, line breaks and what turns the direction of writing escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
