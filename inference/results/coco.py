"""Results as COCO: the format page of cocodataset.org as pycocotools reads it, with the `score` of its result files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inference.results.export_rows import BOX, Document, Export, predictions_of, whole_file
from inference.results.skeletons import SKELETONS, skeleton_doc
from inference.results.strict_json import json_text

# A keypoint from this score on counts as visible in COCO's sense.
VISIBLE = 0.3
_OF_PEOPLE = ("person", "face", "hand")


def write_coco(export: Export, out: Path) -> int:
    """One JSON file of images, annotations (boxes, masks, keypoints, scores) and categories."""
    if export.lacks("coco", BOX):
        return 0
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, dict[str, Any]] = {}
    for number, (name, document, _) in enumerate(export.pictures(), 1):
        source = document["source"]
        images.append({"id": number, "file_name": name, "width": source["width"], "height": source["height"]})
        for result, prediction, _ in predictions_of(document, export.options.step):
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
    with whole_file(out) as file:
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
