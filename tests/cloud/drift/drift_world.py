"""Results of real analyses that look as if they were older, and rows as a comparison reads them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cloud.drift.drift_rows import Row
from cloud.storage.containers import Page, Storage
from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.results.result import Source
from inference.routes import Route, Step

NOW = datetime.now(UTC)
AGO = {"old": timedelta(days=10), "same": timedelta(days=3), "dark": timedelta(days=1)}


class Aged(Storage):
    """Real storage whose results look as if they had been written some time ago, by how their names begin."""

    def pages(self, container: str, prefix: str = "", token: str | None = None, size: int = 1000) -> Iterator[Page]:
        for page in super().pages(container, prefix, token, size):
            if container == "results":
                aged = [replace(b, modified=NOW - AGO[b.name.split("-")[0]]) for b in page.blobs]
                page = replace(page, blobs=aged)
            yield page


def picture(seed: int, *, dark: bool = False) -> bytes:
    chance = np.random.default_rng(seed)
    side = int(chance.integers(80, 140))
    image = Image.fromarray(chance.integers(0, 255, (16, 16, 3), dtype=np.uint8)).resize((side, side - 10))
    if dark:
        image = image.point(lambda value: value * 0.25).filter(ImageFilter.GaussianBlur(4))
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


def upload(storage: Storage, registry: Registry, age: str, count: int, *, seed: int = 0) -> None:
    """Results of real analyses, written where the app writes them."""
    route = Route("everyday", (Step("classify"), Step("colors")))
    for number in range(count):
        name, data = f"{age}-{number}.jpg", picture(seed + number, dark=age == "dark")
        etag = storage.write("uploads", name, data)
        source = Source("uploads", name, etag, len(data))
        document = analyze(data, route, registry, source, artifacts=False).result.to_json()
        storage.write_json("results", f"{name}/result.json", document)


def row(
    number: int,
    *,
    hour: int = 9,
    folder: str = "",
    vector: Sequence[float] | NDArray[np.float64] | None = None,
    **more: Any,
) -> Row:
    """A row of the route `r` by the model `m:1`. more: other fields of a Row, and numbers."""
    fields: dict[str, Any] = {key: more.pop(key) for key in ("route", "model", "label", "name") if key in more}
    fields = {"route": "r", "model": "m:1", "label": "cat", "name": f"{folder}/{number}.jpg".lstrip("/")} | fields
    time = datetime(2026, 11, 23, hour, tzinfo=UTC)
    return Row(time=time, numbers=more, vector=None if vector is None else np.array(vector, np.float32), **fields)
