"""The engine: bytes in, predictions out. Knows nothing of Azure.

As a library: `from inference import analyze, Registry, Route, Step`. Importing it imports nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.analysis import analyze
    from inference.engine.registry import Registry
    from inference.errors import DropsightError, Permanent, Transient
    from inference.image.limits import Limits
    from inference.results.result import Source
    from inference.routes import Route, Step
    from inference.steps import Analysis
    from inference.version import __version__

__all__ = [
    "__version__", "Analysis", "DropsightError", "Limits", "Permanent", "Registry", "Route", "Source", "Step",
    "Transient", "analyze",
]  # fmt: skip

_HOMES = {
    "__version__": "version",
    "Analysis": "steps",
    "analyze": "analysis",
    "DropsightError": "errors",
    "Permanent": "errors",
    "Transient": "errors",
    "Limits": "image.limits",
    "Registry": "engine.registry",
    "Source": "results.result",
    "Route": "routes",
    "Step": "routes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"inference.{_HOMES[name]}"), name)
