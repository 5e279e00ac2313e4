"""Files of weights: where they lie, their digests, and whether they changed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from inference.errors import ModelUnavailable

BUILT_IN = Path(__file__).resolve().parents[2] / "models"

# Size in bytes, and in ns the times of its content and of the file itself: copies keep the first.
FileState = tuple[Path, int, int, int]


def public_folder() -> Path:
    """Where `models pull` puts public models: apart from those that come with the project, which are under git."""
    return Path(os.environ.get("DROPSIGHT_PUBLIC_MODELS") or BUILT_IN / "_public")


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Weights:
    """ONNX files below some folders by their sha256; no file is hashed twice."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._files: dict[str, Path] | None = None
        self._lock = threading.Lock()

    @staticmethod
    def from_environment() -> Weights:
        return Weights([Path(p) for p in os.environ.get("DROPSIGHT_WEIGHTS", "").split(os.pathsep) if p])

    def find(self, sha256: str) -> Path | None:
        """The file with this hex digest; None where there is none."""
        with self._lock:
            if self._files is None:
                files = (p for folder in self._folders for p in sorted(folder.rglob("*.onnx")))
                self._files = {sha256_of(p): p for p in files if p.is_file()}
        file = self._files.get(sha256)
        return file if file and file.is_file() else None


def state_of(path: Path) -> FileState:
    with readable(path):
        stat = path.stat()
    return path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@contextmanager
def readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelUnavailable(
            f"{path}: cannot be read ({error.strerror}), although it was there when the folders were read; put the "
            "weights back, or take the model's folder away"
        ) from error


@cache
def hash_of_state(state: FileState) -> str:
    with readable(state[0]):
        return sha256_of(state[0])
