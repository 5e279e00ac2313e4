"""Results as COCO: the format page of cocodataset.org as pycocotools reads it, with the `score` of its result files.

Images are numbered in the order in which they are written, annotations through all of them, categories as classes.py
says. Objects have their mask or the corners of their oriented box as `segmentation`, maps an annotation for each label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from inference.errors import DropsightError
from inference.results.classes import ClassList, is_area
from inference.results.export_rows import AREA, BOX, Document, Export, Exported, predictions_of, whole_file
from inference.results.map_files import label_ids, mask_of
from inference.results.skeletons import VISIBLE, skeleton_of
from inference.results.strict_json import json_text

_HEAD = {"info": {"description": "results of Dropsight", "version": "1"}, "licenses": []}


def write_coco(export: Export, out: Path) -> int:
    """One JSON file of images, annotations (boxes, masks, keypoints, scores) and categories."""
    if export.lacks("coco", BOX, AREA):
        return 0
    annotations = _Annotations(export)
    with suppress(_NothingReadable), whole_file(out) as file:
        file.write(json_text(_HEAD)[:-1])
        images = _write_list(file, "images", _images(export))
        if not _write_list(file, "annotations", annotations.all()):
            raise _NothingReadable
        _write_list(file, "categories", annotations.categories.values())
        file.write("}\n")
        return images
    export.notes.add("nothing to export as coco: the files with what was found are missing, or cannot be used")
    return 0


class _NothingReadable(Exception):
    """No annotation could be made of what was found, so that no file is left."""


def _write_list(file: IO[str], name: str, items: Iterable[dict[str, Any]]) -> int:
    """A member of the file, an item at a time, so that all of them need not lie in memory; how many."""
    file.write(f', "{name}": [')
    count = 0
    for item in items:
        file.write(f"{', ' if count else ''}{json_text(item)}")
        count += 1
    file.write("]")
    return count


def _images(export: Export) -> Iterator[dict[str, Any]]:
    for number, (name, document, _) in enumerate(export.pictures(), 1):
        source = document["source"]
        yield {"id": number, "file_name": name, "width": source["width"], "height": source["height"]}


class _Annotations:
    """The annotations of an export, and its categories, which have their skeletons once all annotations were made."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._classes: ClassList = export.classes(coco=True)
        self.categories: dict[int, dict[str, Any]] = {
            number: {"id": number, "name": name, "supercategory": ""} for number, name in self._classes.names.items()
        }

    def all(self) -> Iterator[dict[str, Any]]:
        number = 0
        for image, item in enumerate(self._export.pictures(), 1):
            for annotation in self._of(item):
                number += 1
                yield {"id": number, "image_id": image, **annotation}

    def _of(self, item: Exported) -> Iterator[dict[str, Any]]:
        maps = _Maps(self._export, item)
        for step, prediction, _ in predictions_of(item.document, self._export.options.step):
            if "box" in prediction:
                yield self._object(item, step, prediction)
            elif is_area(prediction) and (annotation := maps.area(step, prediction)):
                yield {"category_id": self._classes.number(step, prediction), **annotation, **_marks(prediction)}

    def _object(self, item: Exported, step: Document, prediction: Document) -> dict[str, Any]:
        x1, y1, x2, y2 = prediction["box"]
        width, height = round(max(x2 - x1, 0), 2), round(max(y2 - y1, 0), 2)
        segmentation = self._segmentation(item, prediction)
        number = self._classes.number(step, prediction)
        annotation = {
            "category_id": number,
            "bbox": [x1, y1, width, height],
            "area": prediction.get("area", _area(segmentation) or round(width * height, 2)),
            "segmentation": segmentation,
            "iscrowd": 0,
        }
        if not segmentation and self._export.options.boxes_as_polygons:
            annotation["segmentation"] = [[x1, y1, x2, y1, x2, y2, x1, y2]]
        points = prediction.get("keypoints")
        if points and self._skeleton_fits(number, step, prediction, item.name):
            rows = [(p[0], p[1], 2) if p[-1] >= VISIBLE else (0, 0, 0) for p in points]
            annotation["keypoints"] = [v for row in rows for v in row]
            annotation["num_keypoints"] = sum(row[2] > 0 for row in rows)
        return annotation | _marks(prediction)

    def _segmentation(self, item: Exported, prediction: Document) -> Any:
        """Run lengths of the mask, else the polygon of an oriented box, else nothing."""
        rle, source = prediction.get("mask_rle"), item.document["source"]
        if rle:
            size, counts = rle.get("size"), rle.get("counts")
            if size == [source["height"], source["width"]] and isinstance(counts, str) and counts.isascii():
                return {"size": size, "counts": counts}
            self._export.notes.add("left out: masks that do not fit their picture; analyse it again", item.name)
        elif "mask" in prediction and (mask := _Maps(self._export, item).mask(prediction["mask"])):
            return mask
        corners = prediction.get("corners")
        return [[v for point in corners for v in point]] if corners and len(corners) > 2 else []

    def _skeleton_fits(self, number: int, step: Document, prediction: Document, name: str) -> bool:
        """Gives the category its skeleton with its first keypoints; False where it has another one."""
        category, count = self.categories[number], len(prediction["keypoints"])
        if "keypoints" not in category:
            skeleton = skeleton_of(step, prediction)
            category["keypoints"] = skeleton["points"]
            category["skeleton"] = [[a + 1, b + 1] for a, b in skeleton["edges"]]
        if fits := len(category["keypoints"]) == count:
            return fits
        self._export.notes.add(
            f"left out: keypoints of {category['name']}, of which another step gives other points; export one step "
            "with --step", name,
        )  # fmt: skip
        return False


class _Maps:
    """The label maps of a result, each read once."""

    def __init__(self, export: Export, item: Exported) -> None:
        self._export, self._item = export, item
        self._read: dict[str, Any] = {}

    def area(self, step: Document, prediction: Document) -> dict[str, Any] | None:
        """The annotation of a label's share of a map, without its category; None, and a note, where it is not there."""
        if not isinstance(name := step.get("map"), str):
            self._export.notes.add(
                "left out: areas without a map beside the result; analyse with --out", self._item.name
            )
            return None
        ids = self._ids(name)
        made = None if ids is None else mask_of(ids == prediction.get("label_id", -1))
        if made is None:
            return None
        rle, box, area = made
        return {"bbox": box, "area": area, "segmentation": rle, "iscrowd": 0}

    def mask(self, name: Any) -> Any:
        """The run lengths of a mask that is a file; None, and a note, where it cannot be read."""
        ids = self._ids(name) if isinstance(name, str) else None
        made = None if ids is None else mask_of(ids > 0)
        return made and made[0]

    def _ids(self, name: str) -> Any:
        if name not in self._read:
            source, place = self._item.document["source"], self._item.place
            try:
                content = self._export.options.read_file(place, name)
                self._read[name] = label_ids(content, source["width"], source["height"], f"{place}/{name}")
            except DropsightError as error:
                self._export.notes.add("left out: maps and masks that cannot be used", str(error))
                self._read[name] = None
        return self._read[name]


def _marks(prediction: Document) -> dict[str, Any]:
    """The score, and what our own documents know a prediction by."""
    marks = {"score": prediction.get("score", 1.0)}
    marks |= {"prediction_id": prediction["id"]} if "id" in prediction else {}
    return marks | ({"track_id": prediction["track"]} if "track" in prediction else {})


def _area(segmentation: Any) -> float:
    """The area of a polygon (the shoelace formula); 0 where there is none."""
    if not isinstance(segmentation, list) or not segmentation:
        return 0.0
    x, y = segmentation[0][::2], segmentation[0][1::2]
    return abs(round(float(sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(len(x)))) / 2, 2))
