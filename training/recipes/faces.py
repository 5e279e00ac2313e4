"""faces: where the faces are, from 15 pixels up, in photos with one or many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import boxes, data
from training.net import Scales
from training.pictures import LUMA, letterbox, resized
from training.recipe import Predict
from training.recipes.detection import SIDE, Detection
from training.reference import yunet
from training.scenes import Material, compose

INPUT = 640
CONFIDENCE = 0.7


def material(root: Path, split: str, limit: int | None = None) -> Material:
    """Portraits of the split's persons; street scenes and blood smears of the same split behind them."""
    portraits, faces, _ = data.faces(root, split, limit)
    drives, _ = data.street(root, ("train", "val") if split == "train" else ("test",), limit)
    smears, _, _ = data.cells(root, "trainval" if split == "train" else "test", limit)
    return Material(portraits, faces, [(p @ LUMA).astype(np.uint8) for p in (*drives, *smears[::5])])


class Faces(Detection):
    name = "faces"
    labels = ["face"]
    source = "composite scenes: grey portraits (muxspace/facial_expressions) on CamVid and BCCD pictures"
    licence = "CC BY-NC 4.0 backgrounds and an ImageNet-trained backbone: research and demonstration"
    epochs = 8
    average = 0.995
    example = (640, 640)
    grey = True
    main = "scene_ap"

    def load(self) -> None:
        self.material = material(self.root, "train", self.limit)

    def sample(self, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float32]]:
        scene, truth = compose(self.material, rng, SIDE)
        return torch.from_numpy(scene).expand(3, -1, -1), np.zeros(len(truth), np.int64), truth

    def measure(self, predict: Predict) -> dict[str, float]:
        """Average precision on made-up scenes of held-out persons; recall and precision on the group photos."""
        rng, scenes = np.random.default_rng(7), material(self.root, "test", self.limit)
        matches = boxes.Matches(0.5)
        for _ in range(self.limit or 150):
            scene, truth = compose(scenes, rng, SIDE)
            output = predict(np.repeat(scene[None, None], 3, 1))[0][0]
            xyxy, scores, _ = boxes.detections(output, SIDE, Scales.strides, 0.01, 0.5)
            matches.add(xyxy, scores, truth)
        figures = {"scene_ap": matches.average_precision}
        photos = self.root.parent / "media" / "faces"
        if photos.is_dir() and not self.limit:
            figures |= group_photos(predict, photos) | {"portraits_found": float(portraits_found(predict, photos))}
        return figures

    def export_form(self, network: nn.Module) -> nn.Module:
        return Scales(super().export_form(network))

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        rng = np.random.default_rng(1)
        scenes = material(self.root, "train", self.limit)
        return [np.repeat(compose(scenes, rng, INPUT, (13, 400))[0][None, None], 3, 1) for _ in range(count)]


def portraits_found(predict: Predict, photos: Path) -> int:
    """In how many of the seven photos of one person the surest face is YuNet's, at CONFIDENCE and IoU 0.4."""
    reference, matches = yunet(photos), boxes.Matches(0.4)
    for path in sorted(p for p in photos.glob("*.jpg") if not p.name.startswith("group_")):
        picture = data.picture(path.read_bytes())
        image, scale = letterbox(picture, INPUT)
        # YuNet misses extreme close-ups at native size
        truth = reference(resized(picture, round(picture.shape[1] * scale), round(picture.shape[0] * scale)))
        xyxy, scores, _ = boxes.detections(predict(image)[0][0], INPUT, Scales.strides, CONFIDENCE, 0.4)
        matches.add(xyxy[:1], scores[:1], truth[:1])
    return int(matches.ranked[1].sum())


def group_photos(predict: Predict, photos: Path) -> dict[str, float]:
    """Against YuNet's boxes at 0.7, IoU 0.4: recall and precision at CONFIDENCE, and recall at 0.75 precision."""
    reference, matches = yunet(photos), boxes.Matches(0.4)
    for path in sorted(photos.glob("group_*.jpg")):
        picture = data.picture(path.read_bytes())
        image, scale = letterbox(picture, INPUT)
        xyxy, scores, _ = boxes.detections(predict(image)[0][0], INPUT, Scales.strides, 0.05, 0.4)
        matches.add(xyxy / scale, scores, reference(picture))
    scores, right = matches.ranked
    precise, sure = matches.precision >= 0.75, scores >= CONFIDENCE
    return {
        "group_faces": float(matches.truths),
        "group_recall": float(right[sure].sum() / matches.truths),
        "group_precision": float(right[sure].mean()) if sure.any() else 0.0,
        "group_recall_at_075_precision": float(matches.recall[precise].max(initial=0.0)),
    }
