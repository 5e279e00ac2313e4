"""Results as other tools read them: COCO, YOLO, CSV and JSON lines.

Input is result documents, from a folder or from wherever the caller has them. COCO follows the format page of
cocodataset.org as pycocotools reads it, with a `score` as its result files have it; YOLO follows
Ultralytics' text labels (class, centre, size, all as shares of the picture).
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.results.check import checked_result
from inference.results.label_files import LabelFiles
from inference.results.skeletons import SKELETONS, skeleton_doc
from inference.results.strict_json import cell, json_text

Document = Mapping[str, Any]
RESULT_FILE = "result.json"
# A keypoint from this score on counts as visible in COCO's sense.
VISIBLE = 0.3
_OF_PEOPLE = ("person", "face", "hand")

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


def pictures(documents: Iterable[Document]) -> Iterator[Document]:
    """Those of pictures: what a video shows stands in the files of its frames and tracks."""
    sources = ((document, document["source"]) for document in documents)
    return (
        d for d, source in sources if source.get("duration_s") is None and source.get("width") and source.get("height")
    )


def predictions_of(document: Document, step: str | None = None) -> Iterator[tuple[Document, Document, str]]:
    """(step, prediction, label of the object whose crop it is on) of all predictions, those on crops after the object.

    step: only the predictions of that step, on whole pictures or on the crops of another step's objects.
    """
    steps = {result["name"]: result for result in document["steps"]}
    for result in document["steps"]:
        for prediction in result["predictions"]:
            rows = chain([(result, prediction, "")], _nested(steps, result, prediction))
            yield from (row for row in rows if step in (None, row[0]["name"]))


def _nested(
    steps: Mapping[str, Document], parent: Document, prediction: Document
) -> Iterator[tuple[Document, Document, str]]:
    for name, answers in prediction.get("attributes", {}).items():
        step = steps.get(name) or {"name": name, "task": parent["task"]}
        for answer in answers if isinstance(answers, list) else ():
            if isinstance(answer, dict) and "label" in answer:
                yield step, answer, str(prediction.get("label", ""))
                yield from _nested(steps, step, answer)


def write_jsonl(documents: Iterable[Document], out: Path, step: str | None) -> int:
    """A document a line; the steps other than `step` are left out of it."""
    count = 0
    with _whole(out) as file:
        for document in documents:
            count += 1
            steps = [s for s in document["steps"] if step in (None, s["name"])]
            file.write(json_text({**document, "steps": steps}) + "\n")
    return count


def write_csv(documents: Iterable[Document], out: Path, step: str | None) -> int:
    """A row a prediction; classifications have no box."""
    count = 0
    with _whole(out) as file:
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


def write_coco(documents: Iterable[Document], out: Path, step: str | None) -> int:
    """One JSON file of images, annotations (boxes, masks, keypoints, scores) and categories."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, dict[str, Any]] = {}
    for number, document in enumerate(pictures(documents), 1):
        source = document["source"]
        images.append({"id": number, "file_name": source["name"], "width": source["width"], "height": source["height"]})
        for result, prediction, _ in predictions_of(document, step):
            if "box" in prediction:
                category = _category(categories, result, prediction)
                annotations.append(_annotation(prediction, len(annotations) + 1, number, category))
    table = {
        "info": {"description": "results of Dropsight", "version": "1"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": list(categories.values()),
    }
    with _whole(out) as file:
        file.write(json_text(table))
    return len(images)


def _category(categories: dict[str, dict[str, Any]], step: Document, prediction: Document) -> int:
    """The id of a label's category, made when it is first seen; its skeleton with the first keypoints."""
    label = prediction["label"]
    category = categories.setdefault(label, {"id": len(categories) + 1, "name": label, "supercategory": ""})
    points = len(prediction.get("keypoints", ()))
    if points and "keypoints" not in category:
        skeleton = step.get("skeleton") or _older_skeleton(prediction, points)
        category["keypoints"] = skeleton["points"]
        category["skeleton"] = [[a + 1, b + 1] for a, b in skeleton["edges"]]
    number: int = category["id"]
    return number


def _older_skeleton(prediction: Document, points: int) -> Document:
    """Of documents before release 0.2.0: objects named theirs, or none did."""
    name = prediction.get("skeleton")
    if name is None and prediction["label"] in _OF_PEOPLE:
        name = next((n for n, skeleton in SKELETONS.items() if len(skeleton.names) == points), None)
    return skeleton_doc(name, points)


def _annotation(prediction: Document, number: int, image: int, category: int) -> dict[str, Any]:
    x1, y1, x2, y2 = prediction["box"]
    width, height = round(x2 - x1, 2), round(y2 - y1, 2)
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x1, y1, width, height],
        "area": prediction.get("area", round(width * height, 2)),
        "iscrowd": 0,
        "score": prediction.get("score", 1.0),
    }
    if "mask_rle" in prediction:
        annotation["segmentation"] = prediction["mask_rle"]
    elif "corners" in prediction:
        annotation["segmentation"] = [[v for point in prediction["corners"] for v in point]]
    if "keypoints" in prediction:
        rows = [(p[0], p[1], 2) if p[-1] >= VISIBLE else (0, 0, 0) for p in prediction["keypoints"]]
        annotation["keypoints"] = [v for row in rows for v in row]
        annotation["num_keypoints"] = sum(row[2] > 0 for row in rows)
    if "id" in prediction:
        annotation["prediction_id"] = prediction["id"]
    if "track" in prediction:
        annotation["track_id"] = prediction["track"]
    return annotation


def write_yolo(documents: Iterable[Document], out: Path, step: str | None) -> int:
    """A folder: labels/<picture>.txt, a line per box, and data.yaml with the names of the classes."""
    classes: dict[str, int] = {}
    files = LabelFiles(out / "labels")
    count = 0
    for document in pictures(documents):
        count += 1
        source = document["source"]
        lines = []
        for _, prediction, _ in predictions_of(document, step):
            if "box" in prediction:
                number = classes.setdefault(prediction["label"], len(classes))
                lines.append(f"{number} {_yolo_box(prediction['box'], source['width'], source['height'])}\n")
        target = files.of(source["name"])
        target.parent.mkdir(parents=True, exist_ok=True)
        with _whole(target) as file:
            file.writelines(lines)
    out.mkdir(parents=True, exist_ok=True)
    with _whole(out / "data.yaml") as file:
        file.write("path: .\ntrain: images\nval: images\nnames:\n")
        file.writelines(f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for name, number in classes.items())
    return count


def _yolo_box(box: Sequence[float], width: int, height: int) -> str:
    x1, y1, x2, y2 = box
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join(f"{min(max(v, 0.0), 1.0):.6f}" for v in values)


@contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    """A text file that gets its name only when all of it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".export-")
    try:
        # A file's name that is no UTF-8 has halves of surrogate pairs, which as backslash escapes are JSON's own.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
        os.chmod(name, 0o644)  # mkstemp lets nobody else read it
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


FORMATS: dict[str, Callable[[Iterable[Document], Path, str | None], int]] = {
    "coco": write_coco,
    "yolo": write_yolo,
    "csv": write_csv,
    "jsonl": write_jsonl,
}
