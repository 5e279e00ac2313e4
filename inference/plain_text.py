"""Names as they may stand on a terminal and in a log: uploads, models and labels may be called anything.

Imports nothing that costs.
"""

from __future__ import annotations

import logging
import traceback
import unicodedata
from typing import Any

# Control characters, line and paragraph separators, bytes that are no UTF-8, and what turns the direction of writing.
_BREAKING = ("Cc", "Zl", "Zp", "Cs")
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def single(text: str) -> str:
    """The text without line breaks and control characters, which file names may have."""
    odd = {c for c in text if c in _TURNING or unicodedata.category(c) in _BREAKING}
    return text.translate({ord(c): c.encode("unicode_escape").decode("ascii") for c in odd})


def plain_lines(text: str) -> str:
    """As `single`, line by line: for text of several lines, whose breaks are meant."""
    return "\n".join(map(single, text.split("\n")))


def _entry(text: str) -> str:
    """An entry of a traceback: a place in the code has its two lines, what an exception says is one."""
    ours = text.startswith(("  File ", "\n"))
    return plain_lines(text) if ours else f"{single(text.rstrip(chr(10)))}\n"


class _PlainRecord(logging.LogRecord):
    """A record whose message is a single line, whatever names are in it, and whose traceback forges no line either."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.exc_info and self.exc_info[1]:
            self.exc_text = "".join(map(_entry, traceback.format_exception(self.exc_info[1]))).rstrip("\n")

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        return single(super().getMessage())


def plain_logs(*packages: str) -> None:
    """What these packages log has no control characters from now on. For programs, whose process is theirs."""
    before = logging.getLogRecordFactory()

    def record(name: str, *args: Any, **more: Any) -> logging.LogRecord:
        ours = name.partition(".")[0] in packages
        return _PlainRecord(name, *args, **more) if ours else before(name, *args, **more)

    logging.setLogRecordFactory(record)
