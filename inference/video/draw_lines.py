"""The lines by which the parts of a long video are drawn, as they are merged, in the order of the clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inference.video.stored import to_line


class DrawLines:
    """Gives `write` each part's number with a line: of each of its samples, and of the sample on either side
    (`beside`), which the frames between need. between: whether there are such frames."""

    def __init__(self, write: Callable[[int, str], None], between: bool) -> None:
        self._write, self._between = write, between
        self._last: dict[str, Any] | None = None
        self._parts: list[int] = []  # since the last sample, the part of that sample first

    def begin(self, number: int) -> None:
        """The samples that come now are of that part."""
        self._parts.append(number)

    def add(self, number: int, line: dict[str, Any]) -> None:
        """A sample of the part of that number: with frames between, the last that has begun."""
        self._pass(line)
        self._write(number, to_line(line))
        self._last, self._parts = line, self._parts[-1:]

    def end(self) -> None:
        """No samples come any more."""
        self._pass(None)

    def _pass(self, line: dict[str, Any] | None) -> None:
        """Gives the parts since the last sample that sample, and this."""
        if not self._between or self._last is None:
            return
        for i, number in enumerate(self._parts):
            if i > 0:
                self._write(number, to_line({**self._last, "beside": "before"}))
            if line is not None and i < len(self._parts) - 1:
                self._write(number, to_line({**line, "beside": "after"}))
