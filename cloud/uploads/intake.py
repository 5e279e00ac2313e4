"""The pause of intake: uploads stay where they are, and are analysed after it."""

from __future__ import annotations

from cloud.settings import BadSettings, Settings

PAUSED = "INTAKE is paused: uploads wait, untouched, until it is `on` again"


def is_paused(settings: Settings) -> bool:
    """Whether no upload is begun. What was begun goes on: jobs of long videos, and requests over HTTP."""
    return settings.intake == "paused"


def refuse_if_paused(settings: Settings) -> None:
    """Raises BadSettings while intake is paused, for what a person asks for by hand."""
    if is_paused(settings):
        raise BadSettings(f"{PAUSED}; set INTAKE to on, then ask again")
