"""The timer functions of pipelines.toml, made while the app is indexed.

Standard library and azure.functions only. A wrong entry becomes a line of `problems`, which the deep health
shows; everything else of the app is indexed as if it were not there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import azure.functions as func

from cloud.settings import text_of

if TYPE_CHECKING:
    from cloud.pipelines.entries import Pipelines

APP = Path(__file__).resolve().parents[2]
FOLLOW = "0 * * * * *"
DELIVER = "30 */10 * * * *"


def file() -> Path:
    """pipelines.toml, or what PIPELINES_FILE names."""
    return APP / text_of("PIPELINES_FILE")


@cache
def pipelines() -> Pipelines:
    """The file as this process read it."""
    from cloud.pipelines import entries

    return entries.read(file())


def register(app: func.FunctionApp) -> None:
    """Add a timer function for each usable pipeline, one that follows the runs, and what else the file asks for."""
    if _only_comments(file()):  # most apps have no pipelines: their start does not pay for the parser
        return
    usable = [entry for entry in pipelines().entries if entry.enabled]
    for entry in usable:
        _add(app, f"pipeline_{entry.name.replace('-', '_')}", entry.schedule.ncrontab, _wake(entry.name))
    if pipelines().entries:  # one that is not enabled may still be run by hand, or by drift
        _add(app, "follow_pipelines", FOLLOW, _follow)
    if pipelines().models:
        _add(app, "deliver_models", DELIVER, _deliver)
        _add_webhook(app)
    if drift := pipelines().drift:
        _add(app, "check_drift", drift.schedule, _drift)
    if lake := pipelines().lake:
        _add(app, "fill_lake", lake, _lake)


def _only_comments(path: Path) -> bool:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return not path.exists()
    return all(line.strip() == "" or line.lstrip().startswith("#") for line in lines)


def _add(app: func.FunctionApp, name: str, schedule: str, body: Callable[[], None]) -> None:
    def tick(timer: func.TimerRequest) -> None:
        body()

    tick.__name__ = tick.__qualname__ = name
    # The host's monitor fires once for ticks missed while the app was down; the slots are ours to compute.
    decorated = app.timer_trigger(arg_name="timer", schedule=schedule, run_on_startup=False, use_monitor=True)
    app.function_name(name)(decorated(tick))


def _wake(name: str) -> Callable[[], None]:
    def body() -> None:
        from cloud.pipelines import app

        app.wake(pipelines().find(name))

    return body


def _follow() -> None:
    from cloud.pipelines import app

    app.follow(pipelines())


def _deliver() -> None:
    from cloud.models import app

    app.deliver_all()


def _drift() -> None:
    from cloud.drift import app

    app.on_timer()


def _lake() -> None:
    from cloud import lake

    lake.on_timer()


def _add_webhook(app: func.FunctionApp) -> None:
    def model_registered(req: func.HttpRequest) -> func.HttpResponse:
        from cloud.models import app as models

        return models.on_events(req)

    app.function_name("model_registered")(app.route("models/events", methods=["POST"])(model_registered))
