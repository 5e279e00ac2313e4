"""Uploads that look like another: by the vectors that embedding steps have stored beside results."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cloud.index.entry import Entry, Index, Query
from cloud.once import once
from cloud.settings import RESULTS
from cloud.storage.containers import Storage
from cloud.storage.paths import output_path
from cloud.uploads.publish import result_path
from inference import similar
from inference.errors import CorruptMedia, DropsightError, LimitExceeded, TookTooLong
from inference.predictions import Floats
from inference.results.check import checked_result
from inference.threads import begin_thread
from inference.time_limits import within

TASK = "image-feature-extraction"
NEWEST = 500  # uploads that are compared at most
SHOWN = 12
_PAGE = 250
_SECONDS = 1.0  # for the search; what is not read by then is left out, and said
_AT_ONCE = 8
_KEPT = 2000  # vectors: of 1,280 numbers these are 10 MB
_MOST_BYTES = 8 * 1024 * 1024
_LIMIT = "the search for similar pictures may take a second"


@dataclass(frozen=True)
class Vector:
    """What an embedding step made of a picture. sha256: of the model's weights; only vectors of the same compare."""

    step: str
    model: str
    sha256: str
    values: Floats


@dataclass(frozen=True)
class Near:
    """An upload, and how alike it is: the cosine of the two vectors, 1 for the same."""

    entry: Entry
    similarity: float


@dataclass(frozen=True)
class SimilarUploads:
    """The most alike, best first. seen: how many of the newest uploads with such a step were looked at; compared: of
    these, how many have a vector of the same weights; complete: whether no others are left."""

    step: str
    model: str
    nearest: Sequence[Near]
    seen: int
    compared: int
    complete: bool


class VectorCache:
    """Vectors by the version of the receipt of their results: the least recently used go first. Safe to use from many
    threads."""

    def __init__(self, size: int = _KEPT) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, str], Floats | None] = OrderedDict()

    def get(self, entry: Entry, sha256: str) -> tuple[bool, Floats | None]:
        """Whether it is known, and the vector, None where the result has none."""
        key = entry.name, entry.receipt, sha256
        with self._lock:
            if key not in self._known:
                return False, None
            self._known.move_to_end(key)
            return True, self._known[key]

    def put(self, entry: Entry, sha256: str, vector: Floats | None) -> None:
        """Keeps one; what has no receipt has no version by which it could be told from a later one."""
        if not entry.receipt:
            return
        with self._lock:
            self._known[entry.name, entry.receipt, sha256] = vector
            while len(self._known) > self._size:
                self._known.popitem(last=False)


@once
def default_vectors() -> VectorCache:
    """The vectors that this process knows."""
    return VectorCache()


def vector_step(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first step of a checked result whose vector was stored."""
    return next(_vector_steps(document), None)


def _vector_steps(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (step for step in document["steps"] if (step.get("embedding") or {}).get("artifact"))


def read_vector(storage: Storage, name: str, sha256: str = "") -> Vector | None:
    """The vector of an upload's result, of these weights if they are given; None without a result or a vector. Two
    calls. Raises CorruptMedia, LimitExceeded, StorageUnavailable."""
    stored = storage.read(RESULTS, result_path(name), _MOST_BYTES)
    try:
        document = checked_result(json.loads(stored[0])) if stored else None
    except (ValueError, RecursionError) as error:
        raise CorruptMedia(f"the result of {name!r} cannot be read: {error}; have it analysed again") from error
    for step in _vector_steps(document or {"steps": []}):
        made_by = str(step["model"].get("sha256") or "")
        path = str(step["embedding"]["artifact"])
        if sha256 in ("", made_by) and made_by and ".." not in path.split("/"):
            place = f"{output_path(name)}/{path}"
            content = storage.read(RESULTS, place, _MOST_BYTES)
            if content is None:
                continue
            values = similar.vector_of(content[0], place)
            return Vector(str(step["name"]), str(step["model"]["name"]), made_by, values)
    return None


def similar_uploads(
    storage: Storage, index: Index, own: Vector, name: str, count: int = SHOWN, *,
    seconds: float | None = None, known: VectorCache | None = None,
) -> SimilarUploads:  # fmt: skip
    """The uploads most like `name`, whose vector is `own`, among the newest that the same model has seen.

    Vectors are read side by side until `seconds` have passed (_SECONDS). Raises as the index does.
    """
    end = time.monotonic() + (_SECONDS if seconds is None else seconds)
    search = _Search(storage, known or default_vectors(), own, end)
    entries, more = search.candidates(index)
    with ThreadPoolExecutor(_AT_ONCE, "dropsight-similar", begin_thread()) as pool:
        read = [*zip(entries, pool.map(search.vector, entries), strict=True)]
    found = {entry.name: (entry, values) for entry, (_, values) in read if values is not None and entry.name != name}
    nearest = similar.Index.of(list(found), [values for _, values in found.values()], own.sha256).search(
        own.values, count
    )
    seen = sum(was_read for _, (was_read, _) in read)
    return SimilarUploads(
        own.step,
        own.model,
        [Near(found[near][0], cosine) for near, cosine in nearest],
        seen,
        len(found),
        complete=seen == len(read) and not more,
    )


@dataclass(frozen=True)
class _Search:
    storage: Storage
    known: VectorCache
    own: Vector
    end: float

    def candidates(self, index: Index) -> tuple[list[Entry], bool]:
        """The newest results of the same model, at most NEWEST; whether there are more."""
        query, cursor, found = Query(task=TASK, model=self.own.model), None, list[Entry]()
        while len(found) < NEWEST:
            try:
                with within(self.end - time.monotonic(), _LIMIT):
                    page = index.page(query, cursor, _PAGE)
            except TookTooLong:
                return found, True
            # Where the index cannot tell models apart, the documents do.
            found += [entry for entry in page.entries if entry.state in ("done", "partial")]
            cursor = page.next
            if cursor is None:
                return found[:NEWEST], len(found) > NEWEST
        return found[:NEWEST], True

    def vector(self, entry: Entry) -> tuple[bool, Floats | None]:
        """Whether there was time to read it, and its vector if it has one that can be compared."""
        is_known, values = self.known.get(entry, self.own.sha256)
        left = self.end - time.monotonic()
        if is_known or left <= 0:
            return is_known, values
        try:
            with within(left, _LIMIT):
                found = read_vector(self.storage, entry.name, self.own.sha256)
        except (CorruptMedia, LimitExceeded):
            found = None
        except DropsightError:  # storage was silent or slow: another time
            return False, None
        fits = found is not None and found.values.shape == self.own.values.shape
        values = found.values if found and fits else None
        self.known.put(entry, self.own.sha256, values)
        return True, values
