"""Uploads like another one, by real vectors of the model `embed`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cloud.index.entry import Entry, EntryPage, Query
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from cloud.settings import RESULTS
from cloud.uploads.index_notes import IndexNotes, Truth
from cloud.uploads.upload_worker import UploadWorker
from cloud.web.similar import VectorCache, read_vector, similar_uploads
from inference.engine.registry import Registry
from inference.predictions import Floats
from inference.routes_file import parse_routes
from inference.similar import Index, vector_of
from tests.cloud.helpers import Calls, document, drop
from tests.cloud.web.asking import ask, said, serve

pytestmark = pytest.mark.slow
SAMPLES = Path(__file__).resolve().parents[3] / "samples"
ROUTES = """
[[route]]
name = "looks"
match = "looks/**"
steps = [{ model = "sketch" }, { model = "embed" }]
[[route]]
name = "default"
match = "**"
steps = [{ model = "sketch" }]
"""
NOW = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = ["looks/cat.jpg", "looks/mirrored.jpg", "looks/coffee.jpg", "looks/rocket.jpg"]


def photo(name: str, mirrored: bool = False) -> bytes:
    buffer = io.BytesIO()
    with Image.open(SAMPLES / f"{name}.jpg") as image:
        (ImageOps.mirror(image) if mirrored else image).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


class Looks:
    """A worker, and the table that lists what it has done."""

    def __init__(self, worker: UploadWorker, table: UploadTable) -> None:
        self.worker, self.table = worker, table
        self.writer = IndexWriter(lambda: table, Truth(worker.storage, worker.ledger.store, lambda _: False), 60)
        worker.ledger.notes = IndexNotes(self.writer)

    def put(self, name: str, content: bytes) -> None:
        assert self.worker.handle(drop(self.worker, name, content)).status == "done"
        assert self.writer.flush()

    def vector(self, name: str) -> Floats:
        found = read_vector(self.worker.storage, name)
        assert found
        return found.values

    def vector_path(self, name: str) -> str:
        steps = document(self.worker, RESULTS, f"{name}/result.json")["steps"]
        return f"{name}/{steps[-1]['embedding']['artifact']}"

    def find(self, name: str, known: VectorCache, seconds: float = 60) -> tuple[list[str], int, int, bool]:
        """Names, seen, compared, complete."""
        own = read_vector(self.worker.storage, name)
        assert own
        found = similar_uploads(self.worker.storage, self.table, own, name, seconds=seconds, known=known)
        return [near.entry.name for near in found.nearest], found.seen, found.compared, found.complete


@pytest.fixture
def looks(
    make_worker: Callable[..., UploadWorker],
    index_table: UploadTable,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> Looks:
    made = make_worker()
    worker = UploadWorker(made.storage, made.settings, parse_routes(ROUTES, "test routes"), registry)
    found = Looks(worker, index_table)
    serve(monkeypatch, worker)
    monkeypatch.setattr("cloud.web.similar_api.default_index", lambda: index_table)
    monkeypatch.setattr("cloud.web.similar_api.similar_uploads", _patient)
    for name in NAMES:
        found.put(name, photo("cat", "mirrored" in name) if "cat" in name or "mirrored" in name else photo(name[6:-4]))
    found.put("other/cat.jpg", photo("cat"))
    return found


def _patient(*arguments: object, **options: object) -> object:
    """On a machine with other work a second may be too short."""
    return similar_uploads(*arguments, **options, seconds=60, known=VectorCache())  # type: ignore[arg-type]


def test_the_nearest_come_first_by_the_comparison_of_the_library(looks: Looks) -> None:
    answer = ask("GET", "v1/similar/looks/cat.jpg")
    found = said(answer)
    assert (answer.status_code, found["model"], found["step"]) == (200, "embed", "embed")
    assert (found["seen"], found["compared"], found["complete"]) == (4, 3, True)
    others = NAMES[1:]
    expected = Index.of(others, [looks.vector(name) for name in others]).search(looks.vector(NAMES[0]), 12)
    assert [item["name"] for item in found["items"]] == [name for name, _ in expected]
    assert [item["similarity"] for item in found["items"]] == [round(cosine, 4) for _, cosine in expected]
    assert found["items"][0]["name"] == "looks/mirrored.jpg" and found["items"][0]["thumbnail"]
    assert len(said(ask("GET", "v1/similar/looks/cat.jpg?limit=2"))["items"]) == 2


def test_who_has_no_vector_is_told_by_which_route_to_get_one(looks: Looks) -> None:
    answer = ask("GET", "v1/similar/other/cat.jpg")
    assert answer.status_code == 404 and "a route that makes one: looks (" in said(answer)["detail"]
    looks.worker.planner.routes = parse_routes(ROUTES.replace(', { model = "embed" }', ""), "test routes")
    assert "no route has a step that makes one" in said(ask("GET", "v1/similar/other/cat.jpg"))["detail"]
    missing = ask("GET", "v1/similar/looks/nothing.jpg")
    assert missing.status_code == 404 and said(missing)["state"] == "unknown"


def test_without_time_only_what_is_known_is_compared_and_that_is_said(looks: Looks, calls: Calls) -> None:
    known = VectorCache()
    assert looks.find(NAMES[0], known)[1:] == (4, 3, True)
    calls.seen.clear()
    own = read_vector(looks.worker.storage, NAMES[0])
    assert own
    before = len(calls)
    again = similar_uploads(looks.worker.storage, looks.table, own, NAMES[0], seconds=60, known=known)
    assert (len(again.nearest), len(calls) - before) == (3, 1)  # the list of the index, and no vector

    class Listed:
        """An index that needs no time."""

        def page(self, query: Query, cursor: str | None = None, size: int = 60) -> EntryPage:
            return page

        def remove(self, names: Iterable[str]) -> None:
            raise AssertionError(names)

    page = looks.table.page(Query(task="image-feature-extraction"))
    calls.seen.clear()
    some = VectorCache()
    first = next(entry for entry in page.entries if entry.name != NAMES[0])
    some.put(first, own.sha256, own.values)
    late = similar_uploads(looks.worker.storage, Listed(), own, NAMES[0], seconds=0, known=some)
    assert [near.entry.name for near in late.nearest] == [first.name]
    assert (late.seen, late.compared, late.complete, len(calls)) == (1, 1, False, 0)


def test_a_picture_that_was_replaced_is_compared_as_it_is_now(looks: Looks) -> None:
    known = VectorCache()
    assert looks.find(NAMES[0], known)[0][0] == "looks/mirrored.jpg"
    looks.put("looks/mirrored.jpg", photo("astronaut"))
    looks.put("looks/rocket.jpg", photo("cat", mirrored=True))
    assert looks.find(NAMES[0], known)[0][0] == "looks/rocket.jpg"


def test_vectors_of_other_weights_and_broken_ones_are_left_out(looks: Looks) -> None:
    storage = looks.worker.storage
    storage.write(RESULTS, looks.vector_path("looks/coffee.jpg"), b"no vector")
    nothing = io.BytesIO()
    np.save(nothing, np.full(looks.vector(NAMES[0]).shape, np.nan, np.float32))
    storage.write(RESULTS, looks.vector_path("looks/rocket.jpg"), nothing.getvalue())
    assert looks.find(NAMES[0], VectorCache()) == (["looks/mirrored.jpg"], 4, 1, True)
    other = document(looks.worker, RESULTS, "looks/mirrored.jpg/result.json")
    other["steps"][-1]["model"]["sha256"] = "0" * 64
    storage.write(RESULTS, "looks/mirrored.jpg/result.json", json.dumps(other).encode())
    assert looks.find(NAMES[0], VectorCache()) == ([], 4, 0, True)


def test_more_than_the_newest_are_not_looked_at(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.web.similar.NEWEST", 2)
    names, seen, compared, complete = looks.find(NAMES[0], VectorCache())
    newest = [entry.name for entry in looks.table.page(Query(task="image-feature-extraction"), None, 2).entries]
    assert sorted(names) == sorted({*newest} - {NAMES[0]}) and compared == len(names)
    assert (seen, complete) == (2, False)


def test_known_vectors_are_bounded_and_versions_kept_apart() -> None:
    known, vector = VectorCache(2), np.ones(3, np.float32)

    def entry(receipt: str) -> Entry:
        return Entry("a", "0x1", "done", NOW, receipt=receipt)

    for receipt in ("1", "2", "3"):
        known.put(entry(receipt), "s", vector)
    known.put(entry(""), "s", vector)
    assert [known.get(entry(receipt), "s")[0] for receipt in ("1", "2", "3", "")] == [False, True, True, False]
    assert known.get(entry("3"), "other weights") == (False, None)
    buffer = io.BytesIO()
    np.save(buffer, vector)
    assert vector_of(buffer.getvalue(), "here").tolist() == [1, 1, 1]
