"""Time zones as a person writes them."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from inference.tables import closest

_AS_IN = "; write a name of the IANA list, as in Europe/Zurich"


def check_zone(zone: str) -> None:
    """Raise ValueError, with what to write instead, where `zone` is no name of the IANA list."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"time_zone {zone!r} is not known{_instead(zone)}") from error


def _instead(zone: str) -> str:
    if zone.endswith(" Time"):
        return ": it is a name of Windows; write the IANA name, as in Europe/Zurich or America/New_York"
    if re.search(r"[+-]\d", zone):
        return "; write a place, as in Europe/Zurich, or a fixed offset: Etc/GMT-2 is two hours ahead of UTC"
    if re.fullmatch(r"[A-Z]{0,5}", zone):  # an abbreviation is like many that mean something else
        return _AS_IN
    known = sorted(available_timezones())
    word = zone.replace(" ", "_").lower()
    same = [name for name in known if word in (name.lower(), name.lower().rpartition("/")[2])]
    if not same and not any(name.startswith(f"{zone}/") for name in known) and (near := closest(zone, known)):
        same = [near]
    return f"; did you mean {' or '.join(map(repr, same))}?" if same else _AS_IN
