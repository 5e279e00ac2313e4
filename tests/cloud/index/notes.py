"""Uploads as the index notes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cloud.index.entry import Entry
from cloud.index.rows import Note

BEGUN = datetime(2026, 11, 1, 8, tzinfo=UTC)


def moment(minutes: float) -> datetime:
    return BEGUN + timedelta(minutes=minutes)


def entry(name: str = "a.jpg", minutes: float = 0, **members: Any) -> Entry:
    """An upload of so many minutes after the beginning."""
    known: dict[str, Any] = {"etag": "0x1", "state": "done", "receipt": "0xr", "created": moment(minutes)}
    return Entry(name, **{**known, **members})


def note(name: str = "a.jpg", minutes: float = 0, **members: Any) -> Note:
    return Note(entry(name, minutes, **members), moment(minutes + 1))
