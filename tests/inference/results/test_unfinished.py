"""Files half written by processes that were killed go; those of processes at work stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.results.export_rows import whole_file
from inference.results.unfinished import UNFINISHED

WRITER = """
import os, sys
from pathlib import Path
from inference.results.export_rows import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write("half")
    print("half", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_and_what_others_write_stays(tmp_path: Path) -> None:
    def writer(name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path / name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout and process.stdout.readline() == "half\n"
        return process

    killed, at_work = writer("a"), writer("b")
    killed.kill()
    killed.communicate()
    (tmp_path / f"{UNFINISHED}mine").write_text("of somebody else")
    with whole_file(tmp_path / "a") as file:
        file.write("whole")
        assert len(list(tmp_path.glob(f"{UNFINISHED}*"))) == 3
    at_work.communicate()
    assert sorted(os.listdir(tmp_path)) == [f"{UNFINISHED}mine", "a", "b"]


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a"):
        raise KeyboardInterrupt
    assert not os.listdir(tmp_path)
