"""How long the runs of a session may take, learnt from those that came to their end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from inference import time_limits
from inference.errors import DropsightError, ModelUnavailable, TookTooLong
from inference.time_limits import WATCHDOG

log = logging.getLogger(__name__)

RUN_SECONDS = 60.0
# A run that was told to end, and has not after so long, is within a single node: nothing ends that.
PATIENCE_S = 10.0
# A model whose runs take a second is no faster for its setting on a machine that does five other things.
_TIMES_THE_SHORTEST = 50
# One first run may be ended by a machine that slept meanwhile.
_ENOUGH = 2


class RunBudget:
    """What a run of one session may take: `seconds`, or 50 times its shortest run where that is more.

    A run ends between two nodes only (ONNX Runtime looks at the flag there). While a single node goes on, others get
    its cores, and the model is not run.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._shortest: float | None = None
        self._ended = 0
        self._overdue = 0
        self._lock = threading.Lock()

    @property
    def allowed(self) -> float:
        """Seconds, as of now."""
        return max(self.seconds, _TIMES_THE_SHORTEST * (self._shortest or 0.0))

    def refuse_endless(self, name: str) -> None:
        """Raises ModelUnavailable where no run has ever come to its end, and several had to be ended; and while one
        goes on that was told to end."""
        if self._overdue:
            raise ModelUnavailable(
                f"model {name}: a run that was to end after {self.allowed:.3g} s goes on in one node of its graph, "
                "which nothing ends: no other begins until then; restart the app, or take the model's folder away",
                f"model:{name}",
            )
        if self._shortest is None and self._ended >= _ENOUGH:
            raise ModelUnavailable(
                f"model {name}: none of its first {self._ended} runs had ended after {self.seconds:g} s: it is not run "
                "any more until its files change or the app starts again (RUN_SECONDS allows longer runs)",
                f"model:{name}",
            )

    @contextmanager
    def run(self, name: str, end: Callable[[], None], let_go: Callable[[], None]) -> Iterator[None]:
        """Call `end` where the block takes too long; what it raises then is raised as TookTooLong. `let_go` is called
        where it goes on all the same. Raises ModelUnavailable as `refuse_endless`."""
        self.refuse_endless(name)
        allowed, left = self.allowed, time_limits.left()
        time_limits.check(f"the run of model {name}")
        began = monotonic()
        overdue = self._overdue_after(min(allowed, left) + PATIENCE_S, name, let_go)
        with overdue, WATCHDOG.watch(min(allowed, left), end) as work:
            try:
                yield
            except DropsightError as error:
                if work.over:
                    raise self._too_long(name, allowed, left) from error
                raise
        with self._lock:
            took = monotonic() - began
            self._shortest = took if self._shortest is None else min(self._shortest, took)

    @contextmanager
    def _overdue_after(self, seconds: float, name: str, let_go: Callable[[], None]) -> Iterator[None]:
        def overdue() -> None:
            with self._lock:
                self._overdue += 1
            let_go()
            log.error(
                "model %s: a run goes on that was to end after %.0f s; the model is not run meanwhile", name, seconds
            )

        try:
            with WATCHDOG.watch(seconds, overdue) as work:
                yield
        finally:
            if work.over:
                with self._lock:
                    self._overdue -= 1

    def _too_long(self, name: str, allowed: float, left: float) -> TookTooLong:
        if left < allowed:
            return time_limits.over(f"the run of model {name}")
        with self._lock:
            self._ended += 1
        return TookTooLong(
            f"the run of model {name} was ended after {allowed:.3g} s (RUN_SECONDS; shortest run so far: "
            f"{'none' if self._shortest is None else f'{self._shortest:.2g} s'})"
        )
