"""onnxruntime reports nothing about this machine and its models to its makers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOAD = """
import os
from inference.engine.registry import Registry
before = dict(os.environ)
Registry().load("classify")
assert dict(os.environ) == before
"""


@pytest.mark.slow
def test_a_loaded_model_leaves_nothing_in_the_users_home(tmp_path: Path) -> None:
    """The device id of its telemetry would lie there. On a build server onnxruntime keeps silent by itself."""
    servers = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
    environ = {name: value for name, value in os.environ.items() if name not in servers and "XDG" not in name}
    environ |= {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", LOAD], cwd=ROOT, env=environ, check=True)
    assert list(tmp_path.rglob("*")) == []
