"""What a process keeps of the memory that it has freed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Eight threads, each with blocks of 12 MiB in all that it frees again; what is still in memory after that, in MiB.
THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import numpy as np
from inference.image.media import own_process
from inference.machine import rss_bytes
if sys.argv[1] == "app":
    own_process()
together = Barrier(8)
def work(_):
    blocks = [np.ones(3 << 20, np.uint8) for _ in range(4)]
    together.wait()
    kept = [bytearray(100) for _ in range(2)]
    blocks.clear()
    together.wait()
    return kept
with ThreadPoolExecutor(8) as pool:
    before = rss_bytes()
    for _ in range(8):
        kept = list(pool.map(work, range(8)))
    print((rss_bytes() - before) >> 20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc can be told")
def test_the_process_of_an_app_keeps_little_of_what_its_threads_have_freed() -> None:
    def kept(kind: str) -> int:
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(
            [sys.executable, "-c", THREADS, kind], cwd=root, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert kept("app") < 16
