"""Trying a model that nobody here has run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from inference.engine.weights import BUILT_IN

PATIENCE_S = 120.0


def trial(folder: Path) -> str:
    """Why the model of a folder does not run on a sample picture; empty where it does.

    In a process of its own, as a file may bring onnxruntime down and the process with it.
    """
    command = [sys.executable, "-m", "inference", "models", "check", str(folder.resolve())]
    try:
        done = subprocess.run(
            command,
            cwd=BUILT_IN.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return f"it had not run once after {PATIENCE_S:.0f} s"
    if done.returncode == 0:
        return ""
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return said[-1] if done.returncode > 0 and said else f"its process ended with status {done.returncode}"
