"""What reads untrusted data, each as a function of some bytes.

A target comes back for whatever it is given, or raises what its boundary declares (caught here): anything else is a
defect, as is a second for one input. The first bytes may say which file of several the rest is the content of.
"""

from __future__ import annotations

import json
import os
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import azure.functions as func

import inference
from cloud.azureml.slot import Slot
from cloud.azureml.slot_store import SlotStore
from cloud.drift.drift_check import BASELINE
from cloud.drift.drift_entry import VERDICT
from cloud.drift.drift_profile import from_json
from cloud.drift.freshness import Standing
from cloud.models import leaving
from cloud.models.pointer import read_pointer
from cloud.settings import STATE
from cloud.storage import by_hour
from cloud.storage.blobs import BlobInfo, Page, Reading
from cloud.storage.containers import Storage, to_bytes
from cloud.storage.parsed_json import read_parsed
from cloud.storage.paths import MAX_NAME, canonical, output_path, record_path, record_prefix, requested_path
from cloud.uploads import outdated, sweep_mark
from cloud.uploads.plans import Planner, next_slot
from cloud.uploads.receipt_blobs import PREFIX, BlobReceipts, sidecar_text, summary_of
from cloud.videos.jobs import PLAN, Jobs, path_of
from cloud.videos.messages import Message
from cloud.web import router
from cloud.web.analyze_api import AnalyzeQuery
from cloud.web.api_router import answer_api
from cloud.web.envelopes import unwrapped
from cloud.web.operations import RIGHTS, NoQuery
from cloud.web.parameters import read_parameters
from cloud.web.uploads_api import ListQuery
from inference.engine.registry import Registry
from inference.errors import (
    BadModel,
    BadPipeline,
    BadRequest,
    BadRoute,
    DropsightError,
    LimitExceeded,
    UnsupportedMedia,
)
from inference.plain_text import single
from inference.results.strict_json import json_text
from inference.routes import Route, Step
from inference.routes_file import Routes, read_routes
from tests.inference import graphs

MAX_BYTES = 4096
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
JOB = "0" * 24


class OneBlob(Storage):
    """Storage in which every blob has this content."""

    def __init__(self, content: bytes, metadata: Mapping[str, str] | None = None, name: str = "a.jpg") -> None:
        self.content = content
        self.info = BlobInfo(name, "0x1", len(content), NOON, NOON, metadata or {})

    def open(self, container: str, name: str, etag: str | None = None) -> Reading | None:
        return Reading(self.info_of(name), lambda: iter([self.content]))

    def info_of(self, name: str) -> BlobInfo:
        return BlobInfo(name, "0x1", len(self.content), NOON, NOON, self.info.metadata)

    def pages(self, *_: Any, **__: Any) -> Iterator[Page]:
        yield Page([self.info], None, None)

    def delete(self, *_: Any, **__: Any) -> bool:
        return True

    def write(self, *_: Any, **__: Any) -> str:
        return "0x2"


def manifest(data: bytes) -> None:
    """A model.toml beside the weights of a detector, or of a classifier."""
    kind, _, text = data.partition(b"\n")
    _serve({"model.toml": text}, _network(kind))


# Where an exporter's facts lie. What others of its files have to say is always there.
SIDE_FILES: dict[str, dict[str, bytes]] = {
    "config.json": {"preprocessor_config.json": b'{"do_normalize": true, "image_mean": [0.5], "image_std": [0.5]}'},
    "preprocessor_config.json": {"config.json": b'{"id2label": {"0": "cat", "1": "dog"}, "model_type": "vit"}'},
    "labels.txt": {}, "labels.json": {}, "label_map.pbtxt": {}, "labels.csv": {}, "obj.names": {},
    "data.yaml": {}, "metadata.yaml": {}, "inference.yml": {}, "deploy.json": {"pipeline.json": b"{}"},
    "pipeline.json": {"deploy.json": b"{}"}, "detail.json": {}, "environment.json": {}, "class_names.txt": {},
    "metadata.json": {}, "config.yaml": {}, "model_meta.json": {}, "metadata_properties.json": {},
}  # fmt: skip
METADATA = ("names", "imgsz", "stride", "task", "Image.BitmapPixelFormat", "CustomVision.Preprocess.NormalizeMean",
            "CustomVision.Postprocess.Yolo.Biases", "model_info", "labels", "author")  # fmt: skip
ULTRALYTICS = {"names": "{0: 'cat', 1: 'dog'}", "imgsz": "[64, 64]", "stride": "32", "task": "detect", "batch": "1"}


def recogniser(data: bytes) -> None:
    """`NETWORK/FILE` or `NETWORK/metadata:KEY` in the first line, and its content."""
    where, _, text = data.partition(b"\n")
    kind, _, place = where.partition(b"/")
    name, _, key = place.decode("utf-8", "replace").partition(":")
    if name == "metadata":
        key = key if key in METADATA else METADATA[len(text) % len(METADATA)]
        value = text.decode("utf-8", "replace").replace("\0", " ")
        _serve({}, _network(kind), {**ULTRALYTICS, "description": "Ultralytics YOLOv8n model", key: value})
        return
    name = name if name in SIDE_FILES else sorted(SIDE_FILES)[len(where) % len(SIDE_FILES)]
    _serve({**SIDE_FILES[name], name: text}, _network(kind))


def onnx(data: bytes) -> None:
    """An .onnx file without anything beside it."""
    _serve({"model.onnx": data})


def _network(kind: bytes) -> str:
    return {b"c": "classifier", b"b": "boxes"}.get(kind[:1], "yolo")


@cache
def _weights(network: str, metadata: tuple[tuple[str, str], ...] = ()) -> bytes:
    import numpy as np

    shape = {"classifier": (1, 2), "yolo": (1, 6, 84), "boxes": (1, 5, 4)}[network]
    outputs = {"output0": np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)}
    if network == "boxes":
        outputs = {"boxes": outputs["output0"], "scores": np.full((1, 5, 2), 0.9, np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        return graphs.save(
            Path(folder) / "model.onnx", graphs.picture_input("images"), outputs, metadata=dict(metadata)
        ).read_bytes()


def _serve(files: Mapping[str, bytes], network: str = "", metadata: Mapping[str, str] | None = None) -> None:
    """The registry lists a model beside a sound one, whatever it is, and what can be loaded gives a document."""
    with tempfile.TemporaryDirectory(dir=_memory()) as parent:
        folder = Path(parent) / "model"
        folder.mkdir()
        if network:
            make = _weights.__wrapped__ if metadata else _weights
            (folder / "model.onnx").write_bytes(make(network, tuple((metadata or {}).items())))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        registry = Registry([Path(parent)], allow_research=True, run_seconds=5)
        for entry in registry.list():
            try:
                registry.digest(entry.name)
                done = inference.analyze(_picture(), Route("fuzz", (Step(entry.name),)), registry, artifacts=False)
            except (DropsightError, ValueError) as error:
                if isinstance(error, DropsightError) or "two steps" in str(error):
                    continue
                raise
            json_text(done.result.to_json())


def _memory() -> str | None:
    """A file system in memory, if there is one: a folder is made for each input."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@cache
def _picture() -> bytes:
    from tests.cloud.helpers import jpeg

    return jpeg()


@cache
def _planner() -> Planner:
    text = '[[route]]\nname = "night"\nsteps = [{ model = "classify" }]\n'
    return Planner(read_routes(text, "routes.toml"), Registry([], allow_research=True))


def routes(data: bytes) -> None:
    """A routes.toml: read, asked for the route of a name, and held against the models that are here."""
    try:
        found = read_routes(data.decode("utf-8", "replace"), "routes.toml")
    except BadRoute:
        return
    planner = Planner(Routes(found.entries), _planner().registry)
    for name in ("a.jpg", "folder/b.mp4"):
        planner.plan(BlobInfo(name, "0x1", 1, NOON, NOON), None)
    found.unreachable()
    planner.problems()
    for route in found.routes:
        try:
            next_slot(route.when, NOON) if route.when else None
        except BadRoute:
            continue


def sidecar(data: bytes) -> None:
    """A sidecar of an upload."""
    text = sidecar_text(Reading(BlobInfo("a.jpg.route.toml", "0x1", len(data), NOON, NOON), lambda: iter([data])))
    plan = _planner().plan(BlobInfo("a.jpg", "0x1", 1, NOON, NOON), text)
    assert plan.route or plan.problem


def receipt(data: bytes) -> None:
    """A receipt's document, and the metadata that a listing would show of it."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        said = {}
    metadata = {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}
    storage = OneBlob(data, metadata)
    stored = BlobReceipts(storage).get("a.jpg")
    assert stored
    to_bytes(vars(stored.receipt))
    summary_of(storage.info_of(f"{PREFIX}a.jpg")).is_open("0x1")


def job(data: bytes) -> None:
    """The plan of a split video."""
    try:
        found = Jobs(OneBlob(data)).read(JOB)
    except DropsightError:
        return
    assert found
    to_bytes(found.to_json())
    Jobs(OneBlob(data, {"bytes": "1", "renders": data[:40].decode("latin-1")}, path_of(JOB, PLAN))).progress(JOB)


def message(data: bytes) -> None:
    """A message of the queues of a split video."""
    try:
        Message.parse(data).text()
    except ValueError:
        return


def state(data: bytes) -> None:
    """The other documents of the container `state`, and the pointer of a model."""
    storage = OneBlob(data, name="leaving/a.json")
    sweep_mark.read_mark(storage, "local")
    list(sweep_mark.pauses_noted(storage))
    outdated.told(storage)
    leaving.noted(storage)
    by_hour._through(storage, "lake.json")
    documents: tuple[Callable[[], object], ...] = (
        lambda: read_pointer(storage, "model"),
        lambda: SlotStore(storage).plan("entry"),
        lambda: SlotStore(storage).read("entry", NOON),
        lambda: list(SlotStore(storage).history("entry")),
        lambda: to_bytes(Slot.to_json(slot[0])) if (slot := SlotStore(storage).read("entry", NOON)) else None,
        lambda: read_parsed(storage, STATE, BASELINE, from_json),
        lambda: read_parsed(storage, STATE, VERDICT, Standing.from_json),
    )
    for read in documents:
        try:
            read()
        except (BadModel, BadPipeline):
            continue


def query(data: bytes) -> None:
    """Method, path and query of a request, and what the app answers: never its own error."""
    text = data.decode("latin-1")
    url = f"http://app/api/v1/analyze?{text}"
    try:
        from urllib.parse import parse_qsl

        params = dict(parse_qsl(text.replace("\n", "")))
    except ValueError:
        params = {}
    request = func.HttpRequest("POST", url, params=params, route_params={"path": text, "id": text}, body=data)
    for kind in (NoQuery, AnalyzeQuery, ListQuery):
        try:
            read_parameters(request, kind)
        except DropsightError:
            continue
    assert answer_api(request, "GET", f"v1/{text}", frozenset()).status_code in (400, 403, 404, 405)
    assert answer_api(request, "POST", "v1/rights", frozenset(RIGHTS)).status_code in (200, 400)
    assert router.answer("health", request).status_code == 400


def envelope(data: bytes) -> None:
    """The body of POST v1/analyze; its first line is the Content-Type."""
    kind, _, body = data.partition(b"\n")
    try:
        unwrapped(body, kind.decode("latin-1"))
    except (BadRequest, UnsupportedMedia):
        return


def events(data: bytes) -> None:
    """The body of an Event Grid webhook, without entries that it could be about."""
    answer = router.answer("model_registered", func.HttpRequest("POST", "http://app/api/models/events", body=data))
    assert answer.status_code in (200, 202, 400, 403)


def names(data: bytes) -> None:
    """A name of an upload, and a path that somebody asks for."""
    name = data.decode("utf-8", "surrogateescape" if data[:1] == b"\xff" else "replace")
    path = record_path(name)
    assert len(path) <= MAX_NAME
    assert path.startswith(record_prefix(name[:5])) or name[:5] == name  # of which the last slash is odd
    assert not any(part in (".", "..") for part in path.split("/"))
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(char) for char in single(name)}
    try:
        canonical(name)
        output_path(name)
    except (UnsupportedMedia, LimitExceeded):
        pass
    asked = requested_path(name)
    assert asked is None or not ({".", "..", ""} & set(asked.split("/")))


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        manifest, recogniser, onnx, routes, sidecar, receipt, job, message, state, query, envelope, events, names,
    )
}  # fmt: skip
