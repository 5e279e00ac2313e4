"""The app as the host takes it in, function by function, and everything that keeps it from running (``--check``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from localhost import app_functions, host_settings
from localhost.app_functions import Function
from localhost.blob_trigger import BlobPattern, is_by_events
from localhost.errors import BindingError, HostError
from localhost.host_storage import Accounts, check_name
from localhost.http_routes import HttpFunction, check_route, overlapping
from localhost.timer_trigger import TimerSchedule

FLEX = "flex"
PLANS = (FLEX,)
#: Kinds of triggers that read storage, by the binding extensions of host.json's bundle.
STORED = ("blobTrigger", "queueTrigger")


class AppIndex:
    """An app's functions, taken in one after the other as the host does. App settings must be in os.environ before.

    Where there are ``accounts``, the connections of all functions must name one. Raises :class:`HostError` where the
    host cannot start, or the worker would load nothing.
    """

    def __init__(self, app_dir: Path, plan: str | None, accounts: Accounts | None = None) -> None:
        self.app_dir = app_dir
        self.config = host_settings.load_host_json(app_dir, os.environ)
        self.entries: dict[str, Any] = {e.get_function_name(): e for e in app_functions.import_app(app_dir)}
        self.functions: list[Function] = []
        self.http: list[HttpFunction] = []
        self._plan = plan
        self._accounts = accounts

    def add(self, name: str) -> Function:
        """Takes a function in, after checking everything that can be wrong with its trigger.

        Raises :class:`BindingError` with the host's message where the host would run the other functions alone,
        :class:`~localhost.host_settings.FunctionLoadError` where the worker would load none of them.
        """
        function = resolve(app_functions.load(self.entries[name], self.app_dir), self._plan)
        if function.kind in STORED and not self.config.bundle:
            raise BindingError(
                f"The binding type(s) '{function.kind}' are not registered. Please ensure the type is correct and "
                "the binding extension is installed: host.json has no extensionBundle."
            )
        if function.kind in STORED and self._accounts:
            self._accounts.get(function.trigger.get("connection"))
        if function.kind == "httpTrigger":
            http = HttpFunction(function, self.config.route_prefix)
            check_route(http, self.http)
            self.http.append(http)
        self.functions.append(function)
        return function


def problems_of(app_dir: Path, plan: str | None = None) -> dict[str, list[str]]:
    """What would keep the real host or worker from running each function, in the order in which the host takes them.

    App settings must be in os.environ before. Raises :class:`HostError` where the app as a whole cannot be indexed.
    """
    index = AppIndex(app_dir, plan)
    problems = {name: app_functions.problems(entry) for name, entry in index.entries.items()}
    for name, messages in problems.items():
        try:
            function = index.add(name)
        except HostError as error:
            messages.append(str(error))
            continue
        if function.kind == "httpTrigger":
            messages += overlapping(index.http[-1], index.http[:-1])
    return problems


def resolve(function: Function, plan: str | None) -> Function:
    """The function with every ``%SETTING%`` of its trigger replaced, after checking what needs no account.

    Raises :class:`BindingError` with the host's message; the host then runs the other functions.
    """
    trigger: Mapping[str, Any] = {
        key: host_settings.resolve(value, os.environ)
        if isinstance(value, str) and key not in ("name", "type")
        else value
        for key, value in function.trigger.items()
    }
    function = replace(function, trigger=trigger)
    if function.kind == "blobTrigger":
        BlobPattern(str(trigger["path"]))
        if plan == FLEX and not is_by_events(function):
            raise BindingError(
                "a polling blob trigger never fires on the Flex Consumption plan. Set its source to EventGrid (this "
                "app: BLOB_TRIGGER_SOURCE=EventGrid)."
            )
    elif function.kind == "queueTrigger":
        check_name(str(trigger["queueName"]).lower(), "queue")
    elif function.kind == "timerTrigger":
        TimerSchedule(str(trigger["schedule"]))
    return function
