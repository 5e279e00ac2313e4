"""Statistics of every result, written hour by hour in the layout of Azure Machine Learning's data collector.

`lake/modelDataCollector/dropsight/<route>/{model_inputs,model_outputs}/yyyy/MM/dd/HH/dropsight.jsonl`, a
CloudEvents line per result: an AzureML monitor can read them (make the container a datastore), and so do we.
"""

from __future__ import annotations

import io
import json
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cloud.drift.drift_entry import LAKE
from cloud.settings import RESULTS, UPLOADS
from cloud.storage.by_hour import Results, documents, unprocessed
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.paths import output_path, printable
from inference.errors import LimitExceeded, OutOfMemory, Permanent
from inference.image.limits import Limits
from inference.image.media import decode
from inference.results.summary import labels_of

log = logging.getLogger(__name__)

MARK = "drift/collected.json"
FOLDER = "modelDataCollector/dropsight"
FILE = "dropsight.jsonl"
MOST_HOURS = 48
# Beyond so many results in an hour the pictures and embeddings of a sample are looked at; every result has its line.
MOST_PICTURES = 1000
# A comparison reads at most so many rows, and so many embeddings, of an hour and route.
MOST_ROWS = 500
MOST_VECTORS = 50
MAX_PICTURE = 50 * 1024 * 1024
NUMERIC = ("brightness", "contrast", "sharpness", "width", "height", "aspect", "count", "score", "mean_score")
_SIDE = 128
_NAME = re.compile(rb'"xrequestid": *("(?:[^"\\]|\\.)*")')
_DATE = re.compile(r"(?:(?:date|dt|year|month|day|hour|y|m|d|h)=)?[\d._:+ -]*\d[\d._:+ TZ-]*")

Statistics = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """What a comparison reads of a result. time: when it was written (UTC). label: "" where only inputs are known.

    numbers: those of NUMERIC that are known, all finite. model: every step's model and version, "" where none ran.
    vector: the embedding (D,), in a sample of the rows.
    """

    name: str
    route: str
    time: datetime
    model: str = ""
    label: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None

    @property
    def folder(self) -> str:
        """Where the upload comes from: the directory of its name, without the parts that are only numbers or dates.
        `cam7/2026/11/27/a.jpg` and `2026-11-27/cam7/a.jpg` both come from `cam7`."""
        return "/".join(part for part in self.name.split("/")[:-1] if part and not _DATE.fullmatch(part))


def collect(storage: Storage, now: datetime, results: Results | None = None) -> int:
    """Write the lines of every finished hour that has none yet. Returns how many results they hold.

    What cannot be a result (fields of wrong types) is left out, and named in the log.
    """
    count = 0
    for hour, blobs in unprocessed(storage, MARK, now, MOST_HOURS, results):
        lines: dict[tuple[str, str], list[str]] = defaultdict(list)
        looked_at = set(sorted((blob.name for blob in blobs), key=lambda name: _rank(_upload(name)))[:MOST_PICTURES])
        left_out = 0
        for blob, document in documents(storage, blobs):
            try:
                route, made = _events(storage, blob, document, look=blob.name in looked_at)
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                left_out += 1
                log.warning("%s is no result that statistics can be made of (%r): left out", blob.name, error)
                continue
            count += 1
            for collection, event in made.items():
                lines[_safe(route), collection].append(json.dumps(event))
        if left_out:
            log.warning("drift: %d of %d results of the hour %s were left out", left_out, len(blobs), hour.isoformat())
        for (route, collection), texts in lines.items():
            path = f"{FOLDER}/{route}/{collection}/{hour:%Y/%m/%d/%H}/{FILE}"
            storage.write(LAKE, path, ("\n".join(texts) + "\n").encode())
    return count


def _events(
    storage: Storage, blob: BlobInfo, document: Mapping[str, Any], *, look: bool
) -> tuple[str, dict[str, dict[str, Any]]]:
    """The route, and the line of each collection."""
    of_inputs = inputs(document, _pixels(storage, document) if look else None)
    of_outputs = outputs(document)
    if look and (vector := _embedding(storage, blob, document)) is not None:
        of_outputs["embedding"] = vector
    made = {
        "model_inputs": _event(blob, document, "model_inputs", of_inputs),
        "model_outputs": _event(blob, document, "model_outputs", of_outputs),
    }
    return str(document["route"]), made


def _upload(name: str) -> bytes:
    """The name of the upload in JSON, as a line of its result has it."""
    return json.dumps(name.removesuffix("/result.json")).encode()


def _rank(name: bytes) -> bytes:
    # A sample is the first so many by rank: even over names, the same in every file of an hour, and a larger sample
    # holds a smaller one.
    return blake2b(name, digest_size=8).digest()


def inputs(document: Mapping[str, Any], pixels: NDArray[np.uint8] | None) -> Statistics:
    """Statistics of the picture: size and aspect ratio from the result; from the pixels brightness (mean
    luma, 0..1), contrast (its standard deviation) and sharpness (variance of the Laplacian, log10)."""
    source = document["source"]
    width, height = source.get("width"), source.get("height")
    row: Statistics = {"width": width, "height": height, "bytes": source.get("bytes")}
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


def outputs(document: Mapping[str, Any]) -> Statistics:
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


def rows(storage: Storage, start: datetime, end: datetime, broken: Counter[str] | None = None) -> list[Row]:
    """Inputs and outputs of results written in [start, end), joined; of several results of an upload the newest.

    Of a busy hour a sample: a window of weeks must fit into memory. broken: counts the lines that cannot be read and
    are left out, by file.
    """
    broken = Counter() if broken is None else broken
    days = {(start + timedelta(days=n)).date() for n in range((end - start).days + 2)}
    newest: dict[str, Row] = {}
    routes = _routes(storage)
    for day in sorted(days):
        for route in routes:
            for row in _of_day(storage, f"{FOLDER}/{route}/{{}}/{day:%Y/%m/%d}/", route, broken):
                known = newest.get(row.name)
                if start <= row.time < end and (known is None or known.time <= row.time):
                    newest[row.name] = row
    for name, count in broken.items():
        log.warning("%s/%s: %d lines that cannot be read are left out", LAKE, name, count)
    return list(newest.values())


def _of_day(storage: Storage, prefix: str, route: str, broken: Counter[str]) -> list[Row]:
    joined: dict[str, tuple[str, datetime, Statistics]] = {}
    for collection in ("model_inputs", "model_outputs"):
        for page in storage.pages(LAKE, prefix.format(collection)):
            for blob in page.blobs:
                for key, name, time, statistics in _lines(storage, blob.name, broken):
                    joined.setdefault(key, (name, time, {}))[2].update(statistics)
    return [_row(name, route, time, statistics) for name, time, statistics in joined.values()]


def _routes(storage: Storage) -> list[str]:
    pages = storage.pages(LAKE, f"{FOLDER}/", size=5000)
    return sorted({blob.name.removeprefix(f"{FOLDER}/").split("/")[0] for page in pages for blob in page.blobs})


def _lines(storage: Storage, name: str, broken: Counter[str]) -> list[tuple[str, str, datetime, Statistics]]:
    """Key, upload, time and statistics of a sample of a file's lines; those that cannot be read are counted."""
    try:
        stored = storage.read(LAKE, name)
    except LimitExceeded as error:
        log.warning("%s", error)
        broken[name] += 1
        return []
    lines = [line for line in stored[0].split(b"\n") if line.strip()] if stored else []
    read: list[tuple[str, str, datetime, Statistics]] = []
    for line in sorted(lines, key=lambda line: _rank(match[1] if (match := _NAME.search(line)) else line))[:MOST_ROWS]:
        try:
            event = json.loads(line)
            time = datetime.fromisoformat(event["time"])
            time = time if time.tzinfo else time.replace(tzinfo=UTC)
            statistics = dict(event["data"][0])
            if len(read) >= MOST_VECTORS:
                statistics.pop("embedding", None)
            elif "embedding" in statistics:
                statistics["embedding"] = np.asarray(statistics["embedding"], np.float32)
            read.append((str(event["correlationid"]), str(event["xrequestid"]), time.astimezone(UTC), statistics))
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
            broken[name] += 1
    return read


def _row(name: str, route: str, time: datetime, statistics: Statistics) -> Row:
    vector = statistics.get("embedding")
    if vector is not None and not (vector.ndim == 1 and vector.size and np.isfinite(vector).all()):
        vector = None
    numbers = {key: number for key in NUMERIC if (number := _number(statistics.get(key))) is not None}
    label, model = (text if isinstance(text := statistics.get(key), str) else "" for key in ("label", "model"))
    return Row(name, route, time, model, label, numbers, vector)


def _number(value: object) -> float | None:
    """A finite number as such; None for anything else."""
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _event(blob: BlobInfo, document: Mapping[str, Any], collection: str, row: Statistics) -> dict[str, Any]:
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


def picture(storage: Storage, name: str, etag: str) -> Image.Image | None:
    """An upload as a small picture, measured and never shown; None for a video, and where that version is gone."""
    try:
        reading = storage.open(UPLOADS, name, etag)
        return decode(reading.read(MAX_PICTURE), Limits(bytes=MAX_PICTURE), _SIDE).image if reading else None
    except (Conflict, Permanent, OutOfMemory) as error:
        log.info("%s", printable(f"{name}: no picture to look at: {error}"))
        return None


def published(storage: Storage, name: str) -> Image.Image | None:
    """The annotated picture of an upload's result, or a video's poster: in them nothing can be recognised that its
    route blurs, as the upload itself shows. None where there is none."""
    try:
        folder = output_path(name)
        document, _ = storage.read_json(RESULTS, f"{folder}/result.json") or ({}, None)
        artifacts = document.get("artifacts") or {}
        artifact = artifacts.get("poster") or artifacts["annotated"]
        stored = storage.read(RESULTS, f"{folder}/{artifact}")
        return decode(stored[0], Limits(bytes=MAX_PICTURE), _SIDE).image if stored else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, Permanent, OutOfMemory) as error:
        log.info("%s", printable(f"{name}: no picture to show ({type(error).__name__}: {error})"))
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
        if not artifact:
            continue
        try:
            if stored := storage.read(RESULTS, f"{blob.name.removesuffix('result.json')}{artifact}"):
                vector = np.load(io.BytesIO(stored[0]), allow_pickle=False)
                return [round(float(value), 5) for value in vector.ravel()]
        except (ValueError, TypeError, EOFError, LimitExceeded) as error:
            log.warning("%s", printable(f"{blob.name}: {artifact} is no array of numbers: {error}"))
            return None
    return None


def _safe(route: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in route) or "_"
