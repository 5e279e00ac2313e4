"""The worker: decodes inputs, calls the function, encodes outputs. It knows nothing of storage or HTTP.

Sync functions run in a thread pool of PYTHON_THREADPOOL_THREAD_COUNT threads, async ones together on one
event loop of their own, so that a function which blocks its loop cannot stop the host's polling (the real
worker is another process).
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import azure.functions as func
from azure.functions.meta import Datum

from localhost import contract
from localhost.app import Function

_LOCAL = threading.local()
_CLIENTS: dict[tuple[Any, ...], Any] = {}
# The worker never forgets one; a development host may run for weeks.
_MOST_CLIENTS = 1000


@dataclass(frozen=True)
class RetryContext:
    """What a function sees as ``context.retry_context``."""

    retry_count: int
    max_retry_count: int
    exception: Any


@dataclass(frozen=True)
class Call:
    """One call of a function: the values of its inputs as the host sends them."""

    id: str
    inputs: Mapping[str, Any]
    trigger_metadata: Mapping[str, Any] = field(default_factory=dict)
    retry: RetryContext | None = None


@dataclass(frozen=True)
class Reply:
    """What the function gave back, encoded: ``Out`` parameters by name, and the return value."""

    outputs: Mapping[str, Any]
    returned: Any = None


class Out(func.Out[Any]):
    """An output parameter."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


class Context(func.Context):
    """The ``context`` parameter of a function."""

    def __init__(self, function: Function, call: Call) -> None:
        self._function = function
        self._call = call

    @property
    def invocation_id(self) -> str:
        return self._call.id

    @property
    def thread_local_storage(self) -> Any:
        return _LOCAL

    @property
    def function_name(self) -> str:
        return self._function.name

    @property
    def function_directory(self) -> str:
        return self._function.directory

    @property
    def trace_context(self) -> Any:
        trace = self._call.id.replace("-", "")
        return SimpleNamespace(trace_parent=f"00-{trace}-{trace[:16]}-01", trace_state="", attributes={})

    @property
    def retry_context(self) -> Any:
        return self._call.retry or RetryContext(0, 0, None)


def to_datum(value: Any) -> Datum:
    """A value as the host sends it: bytes, str and float as such, everything else as JSON."""
    if isinstance(value, Datum):
        return value
    if isinstance(value, bytes):
        return Datum(value, "bytes")
    if isinstance(value, str):
        return Datum(value, "string")
    if isinstance(value, float):
        return Datum(value, "double")
    return Datum(json.dumps(value, default=str), "json")


def decode(parameter: contract.Parameter, data: Any, metadata: Mapping[str, Any], function: str = "") -> Any:
    """One input as the function sees it."""
    if parameter.deferred:
        return _decode_sdk_type(parameter, data, metadata, function)
    found = contract.Generic if parameter.binding == "generic" else contract.converter(parameter.binding)
    try:
        return found.decode(data, trigger_metadata=metadata)
    except NotImplementedError:
        raise TypeError(
            f"unable to decode incoming TypedData: unsupported combination of TypedData field {data.type!r} and "
            f"expected binding type {found}"
        ) from None


def _decode_sdk_type(parameter: contract.Parameter, data: Any, metadata: Mapping[str, Any], function: str) -> Any:
    """A client for a blob; kept and given again for the same blob, as the worker does.

    A StorageStreamDownloader of a failed attempt therefore comes back already read. An SDK-type parameter that was
    sent bytes fails here with the worker's own AttributeError.
    """
    key = (parameter.name, parameter.pytype, data.value.content, function)
    if key not in _CLIENTS:
        found = contract.converter(parameter.binding, deferred=True)
        while len(_CLIENTS) >= _MOST_CLIENTS:
            _CLIENTS.pop(next(iter(_CLIENTS)), None)
        _CLIENTS[key] = found.decode(data, trigger_metadata=metadata, pytype=parameter.pytype)
    return _CLIENTS[key]


def encode(parameter: contract.Parameter, value: Any) -> Any:
    """One output as it goes back to the host."""
    found = contract.Generic if parameter.binding == "generic" else contract.converter(parameter.binding)
    try:
        return found.encode(value, expected_type=parameter.pytype)
    except NotImplementedError:
        raise TypeError(
            f'unable to encode outgoing TypedData: unsupported type "{found}" for Python type "{type(value).__name__}"'
        ) from None


class Worker:
    """Runs functions; :meth:`invoke` is called on the host's loop."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="worker-loop", daemon=True)
        self._thread.start()

    async def invoke(self, function: Function, call: Call) -> Reply:
        """Calls the function; raises whatever it (or the decoding of its inputs) raises."""
        if function.signature.is_async:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_run_async(function, call), self._loop))
        return await asyncio.get_running_loop().run_in_executor(self._pool, _run_sync, function, call)

    def stop(self) -> None:
        """Ends the worker's threads that are idle; a running function cannot be ended, only waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=1)


def _arguments(function: Function, call: Call) -> dict[str, Any]:
    _LOCAL.invocation_id = call.id
    metadata = {key: to_datum(value) for key, value in call.trigger_metadata.items()}
    signature = function.signature
    arguments = {
        name: decode(signature.inputs[name], value, metadata, function.name) for name, value in call.inputs.items()
    }
    if signature.requires_context:
        arguments["context"] = Context(function, call)
    arguments.update({name: Out() for name in signature.outputs})
    return arguments


def _reply(function: Function, arguments: Mapping[str, Any], returned: Any) -> Reply:
    signature = function.signature
    contract.check_return_value(function.name, signature, returned)
    values = {name: arguments[name].get() for name in signature.outputs}
    outputs = {name: encode(signature.outputs[name], value) for name, value in values.items() if value is not None}
    if signature.returns is None:
        return Reply(outputs)
    # None is encoded too: the worker's converters refuse it for http, blob and queue, and the invocation fails.
    return Reply(outputs, encode(signature.returns, returned))


def _run_sync(function: Function, call: Call) -> Reply:
    def run() -> Reply:
        arguments = _arguments(function, call)
        try:
            returned = function.call(**arguments)
        except (SystemExit, KeyboardInterrupt) as error:
            raise _left(error) from error
        return _reply(function, arguments, returned)

    return contextvars.copy_context().run(run)


async def _run_async(function: Function, call: Call) -> Reply:
    arguments = _arguments(function, call)
    try:
        returned = await function.call(**arguments)
    except (SystemExit, KeyboardInterrupt) as error:
        raise _left(error) from error
    return _reply(function, arguments, returned)


def _left(error: BaseException) -> RuntimeError:
    """The real worker process would end here and be started again; this one only fails the invocation."""
    return RuntimeError(f"The function raised {type(error).__name__}({error}), which would end the worker.")
