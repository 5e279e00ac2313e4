"""Results as other tools read them: COCO, YOLO, CSV and JSON lines.

Input is result documents, from a folder or from wherever the caller has them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.results.check import checked_result
from inference.results.coco import write_coco
from inference.results.export_rows import Document, predictions_of, whole_file
from inference.results.strict_json import cell, json_text
from inference.results.yolo import write_yolo

RESULT_FILE = "result.json"

CSV_COLUMNS = (
    "file", "step", "task", "label", "label_id", "score", "x1", "y1", "x2", "y2", "area", "track", "inside",
    "id",
)  # fmt: skip


def read_folder(folder: Path) -> Iterator[Document]:
    """The result documents below a folder, in the order of their names. Raises CorruptMedia, UnsupportedMedia."""
    if not folder.is_dir():
        raise UnsupportedMedia(f"{folder}: no such folder; give the folder that `analyze --out` wrote")
    for path in sorted(folder.rglob(RESULT_FILE)):
        yield read_document(path)


def read_document(path: Path) -> Document:
    """A result document. Raises CorruptMedia."""
    try:
        return checked_result(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptMedia(f"{path}: not a result document ({error}); analyse the file again") from error


def write(documents: Iterable[Document], form: str, out: Path, step: str | None = None) -> int:
    """Write documents in one of FORMATS to the file (YOLO: folder) `out`; returns how many there were.

    step: only the predictions of that step. Files appear whole or not at all.
    """
    return FORMATS[form](documents, out, step)


def write_jsonl(documents: Iterable[Document], out: Path, step: str | None) -> int:
    """A document a line; the steps other than `step` are left out of it."""
    count = 0
    with whole_file(out) as file:
        for document in documents:
            count += 1
            steps = [s for s in document["steps"] if step in (None, s["name"])]
            file.write(json_text({**document, "steps": steps}) + "\n")
    return count


def write_csv(documents: Iterable[Document], out: Path, step: str | None) -> int:
    """A row a prediction; classifications have no box."""
    count = 0
    with whole_file(out) as file:
        rows = csv.writer(file)
        rows.writerow(CSV_COLUMNS)
        for document in documents:
            count += 1
            for result, prediction, inside in predictions_of(document, step):
                box = prediction.get("box", ("",) * 4)
                values = (prediction.get(k, "") for k in ("label", "label_id", "score"))
                rest = [*(prediction.get(k, "") for k in ("area", "track")), inside, prediction.get("id", "")]
                row = [document["source"]["name"], result["name"], result["task"], *values, *box, *rest]
                rows.writerow(map(cell, row))
    return count


FORMATS: dict[str, Callable[[Iterable[Document], Path, str | None], int]] = {
    "coco": write_coco,
    "yolo": write_yolo,
    "csv": write_csv,
    "jsonl": write_jsonl,
}
