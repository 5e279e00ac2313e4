"""The status of the app on one page. Each part is looked at by itself: one that cannot be had is a sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import azure.functions as func

from cloud.machine_paths import text_without_paths
from cloud.web.pages import status_parts
from cloud.web.pages.render import Frame, page
from cloud.web.pages.status_parts import Plot, Row
from inference.errors import DropsightError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A part of the page. rows: of its table, the first its head. calm: what is said where there is nothing, or above
    what is folded away. plot: drawn bars. trouble: why it cannot be said. urgent: whether somebody should do
    something about it."""

    title: str
    rows: Sequence[Row] = ()
    calm: str = ""
    plot: Plot | None = None
    trouble: str = ""
    urgent: bool = False


# The title, what looks, what is said where there is nothing, and what is said above rows that need no attention.
_PARTS: Sequence[tuple[str, str, str, str]] = (
    ("Failed uploads", "failed", "Nothing has failed.", ""),
    ("Waiting uploads", "waiting", "Nothing waits.", "Nothing but their turn or their time is waited for."),
    ("Outdated results", "outdated", "No result is outdated.", ""),
    ("At work", "working", "Nothing is being worked on.", ""),
    ("Models", "models", "There are no models.", "All can be used."),
    ("Routes", "routes", "There are no routes.", "All can be used."),
    ("Pipelines", "pipelines", "pipelines.toml names no pipelines.", "None has failed."),
    ("Drift", "drift", "Nothing has been compared so far.", ""),
)


def status_page(_: func.HttpRequest, frame: Frame) -> func.HttpResponse:
    """The page: what needs attention first."""
    parts = [_part(*said, frame) for said in _PARTS]
    paused = _paused()
    return page(
        "status.html", frame, paused=paused, now=datetime.now(UTC).isoformat(timespec="seconds"),
        urgent=[part for part in parts if part.urgent], rest=[part for part in parts if not part.urgent],
    )  # fmt: skip


def _part(title: str, name: str, empty: str, calm: str, frame: Frame) -> Part:
    look: Callable[[Frame], list[Row] | tuple[list[Row], Plot | None]] = getattr(status_parts, name)
    try:
        found = look(frame)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are told
        known = isinstance(error, DropsightError | ValueError)
        log.warning("status page: %s: %s", name, error, exc_info=None if known else True)
        words = text_without_paths(str(error)) if known else f"a fault of ours ({type(error).__name__}); the log has it"
        return Part(title, trouble=words, urgent=True)
    rows, plot = found if isinstance(found, tuple) else (found, None)
    rows = [[replace(cell, text=text_without_paths(cell.text)) for cell in row] for row in rows]
    if len(rows) < 2:
        return Part(title, calm=empty, plot=plot)
    urgent = any(cell.trouble for row in rows[1:] for cell in row)
    # What somebody should look at stands above what is as it should be.
    body = sorted(rows[1:], key=lambda row: not any(cell.trouble for cell in row))
    return Part(title, [rows[0], *body], "" if urgent else calm, plot, urgent=urgent)


def _paused() -> bool:
    try:
        return status_parts.paused()
    except Exception:  # noqa: BLE001 - the parts say what is wrong with the settings
        return False
