"""What a killed process left on the temporary disk is deleted, and of a living one nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.process_folder import PREFIX, delete_left

ROOT = Path(__file__).resolve().parents[2]
PROCESS = """
import tempfile, time
from pathlib import Path
from cloud.process_folder import own_folder
own_folder()
Path(tempfile.mkdtemp(), "media").write_bytes(bytes(1000))
print(tempfile.gettempdir(), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="locks as POSIX has them")
def test_what_a_killed_process_left_goes_and_of_a_living_one_nothing(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    started = [
        subprocess.Popen([sys.executable, "-c", PROCESS], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        folders = [Path(process.stdout.readline().strip()) for process in started if process.stdout]
        assert all(folder.name.startswith(PREFIX) and list(folder.glob("*/media")) for folder in folders)
        started[0].kill()
        started[0].wait()
        assert delete_left(tmp_path) == 0, "they are young"
        for folder in folders:
            os.utime(folder, (0, 0))
        assert (delete_left(tmp_path), list(tmp_path.iterdir())) == (1, [folders[1]])
    finally:
        for process in started:
            process.kill()
            process.communicate()
