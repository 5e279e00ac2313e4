"""JSON text that every reader takes, and cells of CSV that no spreadsheet runs. Imports nothing that costs."""

from __future__ import annotations

import json
import math
from typing import Any

# What spreadsheets take for the beginning of a formula (OWASP, "CSV Injection"), in full width as well.
_FORMULA = (*"=+-@", *"\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def json_text(document: Any, *, indent: int | None = None, compact: bool = False, ascii_only: bool = False) -> str:
    """A document as JSON (RFC 8259), which has no NaN and no infinity: what is not finite becomes null.

    Models' numbers are finite long before (engine/finite.py); this holds for whatever else a number was made of.
    """
    how: dict[str, Any] = {"indent": indent, "ensure_ascii": ascii_only}
    if compact:
        how["separators"] = (",", ":")
    try:
        return json.dumps(document, allow_nan=False, **how)
    except ValueError:
        return json.dumps(_finite(document), allow_nan=False, **how)


def json_bytes(document: Any) -> bytes:
    """A document as compact JSON in UTF-8. Halves of UTF-16's pairs, which only JSON can say, stay escapes."""
    return json_text(document, compact=True).encode("utf-8", "backslashreplace")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def cell(value: Any) -> Any:
    """A value for csv.writer: text that a spreadsheet would run as a formula begins with an apostrophe; numbers stay
    numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
