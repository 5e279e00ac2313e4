"""Nearest pictures and groups of pictures, from their embeddings. Search is exact: a product with all vectors."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadModel, CorruptMedia
from inference.heads.embedding import unit_length
from inference.image.kmeans import kmeans
from inference.predictions import Floats
from inference.results.formats import RESULT_FILE, read_document


@dataclass(frozen=True)
class Index:
    """Vectors (N, D) float32 of length 1 and their N names. model: the sha256 of the weights that made them."""

    names: tuple[str, ...]
    vectors: Floats
    model: str = ""

    def __len__(self) -> int:
        return len(self.names)

    @staticmethod
    def of(names: Sequence[str], vectors: Sequence[Floats] | Floats, model: str = "") -> Index:
        """Vectors (D,) of any length, in the order of the names. Raises BadModel where their dimensions differ."""
        if len({len(v) for v in vectors}) > 1:
            sizes = sorted({len(v) for v in vectors})
            raise BadModel(f"vectors of {sizes} dimensions cannot be compared; embed all pictures with the same model")
        rows = np.asarray(vectors, np.float32).reshape(len(names), len(vectors[0]) if len(vectors) else 0)
        return Index(tuple(names), np.ascontiguousarray(unit_length(rows)), model)

    def search(self, vector: Floats, count: int = 10) -> list[tuple[str, float]]:
        """The `count` nearest (name, cosine), best first. vector: (D,) of any length. Raises BadModel for another D."""
        if not len(self):
            return []
        if vector.shape != self.vectors.shape[1:]:
            raise BadModel(
                f"the picture's vector has {vector.size} dimensions, the index {self.vectors.shape[1]}; "
                "embed both with the same model"
            )
        # einsum keeps to this thread: a product through BLAS waits for its helpers, a hundred times as long as the
        # work takes when other threads keep the cores busy.
        cosines = np.einsum("ij,j->i", self.vectors, unit_length(vector.astype(np.float32)))
        count = min(count, len(cosines))
        best = np.argpartition(-cosines, count - 1)[:count]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return [(self.names[i], float(cosines[i])) for i in best]


def verify(a: Floats, b: Floats, threshold: float) -> tuple[bool, float]:
    """Whether two vectors show the same (face, person, thing): (cosine >= threshold, cosine).

    The threshold belongs to the model: 0.363 for SFace, say.
    """
    cosine = float(unit_length(a.astype(np.float32).ravel()) @ unit_length(b.astype(np.float32).ravel()))
    return cosine >= threshold, cosine


def groups(vectors: Floats, count: int, seed: int = 0) -> NDArray[np.int64]:
    """The group (N,) of every vector (N, D), 0 the largest: k-means with k-means++ seeding, the best of three runs."""
    count = min(count, len(vectors))
    if count < 1:
        return np.zeros(0, np.int64)
    best: tuple[float, NDArray[Any]] | None = None
    generator = np.random.default_rng(seed)
    for _ in range(3):
        centres, labels = kmeans(vectors, count, generator, rounds=30)
        spread = float(((vectors - centres[labels]) ** 2).sum())
        if best is None or spread < best[0]:
            best = spread, labels
    assert best is not None
    sizes = np.bincount(best[1], minlength=count)
    rank = np.empty(count, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(count)
    numbers: NDArray[np.int64] = rank[best[1]]
    return numbers


def from_results(folder: Path, step: str | None = None) -> Index:
    """An index over a folder of results, from the vectors that an embedding step wrote beside them.

    step: which step's, where a result has several (default: the first). Raises BadModel where models differ.
    """
    names: list[str] = []
    vectors: list[Floats] = []
    models: set[str] = set()
    for path in sorted(folder.rglob(RESULT_FILE)):
        document = read_document(path)
        for result in document["steps"]:
            artifact = result.get("embedding", {}).get("artifact")
            if artifact and step in (None, result["name"]):
                names.append(document["source"]["name"])
                vectors.append(read_vector(path.parent, artifact))
                models.add(result["model"]["sha256"])
                break
    if len(models) > 1:
        raise BadModel(f"{folder}: its vectors come from {len(models)} different models; name a step or analyse again")
    return Index.of(names, vectors, models.pop() if models else "")


def read_vector(folder: Path, artifact: str) -> Floats:
    """A vector (D,) float32 beside a result. Raises CorruptMedia, also for a path that leaves the folder."""
    path = (folder / artifact).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise CorruptMedia(f"{folder}: the vector {artifact!r} leaves the result's folder")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorruptMedia(f"{path}: not a readable vector ({error}); analyse the picture again") from error
    return vector_of(content, str(path))


def vector_of(content: bytes, where: str) -> Floats:
    """The vector (D,) float32 of a .npy file's content. Raises CorruptMedia. where: what the error calls it."""
    try:
        vector = np.asarray(np.load(io.BytesIO(content), allow_pickle=False), np.float32).ravel()
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise CorruptMedia(f"{where}: not a readable vector ({error}); analyse the picture again") from error
    if not np.isfinite(vector).all():
        raise CorruptMedia(f"{where}: its numbers are not all finite; analyse the picture again")
    return vector
