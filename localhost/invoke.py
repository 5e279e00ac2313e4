"""One invocation from start to end: inputs, the call with its retries and time limit, outputs, and two
console lines."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from localhost.app import Function
from localhost.bindings import Bindings
from localhost.worker import Call, Reply, RetryContext, Worker, to_datum

_LOG = logging.getLogger("localhost.invocation")
_HERE = str(Path(__file__).parent)


@dataclass(frozen=True)
class Event:
    """What a trigger found: its value, what ``{...}`` expressions may use, and the worker's trigger metadata.

    ``value`` may be an async callable: a blob's content is read only where a function takes it.
    """

    value: Any
    data: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How an invocation ended; ``response`` is the HTTP output."""

    succeeded: bool
    response: Any = None
    error: Exception | None = None


class Invoker:
    """Runs functions for all listeners."""

    def __init__(self, worker: Worker, bindings: Bindings, timeout: float | None) -> None:
        self._worker = worker
        self._bindings = bindings
        self._timeout = timeout
        self.running: dict[str, str] = {}
        #: Calls whose time limit passed and whose threads still run.
        self.abandoned: set[asyncio.Future[Reply]] = set()
        self.stopping = False

    async def run(self, function: Function, event: Event, reason: str) -> Result:
        """Runs a function once, and again as its retry policy says; never raises for an error of the app."""
        attempt, error = 0, None
        while True:
            retry = function.retry
            context = RetryContext(attempt, retry.count, _rpc_exception(error)) if retry else None
            result = await self._once(function, event, reason, context)
            error = result.error
            allowed = (
                retry is not None and function.kind != "httpTrigger" and (retry.count < 0 or attempt < retry.count)
            )
            if result.succeeded or retry is None or not allowed or self.stopping:
                return result
            await asyncio.sleep(_delay(function, attempt))
            attempt += 1

    async def _once(self, function: Function, event: Event, reason: str, retry: RetryContext | None) -> Result:
        invocation = str(uuid.uuid4())
        self.running[invocation] = function.name
        started = time.perf_counter()
        _LOG.info("Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, invocation)
        result = await self._attempt(function, event, invocation, retry)
        duration = round((time.perf_counter() - started) * 1000)
        level, word = (logging.INFO, "Succeeded") if result.succeeded else (logging.ERROR, "Failed")
        _LOG.log(
            level, "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)%s", function.name, word, invocation,
            duration, "" if result.error is None else "\n" + _trace(result.error),
        )  # fmt: skip
        del self.running[invocation]
        return result

    async def _attempt(self, function: Function, event: Event, invocation: str, retry: RetryContext | None) -> Result:
        data = event.data
        try:
            inputs = await self._bindings.inputs(function, data)
            value = await event.value(function) if callable(event.value) else event.value
            inputs[str(function.trigger["name"])] = to_datum(value)
            reply = await self._timed(function, Call(invocation, inputs, event.metadata, retry))
            outputs = dict(reply.outputs)
            if reply.returned is not None:
                outputs["$return"] = reply.returned
            return Result(True, await self._bindings.outputs(function, data, outputs))
        except Exception as error:  # noqa: BLE001 - whatever the app raises is its own failure, and is shown
            return Result(False, error=error)

    async def _timed(self, function: Function, call: Call) -> Reply:
        work = asyncio.ensure_future(self._worker.invoke(function, call))
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

    def _forget(self, work: asyncio.Future[Reply]) -> None:
        self.abandoned.discard(work)
        if not work.cancelled():
            work.exception()  # nobody waits for it any more


def _delay(function: Function, attempt: int) -> float:
    retry = function.retry
    assert retry is not None
    if not retry.exponential:
        return retry.minimum.total_seconds()
    low, high = retry.minimum.total_seconds(), retry.maximum.total_seconds()
    return float(min(high, max(low, low * 2**attempt * random.uniform(0.8, 1.2))))


def _rpc_exception(error: Exception | None) -> Any:
    if error is None:
        return None
    return SimpleNamespace(source="", message=f"{type(error).__name__}: {error}", stack_trace=_trace(error))


def _trace(error: Exception) -> str:
    """The traceback from where the host's own code ends."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [index for index, frame in enumerate(frames) if frame.filename.startswith(_HERE)]
    shown = frames[own[-1] + 1 :] if own else frames
    return "".join([*traceback.format_list(shown), *traceback.format_exception_only(error)]).rstrip()
