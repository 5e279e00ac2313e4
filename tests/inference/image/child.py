"""Analyses a file in a process of its own, under a memory limit; run by test_nasty.py."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

from inference.analysis import analyze
from inference.defaults import default_routes
from inference.engine.registry import Registry
from inference.errors import DropsightError

MEMORY = 1 << 30


def outcome(path: Path, answer: Any) -> None:
    """Puts (class name or "ok", message, (width, height), mean colour) into the queue `answer`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        registry = Registry()
        result = analyze(path, default_routes(registry).named("default"), registry).result
    except DropsightError as error:
        answer.put((type(error).__name__, str(error), None))
    else:
        answer.put(("ok", "", (result.source.width, result.source.height)))


def outcome_without_memory(path: Path, answer: Any) -> None:
    """Everything loaded, then hardly any memory left, then enough again: what becomes of the file."""
    registry = Registry()
    route = default_routes(registry).named("default")
    analyze(path, route, registry)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20), most))
    try:
        analyze(path, route, registry)
        first = "ok"
    except DropsightError as error:
        first = type(error).__name__
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    answer.put((first, analyze(path, route, registry).result.status))
