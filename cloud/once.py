"""One object per process, also when many threads ask for it at the same first moment."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Generic, ParamSpec, TypeVar

from inference import time_limits

P = ParamSpec("P")
T = TypeVar("T")


class Once(Generic[P, T]):
    """A function whose result is made once per arguments; functools.cache may make it twice.

    Raises TookTooLong where another thread makes it for longer than there is time (see time_limits).
    """

    def __init__(self, make: Callable[P, T]) -> None:
        wraps(make)(self)
        self._lock = threading.RLock()
        self._cached: Any = cache(make)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        left = time_limits.left()
        if not self._lock.acquire(timeout=-1 if left == math.inf else max(left, 0.0)):
            raise time_limits.over("waiting for what this process needs first")
        try:
            made: T = self._cached(*args, **kwargs)
            return made
        finally:
            self._lock.release()

    def cache_clear(self) -> None:
        """Forget what was made."""
        with self._lock:
            self._cached.cache_clear()


once = Once
