"""Ratios against hand-written code, each pair measured in one run on the same machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from inference.engine.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Row:
    """One line of the table. value is what `bar` speaks of; met is None where there is no bar."""

    what: str
    value: str
    bar: str = ""
    met: bool | None = None
    note: str = ""


def spread(values: Sequence[float]) -> str:
    """Median and the middle half, as text."""
    low, _, high = quantiles(values, n=4)
    return f"{median(values):.3f} ({low:.3f} to {high:.3f})"


def timed(call: Callable[[], Answer]) -> tuple[float, Answer]:
    """(milliseconds, what the call returns)."""
    start = time.perf_counter()
    answer = call()
    return (time.perf_counter() - start) * 1e3, answer


def interleaved(rounds: int, calls: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds of each call, in turn so that all see the same machine; a first round warms up and is left out."""
    times = [[timed(call)[0] for call in calls.values()] for _ in range(rounds + 1)]
    return dict(zip(calls, map(list, zip(*times[1:], strict=True)), strict=True))


def in_new_process(code: str, *arguments: object) -> str:
    """What the code prints. As in a deployed app it runs with bytecode, which some shells turn off."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def machine() -> str:
    """What was measured on: cores, processor, versions."""
    from inference.machine import cpu_quota

    libraries = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "numpy", "pillow"))
    return f"{cpu_quota()} cores, {platform.machine()}, Python {platform.python_version()}, {libraries}"


def reference_models() -> Registry:
    """The models of tests/models with the weights of ../shared."""
    from inference.engine.registry import Registry  # lazily: not every benchmark needs the engine
    from inference.engine.weights import Weights

    return Registry([ROOT / "tests" / "models"], weights=Weights([SHARED / "models"]))
