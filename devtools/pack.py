"""The pack of public models for `dev.py run`: fetched before the app starts, the rest beside it for the next start.

Standard library only. The work is done by `devtools.pull_pack` in `.venv`.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devtools.environment import say
from devtools.supervisor import Supervisor

CONNECT_S = 3.0
FETCH_S = 60.0
GRACE_S = 3.0  # for a child that does not notice that its time is over
# Exit statuses of devtools.pull_pack; those of a broken start (1, 2, a signal) are neither.
DONE, LATER, WITHOUT = 0, 75, 69

Entry = dict[str, Any]  # of the catalog


def public_folder(root: Path) -> Path:
    """Where public models are installed, as in inference/engine/weights.py."""
    return Path(os.environ.get("DROPSIGHT_PUBLIC_MODELS") or root / "models" / "_public")


def missing(root: Path) -> list[Entry]:
    """The models of the pack that are not installed, by name and size; those that do not run here are not missed.

    Nothing is hashed: the app does that when it loads a model.
    """
    catalog = root / "models" / "catalog.toml"
    if not catalog.is_file():
        return []
    into = public_folder(root)
    with catalog.open("rb") as file:
        pack = [entry for entry in tomllib.load(file)["model"] if entry.get("recommended")]
    return [
        entry
        for entry in pack
        if not any(_is_there(folder / entry["name"], entry["size"]) for folder in (root / "models", into))
        and not (into / ".pull" / f"{entry['sha256']}.refused").is_file()
    ]


def _is_there(folder: Path, size: int) -> bool:
    weights = folder / "model.onnx"
    return weights.is_file() and weights.stat().st_size == size and (folder / "model.toml").is_file()


def bring(supervisor: Supervisor, python: Path, root: Path, source: str | None, offline: bool) -> bool:
    """Fetch what is missing, within a minute; whether the rest is to come beside the app."""
    absent = missing(root)
    if not absent:
        return False
    waiting = [entry for entry in absent if _waits(root, entry)]
    if offline and not waiting:
        say(without(absent, python, root))
        return False
    say(f"Fetching public models into {_short(public_folder(root), root)}: {in_words(absent)}")
    limits = ["--within", str(FETCH_S), "--connect", str(CONNECT_S), *(["--offline"] if offline else [])]
    words = _words(root, absent, source, limits)
    child = supervisor.start("The models", words, python=python, cwd=root, env={}, log=None, may_end=True)
    try:
        status = child.process.wait(FETCH_S + GRACE_S)
    except subprocess.TimeoutExpired:
        status = LATER
    child.stop(1)
    del supervisor.children["The models"]
    absent = missing(root)
    if absent:
        say(later(absent) if status == LATER else without(absent, python, root))
    return bool(absent) and status == LATER


def go_on(supervisor: Supervisor, python: Path, root: Path, source: str | None) -> None:
    """Fetch the rest beside the app, into a waiting place: a model that appeared now would change what it answers."""
    words = _words(root, missing(root), source, ["--wait"])
    log = root / ".azurite" / "models.log"
    supervisor.start("The models", words, python=python, cwd=root, env={}, log=log, may_end=True)


def _words(root: Path, absent: Sequence[Entry], source: str | None, options: list[str]) -> list[str]:
    names = [entry["name"] for entry in absent]
    return ["devtools.pull_pack", str(public_folder(root)), *names, *options, *(["--from", source] if source else [])]


def _waits(root: Path, entry: Entry) -> bool:
    part = public_folder(root) / ".pull" / f"{entry['sha256']}.part"
    return part.is_file() and bool(part.stat().st_size == entry["size"])


def later(absent: Sequence[Entry]) -> str:
    """The line for what comes beside the app."""
    return f"Still to come: {in_words(absent)}, in the background; used from the next start on."


def without(absent: Sequence[Entry], python: Path, root: Path) -> str:
    """The line for what is not fetched in this run."""
    command = f"{_short(python, root)} -m inference models pull --recommended"
    return f"Not here: {in_words(absent)}; the app does without. To fetch: {command}"


def in_words(absent: Sequence[Entry]) -> str:
    """Names and size."""
    names = [entry["name"] for entry in absent]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{listed} ({sum(entry['size'] for entry in absent) / 1e6:.1f} MB)"


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
