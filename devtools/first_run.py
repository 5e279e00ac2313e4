"""What a first run needs of the machine: a folder to write in, room on the disk, and a way to the packages.

Standard library only.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from devtools import environment, failures, pip_wheel
from devtools.checks import Finding
from inference.loopback import NAMES

LEAST = 10 << 20  # bytes that a run needs for its logs and the storage's data
FIRST = 1 << 30  # what the first run makes: .venv, node_modules, and what pip unpacks meanwhile
LOOK_S = 3.0
CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


def check_data(folder: Path) -> None:
    """Whether the storage can keep its data in this folder, if it is there. Raises OSError, with the file."""
    if not folder.is_dir():
        return
    for path in (folder, *folder.iterdir()):
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    if shutil.disk_usage(folder).free < LEAST:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def folder_finding(root: Path, first: bool) -> Finding:
    """Whether a run can write where it writes; first: whether it has packages to install."""
    made = [root / name for name in (".azurite", "inbox", "outbox", *([".venv", "node_modules"] if first else []))]
    try:
        with tempfile.TemporaryFile(dir=root):
            pass
        for folder in made:
            if folder.exists() and not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
            if folder.exists() and not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        check_data(root / ".azurite")
        check_data(root / ".azurite" / "data")
    except OSError as error:
        return Finding("Folder", False, failures.in_words(error, root))
    free = shutil.disk_usage(root).free
    if free < (FIRST if first else LEAST):
        return Finding("Folder", False, f"{free / 1e6:.0f} MB are free on the disk of {root}: make room")
    return Finding("Folder", True, f"{root} may be written, {free / 1e9:.0f} GB are free")


def network_findings(first: bool) -> Iterator[Finding]:
    """Which proxies, index and certificates are set; first: also whether the index answers."""
    if proxies := failures.proxies(os.environ):
        named = ", ".join(f"{name}={url}" for name, url in proxies.items())
        around = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ", ".join(NAMES)
        yield Finding("Proxy", None, f"{named}; not for {around}")
        if any(url.lower().startswith("socks") for url in proxies.values()):
            yield Finding("SOCKS", not first, f"{failures.SOCKS}; neither can the storage client")
    for name in CERTIFICATES:
        if (file := os.environ.get(name)) and not Path(file).exists():
            yield Finding(name, False, f"{file} is not there: mend that variable, or unset it")
    try:
        index = pip_wheel.index_url()
        answer = pip_wheel.refusal("azure-functions", LOOK_S) if first else ""
    except pip_wheel.NoPip as error:
        yield Finding("Index", False, str(error))
        return
    if answer:
        reason = failures.of_pip(answer, index, answer, environment.ROOT)
        yield Finding("Index", False, reason or f"{failures.without_password(index)}: {answer}")
    elif first or index != pip_wheel.PYPI:
        yield Finding(
            "Index", None, f"pip asks {failures.without_password(index)}" + (", which answers" if first else "")
        )
