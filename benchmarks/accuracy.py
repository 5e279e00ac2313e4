"""Accuracy on the reference pictures: COCO mAP, top-1, keypoint similarity, label maps."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from inference.engine.model import Model
from inference.image.media import Picture, decode
from inference.predictions import Classes, LabelMap, Objects

# COCO's category ids in the order of the 80 labels.
CATEGORY_IDS = tuple(i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
EVALUATION_THRESHOLD = 0.01


Photos = tuple[tuple[Path, Picture], ...]


@cache
def pictures(folder: Path) -> Photos:
    """Every picture of a folder, decoded once for all models.

    Colour profiles are left out: the code that made the reference figures ignores them, as training code does. With
    them (Adobe RGB and others on 11 of 85 COCO photos) the mAP is 0.002 to 0.005 lower.
    """
    return tuple((path, _without_profile(decode(path.read_bytes()))) for path in sorted(folder.iterdir()))


def _without_profile(picture: Picture) -> Picture:
    native = picture.native if picture.native.mode == "RGB" else picture.native.convert("RGB")
    return replace(picture, native=native, to_srgb=None)


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
        objects, _ = model.run(picture, threshold=EVALUATION_THRESHOLD)
        assert isinstance(objects, Objects)
        rows += _rows(objects, numbers[-1], ids, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco(annotations)
        evaluation = COCOeval(truth, truth.loadRes(rows), kind)
        evaluation.params.imgIds = numbers
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"mAP": float(evaluation.stats[0]), "AP50": float(evaluation.stats[1])}


def _rows(objects: Objects, number: int, ids: Mapping[int, int], kind: str) -> list[dict[str, Any]]:
    from inference.results.rle import encode

    rows: list[dict[str, Any]] = []
    for i, (x1, y1, x2, y2) in enumerate(objects.boxes.tolist()):
        row = {"image_id": number, "category_id": ids[int(objects.label_ids[i])], "score": float(objects.scores[i]),
               "bbox": [x1, y1, x2 - x1, y2 - y1]}  # fmt: skip
        if kind == "segm" and objects.masks is not None:
            row["segmentation"] = encode(objects.masks, i)
        rows.append(row)
    return rows


def top1(model: Model, photos: Photos, index: Path) -> tuple[int, int]:
    """(right, pictures) of a classifier over the labelled pictures of the media index."""
    truth = {Path(e["file"]).name: e["ground_truth"]["imagenet_index"]
             for e in json.loads(index.read_text("utf-8")) if e["kind"] == "image-classification"}  # fmt: skip
    right = count = 0
    for path, picture in photos:
        classes, _ = model.run(picture)
        assert isinstance(classes, Classes)
        right += int(classes.label_ids[0]) == truth[path.name]
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
        label_map, _ = model.run(picture)
        assert isinstance(label_map, LabelMap)
        right += int((label_map.ids == truth).sum())
        pixels += truth.size
        here, there = label_map.ids == labels["person"], truth == labels["person"]
        both += int((here & there).sum())
        either += int((here | there).sum())
    return {"pixel accuracy": right / pixels, "person IoU": both / either}


# Where Pascal VOC's names differ from COCO's.
_VOC_NAMES = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "potted plant": "pottedplant",
              "dining table": "diningtable", "tv": "tvmonitor"}  # fmt: skip


def person_mask_iou(model: Model, photos: Photos, annotations: Path) -> float:
    """Mean IoU of the true masks of detected people (of 1 % of the picture or more) with the best fitting mask."""
    truth_of, shares = coco(annotations), []
    for path, picture in photos:
        people, _ = model.run(picture)
        assert isinstance(people, Objects) and people.masks is not None
        masks = [people.masks.full(i) for i, name in enumerate(people.names) if name == "person"]
        for item in truth_of.loadAnns(truth_of.getAnnIds(imgIds=[int(path.stem)], catIds=[1], iscrowd=False)):
            truth = truth_of.annToMask(item) > 0
            best = max(((m & truth).sum() / (m | truth).sum() for m in masks), default=0.0)
            if truth.mean() > 0.01 and best > 0.5:  # the others were not detected
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
            person, _ = model.run(picture, (x, y, x + width, y + height), threshold=0.0)
            assert isinstance(person, Objects) and person.keypoints is not None
            truth = np.asarray(item["keypoints"], float).reshape(17, 3)
            found = len(person) == 1  # a network that sees nobody on a person's crop finds none of the points
            values.append(keypoint_similarity(person.keypoints[0], truth, item["area"]) if found else 0.0)
    return float(np.mean(values)), len(values)


# Per keypoint, how far COCO's annotators lie apart (cocodataset.org, keypoint evaluation).
SIGMAS = np.asarray([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000


def keypoint_similarity(points: Any, truth: Any, area: float) -> float:
    """OKS of one person: points (17, >= 2) against COCO's x, y, visibility triples (17, 3)."""
    seen = truth[:, 2] > 0
    distance = ((points[:, :2] - truth[:, :2]) ** 2).sum(axis=1)
    return float(np.exp(-distance / (2 * (2 * SIGMAS) ** 2 * (area + 1e-9)))[seen].mean())
