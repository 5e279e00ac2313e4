"""Statistics of every result, written hour by hour in the layout of Azure Machine Learning's data collector.

`lake/modelDataCollector/dropsight/<route>/{model_inputs,model_outputs}/yyyy/MM/dd/HH/dropsight.jsonl`, a
CloudEvents line per result: an AzureML monitor can read them (make the container a datastore), and so do we.
"""

from __future__ import annotations

import io
import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cloud.drift.drift_entry import LAKE
from cloud.settings import RESULTS, UPLOADS
from cloud.storage.by_hour import documents, unprocessed
from cloud.storage.containers import BlobInfo, Conflict, Storage
from inference.errors import BadPipeline, OutOfMemory, Permanent
from inference.image.limits import Limits
from inference.image.media import decode
from inference.results.summary import labels_of

log = logging.getLogger(__name__)

MARK = "drift/collected.json"
FOLDER = "modelDataCollector/dropsight"
FILE = "dropsight.jsonl"
MOST_HOURS = 48
# Beyond so many results in an hour the pictures of an even sample are measured; every result has its line.
MOST_PICTURES = 1000
# A comparison reads at most so many rows, and so many embeddings, of an hour and route.
MOST_ROWS = 500
MOST_VECTORS = 50
MAX_PICTURE = 50 * 1024 * 1024
_SIDE = 128

Row = dict[str, Any]


def collect(storage: Storage, now: datetime) -> int:
    """Write the lines of every finished hour that has none yet. Returns how many results they hold."""
    count = 0
    for hour, blobs in unprocessed(storage, MARK, now, MOST_HOURS):
        lines: dict[tuple[str, str], list[str]] = defaultdict(list)
        every = -(-len(blobs) // MOST_PICTURES)
        for number, (blob, document) in enumerate(documents(storage, blobs)):
            count += 1
            picture = _pixels(storage, document) if number % every == 0 else None
            for collection, row in (("model_inputs", inputs(document, picture)), ("model_outputs", outputs(document))):
                if collection == "model_outputs" and (vector := _embedding(storage, blob, document)) is not None:
                    row["embedding"] = vector
                lines[document["route"], collection].append(json.dumps(_event(blob, document, collection, row)))
        for (route, collection), texts in lines.items():
            path = f"{FOLDER}/{_safe(route)}/{collection}/{hour:%Y/%m/%d/%H}/{FILE}"
            storage.write(LAKE, path, ("\n".join(texts) + "\n").encode())
    return count


def inputs(document: Mapping[str, Any], pixels: NDArray[np.uint8] | None) -> Row:
    """Statistics of the picture: size and aspect ratio from the result; from the pixels brightness (mean
    luma, 0..1), contrast (its standard deviation) and sharpness (variance of the Laplacian, log10)."""
    source = document["source"]
    width, height = source.get("width"), source.get("height")
    row: Row = {"width": width, "height": height, "bytes": source.get("bytes")}
    row["aspect"] = round(width / height, 4) if width and height else None
    row |= {"brightness": None, "contrast": None, "sharpness": None}
    if pixels is not None:
        luma = pixels.astype(np.float64) @ (0.299, 0.587, 0.114) / 255
        inner = luma[1:-1, 1:-1]
        around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
        # Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy": blur lowers it.
        sharpness = float(np.log10(np.var(around - 4 * inner) + 1e-8)) if inner.size else None
        row["brightness"], row["contrast"] = round(float(luma.mean()), 4), round(float(luma.std()), 4)
        row["sharpness"] = None if sharpness is None else round(sharpness, 4)
    return row


def outputs(document: Mapping[str, Any]) -> Row:
    """Statistics of the predictions: how many, the best and the mean score, and a label: the commonest object, else the
    best name of the picture, even where it is a guess. Whether a guess is right does not matter here: what a classifier
    prefers, and how often, is what shifts when the pictures do."""
    predictions = [prediction for step in document["steps"] for prediction in step["predictions"]]
    scores = [score for prediction in predictions if isinstance(score := prediction.get("score"), int | float)]
    labels = labels_of(document)
    return {
        "count": len(predictions),
        "score": round(max(scores), 4) if scores else None,
        "mean_score": round(sum(scores) / len(scores), 4) if scores else None,
        "label": labels.top or next(iter(labels.guesses), "none"),
        "model": "+".join(f"{step['model']['name']}:{step['model']['version']}" for step in document["steps"]),
    }


def rows(storage: Storage, start: datetime, end: datetime) -> Iterator[Row]:
    """Inputs and outputs of results written in [start, end), joined, with name and time.

    Of a busy hour an even sample: a window of weeks must fit into memory.
    """
    days = {(start + timedelta(days=n)).date() for n in range((end - start).days + 2)}
    routes = _routes(storage)
    for day in sorted(days):
        for route in routes:
            kept: dict[str, Row] = {}
            for collection in ("model_inputs", "model_outputs"):
                for page in storage.pages(LAKE, f"{FOLDER}/{route}/{collection}/{day:%Y/%m/%d}/"):
                    for blob in page.blobs:
                        for key, time, row in _lines(storage, blob.name):
                            if start.isoformat() <= time < end.isoformat():
                                kept.setdefault(key, {"route": route, "time": time}).update(row)
            yield from kept.values()


def _routes(storage: Storage) -> list[str]:
    pages = storage.pages(LAKE, f"{FOLDER}/", size=5000)
    return sorted({blob.name.removeprefix(f"{FOLDER}/").split("/")[0] for page in pages for blob in page.blobs})


def _lines(storage: Storage, name: str) -> list[tuple[str, str, Row]]:
    """Key, time and statistics of an even sample of a file's lines. Raises BadPipeline for a broken file."""
    stored = storage.read(LAKE, name)
    lines = stored[0].splitlines() if stored else []
    try:
        # Inputs and outputs of an hour have the same results in the same order: the same ones are chosen.
        events = [json.loads(line) for line in lines[:: -(-len(lines) // MOST_ROWS) or 1]]
        read = [(str(e["correlationid"]), str(e["time"]), {**e["data"][0], "name": e["xrequestid"]}) for e in events]
    except (ValueError, LookupError, TypeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise BadPipeline(f"{LAKE}/{name} cannot be read ({said}): restore it, or delete it") from error
    for _, _, row in read[MOST_VECTORS:]:
        row.pop("embedding", None)
    return read


def _event(blob: BlobInfo, document: Mapping[str, Any], collection: str, row: Row) -> dict[str, Any]:
    data = json.dumps([row])
    return {
        "specversion": "1.0",
        "id": f"{document['trace']}-{collection}",
        "source": "dropsight",
        "type": f"azureml.inference.{collection}",
        "datacontenttype": "application/json",
        "time": blob.modified.isoformat(),
        "data": [row],
        "correlationid": document["trace"] or blob.name,
        "xrequestid": document["source"]["name"],
        "modelversion": outputs(document)["model"],
        "collectdatatype": "pandas.core.frame.DataFrame",
        "agent": "dropsight",
        "contentrange": f"bytes 0-{len(data) - 1}/{len(data)}",
    }


def picture(storage: Storage, name: str, etag: str | None = None, at_least: int = _SIDE) -> Image.Image | None:
    """An upload as a picture of at least that many pixels a side; None for a video, and where that version is gone."""
    try:
        reading = storage.open(UPLOADS, name, etag)
        return decode(reading.read(MAX_PICTURE), Limits(bytes=MAX_PICTURE), at_least).image if reading else None
    except (Conflict, Permanent, OutOfMemory) as error:
        log.info("%s: no picture to look at: %s", name, error)
        return None


def _pixels(storage: Storage, document: Mapping[str, Any]) -> NDArray[np.uint8] | None:
    source = document["source"]
    if not str(source.get("media_type")).startswith("image/"):
        return None
    image = picture(storage, source["name"], source["etag"])
    # Always the same side, or sharpness would compare picture sizes.
    return np.asarray(image.resize((_SIDE, _SIDE))) if image else None


def _embedding(storage: Storage, blob: BlobInfo, document: Mapping[str, Any]) -> list[float] | None:
    for step in document["steps"]:
        artifact = (step.get("embedding") or {}).get("artifact")
        if artifact and (stored := storage.read(RESULTS, f"{blob.name.removesuffix('result.json')}{artifact}")):
            try:
                vector = np.load(io.BytesIO(stored[0]), allow_pickle=False)
            except (ValueError, EOFError) as error:
                log.warning("%s: %s is no array of numbers: %s", blob.name, artifact, error)
                return None
            return [round(float(value), 5) for value in vector.ravel()]
    return None


def _safe(route: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in route) or "_"
