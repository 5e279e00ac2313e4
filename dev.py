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
from typing import Any, List

SUPPORTED = ((3, 12), (3, 11))
ROOT = os.path.dirname(os.path.abspath(__file__))
PROBE = (
    "import sys, importlib.util as u; "
    "print('%d.%d %d' % (sys.version_info[0], sys.version_info[1], u.find_spec('ensurepip') is not None))"
)


def answer(command: List[str]) -> Any:
    """((major, minor), can make virtual environments) of a Python command, or () where it does not work."""
    try:
        output = subprocess.check_output(command + ["-c", PROBE], stderr=subprocess.DEVNULL, timeout=30)
        version, ensurepip = output.decode().split()
        return (tuple(int(part) for part in version.split(".")), ensurepip == "1")
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()  # pyenv puts names on the path that only print an error


def candidates() -> List[List[str]]:
    """Commands that may be a supported Python, the likeliest first."""
    names = ["python%d.%d" % version for version in SUPPORTED] + ["python3", "python"]
    found = [[path] for path in map(shutil.which, names) if path]
    if os.name == "nt" and shutil.which("py"):
        found += [["py", "-%d.%d" % version] for version in SUPPORTED]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    uv = os.path.expanduser("~/.local/share/uv/python")
    for major, minor in SUPPORTED:
        for pattern in (
            "%s/versions/%d.%d.*/bin/python3" % (pyenv, major, minor),
            "%s/cpython-%d.%d.*/bin/python3" % (uv, major, minor),
            "/opt/homebrew/bin/python%d.%d" % (major, minor),
        ):
            found += [[path] for path in sorted(glob.glob(pattern), reverse=True)]
    return found


def choose(commands: List[List[str]]) -> List[str]:
    """The first command that is a supported Python, one that can make virtual environments before others."""
    without = []  # type: List[str]
    for command in commands:
        found = answer(command)
        if found and found[0] in SUPPORTED:
            if found[1]:
                return command
            without = without or command
    return without


def main() -> int:
    """Go on in this Python if it will do, else in one that does, else say what is missing."""
    if sys.version_info[:2] in SUPPORTED:
        sys.path.insert(0, ROOT)
        from devtools.cli import main as go_on

        return go_on(sys.argv[1:])
    command = choose(candidates())
    if not command:
        mine = "%d.%d" % sys.version_info[:2]
        print(
            "Dropsight needs Python 3.11 or 3.12 and found neither (this one is %s): install one from "
            "https://www.python.org/downloads/ and run this again." % mine,
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
