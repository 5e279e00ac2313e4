"""``python -m localhost --check APP_DIR``: everything about an app that would keep the real host from running it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from localhost import app, bindings, contract, names, settings
from localhost.errors import HostError
from localhost.routes import Route
from localhost.schedule import parse_schedule

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS")


def check_app(app_dir: Path) -> int:
    """Prints each function with its problems; returns the exit status: 0 when there are none."""
    try:
        found = problems_of(app_dir)
    except HostError as error:
        print(f"{app_dir}: {error}")
        return 1
    for name, problems in found.items():
        print(f"{name}: {'fine' if not problems else ''}")
        for problem in problems:
            print(f"    {problem}")
    return 1 if any(found.values()) or not found else 0


def problems_of(app_dir: Path) -> dict[str, list[str]]:
    """Each function's problems. App settings must be in os.environ before.

    Raises :class:`~localhost.errors.HostError` where the app as a whole cannot be indexed.
    """
    settings.load_host_json(app_dir, os.environ)
    script = settings.setting(os.environ, "PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
    result: dict[str, list[str]] = {}
    routes: dict[tuple[str, str], str] = {}
    for found in app.import_app(app_dir, script):
        name = found.get_function_name()
        result[name] = contract.problems(name, found.get_user_function(), found.get_bindings())
        if not result[name]:
            try:
                function = bindings.resolve(app.load(found, app_dir), lambda key: settings.setting(os.environ, key))
                if function.kind == "httpTrigger":
                    names.check_route(str(function.trigger.get("route") or name))
                    Route(str(function.trigger.get("route") or name))
                elif function.kind == "timerTrigger":
                    parse_schedule(str(function.trigger["schedule"]))
            except HostError as error:
                result[name].append(str(error))
        result[name] += _taken_routes(name, found.get_trigger(), routes)
    return result


def _taken_routes(name: str, trigger: Any, routes: dict[tuple[str, str], str]) -> list[str]:
    """Routes that another function has already, parameter names aside; ``routes`` grows by this function's."""
    if trigger.type != "httpTrigger":
        return []
    template = re.sub(r"\{[^{}:]*", "{", str(trigger.route or name).strip("/").lower())
    methods = [str(method) for method in trigger.methods or ()] or list(METHODS)
    problems = [
        f"'{name}' has the route and the method {method} of {routes[template, method]}."
        for method in methods
        if (template, method) in routes
    ]
    routes.update({(template, method): name for method in methods})
    return problems[:1]
