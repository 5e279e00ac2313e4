#!/usr/bin/env python3
"""Everything a developer needs, from a bare Python: python3 dev.py run | test | bench | setup | doctor.

This file only finds a Python that the app supports and goes on in it (devtools/cli.py), so it keeps to what
the oldest Python 3 understands. Standard library only.
"""

import glob
import os
import shutil
import subprocess
import sys
from typing import List

SUPPORTED = ((3, 12), (3, 13), (3, 11), (3, 14))  # the likeliest to be had on a system first
ROOT = os.path.dirname(os.path.abspath(__file__))
PROBE = "import sys, ssl, venv; print('%d.%d' % sys.version_info[:2])"


def works(command: List[str]) -> bool:
    """Whether this command is a supported Python that can make virtual environments."""
    try:
        output = subprocess.check_output(command + ["-c", PROBE], stderr=subprocess.DEVNULL, timeout=30)
        return tuple(int(part) for part in output.decode().split(".")) in SUPPORTED
    except (OSError, ValueError, subprocess.SubprocessError):
        return False  # pyenv puts names on the path that only print an error


def candidates() -> List[List[str]]:
    """Commands that may be a supported Python, the likeliest first."""
    names = ["python%d.%d" % version for version in SUPPORTED] + ["python3", "python"]
    commands = [[path] for path in map(shutil.which, names) if path]
    if os.name == "nt" and shutil.which("py"):
        commands += [["py", "-%d.%d" % version] for version in SUPPORTED]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for major, minor in SUPPORTED:
        for pattern in (
            "%s/versions/%d.%d.*/bin/python3" % (pyenv, major, minor),
            os.path.expanduser("~/.local/share/uv/python/cpython-%d.%d.*/bin/python3" % (major, minor)),
            os.path.expandvars("$APPDATA/uv/python/cpython-%d.%d.*/python.exe" % (major, minor)),
            "/opt/homebrew/bin/python%d.%d" % (major, minor),
        ):
            commands += [[path] for path in sorted(glob.glob(pattern), reverse=True)]
    return commands


def installer() -> str:
    """The one command that brings a supported Python to this system; "" where none is known."""
    likeliest = "%d.%d" % SUPPORTED[0]
    for tool, command in (
        ("uv", "uv python install " + likeliest),
        ("brew", "brew install python@" + likeliest),
        ("winget", "winget install Python.Python." + likeliest),
        ("dnf", "sudo dnf install python" + likeliest),
        ("zypper", "sudo zypper install python" + likeliest.replace(".", "")),
    ):
        if shutil.which(tool):
            return command
    if shutil.which("apt-cache"):  # unlike the others it may have none: an old Debian has only its own
        for version in ("%d.%d" % version for version in SUPPORTED):
            name = "^python" + version.replace(".", "[.]") + "$"
            if subprocess.Popen(["apt-cache", "search", "--names-only", name], stdout=subprocess.PIPE).communicate()[0]:
                return "sudo apt install python" + version
    return "pyenv install " + likeliest if shutil.which("pyenv") else ""


def main() -> int:
    """Go on in this Python if it will do, else in one that does, else say what is missing."""
    if sys.version_info[:2] in SUPPORTED:
        sys.path.insert(0, ROOT)
        try:
            from devtools.cli import main as go_on

            return go_on(sys.argv[1:])
        except KeyboardInterrupt:  # while this loads
            return 130
    command = next(filter(works, candidates()), None)
    if command is None:
        print(
            "Dropsight needs Python 3.11, 3.12, 3.13 or 3.14 and found none (this one is %d.%d). To get one: %s; "
            "then run this again." % (sys.version_info[:2] + (installer() or "https://www.python.org/downloads/",)),
            file=sys.stderr,
        )
        return 1
    again = command + [os.path.join(ROOT, "dev.py")] + sys.argv[1:]
    if os.name == "posix":
        os.execv(again[0], again)  # the same process: nobody stands between it and Ctrl-C
    child = subprocess.Popen(again)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the console sent it to the child too, which now cleans up


if __name__ == "__main__":
    sys.exit(main())
