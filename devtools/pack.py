"""The pack of public models for `dev.py run`: fetched before the app starts, the rest beside it for the next start.

Standard library only. The work is done by `devtools.pull_pack` in `.venv`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools.environment import say
from devtools.supervisor import Supervisor
from inference.version import __version__

CONNECT_S = 3.0
FETCH_S = 60.0
GRACE_S = 3.0  # for a child that does not notice that its time is over
# Exit statuses of devtools.pull_pack; those of a broken start (1, 2, a signal) are neither.
DONE, LATER, WITHOUT = 0, 75, 69

Entry = dict[str, Any]  # of the catalog


def public_folder(root: Path, values: Mapping[str, str]) -> Path:
    """Where the app looks for public models, as in inference/engine/weights.py. values: of local.settings.json, which
    the app has in its environment; it runs in `root`."""
    name = "DROPSIGHT_PUBLIC_MODELS"
    return root / (values.get(name) or os.environ.get(name) or Path("models", "_public"))


def missing(root: Path, into: Path) -> list[Entry]:
    """The models of the pack that `into` does not have, or not as the catalog now says; those that do not run here are
    not missed.

    A folder of the same name in models/ is somebody's own, and wins.
    """
    catalog = root / "models" / "catalog.toml"
    if not catalog.is_file():
        return []
    with catalog.open("rb") as file:
        pack = [entry for entry in tomllib.load(file)["model"] if entry.get("recommended")]
    return [
        entry
        for entry in pack
        if not (root / "models" / entry["name"]).is_dir()
        and not _is_there(into / entry["name"], entry)
        and not _is_refused(into, entry)
    ]


def _is_there(folder: Path, entry: Entry) -> bool:
    try:
        manifest = tomllib.loads((folder / "model.toml").read_text(encoding="utf-8"))
        same = manifest == {"name": entry["name"], "sha256": entry["sha256"], **entry["manifest"]}
        return same and _is_whole(folder / "model.onnx", entry)
    except (OSError, ValueError):
        return False


def _is_whole(file: Path, entry: Entry) -> bool:
    """Hashed too: the app leaves a damaged model out, and nothing else would ever fetch it again."""
    with file.open("rb") as opened:
        size, digest = os.fstat(opened.fileno()).st_size, hashlib.file_digest(opened, "sha256")
    return bool(size == entry["size"] and digest.hexdigest() == entry["sha256"])


def _is_refused(into: Path, entry: Entry) -> bool:
    """Whether this release could not run this file with this manifest (see inference/engine/pull.py)."""
    try:
        note = json.loads((into / ".pull" / f"{entry['sha256']}.refused").read_text(encoding="utf-8"))
        return bool(note["release"] == __version__ and note["manifest"] == entry["manifest"])
    except (OSError, ValueError, LookupError, TypeError):
        return False


def bring(supervisor: Supervisor, python: Path, root: Path, into: Path, source: str | None, offline: bool) -> bool:
    """Fetch what `into` lacks, within a minute; whether the rest is to come beside the app."""
    absent = missing(root, into)
    if not absent:
        return False
    waiting = [entry for entry in absent if _waits(into, entry)]
    if offline and not waiting:
        say(without(absent, python, root))
        return False
    say(f"Fetching public models into {_short(into, root)}: {in_words(absent)}")
    limits = ["--within", str(FETCH_S), "--connect", str(CONNECT_S), *(["--offline"] if offline else [])]
    words = _words(into, absent, source, limits)
    child = supervisor.start("The models", words, python=python, cwd=root, env={}, log=None, may_end=True)
    try:
        status = child.process.wait(FETCH_S + GRACE_S)
    except subprocess.TimeoutExpired:
        status = LATER
    child.stop(1)
    del supervisor.children["The models"]
    absent = missing(root, into)
    if absent:
        say(later(absent) if status == LATER else without(absent, python, root))
    return bool(absent) and status == LATER


def go_on(supervisor: Supervisor, python: Path, root: Path, into: Path, source: str | None) -> None:
    """Fetch the rest beside the app, into a waiting place: a model that appeared now would change what it answers."""
    words = _words(into, missing(root, into), source, ["--wait"])
    log = root / ".azurite" / "models.log"
    supervisor.start("The models", words, python=python, cwd=root, env={}, log=log, may_end=True)


def _words(into: Path, absent: Sequence[Entry], source: str | None, options: list[str]) -> list[str]:
    names = [entry["name"] for entry in absent]
    return ["devtools.pull_pack", str(into), *names, *options, *(["--from", source] if source else [])]


def _waits(into: Path, entry: Entry) -> bool:
    part = into / ".pull" / f"{entry['sha256']}.part"
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
