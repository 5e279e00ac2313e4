"""One object per process, also when many threads ask for it at the same first moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Once(Generic[P, T]):
    """A function whose result is made once per arguments; functools.cache may make it twice."""

    def __init__(self, make: Callable[P, T]) -> None:
        wraps(make)(self)
        self._lock = threading.RLock()
        self._cached: Any = cache(make)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            made: T = self._cached(*args, **kwargs)
            return made

    def cache_clear(self) -> None:
        """Forget what was made."""
        with self._lock:
            self._cached.cache_clear()


once = Once
