"""python -m cloud export: the results container as COCO, YOLO, CSV or JSON lines."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloud.settings import RESULTS, UPLOADS
from cloud.storage import by_hour
from cloud.storage.containers import Conflict, Storage, default_storage
from cloud.storage.paths import printable
from inference.cli.exporting import add_export_arguments, end
from inference.errors import CorruptMedia, DropsightError, LimitExceeded
from inference.image.limits import DEFAULT_LIMITS
from inference.plain_text import single
from inference.results.classes import LabelsOf
from inference.results.export_options import ExportOptions
from inference.results.export_rows import Found
from inference.results.formats import RESULT_FILE, write
from inference.results.map_files import MOST_BYTES, inside


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prefix", nargs="?", default="", help="only uploads whose names begin so")
    add_export_arguments(parser)
    parser.add_argument(
        "--fetch", action="store_true", help="yolo: get pictures that are in no folder of --pictures from storage"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0: written; 1: there was nothing to write."""
    storage, left_out = default_storage(), by_hour.LeftOut()
    with tempfile.TemporaryDirectory(prefix="dropsight-models-") as scratch:
        how = ExportOptions(
            step=options.step,
            labels_of=labels_of(storage, options.models, Path(scratch)),
            boxes_as_polygons=options.boxes_as_polygons,
            pictures=options.pictures,
            put=options.put,
            fetch=(lambda source, path: fetch_picture(storage, source, path)) if options.fetch else None,
            read_file=lambda place, name: read_file(storage, place, name),
        )
        report = write(documents(storage, options.prefix, left_out), options.format, options.out, how)
    if options.format == "yolo" and options.put != "none" and not (options.fetch or options.pictures):
        print(f"the pictures are in the container {UPLOADS}: --fetch gets them", file=sys.stderr)
    if left_out.count:
        print(single(str(left_out)), file=sys.stderr)
    return end(options, report)


def documents(storage: Storage, prefix: str, left_out: by_hour.LeftOut) -> Iterator[Found]:
    """Every result document below a prefix, by name, without those that are deleted meanwhile; left_out: what is no
    result."""
    for page in storage.pages(RESULTS, prefix=prefix):
        blobs = [blob for blob in page.blobs if blob.name.endswith(f"/{RESULT_FILE}")]
        for blob, document in by_hour.documents(storage, blobs, left_out):
            yield Found(document, blob.name.removesuffix(f"/{RESULT_FILE}"))


def read_file(storage: Storage, place: str, name: str) -> bytes:
    """A file beside a result. Raises CorruptMedia where there is none."""
    blob = f"{place}/{inside(place, name)}"
    stored = storage.read(RESULTS, blob, MOST_BYTES)
    if stored is None:
        raise CorruptMedia(f"{RESULTS}/{blob}: there is no such blob; replay the upload")
    return stored[0]


def fetch_picture(storage: Storage, source: Mapping[str, Any], path: Path) -> bool:
    """The upload of a result into a file; False where it is gone, or is another version by now."""
    try:
        reading = storage.open(UPLOADS, source["name"], source["etag"] or None)
        return reading is not None and bool(reading.save(path, DEFAULT_LIMITS.bytes))
    except (Conflict, LimitExceeded):
        return False


def labels_of(storage: Storage, folders: list[Path], scratch: Path) -> LabelsOf:
    """The labels of the models that this machine has, else of those that serve from the container, which are fetched
    into `scratch`."""
    from cloud.models.model_entry import NAME
    from cloud.models.snapshots import fetch, serving  # with onnxruntime, which CSV does not need
    from inference.engine.registry import Registry, folders_from_environment
    from inference.results.model_labels import labels_from

    here = labels_from(lambda: Registry([*folders, *folders_from_environment()]))

    def labels(name: str, sha256: str) -> tuple[str, ...] | None:
        if known := here(name, sha256):
            return known
        if not NAME.fullmatch(name):  # as results state it
            return None
        try:
            if snapshot := serving(storage, name):
                fetch(storage, snapshot, scratch / name)
        except DropsightError as error:
            print(printable(f"model {name}: its labels cannot be had from the container: {error}"), file=sys.stderr)
        return labels_from(lambda: Registry([scratch]))(name, sha256)

    return labels
