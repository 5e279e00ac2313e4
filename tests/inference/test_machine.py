"""What is said of the process's own use of the machine."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from inference import machine
from inference.machine import keep_little_memory, returning_freed_memory


@pytest.mark.slow
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


def test_freed_memory_is_left_to_the_system_where_there_is_no_c_library_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows CDLL(None) raises TypeError: no video could be read."""

    def refuse(_: object) -> None:
        raise TypeError("argument of type 'NoneType' is not iterable")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    monkeypatch.setattr(sys, "platform", "win32")
    with returning_freed_memory():
        pass


def test_after_the_last_video_pictures_have_their_setting_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 MiB, and 8 MiB while a video is read: of the calls the size from which blocks are mapped."""
    mapped = list[int]()

    def mallopt(*options: tuple[int, int]) -> None:
        mapped.extend(value >> 20 for name, value in options if name == -3)

    monkeypatch.setattr(machine, "_mallopt", mallopt)
    monkeypatch.setattr(machine._Freed, "pictures", False)
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    keep_little_memory.__wrapped__()
    with returning_freed_memory(), returning_freed_memory():
        pass
    assert mapped == ([1, 8, 8, 1] if sys.platform != "win32" else [8, 8])
