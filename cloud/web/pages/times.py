"""Moments in the texts of pages: short and in UTC, with what a machine reads beside it; a script makes them local."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)")


def with_times(text: str, now: datetime | None = None) -> Markup:
    """A text, escaped, in which ISO 8601 moments are times that people read. now: for those of today."""
    made, at = Markup(), 0
    for found in _MOMENT.finditer(text):
        moment = _moment(found[0])
        if moment is not None:
            short = short_time(moment, now or datetime.now(UTC))
            made += escape(text[at : found.start()]) + Markup('<time datetime="{}">{}</time>').format(found[0], short)
            at = found.end()
    return made + escape(text[at:])


def short_time(moment: datetime, now: datetime) -> str:
    """A moment in UTC: without its day where that is today, without its year where that is this one."""
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    if moment.date() == now.date():
        return f"{moment:%H:%M} UTC"
    year = "" if moment.year == now.year else f" {moment.year}"
    return f"{moment.day} {moment:%b}{year}, {moment:%H:%M} UTC"


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found
