"""Runs functions: decodes what triggered them, calls them, encodes what they return. Knows no storage and no HTTP.

Sync functions run in a thread pool of PYTHON_THREADPOOL_THREAD_COUNT threads, async ones together on one event loop
of their own, so that a function which blocks its loop cannot stop the host's polling (the real worker is another
process).
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
from azure.functions.meta import Datum

from localhost.app_functions import Function, converter, sdk_registry
from localhost.printable import printable

_LOG = logging.getLogger("localhost.invocation")
_HERE = str(Path(__file__).parent)
_LOCAL = threading.local()
_TASK: contextvars.ContextVar[str | None] = contextvars.ContextVar("invocation", default=None)


@dataclass(frozen=True)
class TriggerEvent:
    """What a trigger brings: its value, and the worker's trigger metadata.

    ``value`` may be an async callable: a blob's content is read only where a function takes it.
    """

    value: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InvocationContext(func.Context):
    """The ``context`` parameter of a function.

    A thread that a function starts sets ``thread_local_storage.invocation_id``, or its log lines are lost.
    """

    invocation_id: str = ""
    function_name: str = ""
    function_directory: str = ""
    trace_context: Any = None
    retry_context: Any = None
    thread_local_storage: Any = _LOCAL


class FunctionWorker:
    """Runs functions for all listeners, on the host's loop; ``timeout`` in seconds, None = unbounded."""

    def __init__(self, threads: int, timeout: float | None) -> None:
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="worker-loop", daemon=True)
        self._thread.start()
        #: Names of functions by the ids of their running invocations.
        self.running: dict[str, str] = {}
        #: Calls whose time limit passed and whose threads still run.
        self.abandoned: set[asyncio.Future[Any]] = set()
        self.stopping = False
        #: Called with every function that begins.
        self.on_start: Callable[[Function], None] = lambda function: None

    def has_log_line(self) -> bool:
        """Whether what this thread or task logs now belongs to a running invocation; the real host drops the rest."""
        try:
            asyncio.get_running_loop()
            return _TASK.get() in self.running
        except RuntimeError:
            return getattr(_LOCAL, "invocation_id", None) in self.running

    async def succeeds(self, function: Function, event: TriggerEvent, reason: str) -> bool:
        """Runs a function once; whether it ended without an error."""
        return (await self.run(function, event, reason))[0]

    async def run(self, function: Function, event: TriggerEvent, reason: str) -> tuple[bool, Any]:
        """Runs a function once, between two console lines; never raises for an error of the app.

        Returns whether it ended without an error, and what an HTTP function returned.
        """
        invocation, started = str(uuid.uuid4()), time.perf_counter()
        self.running[invocation] = function.name
        shown = printable(reason)  # blobs may be called anything
        _LOG.info("Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, shown, invocation)
        self.on_start(function)
        level, word, trace, response = logging.INFO, "Succeeded", "", None
        try:
            value = await event.value() if callable(event.value) else event.value
            if isinstance(value, bytes) and function.wants_text:
                value = value.decode()
            response = await self._timed(function, invocation, to_datum(value), event.metadata)
        except Exception as error:  # noqa: BLE001 - whatever the app raises is its own failure, and is shown
            level, word, trace = logging.ERROR, "Failed", "\n" + _trace(error)
        del self.running[invocation]
        duration = round((time.perf_counter() - started) * 1000)
        _LOG.log(
            level, "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)%s", function.name, word, invocation, duration,
            trace,
        )  # fmt: skip
        return not trace, response

    async def _timed(self, function: Function, *arguments: Any) -> Any:
        work: asyncio.Future[Any]
        if function.is_async:
            coroutine = _run_async(function, *arguments)
            work = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))
        else:
            # In a context of its own: what a call sets there is not seen by the next one on its thread.
            work = asyncio.get_running_loop().run_in_executor(
                self._pool, contextvars.copy_context().run, _run_sync, function, *arguments
            )
        done, _ = await asyncio.wait({work}, timeout=self._timeout)
        if done:
            return work.result()
        # Nothing can end a running thread; the real host would restart its worker process here.
        self.abandoned.add(work)
        work.add_done_callback(self._forget)
        raise TimeoutError(
            f"Timeout value of {self._timeout:g} s was exceeded by function: Functions.{function.name}. Its thread "
            "goes on until it ends by itself; the real host would restart the worker here, with every function "
            "running in it."
        )

    def _forget(self, work: asyncio.Future[Any]) -> None:
        self.abandoned.discard(work)
        if not work.cancelled():
            work.exception()  # retrieved, or asyncio would report it

    async def idle(self) -> None:
        """Waits until nothing runs."""
        while self.running:
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        """Ends the worker's threads that are idle; a running function cannot be ended, only waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=1)


def to_datum(value: Any) -> Datum:
    """A value as the host sends it: bytes and str as such, everything else as JSON."""
    if isinstance(value, Datum):
        return value
    if isinstance(value, bytes):
        return Datum(value, "bytes")
    return Datum(value, "string") if isinstance(value, str) else Datum(json.dumps(value, default=str), "json")


def sdk_reference(connection: str | None, container: str, blob: str) -> Datum:
    """A blob by reference, as SDK types take it: the connection is the setting's name."""
    content = json.dumps(
        {"Connection": connection or "AzureWebJobsStorage", "ContainerName": container, "BlobName": blob}
    )
    reference = {"version": "1.0", "source": "AzureStorageBlobs", "content_type": "application/json"}
    return Datum(SimpleNamespace(**reference, content=content), "model_binding_data")


def _arguments(function: Function, invocation: str, value: Datum, metadata: Mapping[str, Any]) -> dict[str, Any]:
    sent = {key: to_datum(item) for key, item in metadata.items()}
    argument: Any
    if function.sdk_type:
        # A client of its own for each call: the real worker may be another process by the next.
        argument = sdk_registry().get(function.kind).decode(value, trigger_metadata=sent, pytype=function.pytype)
    elif function.pytype in (str, bytes):
        argument = value.value
    else:
        argument = converter(function.kind).decode(value, trigger_metadata=sent)
    return {
        function.argument: argument,
        **({"context": _context(function, invocation)} if function.takes_context else {}),
    }


def _context(function: Function, invocation: str) -> InvocationContext:
    trace = invocation.replace("-", "")
    return InvocationContext(
        invocation, function.name, function.directory,
        trace_context=SimpleNamespace(trace_parent=f"00-{trace}-{trace[:16]}-01", trace_state="", attributes={}),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )  # fmt: skip


def _response(function: Function, returned: Any) -> Any:
    """What an HTTP function returned, encoded (None is refused); nothing else may return anything."""
    if function.kind == "httpTrigger":
        try:
            return converter("http").encode(returned, expected_type=None)
        except NotImplementedError:
            raise TypeError(
                f'unable to encode outgoing TypedData: unsupported type "{converter("http")}" for Python type '
                f'"{type(returned).__name__}"'
            ) from None
    if returned is not None:
        raise RuntimeError(f"function {function.name!r} without a $return binding returned a non-None value")
    return None


def _run_sync(function: Function, invocation: str, value: Datum, metadata: Mapping[str, Any]) -> Any:
    _LOCAL.invocation_id = invocation
    try:
        return _response(function, function.call(**_arguments(function, invocation, value, metadata)))
    except (SystemExit, KeyboardInterrupt) as error:
        raise _left(error) from error


async def _run_async(function: Function, invocation: str, value: Datum, metadata: Mapping[str, Any]) -> Any:
    _TASK.set(invocation)
    try:
        return _response(function, await function.call(**_arguments(function, invocation, value, metadata)))
    except (SystemExit, KeyboardInterrupt) as error:
        raise _left(error) from error


def _left(error: BaseException) -> RuntimeError:
    """The real worker process would end here and be started again; this one only fails the invocation."""
    return RuntimeError(f"The function raised {type(error).__name__}({error}), which would end the worker.")


def _trace(error: Exception) -> str:
    """The traceback from where the host's own code ends."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [index for index, frame in enumerate(frames) if frame.filename.startswith(_HERE)]
    shown = frames[own[-1] + 1 :] if own else frames
    return "".join([*traceback.format_list(shown), *traceback.format_exception_only(error)]).rstrip()
