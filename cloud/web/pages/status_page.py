"""The status of the app on one page. Each part is looked at by itself: one that cannot be had is a sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import azure.functions as func

from cloud.machine_paths import text_without_paths
from cloud.web.pages import status_parts
from cloud.web.pages.render import Frame, page
from cloud.web.pages.status_parts import Plot, Row
from inference.errors import DropsightError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A part of the page. rows: of its table, the first its head. plot: drawn bars. trouble: why it cannot be said."""

    title: str
    rows: Sequence[Row] = ()
    empty: str = ""
    plot: Plot | None = None
    trouble: str = ""


# The title, what looks, and what is said where there is nothing.
_PARTS: Sequence[tuple[str, str, str]] = (
    ("Waiting uploads by cause", "waiting", "Nothing waits."),
    ("At work", "working", "Nothing is being worked on."),
    ("Failed uploads by class", "failed", "Nothing has failed."),
    ("Outdated results", "outdated", "No result is outdated."),
    ("Models", "models", "There are no models."),
    ("Routes", "routes", "There are no routes."),
    ("Pipelines", "pipelines", "pipelines.toml names no pipelines."),
    ("Drift", "drift", "Nothing has been compared so far."),
)


def status_page(_: func.HttpRequest, frame: Frame) -> func.HttpResponse:
    """The page."""
    parts = [_part(title, name, empty, frame) for title, name, empty in _PARTS]
    return page("status.html", frame, parts=parts, paused=_paused())


def _part(title: str, name: str, empty: str, frame: Frame) -> Part:
    look: Callable[[Frame], list[Row] | tuple[list[Row], Plot | None]] = getattr(status_parts, name)
    try:
        found = look(frame)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are told
        known = isinstance(error, DropsightError | ValueError)
        log.warning("status page: %s: %s", name, error, exc_info=None if known else True)
        words = text_without_paths(str(error)) if known else f"a fault of ours ({type(error).__name__}); the log has it"
        return Part(title, trouble=words)
    rows, plot = found if isinstance(found, tuple) else (found, None)
    return Part(title, rows if len(rows) > 1 else (), empty, plot)


def _paused() -> bool:
    try:
        return status_parts.paused()
    except Exception:  # noqa: BLE001 - the parts say what is wrong with the settings
        return False
