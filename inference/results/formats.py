"""Results as other tools read them: COCO, YOLO, CSV and JSON lines.

Input is result documents, from a folder or from wherever the caller has them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from inference.errors import CorruptMedia, LimitExceeded, UnsupportedMedia
from inference.results.check import checked_result
from inference.results.coco import write_coco
from inference.results.export_options import ExportOptions, ExportReport
from inference.results.export_rows import (
    AREA,
    BOX,
    LABEL,
    Document,
    Export,
    Found,
    export_of,
    predictions_of,
    whole_file,
)
from inference.results.strict_json import cell, json_text
from inference.results.yolo import write_yolo
from inference.small_file import content_of

RESULT_FILE = "result.json"
ERROR_FILE = "error.json"
# As much as storage reads of a document.
MOST_BYTES = 64 * 1024 * 1024

CSV_COLUMNS = (
    "file", "step", "task", "label", "label_id", "score", "x1", "y1", "x2", "y2", "area", "track", "inside",
    "id",
)  # fmt: skip


def read_folder(folder: Path) -> Iterator[Found]:
    """The result documents below a folder, in the order of their names. Raises CorruptMedia, UnsupportedMedia."""
    if not folder.is_dir():
        raise UnsupportedMedia(f"{folder}: no such folder; give the folder that `analyze --out` wrote")
    for path in sorted(path for path in folder.rglob(RESULT_FILE) if not path.is_dir()):
        place = path.parent.relative_to(folder).as_posix()
        yield Found(read_document(path), "" if place == "." else place)


def read_document(path: Path) -> Document:
    """A result document. Raises CorruptMedia, LimitExceeded."""
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise LimitExceeded(f"{path}: {size} bytes, expected a result document of at most {MOST_BYTES}")
        return checked_result(json.loads(content_of(path).decode("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptMedia(f"{path}: not a result document ({error}); analyse the file again") from error


def write(
    found: Iterable[Found],
    form: str,
    out: Path,
    options: ExportOptions = ExportOptions(),  # noqa: B008 - frozen
) -> ExportReport:
    """Write results in one of FORMATS to the file (YOLO: folder) `out`. Files appear whole or not at all; none is made
    where there is nothing to be written."""
    with export_of(found, options) as export:
        count = FORMATS[form](export, out)
        return ExportReport(count, export.notes.lines())


def write_jsonl(export: Export, out: Path) -> int:
    """A document a line; the steps other than the one asked for are left out of it."""
    step = export.options.step
    if not export.count:
        export.lacks("jsonl", pictures=False)
        return 0
    with whole_file(out) as file:
        for name, document, _ in export:
            steps = [s for s in document["steps"] if step in (None, s["name"])]
            source = {**document["source"], "name": name}
            file.write(json_text({**document, "source": source, "steps": steps}) + "\n")
    return export.count


def write_csv(export: Export, out: Path) -> int:
    """A row a prediction; classifications have no box."""
    if export.lacks("csv", BOX, AREA, LABEL, pictures=False):
        return 0
    with whole_file(out) as file:
        rows = csv.writer(file)
        rows.writerow(CSV_COLUMNS)
        for name, document, _ in export:
            for result, prediction, inside in predictions_of(document, export.options.step):
                box = prediction.get("box", ("",) * 4)
                values = (prediction.get(k, "") for k in ("label", "label_id", "score"))
                rest = [*(prediction.get(k, "") for k in ("area", "track")), inside, prediction.get("id", "")]
                rows.writerow(map(cell, [name, result["name"], result["task"], *values, *box, *rest]))
    return export.count


FORMATS: dict[str, Callable[[Export, Path], int]] = {
    "coco": write_coco,
    "yolo": write_yolo,
    "csv": write_csv,
    "jsonl": write_jsonl,
}
