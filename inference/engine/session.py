"""The only file that imports onnxruntime: loading, threads, providers, and the run itself."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engine.cores import CORES
from inference.engine.external_data import copied, is_mapped, read_external
from inference.engine.graph import Graph, read_graph
from inference.engine.load_errors import plain, without_places
from inference.engine.other_formats import refuse_what_is_not_onnx
from inference.engine.protobuf import encoded
from inference.engine.run_budget import RUN_SECONDS, RunBudget
from inference.engine.tensors import refuse_unknown_floats, tensor_of
from inference.errors import BadModel, OutOfMemory
from inference.machine import memory_limit
from inference.tables import nearest


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """onnxruntime 1.29 and newer looks at this variable when it is imported. Unless it is "1", a device id is written
    into the user's home, and what models and machine are goes to Microsoft. Somebody's own choice stays.
    """
    name = "ORT_DISABLE_TELEMETRY"
    chosen = name in os.environ
    os.environ.setdefault(name, "1")
    try:
        yield
    finally:
        if not chosen:
            del os.environ[name]


with _without_telemetry():
    import onnxruntime as ort

log = logging.getLogger(__name__)

ONNXRUNTIME_VERSION: str = ort.__version__
CPU = "CPUExecutionProvider"
PROVIDERS = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
# Graphs smaller than this do too little work for a second thread to pay for its waking.
SMALL_MODEL_BYTES = 1 << 20
_LARGE_FEED = 12 << 20  # a megapixel of floats


def providers_named(words: str) -> tuple[str, ...]:
    """Execution providers from a comma list such as "cuda,cpu", best first; empty means the CPU. Raises BadModel."""
    names = [w.strip().lower() for w in words.split(",") if w.strip()]
    for name in names:
        if name not in PROVIDERS:
            raise BadModel(f"DROPSIGHT_PROVIDERS: unknown provider {name!r}{nearest(name, PROVIDERS)}")
    return tuple(PROVIDERS[n] for n in names) or (CPU,)


class Session:
    """An ONNX file, loaded. `run` may be called from any number of threads at once."""

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        providers: Sequence[str] = (CPU,),
        outputs: Collection[str] = (),
        run_seconds: float = RUN_SECONDS,
    ) -> None:
        """Raises BadModel, in a plain sentence, for anything that cannot be loaded, and OutOfMemory.

        threads: of a run; 0 lets the file's size decide. providers: of onnxruntime, best first. outputs: tensors of
        the graph that are wanted; those that the file does not put out are put out beside its own. run_seconds: see
        RunBudget."""
        refuse_what_is_not_onnx(path)
        self.path: Path | None = path
        self.name, self.budget = path.stem, RunBudget(run_seconds)
        data = read_external(path)
        small = path.stat().st_size + sum(map(len, data.values())) < SMALL_MODEL_BYTES
        self.threads = threads or (1 if small else CORES.count)
        present = ort.get_available_providers()
        usable = [*(p for p in providers if p in present and p != CPU), CPU]
        self._session = _loaded(path, data, self.threads, usable, outputs)
        self.provider: str = self._session.get_providers()[0]
        self.provider_asked = providers[0]
        if self.provider != self.provider_asked:
            log.warning("%s runs on %s; %s was asked for (present: %s)", path, self.provider, providers[0], present)
        try:
            self.inputs = tuple(tensor_of(a) for a in self._session.get_inputs())
            put_out = (tensor_of(a) for a in self._session.get_outputs())
            self.outputs = tuple(replace(t, shape=tuple(s or None for s in t.shape)) for t in put_out)
            meta = self._session.get_modelmeta()
            self.metadata: dict[str, str] = dict(meta.custom_metadata_map)
            self.producer: str = meta.producer_name
        except UnicodeDecodeError as error:
            raise BadModel(f"{path}: its names or metadata are not UTF-8 text ({error}); export it again") from error
        refuse_unknown_floats(path, (*self._session.get_inputs(), *self._session.get_outputs()))
        self._names = [o.name for o in self.outputs]
        self._sizes_vary = any(None in i.shape[1:] for i in self.inputs)
        self._has_run = False

    @cached_property
    def graph(self) -> Graph:
        """The file's nodes, read when first asked for (a few ms) and kept: about 1 KB a node."""
        return read_graph(self.path) if self.path else Graph()

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name, in the file's order. Raises BadModel where the model refuses the input, OutOfMemory,
        TookTooLong where the run was ended, ModelUnavailable while another goes on that was."""
        options = ort.RunOptions()  # of this run alone: an object that threads share ends all of their runs
        if self._gives_memory_back(feeds):
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

        def end() -> None:
            options.terminate = True

        with CORES.take(self.threads) as held, self.budget.run(self.name, end, held.give_back):
            try:
                values = self._session.run(self._names, dict(feeds), options)
            except _ORT_ERRORS as error:
                shapes = ", ".join(f"{k} {v.dtype} {list(v.shape)}" for k, v in feeds.items())
                if _NO_MEMORY.search(str(error)):
                    raise OutOfMemory(f"memory ran out while the model ran on {shapes}; {_MORE_MEMORY}") from error
                raise BadModel(f"the model failed on {shapes}: {without_places(str(error))}") from error
        return dict(zip(self._names, values, strict=True))

    def _gives_memory_back(self, feeds: Mapping[str, NDArray[Any]]) -> bool:
        """Whether what the arena has free goes back to the system after this run: what a model that is gone and loading
        this one left, and the blocks of a large picture of a size of its own, which no other would fill. After every
        run it takes a fifth more time of the processor, since pages have to be fetched again."""
        first, self._has_run = not self._has_run, True
        large = self._sizes_vary and max((feed.nbytes for feed in feeds.values()), default=0) > _LARGE_FEED
        return self.provider == CPU and (first or large)


class NoSession(Session):
    """Stands in for the network where a head needs none."""

    def __init__(self) -> None:
        self.threads, self.provider, self.provider_asked, self.producer = 1, "none", "none", ""
        self.inputs, self.outputs, self.metadata, self.path = (), (), {}, None
        self.name, self.budget = "", RunBudget(RUN_SECONDS)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {}


# Where 8-bit sums overflow: quantised layers run in floating point, and 8-bit weights become unsigned, whose sums are
# exact. Not elsewhere: with VNNI a classifier takes 7.7 ms so, instead of 4.4.
_EXACT = {"session.disable_quant_qdq": "1", "session.x64quantprecision": "1"}


def _loaded(path: Path, data: Mapping[str, bytes], threads: int, providers: list[str], outputs: Collection[str]) -> Any:
    """The session; the sums of a quantised graph are exact wherever onnxruntime can load it so.

    Not reached where sums overflow, as measured: QLinearMatMul of opset 21 on, and MatMulInteger whose signed weights
    are no constant of its own graph."""

    def session(entries: Mapping[str, str]) -> Any:
        options = _options(threads, data, {**entries, **(_SHARED_ARENA if providers == [CPU] else {})})
        return _with_outputs(_load_apart(path, data, options, providers), path, options, providers, outputs)

    if providers != [CPU] or not _sums_overflow():  # another provider has sums of its own, and its own 8-bit layers
        return session({})
    with suppress(BadModel):
        return session(_EXACT)
    inexact = session({})  # or the error of a file that cannot be loaded at all
    log.warning(
        "%s: on this processor (no VNNI) its 8-bit sums may overflow; compare its answers with the float export's", path
    )
    return inexact


@cache
def _sums_overflow() -> bool:
    """Whether this processor adds products of 8-bit numbers up in 16 bits, as onnxruntime does on x86-64 without VNNI:
    a quantised classifier was right on 96 photos there instead of 99. Asked once a process, of one small product.
    """

    def tensor(name: bytes, kind: int, *dims: int) -> bytes:  # ValueInfoProto; TensorProto.DataType
        shape = b"".join(encoded(1, bytes([1 << 3, dim])) for dim in dims)
        return encoded(1, name) + encoded(2, encoded(1, bytes([1 << 3, kind]) + encoded(2, shape)))

    node = encoded(1, b"bytes") + encoded(1, b"weights") + encoded(2, b"sums") + encoded(4, b"MatMulInteger")
    inputs = encoded(11, tensor(b"bytes", 2, 1, 64)) + encoded(11, tensor(b"weights", 3, 64, 16))
    graph = encoded(1, node) + encoded(2, b"product") + inputs + encoded(12, tensor(b"sums", 6, 1, 16))
    model = bytes([1 << 3, 8]) + encoded(7, graph) + encoded(8, bytes([2 << 3, 13]))  # IR version 8, opset 13
    product = ort.InferenceSession(model, _options(1, {}, {}), providers=[CPU])
    feeds = {"bytes": np.full((1, 64), 255, np.uint8), "weights": np.full((64, 16), 127, np.int8)}
    return bool((product.run(None, feeds)[0] != 255 * 127 * 64).any())


_ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    getattr(ort.capi.onnxruntime_pybind11_state, name)
    for name in (
        "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented",
        "RuntimeException", "EPFail", "NoModel", "ModelLoaded",
    )
) + (RuntimeError, ValueError, OSError)  # fmt: skip


def _share_an_arena() -> dict[str, str]:
    """Makes an arena for the networks of this process, weights included, that takes three quarters of its memory and no
    more; the settings of a session that is to use it.

    A tensor of a size that nobody foresaw (an Expand, a Loop that collects, attention over a large picture) then ends
    the run that makes it with an error, and not the process.
    """
    info = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    as_asked = {"arena_extend_strategy": 1, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    try:
        ort.create_and_register_allocator(info, ort.OrtArenaCfg({"max_mem": memory_limit() // 4 * 3, **as_asked}))
    except _ORT_ERRORS:  # the program that we are a library of has made one, which bounds what it likes
        return {}
    return {"session.use_env_allocators": "1"}


_SHARED_ARENA = _share_an_arena()


def _options(threads: int, data: Mapping[str, bytes], entries: Mapping[str, str]) -> Any:
    """data: kept by the caller until the session is there. entries: more settings of the session."""
    options = ort.SessionOptions()
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    # onnxruntime 1.24 and newer can.
    if data and hasattr(options, "add_external_initializers_from_files_in_memory"):
        sizes = [len(content) for content in data.values()]
        options.add_external_initializers_from_files_in_memory(list(data), list(data.values()), sizes)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what went wrong is in the exception, and not for the console a second time
    # Free sizes: a pattern keeps a second copy of every buffer. With fixed sizes the gain is too small to measure.
    options.enable_mem_pattern = False
    # Threads that spin while they wait eat the CPU that the next upload's decoding needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


# What onnxruntime says when an allocation fails; it has no error class of its own for that.
_NO_MEMORY = re.compile(r"bad_alloc|[Ff]ailed to allocate|out of memory|Cannot allocate|Available memory of")
_MORE_MEMORY = "give the process more, or less to do at once"


def _load_apart(path: Path, data: Mapping[str, bytes], options: Any, providers: list[str]) -> Any:
    """The session, with no file mapped that somebody may overwrite.

    Mapped all the same are tensors of subgraphs (the branches of an If), and everything by onnxruntime before 1.24:
    such a model is loaded from a copy, whose name goes at once and whose content stays as long as it is mapped.
    """
    session = _load(path, options, providers)
    if not any(is_mapped(path.parent / name) for name in data):
        return session
    del session
    with copied(path, data) as copy:
        return _load(copy, options, providers)


def _load(path: Path, options: Any, providers: list[str]) -> Any:
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except _ORT_ERRORS as error:
        if _NO_MEMORY.search(str(error)):
            raise OutOfMemory(f"{path}: memory ran out while it was loaded; {_MORE_MEMORY}") from error
        raise BadModel(f"{path}: {plain(str(error))}") from error


def _with_outputs(session: Any, path: Path, options: Any, providers: list[str], wanted: Collection[str]) -> Any:
    """The session, or one of the same file with more outputs; as it is where the graph has no such tensors.

    In protobuf, bytes that follow a message are merged into it: a second `graph` adds its outputs to those of the
    first (ModelProto.graph = 7, GraphProto.output = 12, ValueInfoProto.name = 1), and nothing else has to be read.
    """
    more = [name for name in wanted if name not in {o.name for o in session.get_outputs()}]
    if not more:
        return session
    graph = b"".join(encoded(12, encoded(1, name.encode())) for name in more)
    model = path.read_bytes() + encoded(7, graph)
    try:
        return ort.InferenceSession(model, options, providers=providers)
    except _ORT_ERRORS:
        return session
