"""What is said of the process's own use of the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process its peak this way")
def test_the_peak_is_ones_own_and_not_the_parents() -> None:
    child = "from inference.machine import peak_rss_mb; print(peak_rss_mb())"
    parent = (
        "import subprocess, sys; from inference.machine import peak_rss_mb; held = b'x' * (300 << 20); "
        f"print(peak_rss_mb(), subprocess.check_output([sys.executable, '-c', {child!r}], text=True))"
    )
    said = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True).stdout
    ours, childs = map(int, said.split())
    assert ours >= 300 and 0 < childs < 200
