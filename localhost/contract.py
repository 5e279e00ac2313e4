"""What the Python worker checks when it loads a function: its signature against its bindings.

``python -m localhost --check APP_DIR`` lists every problem of an app; the host itself stops at the first one,
as the real worker does. The messages are the worker's.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from localhost.errors import FunctionLoadError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True)
class Parameter:
    """A parameter (or the return value) bound to ``binding``: a converter's name, or ``generic`` for str and bytes."""

    name: str
    binding: str
    pytype: Any = None
    deferred: bool = False


@dataclass(frozen=True)
class Signature:
    """How a Python function is called: what the worker learns from its signature and its bindings."""

    inputs: Mapping[str, Parameter]
    outputs: Mapping[str, Parameter]
    returns: Parameter | None
    requires_context: bool
    is_async: bool

    @property
    def deferred(self) -> bool:
        return any(parameter.deferred for parameter in self.inputs.values())


class Generic:
    """The worker's converter for bindings that the library has none for, and for plain str and bytes parameters."""

    @staticmethod
    def check_input_type_annotation(pytype: Any) -> bool:
        return issubclass(pytype, (str, bytes))

    @staticmethod
    def check_output_type_annotation(pytype: Any) -> bool:
        return issubclass(pytype, (str, bytes, bytearray))

    @staticmethod
    def has_implicit_output() -> bool:
        return True

    @staticmethod
    def encode(obj: Any, *, expected_type: Any) -> Any:
        kinds = {
            str: "string",
            bytes: "bytes",
            bytearray: "bytes",
            dict: "dict",
            list: "list",
            int: "int",
            float: "double",
        }
        kind = kinds.get(type(obj))
        if kind is None and obj is not None:
            raise NotImplementedError
        return func.meta.Datum(bytes(obj) if kind == "bytes" else obj, kind)

    @staticmethod
    def decode(data: Any, *, trigger_metadata: Any) -> Any:
        return None if data is None or data.type is None else data.value


def deferred_registry() -> Any:
    """The SDK-type bindings' registry, or None where no extension is installed."""
    try:
        from azurefunctions.extensions import base
    except ImportError:
        return None
    return base.get_binding_registry()


def converter(binding: str, deferred: bool = False) -> Any:
    """The converter class registered for a binding type."""
    registry = deferred_registry() if deferred else func.get_binding_registry()  # type: ignore[no-untyped-call]
    return registry.get(binding) or Generic


def load_signature(name: str, call: Callable[..., Any], bindings: Sequence[Any]) -> Signature:
    """Checks one function as the worker does when it loads it; ``bindings`` are the library's binding
    objects.

    Raises :class:`FunctionLoadError` with the worker's message.
    """
    parameters = dict(inspect.signature(call).parameters)
    annotations = typing.get_type_hints(call)
    bound = {binding.name: binding for binding in bindings if binding.name != "$return"}
    returns = next((binding for binding in bindings if binding.name == "$return"), None)
    _check_directions(name, bindings)
    requires_context = "context" in parameters and "context" not in bound
    if requires_context:
        del parameters["context"]
        _check_context(name, annotations)
    _check_names(name, set(parameters), set(bound))
    inputs: dict[str, Parameter] = {}
    outputs: dict[str, Parameter] = {}
    for key in parameters:
        checked = _check_parameter(name, bound[key], key in annotations, annotations.get(key))
        (outputs if bound[key].direction == 1 else inputs)[key] = checked
    return Signature(
        inputs=inputs,
        outputs=outputs,
        returns=_check_return(name, returns, bound, annotations),
        requires_context=requires_context,
        is_async=inspect.iscoroutinefunction(call),
    )


def _check_directions(name: str, bindings: Sequence[Any]) -> None:
    for binding in bindings:
        if binding.direction == 2:
            raise FunctionLoadError(name, '"inout" bindings are not supported')
        if binding.name == "$return" and binding.direction != 1:
            raise FunctionLoadError(name, '"$return" binding must have direction set to "out"')


def _check_context(name: str, annotations: Mapping[str, Any]) -> None:
    annotation = annotations.get("context")
    if "context" in annotations and not (isinstance(annotation, type) and annotation.__name__ == "Context"):
        raise FunctionLoadError(
            name,
            f'the "context" parameter is expected to be of type azure.functions.Context, got {annotation!r}',
        )


def _check_names(name: str, declared: set[str], bound: set[str]) -> None:
    if declared - bound:
        raise FunctionLoadError(
            name,
            f"the following parameters are declared in Python but not in function.json: {declared - bound!r}",
        )
    if bound - declared:
        raise FunctionLoadError(
            name,
            f"the following parameters are declared in function.json but not in Python: {bound - declared!r}",
        )


def _check_parameter(name: str, binding: Any, annotated: bool, annotation: Any) -> Parameter:
    is_out, pytype = _unwrap_out(name, binding.name, annotation)
    generic_alias = typing.get_origin(pytype) is not None
    if annotated and not isinstance(pytype, type) and not generic_alias:
        raise FunctionLoadError(name, f"binding {binding.name} has invalid non-type annotation {annotation!r}")
    if binding.direction == 1 and annotated and not is_out:
        raise FunctionLoadError(
            name,
            f'binding {binding.name} is declared to have the "out" direction, but its annotation in Python '
            "is not a subclass of azure.functions.Out",
        )
    if binding.direction != 1 and is_out:
        raise FunctionLoadError(
            name,
            f'binding {binding.name} is declared to have the "in" direction in function.json, but its '
            "annotation is azure.functions.Out in Python",
        )
    registry = deferred_registry()
    deferred = bool(annotated and registry and registry.check_supported_type(annotation))
    known = converter(binding.type, deferred) is not Generic
    kind = "generic" if pytype in (str, bytes) and known else binding.type
    if annotated and not _fits(kind, pytype, is_out, deferred):
        raise FunctionLoadError(
            name,
            f'type of {binding.name} binding in function.json "{binding.type}" does not match its Python '
            "annotation "
            f'"{getattr(pytype, "__name__", pytype)}"',
        )
    return Parameter(binding.name, kind, pytype, deferred)


def _unwrap_out(name: str, parameter: str, annotation: Any) -> tuple[bool, Any]:
    origin = typing.get_origin(annotation) or annotation
    if not (isinstance(origin, type) and origin.__name__ == "Out"):
        return False, annotation
    arguments = typing.get_args(annotation)
    if len(arguments) != 1:
        raise FunctionLoadError(name, f"binding {parameter} has invalid Out annotation {annotation!r}")
    return True, arguments[0]


def _fits(kind: str, pytype: Any, is_out: bool, deferred: bool) -> bool:
    found = Generic if kind == "generic" else converter(kind, deferred)
    check = found.check_output_type_annotation if is_out else found.check_input_type_annotation
    try:
        return bool(check(pytype))
    except TypeError:
        # issubclass() on a generic alias: the converter does not know it.
        return False


def _check_return(
    name: str, returns: Any, bound: Mapping[str, Any], annotations: Mapping[str, Any]
) -> Parameter | None:
    if returns is None:
        implicit = [binding.type for binding in bound.values() if _returns_implicitly(binding.type)]
        return Parameter("$return", implicit[-1], annotations.get("return")) if implicit else None
    pytype = annotations.get("return")
    if "return" in annotations:
        if not isinstance(pytype, type):
            raise FunctionLoadError(name, f"has invalid non-type return annotation {pytype!r}")
        if not _fits(returns.type, pytype, True, False):
            raise FunctionLoadError(
                name,
                f'Python return annotation "{pytype.__name__}" does not match binding type "{returns.type}"',
            )
    return Parameter("$return", returns.type, pytype)


def _returns_implicitly(binding: str) -> bool:
    """Whether a binding takes the return value without ``$return``: those without a converter, and durable ones."""
    implicit = getattr(converter(binding), "has_implicit_output", None)
    return binding != "durableClient" and implicit is not None and bool(implicit())


def check_return_value(name: str, signature: Signature, value: Any) -> None:
    """Refuses a value that no binding takes, as the worker does after the call."""
    if value is not None and signature.returns is None:
        raise RuntimeError(f"function {name!r} without a $return binding returned a non-None value")


def problems(name: str, call: Callable[..., Any], bindings: Sequence[Any]) -> list[str]:
    """Everything that would keep the real worker or host from running this function; empty when it would run."""
    found: list[str] = []
    if not _NAME.fullmatch(name):
        found.append(
            f"'{name}' is not a valid function name. Use letters, digits, '-' and '_', beginning with a letter."
        )
    triggers = [binding for binding in bindings if binding.type.lower().endswith("trigger")]
    if len(triggers) != 1:
        found.append(
            f"Function {name} has {len(triggers)} triggers. A valid function must have one and only one trigger."
        )
    try:
        signature = load_signature(name, call, bindings)
    except FunctionLoadError as error:
        found.append(str(error))
    else:
        promised = typing.get_type_hints(call).get("return", Any)
        # The worker finds out only when the function has run, and fails the invocation.
        if signature.returns is None and promised not in (Any, type(None), typing.NoReturn, typing.Never):
            found.append(f"function {name!r} without a $return binding returns {inspect.formatannotation(promised)}")
    return found
