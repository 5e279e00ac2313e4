"""Results as Ultralytics' text labels: class, centre, size, all as shares of the picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from inference.results.export_rows import BOX, Export, predictions_of, whole_file
from inference.results.label_files import LabelFiles


def write_yolo(export: Export, out: Path) -> int:
    """A folder: labels/<picture>.txt, a line per box, and data.yaml with the names of the classes."""
    if export.lacks("yolo", BOX):
        return 0
    classes = export.classes()
    files = LabelFiles(out / "labels")
    count = 0
    for name, document, _ in export.pictures():
        count += 1
        source = document["source"]
        lines = []
        for step, prediction, _ in predictions_of(document, export.options.step):
            if "box" in prediction:
                number = classes.number(step, prediction)
                lines.append(f"{number} {_yolo_box(prediction['box'], source['width'], source['height'])}\n")
        target = files.of(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as file:
            file.writelines(lines)
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / "data.yaml") as file:
        file.write("path: .\ntrain: images\nval: images\nnames:\n")
        file.writelines(f"  {n}: {json.dumps(name, ensure_ascii=False)}\n" for n, name in classes.names.items())
    return count


def _yolo_box(box: Sequence[float], width: int, height: int) -> str:
    x1, y1, x2, y2 = box
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join(f"{min(max(v, 0.0), 1.0):.6f}" for v in values)
