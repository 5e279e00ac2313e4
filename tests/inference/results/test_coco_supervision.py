"""COCO files as supervision loads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.inference.results.test_coco_maps import IDS, export, result

sv = pytest.importorskip("supervision", reason="supervision is not installed")


def test_supervision_loads_maps_and_boxes(tmp_path: Path) -> None:
    """The masks are those of the map; a box alone has no mask, and the classes are the model's."""
    place = result(tmp_path / "results", "cam/a.png")
    document = json.loads((place / "result.json").read_text())
    box = {"id": "s/0", "label": "car", "label_id": 0, "score": 0.5, "box": [2, 1, 7, 3]}
    model = {"name": "cars", "version": "1", "sha256": "2"}
    document["steps"].append({"name": "s", "task": "object-detection", "model": model, "predictions": [box]})
    (place / "result.json").write_text(json.dumps(document))
    status, out = export(tmp_path / "results")
    (tmp_path / "pictures/cam").mkdir(parents=True)
    Pillow.new("RGB", (8, 6)).save(tmp_path / "pictures/cam/a.png")
    loaded = sv.DetectionDataset.from_coco(str(tmp_path / "pictures"), str(out), force_masks=True)
    [(_, _, found)] = list(loaded)
    assert status == 0 and [loaded.classes[i] for i in found.class_id] == ["road", "sky", "car"]
    assert np.array_equal(found.mask, [IDS == 1, IDS == 2, np.zeros_like(IDS, bool)])
    assert np.array_equal(found.xyxy, [[2, 1, 7, 3], [0, 4, 8, 6], [2, 1, 7, 3]])
