"""Weights beside the graph: the files that an .onnx file names as its external data.

In ONNX's protobuf definition a TensorProto has external_data = 13 (entries of key = 1 and value = 2; the key
"location" is a path relative to the .onnx file) and data_location = 14, where 1 is EXTERNAL. Tensors are in
ModelProto.graph = 7 and functions = 25: GraphProto.initializer = 5, sparse_initializer = 15 and node = 1, whose
attributes (5) have tensors (5, 10, 22, 23) and graphs (6, 11) of their own. engine/graph.py stays in the main graph
and reads what its nodes do; here tensors at any depth count, and of each only the file that it names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from inference.engine.other_formats import lfs_pointer
from inference.engine.protobuf import Broken, Bytes, FileBytes, fields
from inference.errors import BadModel, OutOfMemory

_EXTERNAL = 1
_GRAPH = 7
# The messages that tensors are in, and the numbers of the fields that lead to them.
_INTO: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# A message of at most so many bytes is searched for the word before it is taken apart: most hold none.
_SEARCHED_BYTES = 1 << 16
_WORD = b"location"


def external_files(path: Path) -> dict[str, Path]:
    """The files of external data that lie in the folder of the .onnx file `path` or below it, by the location that the
    graph gives, in the order of the locations.

    Files that lead out of the folder are left out: onnxruntime refuses them. Those that are missing are given. Empty
    for what is not ONNX. Raises OSError.
    """
    with FileBytes(path) as data:
        try:
            locations = sorted(set(_locations(data, "model", 0, len(data))))
        except (Broken, IndexError, UnicodeDecodeError, RecursionError):
            return {}  # what cannot be read so is onnxruntime's to judge
    base = path.parent.resolve()
    return {name: path.parent / name for name in locations if _below(base, name)}


def is_whole(path: Path) -> bool:
    """Whether the .onnx file has a graph to its end: a copy that was cut off has not. Reads only the lengths of the
    outermost fields. Raises OSError."""
    with FileBytes(path) as data:
        try:
            return any(number == _GRAPH for number, _ in fields(data, 0, len(data)))
        except (Broken, IndexError):
            return False


def _below(base: Path, name: str) -> bool:
    if not name or "\0" in name or PurePosixPath(name).is_absolute():
        return False
    return (base / name).resolve().is_relative_to(base)


def _locations(data: Bytes, message: str, start: int, end: int) -> Iterator[str]:
    for number, (first, last) in fields(data, start, end):
        inner = _INTO[message].get(number)
        if inner is None or (last - first <= _SEARCHED_BYTES and _WORD not in bytes(data[first:last])):
            continue
        if inner == "tensor":
            yield from _location(data, first, last)
        else:
            yield from _locations(data, inner, first, last)


def _location(data: Bytes, start: int, end: int) -> Iterator[str]:
    location, external = "", False
    for number, (first, last) in fields(data, start, end):
        if number == 13:
            entry = {n: bytes(data[a:b]) for n, (a, b) in fields(data, first, last)}
            if entry.get(1) == _WORD:
                location = entry.get(2, b"").decode()
        elif number == 14:
            external = first == _EXTERNAL
    if external:
        yield location


def read_external(path: Path) -> dict[str, bytes]:
    """The content of the files of external data, by the location that the graph gives; what is missing is left out.

    onnxruntime would map them for as long as the session lives, and shortening or overwriting a mapped file in place
    kills the process (SIGBUS). Measured with 128 MB: loading takes 0.2 s in place of 0.04, and 2.5 times the file in
    memory while it loads, once the file more than a mapping afterwards. Raises BadModel, OutOfMemory.
    """
    data: dict[str, bytes] = {}
    try:
        for name, file in external_files(path).items():
            if file.is_file():
                data[name] = file.read_bytes()
                if problem := lfs_pointer(data[name][:512]):
                    raise BadModel(f"{path}: its external data file {name} is {problem}")
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror}); check the file and its rights") from error
    except MemoryError as error:
        raise OutOfMemory(f"{path}: memory ran out while its external data was read; give the process more") from error
    return data


def is_mapped(file: Path) -> bool:
    """Whether this process has the file in its memory; only Linux tells, and Windows lets nobody overwrite it then."""
    maps = Path("/proc/self/maps")
    return maps.exists() and os.fsencode(file.resolve()) in maps.read_bytes()


@contextmanager
def copied(path: Path, data: Mapping[str, bytes]) -> Iterator[Path]:
    """A copy of the .onnx file with its external data, for the time of a `with` block; what was mapped stays mapped."""
    import shutil  # lazily: hardly any model needs a copy
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="dropsight-weights-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder, path.name)
        shutil.copyfile(path, copy)
        for name, content in data.items():
            (copy.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (copy.parent / name).write_bytes(content)
        yield copy
