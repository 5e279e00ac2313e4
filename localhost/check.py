"""``python -m localhost --check APP_DIR``: everything about an app that would keep the real host from running it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from localhost import functions, host, routes, settings
from localhost.errors import HostError
from localhost.routes import HttpFunction


def check_app(app_dir: Path, plan: str | None = None) -> int:
    """Prints each function with its problems; returns the exit status: 0 when there are none."""
    try:
        problems_by_name = problems_of(app_dir, plan)
    except HostError as error:
        print(f"{app_dir}: {error}")
        return 1
    for name, problems in problems_by_name.items():
        print(f"{name}: {'fine' if not problems else ''}")
        for problem in problems:
            print(f"    {problem}")
    return 1 if any(problems_by_name.values()) or not problems_by_name else 0


def problems_of(app_dir: Path, plan: str | None = None) -> dict[str, list[str]]:
    """Each function's problems, in the order in which the host takes them. App settings must be in os.environ before.

    Raises :class:`~localhost.errors.HostError` where the app as a whole cannot be indexed.
    """
    prefix = settings.load_host_json(app_dir, os.environ).route_prefix
    earlier: list[HttpFunction] = []
    return {
        entry.get_function_name(): [*functions.problems(entry), *_problems(entry, app_dir, plan, prefix, earlier)]
        for entry in functions.import_app(app_dir)
    }


def _problems(entry: Any, app_dir: Path, plan: str | None, prefix: str, earlier: list[HttpFunction]) -> list[str]:
    """What the host says when it takes a function in; ``earlier`` grows by its route."""
    try:
        function = host.resolve(functions.load(entry, app_dir), plan)
        if function.kind != "httpTrigger":
            return []
        http = HttpFunction(function, prefix)
        routes.check_route(http, earlier)
    except HostError as error:
        return [str(error)]
    overlaps = routes.overlapping(http, earlier)
    earlier.append(http)
    return overlaps
