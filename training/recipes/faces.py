"""faces: where the faces are, from 15 pixels up, in photos with one or many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import boxes, data
from training.net import Detector, Scales, Scored, load_backbone
from training.pictures import letterbox, resized
from training.recipe import Predict, Recipe
from training.reference import yunet
from training.scenes import Material, compose

SIDE = 256
INPUT = 640
CONFIDENCE = 0.7
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def material(root: Path, split: str, limit: int | None = None) -> Material:
    """Portraits of the split's persons; street scenes and blood smears of the same split behind them."""
    people = data.faces(root, (split,), limit)
    drives = data.street(root, ("train", "val") if split == "train" else ("test",), limit)
    smears = data.cells(root, ("trainval",) if split == "train" else ("test",), limit)
    grey = [(p @ LUMA).astype(np.uint8) for p in drives.pictures]
    grey += [(p @ LUMA).astype(np.uint8) for p in smears.pictures[::5]]
    return Material(people.pictures, people.boxes, grey)


class Faces(Recipe):
    name = "faces"
    task = "object-detection"
    labels = ["face"]
    source = "composite scenes: grey portraits (muxspace/facial_expressions) on CamVid and BCCD pictures"
    licence = "CC BY-NC 4.0 backgrounds and an ImageNet-trained backbone: research and demonstration"
    epochs = 8
    rate = 1.5e-3
    average = 0.995
    example = (640, 640)
    outputs = ["boxes"]
    keep = [f"{part}.{level}.weight" for part in ("box", "kind") for level in range(3)]
    main = "scene_ap"

    def load(self) -> None:
        self.material = material(self.root, "train", self.limit)

    def network(self) -> nn.Module:
        network = Detector(1, grey=True)
        load_backbone(network.backbone, self.checkpoint)
        return network

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Pictures, then all boxes as rows (picture, x1, y1, x2, y2)."""
        pictures, rows = [], []
        for i in range(self.batch_size):
            scene, truth = compose(self.material, rng, SIDE)
            pictures.append(torch.from_numpy(scene).expand(3, -1, -1))
            rows.append(np.concatenate([np.full((len(truth), 1), i, np.float32), truth], 1))
        return torch.stack(pictures), torch.from_numpy(np.concatenate(rows))

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        pictures, rows = batch
        raw = network(pictures).float()
        truths = [rows[rows[:, 0] == i, 1:] for i in range(len(pictures))]
        kinds = [torch.zeros(len(t), dtype=torch.long, device=raw.device) for t in truths]
        cells = boxes.grid(pictures.shape[2], pictures.shape[3], Detector.strides).to(raw.device)
        with torch.autocast(raw.device.type, enabled=False):
            return boxes.detection_loss(raw, truths, kinds, cells)

    def measure(self, predict: Predict) -> dict[str, float]:
        """Average precision on made-up scenes of held-out persons; recall and precision on the group photos."""
        rng, scenes = np.random.default_rng(7), material(self.root, "test", self.limit)
        found, truths = [], 0
        for _ in range(self.limit or 150):
            scene, truth = compose(scenes, rng, SIDE)
            output = predict(np.repeat(scene[None, None], 3, 1))[0][0]
            xyxy, scores, _ = boxes.detections(output, SIDE, SIDE, Scales.strides, 0.01, 0.5)
            found.append((scores, boxes.match(xyxy, truth, 0.5)))
            truths += len(truth)
        figures = {"scene_ap": boxes.average_precision(*_joined(found), truths)}
        photos = self.root.parent / "media" / "faces"
        if photos.is_dir() and not self.limit:
            figures |= group_photos(predict, photos) | {"portraits_found": float(portraits_found(predict, photos))}
        return figures

    def export_form(self, network: nn.Module) -> nn.Module:
        return Scales(Scored(network))

    def output_axes(self, axes: dict[int, str]) -> dict[int, str]:
        return {1: "cells"}

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        rng = np.random.default_rng(1)
        scenes = material(self.root, "train", self.limit)
        return [np.repeat(compose(scenes, rng, INPUT, (13, 400))[0][None, None], 3, 1) for _ in range(count)]


def _joined(
    found: list[tuple[NDArray[np.float32], NDArray[np.bool_]]],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return np.concatenate([s for s, _ in found]), np.concatenate([r for _, r in found])


def portraits_found(predict: Predict, photos: Path) -> int:
    """In how many of the seven photos of one person the surest face is YuNet's, at CONFIDENCE and IoU 0.4."""
    reference = yunet(photos.parent.parent / "models" / "face-yunet-n-dynamic" / "model.onnx")
    found = 0
    for path in sorted(p for p in photos.glob("*.jpg") if not p.name.startswith("group_")):
        picture = data.picture(path.read_bytes())
        image, scale = letterbox(picture, INPUT)
        # YuNet misses extreme close-ups at native size
        truth = reference(resized(picture, round(picture.shape[1] * scale), round(picture.shape[0] * scale)))
        xyxy, _, _ = boxes.detections(predict(image)[0][0], INPUT, INPUT, Scales.strides, CONFIDENCE, 0.4)
        found += bool(boxes.match(xyxy[:1], truth[:1], 0.4).any())
    return found


def group_photos(predict: Predict, photos: Path) -> dict[str, float]:
    """Against YuNet's boxes at 0.7, IoU 0.4: recall and precision at CONFIDENCE, and recall at 0.75 precision."""
    reference = yunet(photos.parent.parent / "models" / "face-yunet-n-dynamic" / "model.onnx")
    found, truths = [], 0
    for path in sorted(photos.glob("group_*.jpg")):
        picture = data.picture(path.read_bytes())
        truth = reference(picture)
        image, scale = letterbox(picture, INPUT)
        xyxy, scores, _ = boxes.detections(predict(image)[0][0], INPUT, INPUT, Scales.strides, 0.05, 0.4)
        found.append((scores, boxes.match(xyxy / scale, truth, 0.4)))
        truths += len(truth)
    scores, right = _joined(found)
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")])
    precise = hits / np.arange(1, len(hits) + 1) >= 0.75
    sure = scores >= CONFIDENCE
    return {
        "group_faces": float(truths),
        "group_recall": float(right[sure].sum() / truths),
        "group_precision": float(right[sure].mean()) if sure.any() else 0.0,
        "group_recall_at_075_precision": float(hits[precise].max() / truths) if precise.any() else 0.0,
    }
