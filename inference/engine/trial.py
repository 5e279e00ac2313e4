"""Trying a model that nobody here has run, in a process of its own.

A file may bring onnxruntime down, and the process with it, or never come to an end. That contains faults and is no
boundary: a process of the same user can read its parent.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from inference.engine.weights import BUILT_IN
from inference.machine import memory_limit
from inference.trial import RAN, SURROUNDINGS

PATIENCE_S = 120.0
LEAST_MEMORY = 1 << 30
# What a run needs of the environment; secrets, connections and identities are none of it.
_HANDED_ON = (
    "PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL", "LD_LIBRARY_PATH",
    "MALLOC_ARENA_MAX", "ORT_DISABLE_TELEMETRY", "DROPSIGHT_MODELS", "DROPSIGHT_PUBLIC_MODELS", "DROPSIGHT_WEIGHTS",
    "DROPSIGHT_PROVIDERS", "DROPSIGHT_ALLOW_RESEARCH_MODELS",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """How a trial ended. why: empty where the model ran. passing: the surroundings are to blame, and it is worth
    another trial."""

    why: str = ""
    passing: bool = False


def trial(folder: Path, patience_s: float = PATIENCE_S, memory: int | None = None) -> Trial:
    """Load the models of a folder and run them on a plain picture.

    memory: bytes that the process may take, half of what this one may by default (but on Windows, which has no limit).
    """
    memory = max(memory_limit() // 2, LEAST_MEMORY) if memory is None else memory
    command = [sys.executable, "-m", "inference.trial", str(folder.resolve()), str(memory)]
    environ = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    # The app's packages lie where its host has put them.
    environ["PYTHONPATH"] = os.pathsep.join([str(BUILT_IN.parent), *filter(None, sys.path)])
    try:
        done = subprocess.run(
            command,
            cwd=BUILT_IN.parent,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=patience_s,
        )
    except subprocess.TimeoutExpired:
        return Trial(f"it had not run once after {patience_s:.0f} s")
    except OSError as error:
        return Trial(f"no process could be started to try it ({error})", passing=True)
    if done.returncode == RAN:
        return Trial()
    said = done.stderr.strip().splitlines()
    if done.returncode < 0 or not said:
        return Trial(f"the process that tried it ended with status {done.returncode}")
    return Trial(said[-1], passing=done.returncode == SURROUNDINGS)
