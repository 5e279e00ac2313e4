"""Accuracy on the reference pictures: COCO mAP, top-1, keypoint similarity, label maps; and time per picture.

A reference is what independent code reached with the same weights on the same pictures.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import ROOT, SHARED, Row
from inference.engine.model import Model
from inference.engine.registry import Registry, Weights
from inference.image.media import Picture, decode
from inference.predictions import Classes, LabelMap, Objects

# COCO's category ids in the order of the 80 labels.
CATEGORY_IDS = tuple(i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
EVALUATION_THRESHOLD = 0.01


Photos = tuple[tuple[Path, Picture], ...]


@cache
def pictures(folder: Path) -> Photos:
    """Every picture of a folder, decoded once for all models."""
    return tuple((path, decode(path.read_bytes())) for path in sorted(folder.iterdir()))


DETECTORS = ("det-yolox-nano", "det-nanodet-m-320", "det-picodet-s-320", "det-picodet-s-416",
             "det-ssd-mobilenetv1-tf", "ultra-yolov8n-320", "ultra-yolo11n-320", "ultra-yolo26n-end2end")  # fmt: skip


def run() -> list[Row]:
    """Our figure beside the reference's, for every model that has one."""
    if not SHARED.is_dir():
        return [Row("accuracy", "not measured", note="the reference photos and weights are not here")]
    registry = Registry([ROOT / "tests" / "models"], weights=Weights([SHARED / "models"]))
    reference = json.loads((SHARED / "models/REFERENCE.json").read_text("utf-8"))
    media, rows = SHARED / "media", []
    for name in DETECTORS:
        photos, wanted = pictures(media / "coco/val2017"), reference[name]["mAP"]
        found = coco_map(registry.model(name), photos, media / "coco/instances.json")
        note = f"reference {wanted:.3f}; AP50 {found['AP50']:.3f}; {_stages(registry.model(name), photos)}"
        rows.append(
            Row(f"{name} mAP", f"{found['mAP']:.3f}", f">= {wanted - 0.01:.3f}", found["mAP"] >= wanted - 0.01, note)
        )
    photos, wanted = pictures(media / "imagenet"), reference["cls-mobilenetv2-int8"]["top1"]
    model = registry.model("cls-mobilenetv2-int8")
    right, count = top1(model, photos, media / "index.json")
    note = f"reference {wanted}; {_stages(model, photos)}"
    rows.append(Row("cls-mobilenetv2-int8 top-1", f"{right} of {count}", f">= {wanted - 2}", right >= wanted - 2, note))
    pose, photos = registry.model("pose-movenet-lightning"), pictures(media / "coco/val2017")
    similarity, people = top_down_similarity(pose, photos, media / "coco/person_keypoints.json")
    rows.append(
        Row("pose-movenet-lightning OKS", f"{similarity:.3f}", note=f"{people} people; {_stages(pose, photos)}")
    )
    return rows


def _stages(model: Model, photos: Photos) -> str:
    """Median milliseconds of each stage over some pictures."""
    timings = [model.run(picture)[1] for _, picture in photos[:20]]
    parts = ((part, median(getattr(t, part) for t in timings)) for part in ("preprocess", "inference", "postprocess"))
    return ", ".join(f"{part} {value:.1f} ms" for part, value in parts)


@cache
def coco(annotations: Path) -> Any:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(annotations))


def category_ids(model: Model) -> Mapping[int, int]:
    """Label id -> COCO category id, by name."""
    labels = model.manifest.labels
    by_number = len(labels) >= 90  # the label list is COCO's own numbering
    return {i: i if by_number else CATEGORY_IDS[i] for i in range(len(labels))}


def coco_map(model: Model, photos: Photos, annotations: Path, kind: str = "bbox") -> dict[str, float]:
    """mAP and AP50 (kind: "bbox" or "segm")."""
    from pycocotools.cocoeval import COCOeval

    ids = category_ids(model)
    rows: list[dict[str, Any]] = []
    numbers = []
    for path, picture in photos:
        numbers.append(int(path.stem))
        found, _ = model.run(picture, threshold=EVALUATION_THRESHOLD)
        assert isinstance(found, Objects)
        rows += _rows(found, numbers[-1], ids, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco(annotations)
        evaluation = COCOeval(truth, truth.loadRes(rows), kind)
        evaluation.params.imgIds = numbers
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"mAP": float(evaluation.stats[0]), "AP50": float(evaluation.stats[1])}


def _rows(found: Objects, number: int, ids: Mapping[int, int], kind: str) -> list[dict[str, Any]]:
    from inference.results.rle import encode

    rows: list[dict[str, Any]] = []
    for i, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
        row = {"image_id": number, "category_id": ids[int(found.label_ids[i])], "score": float(found.scores[i]),
               "bbox": [x1, y1, x2 - x1, y2 - y1]}  # fmt: skip
        if kind == "segm" and found.masks is not None:
            row["segmentation"] = encode(found.masks, i)
        rows.append(row)
    return rows


def top1(model: Model, photos: Photos, index: Path) -> tuple[int, int]:
    """(right, pictures) of a classifier over the labelled pictures of the media index."""
    truth = {Path(e["file"]).name: e["ground_truth"]["imagenet_index"]
             for e in json.loads(index.read_text("utf-8")) if e["kind"] == "image-classification"}  # fmt: skip
    right = count = 0
    for path, picture in photos:
        found, _ = model.run(picture)
        assert isinstance(found, Classes)
        right += int(found.label_ids[0]) == truth[path.name]
        count += 1
    return right, count


def label_map_figures(model: Model, photos: Photos, annotations: Path) -> dict[str, float]:
    """Pixel accuracy over all pictures and IoU of "person", against COCO's objects under the map's own label names."""
    right = pixels = both = either = 0
    truth_of = coco(annotations)
    names = {c["id"]: _VOC_NAMES.get(c["name"], c["name"]) for c in truth_of.loadCats(truth_of.getCatIds())}
    labels = {name: i for i, name in enumerate(model.manifest.labels)}
    for path, picture in photos:
        truth = np.zeros(picture.size[::-1], np.int64)
        for item in truth_of.loadAnns(truth_of.getAnnIds(imgIds=[int(path.stem)], iscrowd=False)):
            if names[item["category_id"]] in labels:
                truth[truth_of.annToMask(item) > 0] = labels[names[item["category_id"]]]
        found, _ = model.run(picture)
        assert isinstance(found, LabelMap)
        right += int((found.ids == truth).sum())
        pixels += truth.size
        here, there = found.ids == labels["person"], truth == labels["person"]
        both += int((here & there).sum())
        either += int((here | there).sum())
    return {"pixel accuracy": right / pixels, "person IoU": both / either}


# Where Pascal VOC's names differ from COCO's.
_VOC_NAMES = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "potted plant": "pottedplant",
              "dining table": "diningtable", "tv": "tvmonitor"}  # fmt: skip


def person_mask_iou(model: Model, photos: Photos, annotations: Path) -> float:
    """Mean IoU of the masks of people that were found (of 1 % of the picture or more) with their own, by best fit."""
    truth_of, shares = coco(annotations), []
    for path, picture in photos:
        found, _ = model.run(picture)
        assert isinstance(found, Objects) and found.masks is not None
        masks = [found.masks.full(i) for i, name in enumerate(found.names) if name == "person"]
        for item in truth_of.loadAnns(truth_of.getAnnIds(imgIds=[int(path.stem)], catIds=[1], iscrowd=False)):
            truth = truth_of.annToMask(item) > 0
            best = max(((m & truth).sum() / (m | truth).sum() for m in masks), default=0.0)
            if truth.mean() > 0.01 and best > 0.5:  # of those that were found at all
                shares.append(best)
    return float(np.mean(shares))


def top_down_similarity(model: Model, photos: Photos, annotations: Path) -> tuple[float, int]:
    """(mean OKS, persons) of a pose model on the true boxes of well visible people."""
    truth_of, values = coco(annotations), []
    for path, picture in photos:
        for item in truth_of.loadAnns(truth_of.getAnnIds(imgIds=[int(path.stem)], iscrowd=False)):
            if item["num_keypoints"] < 8 or item["area"] <= 5000:
                continue
            x, y, width, height = item["bbox"]
            found, _ = model.run(picture, (x, y, x + width, y + height), threshold=0.0)
            assert isinstance(found, Objects) and found.keypoints is not None and len(found) == 1
            truth = np.asarray(item["keypoints"], float).reshape(17, 3)
            values.append(keypoint_similarity(found.keypoints[0], truth, item["area"]))
    return float(np.mean(values)), len(values)


# Per keypoint, how far COCO's annotators lie apart (cocodataset.org, keypoint evaluation).
SIGMAS = np.asarray([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000


def keypoint_similarity(points: Any, truth: Any, area: float) -> float:
    """OKS of one person: points (17, >= 2) against COCO's x, y, visibility triples (17, 3)."""
    seen = truth[:, 2] > 0
    distance = ((points[:, :2] - truth[:, :2]) ** 2).sum(axis=1)
    return float(np.exp(-distance / (2 * (2 * SIGMAS) ** 2 * (area + 1e-9)))[seen].mean())
