"""Finds an app's functions: imports function_app.py and asks the library for its functions, as the worker does."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.functions as func

from localhost import contract
from localhost.errors import IndexingError
from localhost.settings import parse_timespan

_NO_CHANGE = ("name", "type", "direction")


@dataclass(frozen=True)
class Retry:
    """A function's retry policy: up to ``count`` more attempts (-1: for ever), waiting between the two bounds."""

    count: int
    exponential: bool
    minimum: timedelta
    maximum: timedelta


@dataclass(frozen=True)
class Function:
    """One indexed function: its raw bindings (as the worker sends them to the host) and how it is called."""

    name: str
    call: Callable[..., Any]
    directory: str
    bindings: tuple[Mapping[str, Any], ...]
    signature: contract.Signature
    retry: Retry | None = None

    @property
    def full_name(self) -> str:
        return f"Host.Functions.{self.name}"

    @property
    def trigger(self) -> Mapping[str, Any]:
        return next(binding for binding in self.bindings if str(binding["type"]).lower().endswith("trigger"))

    @property
    def kind(self) -> str:
        return str(self.trigger["type"])

    def sends_sdk_type(self) -> bool:
        """Whether the host sends a reference instead of the trigger's content (an SDK-type binding).

        The host withholds the reference when the first binding beside the trigger (inputs before outputs)
        contains an expression, and sends bytes; the worker then fails. That trap is kept.
        """
        parameter = self.signature.inputs.get(str(self.trigger["name"]))
        return bool(parameter and parameter.deferred) and not self._first_has_expression()

    def _first_has_expression(self) -> bool:
        others = [b for b in self.bindings if b is not self.trigger]
        others.sort(key=lambda binding: str(binding.get("direction", "IN")).upper() != "IN")
        if not others:
            return False
        return any("{" in value for key, value in others[0].items() if isinstance(value, str) and key not in _NO_CHANGE)


def import_app(app_dir: Path, script: str) -> list[Any]:
    """Imports the app's script and returns the library's function objects. App settings must be in os.environ
    before.

    Raises :class:`IndexingError` with the worker's message.
    """
    if not (app_dir / script).exists():
        raise IndexingError(f"{app_dir}: no {script} here. Name the folder that holds host.json and {script}.")
    if str(app_dir) not in sys.path:
        sys.path.insert(0, str(app_dir))
    module_name = Path(script).stem
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise IndexingError(
            f"{type(error).__name__}: {error}. Cannot find module. Please check the requirements.txt file for the "
            f"missing module. Current sys.path: {sys.path}"
        ) from error
    except Exception as error:
        raise IndexingError(f"{app_dir / script} cannot be imported.\n{traceback.format_exc()}") from error
    if Path(str(module.__file__)).resolve() != (app_dir / script).resolve():
        raise IndexingError(
            f"{app_dir / script}: another module named {module_name!r} was imported ({module.__file__})."
        )
    apps = {id(value): value for value in vars(module).values() if isinstance(value, func.FunctionRegister)}
    if len(apps) != 1:
        found = (
            "Could not find top level function app instances"
            if not apps
            else "More than one FunctionApp or other top level function app instances are defined"
        )
        raise IndexingError(f"{found} in {script}.")
    try:
        return list(next(iter(apps.values())).get_functions())
    except ValueError as error:
        raise IndexingError(str(error)) from error


def index(app_dir: Path, script: str = "function_app.py") -> list[Function]:
    """All functions of an app; one function that cannot be loaded fails the whole app, as in the real worker."""
    return [load(found, app_dir) for found in import_app(app_dir, script)]


def load(found: Any, app_dir: Path) -> Function:
    """One function object of the library, checked and with its raw bindings."""
    name = found.get_function_name()
    call = found.get_user_function()
    signature = contract.load_signature(name, call, found.get_bindings())
    return Function(
        name=name,
        call=call,
        directory=str(app_dir),
        bindings=tuple(_raw_bindings(found, signature)),
        signature=signature,
        retry=_retry(found.get_settings_dict("retry_policy")),
    )


def _raw_bindings(found: Any, signature: contract.Signature) -> list[dict[str, Any]]:
    if not signature.deferred:
        return [json.loads(raw) for raw in found.get_raw_bindings()]
    raws, _ = contract.deferred_registry().get_raw_bindings(found, signature.inputs)
    return [json.loads(raw) for raw in raws]


def _retry(policy: Mapping[str, Any] | None) -> Retry | None:
    if not policy:
        return None
    exponential = policy["strategy"] != "fixed_delay"
    minimum = policy.get("minimum_interval") if exponential else policy.get("delay_interval")
    maximum = policy.get("maximum_interval") if exponential else minimum
    return Retry(int(policy["max_retry_count"]), exponential, _interval(minimum), _interval(maximum))


def _interval(text: str | None) -> timedelta:
    span = parse_timespan(text or "")
    if span is None:
        raise IndexingError(f"time data {text!r} does not match format '%H:%M:%S' (an interval of a retry policy).")
    return span
