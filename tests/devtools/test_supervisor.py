"""Children that never outlive their starter: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.supervisor import Supervisor
from tests.processes import alive, eventually

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")

SLEEPER = "import subprocess, sys, time\n{before}\nprint('up', flush=True)\ntime.sleep(60)\n"
GRANDCHILD = "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(c.pid, flush=True)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def start_sleeper(supervisor: Supervisor, folder: Path, before: str = "") -> list[int]:
    """Start a child that sleeps; the process ids of it and of the children that it started."""
    (folder / "sleeper.py").write_text(SLEEPER.format(before=before))
    log = folder / "log"
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    child = supervisor.start("sleeper", ["sleeper"], python=Path(sys.executable), cwd=folder, env=env, log=log)
    eventually(lambda: "up" in log.read_text(), "the child runs")
    return [child.process.pid, *(int(word) for word in log.read_text().split() if word.isdigit())]


@pytest.mark.parametrize("before", ["", GRANDCHILD], ids=["alone", "with a child of its own"])
def test_stop_ends_children_and_their_children(tmp_path: Path, before: str) -> None:
    with Supervisor() as supervisor:
        pids = start_sleeper(supervisor, tmp_path, before)
        assert supervisor.ended() is None
    eventually(lambda: not any(map(alive, pids)), "nothing is left")


@posix
def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    supervisor = Supervisor()
    pids = start_sleeper(supervisor, tmp_path, STUBBORN)
    supervisor.children["sleeper"].stop(patience_s=0.2)
    assert not any(map(alive, pids))


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_the_supervisor_ends_its_children(tmp_path: Path, number: int) -> None:
    """SIGKILL too: the children notice that nobody holds their stdin."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        "from devtools.supervisor import Supervisor, handling, interrupt\n"
        "from tests.devtools.test_supervisor import start_sleeper, GRANDCHILD\n"
        "with handling(interrupt), Supervisor() as supervisor:\n"
        "    print(*start_sleeper(supervisor, Path(sys.argv[1])), flush=True)\n"
        "    supervisor.wait()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert pids and all(map(alive, pids))
    parent.send_signal(number)
    parent.wait(30)
    eventually(lambda: not any(map(alive, pids)), "nothing is left")


@posix
@pytest.mark.parametrize(
    ("name", "status"), [("SIGHUP", "went on"), ("SIGINT", "interrupted")], ids=["nohup", "in the background"]
)
def test_signals_that_were_ignored_when_it_started(name: str, status: str) -> None:
    script = (
        "import signal, sys; from devtools.supervisor import handling, interrupt\n"
        "number = getattr(signal, sys.argv[1])\n"
        "signal.signal(number, signal.SIG_IGN)\n"
        "try:\n"
        "    with handling(interrupt): signal.raise_signal(number)\n"
        "    print('went on')\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    said = subprocess.check_output([sys.executable, "-c", script, name], cwd=ROOT, text=True)
    assert said.strip() == status


def test_when_one_child_ends_the_others_end(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        pids = start_sleeper(supervisor, tmp_path)
        env = {"PYTHONPATH": str(ROOT)}
        supervisor.start("short", ["this"], python=Path(sys.executable), cwd=tmp_path, env=env, log=tmp_path / "short")
        assert supervisor.wait() == "short"
    assert not any(map(alive, pids))


@posix
def test_a_command_that_is_stopped_is_the_last_one_and_leaves_nothing(tmp_path: Path) -> None:
    """`dev.py test` runs several: one that was told to end must not be followed by the next."""
    (tmp_path / "test_sleeps.py").write_text(
        "import os, subprocess, sys, time\n"
        "def test_it():\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"    open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}} .')\n"
        "    time.sleep(60)\n"
    )
    script = (
        "import sys; from pathlib import Path; from devtools.supervisor import run_through\n"
        "try:\n"
        "    run_through([sys.executable, '-m', 'pytest', '-q', '-n', '1', '.'], Path(sys.argv[1]), patience_s=2)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    pids = tmp_path / "pids"
    eventually(lambda: pids.exists() and pids.read_text().endswith("."), "the test runs")
    parent.send_signal(signal.SIGTERM)
    parent.communicate(timeout=60)
    assert parent.returncode == 130
    eventually(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()[:2]), "nothing is left")
