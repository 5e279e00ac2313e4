"""Finds an app's functions: imports function_app.py, asks the library for them, and checks them as the worker does.

Served are HTTP, blob, queue and timer triggers. Any other decorator is refused by its name, for that function alone.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import traceback
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

from localhost.errors import BindingError, FunctionLoadError, IndexingError

SCRIPT = "function_app.py"
TRIGGERS = ("httpTrigger", "blobTrigger", "queueTrigger", "timerTrigger")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Function:
    """One indexed function: its trigger as the worker sends it to the host, and how it is called.

    ``pytype`` is the annotation of the trigger's parameter; ``sdk_type`` whether that is a client (BlobClient ...),
    which is sent a reference instead of the content.
    """

    name: str
    call: Callable[..., Any]
    directory: str
    trigger: Mapping[str, Any]
    pytype: Any
    sdk_type: bool
    takes_context: bool

    @property
    def full_name(self) -> str:
        return f"Host.Functions.{self.name}"

    @property
    def kind(self) -> str:
        return str(self.trigger["type"])

    @property
    def argument(self) -> str:
        return str(self.trigger["name"])

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.call)

    @property
    def wants_text(self) -> bool:
        """Whether the host decodes the body, which not every body allows; it sends bytes otherwise."""
        return str(self.trigger.get("dataType", "")).upper() == "STRING"


def import_app(app_dir: Path) -> list[Any]:
    """Imports the app and returns the library's function objects, in the alphabetical order in which the real host
    takes them. App settings must be in os.environ before.

    Raises :class:`IndexingError` with the worker's message.
    """
    file = app_dir / SCRIPT
    if not file.exists():
        raise IndexingError(f"{app_dir}: no {SCRIPT} here. Name the folder that holds host.json and {SCRIPT}.")
    if str(app_dir) not in sys.path:
        sys.path.insert(0, str(app_dir))
    try:
        module = importlib.import_module(file.stem)
    except ImportError as error:
        raise IndexingError(
            f"{type(error).__name__}: {error}. Cannot find module. Please check the requirements.txt file for the "
            f"missing module. Current sys.path: {sys.path}"
        ) from error
    except Exception as error:
        raise IndexingError(f"{file} cannot be imported.\n{traceback.format_exc()}") from error
    if Path(str(module.__file__)).resolve() != file.resolve():
        raise IndexingError(f"{file}: another module named {file.stem!r} was imported ({module.__file__}).")
    apps = list({id(v): v for v in vars(module).values() if isinstance(v, func.FunctionRegister)}.values())
    if not apps:
        raise IndexingError(f"Could not find top level function app instances in {SCRIPT}.")
    if len(apps) > 1:
        raise IndexingError(
            f"More than one FunctionApp or other top level function app instances are defined in {SCRIPT}."
        )
    if not isinstance(apps[0], func.FunctionApp):
        raise IndexingError(
            f"{type(apps[0]).__name__} in {SCRIPT} is not served by this local host: use func.FunctionApp, or run the "
            "app with Core Tools."
        )
    try:
        return sorted(apps[0].get_functions(), key=lambda entry: str(entry.get_function_name()).upper())
    except ValueError as error:
        raise IndexingError(str(error)) from error


def load(entry: Any, app_dir: Path) -> Function:
    """One function object of the library, checked.

    Raises :class:`FunctionLoadError` where the worker would load no function at all, :class:`BindingError` for a
    decorator that this host does not serve.
    """
    name, call = entry.get_function_name(), entry.get_user_function()
    _refuse_unsupported(entry)
    trigger = next(raw for raw in map(json.loads, entry.get_raw_bindings()) if raw["type"] in TRIGGERS)
    parameters = set(inspect.signature(call).parameters)
    annotations = typing.get_type_hints(call)
    takes_context = "context" in parameters and trigger["name"] != "context"
    if takes_context:
        parameters.remove("context")
        _check_context(name, annotations)
    for extra, where in ((parameters - {trigger["name"]}, "Python but not in function.json"),
                         ({trigger["name"]} - parameters, "function.json but not in Python")):  # fmt: skip
        if extra:
            raise FunctionLoadError(name, f"the following parameters are declared in {where}: {extra!r}")
    annotated, pytype = trigger["name"] in annotations, annotations.get(trigger["name"])
    registry = sdk_registry()
    sdk_type = bool(annotated and registry and registry.check_supported_type(pytype))
    if annotated:
        _check_annotation(name, trigger, pytype, sdk_type)
    if trigger["type"] == "httpTrigger" and "return" in annotations:
        _check_return(name, annotations["return"])
    return Function(name, call, str(app_dir), trigger, pytype, sdk_type, takes_context)


def sdk_registry() -> Any:
    """The registry of SDK types (BlobClient ...), or None where the extension is not installed."""
    try:
        from azurefunctions.extensions import base
    except ImportError:
        return None
    return base.get_binding_registry()


def converter(binding: str) -> Any:
    """The library's converter for a binding type."""
    return func.get_binding_registry().get(binding)  # type: ignore[no-untyped-call]


def problems(entry: Any) -> list[str]:
    """What the real host or worker says about a function only once it runs; empty when it would run well."""
    name = entry.get_function_name()
    promised = typing.get_type_hints(entry.get_user_function()).get("return", Any)
    messages = []
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,127}", name):
        messages.append(f"'{name}' is not a valid function name. Use letters, digits, '-' and '_', a letter first.")
    if entry.get_trigger().type != "httpTrigger" and promised not in (Any, type(None), typing.NoReturn, typing.Never):
        messages.append(f"function {name!r} without a $return binding returns {inspect.formatannotation(promised)}")
    return messages


def _refuse_unsupported(entry: Any) -> None:
    for binding in entry.get_bindings():
        if binding.type not in TRIGGERS and (binding.type, binding.name) != ("http", "$return"):
            decorator = _WORD.sub("_", type(binding).__name__.lstrip("_")).lower()
            raise BindingError(_unsupported(decorator, binding.type))
    if entry.get_settings_dict("retry_policy"):
        raise BindingError(_unsupported("retry", "retry policy"))


def _unsupported(decorator: str, what: str) -> str:
    return (
        f"the decorator @app.{decorator} ({what}) is not served by this local host, which knows HTTP, blob, queue and "
        "timer triggers: read and write with the storage SDK in the function, or run the app with Core Tools."
    )


def _check_context(name: str, annotations: Mapping[str, Any]) -> None:
    annotation = annotations.get("context")
    if "context" in annotations and not (isinstance(annotation, type) and annotation.__name__ == "Context"):
        raise FunctionLoadError(
            name, f'the "context" parameter is expected to be of type azure.functions.Context, got {annotation!r}'
        )


def _check_annotation(name: str, trigger: Mapping[str, Any], pytype: Any, sdk_type: bool) -> None:
    kind = trigger["type"]
    known = sdk_registry().get(kind) if sdk_type else converter(kind)
    try:
        fits = pytype in (str, bytes) or known.check_input_type_annotation(pytype)
    except (TypeError, AttributeError):
        fits = False  # issubclass() of what is no type, or an SDK type that this trigger has none of
    if not fits:
        raise FunctionLoadError(
            name,
            f'type of {trigger["name"]} binding in function.json "{kind}" does not match its Python annotation '
            f'"{getattr(pytype, "__name__", pytype)}"',
        )


def _check_return(name: str, pytype: Any) -> None:
    if not isinstance(pytype, type):
        raise FunctionLoadError(name, f"has invalid non-type return annotation {pytype!r}")
    if not converter("http").check_output_type_annotation(pytype):
        message = f'Python return annotation "{pytype.__name__}" does not match binding type "http"'
        raise FunctionLoadError(name, message)
