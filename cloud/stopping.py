"""What is done when the platform stops this process: SIGTERM, and a second or so later its end.

The handler itself does next to nothing: it may run in the middle of any line of the main thread, whose locks (of
logging, say) it would wait for in vain. A thread that waits for it since the start does the work, and then sends the
signal again, for whoever handled it before: by default the process ends. That comes after GRACE_S at the latest,
whatever storage does.

Standard library only: function_app.py imports this when the app is indexed.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)

GRACE_S = 0.9
_EXIT = 128 + 15  # as a shell says of a process that SIGTERM ended

_lock = threading.Lock()
_actions: list[Callable[[], None]] = []
_begun = threading.Event()
_handler: _Handler | None = None


def at_stop(action: Callable[[], None]) -> None:
    """Have `action` called when this process is stopped; at once where that has begun. It may be cut off."""
    with _lock:
        _actions.append(action)
    if _begun.is_set():
        action()


def handle_sigterm() -> None:
    """Take SIGTERM, once, in front of whoever has it now. Does nothing outside the main thread, which alone may, and
    where the signal is ignored or taken by something that Python cannot call."""
    global _handler
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_kill"):
        return
    before = signal.getsignal(signal.SIGTERM)
    if _handler is None and before is not None and before != signal.SIG_IGN:
        _handler = _Handler(before)
        signal.signal(signal.SIGTERM, _handler)


class _Handler:
    """The handler of SIGTERM, and the thread that acts on it."""

    def __init__(self, before: Any) -> None:
        self._before = before
        self._signals: SimpleQueue[None] = SimpleQueue()
        self._acted = self._passed_on = False
        self._own_until = 0.0  # so long a signal may be ours
        # Before any signal comes: in a handler it might not be possible.
        threading.Thread(target=self._act, name="dropsight-stop", daemon=True).start()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self._acted:
            self._signals.put(None)  # never waits, and may be interrupted by itself
        elif not callable(self._before):
            signal.signal(number, self._before)
            signal.raise_signal(number)
        elif not self._passed_on or time.monotonic() >= self._own_until:
            self._passed_on = True
            self._before(number, frame)

    def _act(self) -> None:
        self._signals.get()
        _begun.set()
        with _lock:
            actions = list(_actions)
        threads = [threading.Thread(target=_called, args=(action,), daemon=True) for action in actions]
        for thread in threads:
            thread.start()
        end = time.monotonic() + GRACE_S
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._acted = True
        now: object = signal.getsignal(signal.SIGTERM)
        if now is self:  # else somebody took it over, and called us
            self._pass_on()

    def _pass_on(self) -> None:
        """Send the signal again, until it is handled: one that comes while the main thread is about to sleep in a
        system call (after our handler, say) is noticed only with the next."""
        end = time.monotonic() + GRACE_S
        while time.monotonic() < end and not self._passed_on:
            self._own_until = time.monotonic() + 0.5
            signal.pthread_kill(_main(), signal.SIGTERM)  # no other thread: it would not wake this one
            time.sleep(0.02)
        if not callable(self._before):
            os._exit(_EXIT)  # the main thread is in a call that does not come back to Python


def _called(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - the process ends, whatever becomes of this
        log.warning("while this instance was being stopped: %s: %s", type(error).__name__, error)


def _main() -> int:
    ident = threading.main_thread().ident
    assert ident is not None
    return ident
