"""Files of weights: where they lie, their digests, and whether they changed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from inference.engine.external_data import external_files
from inference.errors import ModelUnavailable

BUILT_IN = Path(__file__).resolve().parents[2] / "models"


class FileState(NamedTuple):
    """What shows that a file changed: its size in bytes, and in ns the times of its content and of the file itself
    (copies keep the first). data: (location, state) of the files that hold weights for it."""

    path: Path
    size: int
    mtime_ns: int
    ctime_ns: int
    data: tuple[tuple[str, FileState], ...] = ()

    @property
    def bytes(self) -> int:
        """The size of all of them together."""
        return self.size + sum(state.size for _, state in self.data)


def public_folder() -> Path:
    """Where `models pull` puts public models: apart from those that come with the project, which are under git."""
    return Path(os.environ.get("DROPSIGHT_PUBLIC_MODELS") or BUILT_IN / "_public")


def sha256_of(path: Path) -> str:
    """Hex digest of a single file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_model(path: Path) -> str:
    """Hex digest of an .onnx file and of its external data, read now. Raises OSError.

    Without external data it is that of the file. With it, that of the lines which sha256sum prints for the graph on
    its standard input and for the data files in the order of their locations: "HEX  -", then "HEX  LOCATION".
    """
    files = {name: file for name, file in external_files(path).items() if file.is_file()}
    return _together(sha256_of(path), {name: sha256_of(file) for name, file in files.items()})


def _together(graph: str, data: Mapping[str, str]) -> str:
    lines = [f"{graph}  -\n", *(f"{digest}  {name}\n" for name, digest in data.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if data else graph


class Weights:
    """ONNX files below some folders by their sha256; no file is hashed twice while it keeps its state."""

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
                self._files = dict(self._hashed())
        return self._files.get(sha256)

    def look_again(self) -> None:
        """What was found may have been replaced, and what was missing may have come."""
        with self._lock:
            self._files = None

    def _hashed(self) -> Iterator[tuple[str, Path]]:
        for path in (p for folder in self._folders for p in sorted(folder.rglob("*.[oO][nN][nN][xX]"))):
            if path.is_file():
                with suppress(ModelUnavailable):  # it is being written, or nobody may read it
                    yield hash_of_state(state_of(path)), path


def state_of(path: Path) -> FileState:
    """The state of an .onnx file and of its external data. Raises ModelUnavailable."""
    with readable(path):
        state = _state(path)
        data = ((name, file) for name, file in _external_files(state).items() if file.is_file())
        return state._replace(data=tuple((name, _state(file)) for name, file in data))


def missing_data(state: FileState) -> str:
    """The first file of external data that does not lie beside the .onnx file, as the graph names it; empty if none."""
    present = {name for name, _ in state.data}
    return next((name for name in _external_files(state._replace(data=())) if name not in present), "")


def refuse_what_has_gone(state: FileState) -> None:
    """Raises ModelUnavailable where a file is missing that was there: it may come back."""
    for path in (state.path, *(file.path for _, file in state.data)):
        with readable(path):
            path.stat()


def _state(path: Path) -> FileState:
    stat = path.stat()
    return FileState(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@cache
def _external_files(state: FileState) -> dict[str, Path]:
    return external_files(state.path)


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
    """`sha256_of_model`, of which nothing that has kept its state is read again. Raises ModelUnavailable, also where a
    file is not in this state any more."""
    with readable(state.path):
        data = {name: hash_of_state(file) for name, file in state.data}
        graph = hash_of_state(state._replace(data=())) if data else sha256_of(state.path)
        if _state(state.path) != state._replace(data=()):
            raise ModelUnavailable(f"{state.path}: it changed while it was read; it is read again once it lies still")
        return _together(graph, data)
