"""Writes docs/accuracy.md: python -m benchmarks.write_accuracy [--out FILE] [MODEL ...]

Every reference model is measured on the reference pictures in a process of its own, so that its peak memory is its
own. Figures stand beside those that independent code reached with the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import ROOT, SHARED
from benchmarks.accuracy import coco_map, label_map_figures, person_mask_iou, pictures, top1, top_down_similarity
from inference.analysis import analyze
from inference.engine.model import Model
from inference.engine.registry import Registry, Weights
from inference.image.media import Picture, decode
from inference.machine import cpu_quota, peak_rss_mb
from inference.predictions import Embedding, Objects, OutputImage
from inference.routes import Route, Step
from inference.timing import Timing

MEDIA = SHARED / "media"
INSTANCES = MEDIA / "coco/instances.json"
PHOTOS = MEDIA / "coco/val2017"


@dataclass(frozen=True)
class Figure:
    """One measured figure. reference: what independent code reached on the pictures that `note` names."""

    what: str
    ours: str
    reference: str
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One model's part of the report: its figures, the median milliseconds of each stage, its peak memory."""

    model: str
    figures: list[Figure]
    ms: dict[str, float]
    runs: int
    peak_mb: int | None


def _detection(model: Model) -> list[Figure]:
    known = json.loads((SHARED / "models/REFERENCE.json").read_text("utf-8")).get(model.manifest.name)
    known, note = known or OTHER_PICTURES[model.manifest.name], "" if known else "reference: 79 COCO pictures"
    found = coco_map(model, pictures(PHOTOS), INSTANCES)
    return [Figure(f"COCO {kind}", f"{found[kind]:.3f}", f"{known[kind]:.3f}", note) for kind in ("mAP", "AP50")]


# Reference figures over other pictures of the same kind than ours.
OTHER_PICTURES = {
    "det-nanodet-m-416": {"mAP": 0.290, "AP50": 0.465},
    "ultra-yolov8n-640": {"mAP": 0.414, "AP50": 0.555},
}


def _top1(model: Model) -> list[Figure]:
    right, count = top1(model, pictures(MEDIA / "imagenet"), MEDIA / "index.json")
    if model.manifest.name == "cls-mobilenetv2-int8":
        return [Figure("ImageNet top-1", f"{right} of {count}", "99 of 126")]
    return [Figure("ImageNet top-1", f"{right / count:.1%}", "87.5 %", "reference: 200 pictures")]


def _faces(model: Model) -> list[Figure]:
    counts = []
    for path, picture in pictures(MEDIA / "faces"):
        if path.name.startswith("group_"):
            found, _ = model.run(picture)
            assert isinstance(found, Objects)
            counts.append(len(found))
    return [Figure("faces on 4 group photos", ", ".join(map(str, counts)), "4, 5, 9, 19")]


def _expressions(model: Model) -> list[Figure]:
    entries = [e for e in json.loads((MEDIA / "index.json").read_text("utf-8")) if e["kind"] == "face+expression"]
    route = Route("faces", (Step("face-yunet-2023mar"), Step(model.manifest.name, "read", on="face")))
    right = 0
    for entry in entries:
        result = analyze((MEDIA / entry["file"]).read_bytes(), route, registry(), artifacts=False).result
        found = result.steps[0].predictions
        assert isinstance(found, Objects)
        right += found.attributes[0]["read"].names[0] == entry["ground_truth"]["expression"]
    return [Figure("expressions on YuNet's faces", f"{right} of {len(entries)}", "8 of 9", "reference: 2 photos more")]


def _keypoints(model: Model) -> list[Figure]:
    value, people = top_down_similarity(model, pictures(PHOTOS), MEDIA / "coco/person_keypoints.json")
    note = f"ours: the {people} people on our pictures; a loop with OpenCV's resize reaches 0.648 on them"
    return [Figure("mean OKS on true boxes", f"{value:.3f}", "0.672", note)]


def _label_map(model: Model) -> list[Figure]:
    accuracy, iou = {"seg-deeplabv3-mnv2-257": (0.809, 0.553)}.get(model.manifest.name, (0.866, 0.668))
    found = label_map_figures(model, pictures(PHOTOS), INSTANCES)
    note = "reference: 79 COCO pictures"
    if model.manifest.name == "seg-deeplabv3-mnv2-257":
        note += "; a loop with OpenCV's resize reaches 0.822 and 0.515 on ours"
    return [
        Figure("pixel accuracy", f"{found['pixel accuracy']:.3f}", f"{accuracy:.3f}", note),
        Figure("person IoU", f"{found['person IoU']:.3f}", f"{iou:.3f}", note),
    ]


def _instances(model: Model) -> list[Figure]:
    photos, note = pictures(PHOTOS), "reference: 79 COCO pictures"
    boxes, masks = coco_map(model, photos, INSTANCES), coco_map(model, photos, INSTANCES, "segm")
    return [
        Figure("COCO box mAP", f"{boxes['mAP']:.3f}", "0.342", note),
        Figure("COCO mask mAP", f"{masks['mAP']:.3f}", "-"),
        Figure("person mask IoU", f"{person_mask_iou(model, photos, INSTANCES):.3f}", "0.781", note),
    ]


def _super_resolution(model: Model) -> list[Figure]:
    """Photos reduced to a third by averaging and enlarged again; luma against the original."""
    ours, plain = [], []
    for _, picture in pictures(PHOTOS)[:15]:
        image = picture.image.crop((0, 0, picture.size[0] // 3 * 3, picture.size[1] // 3 * 3))
        small = image.resize((image.width // 3, image.height // 3), Image.Resampling.BOX)
        made, _ = model.run(Picture(small, small.size))
        assert isinstance(made, OutputImage)
        ours.append(_psnr(Image.fromarray(made.pixels), image))
        plain.append(_psnr(small.resize(image.size, Image.Resampling.BICUBIC), image))
    note = f"reference: 15 photos, bicubic 26.5 dB; bicubic on ours {np.mean(plain):.1f} dB"
    return [Figure("PSNR of x3", f"{np.mean(ours):.1f} dB", "26.2 dB", note)]


def _psnr(a: Image.Image, b: Image.Image) -> float:
    difference = np.asarray(a.convert("L"), float) - np.asarray(b.convert("L"), float)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def _people(model: Model) -> list[Figure]:
    """Each large COCO person against a slightly moved and brightened crop of every one: is the nearest the same?"""
    crops = []
    notes = json.loads((MEDIA / "coco/person_keypoints.json").read_text("utf-8"))
    files = {i["id"]: i["file_name"] for i in notes["images"]}
    for item in sorted(
        (a for a in notes["annotations"] if a["area"] > 5000 and not a["iscrowd"]), key=lambda a: a["id"]
    ):
        x, y, w, h = item["bbox"]
        crops.append((decode((PHOTOS / files[item["image_id"]]).read_bytes()), (x, y, x + w, y + h)))
    still = np.stack([_vector(model, p, box) for p, box in crops])
    moved = np.stack([_vector(model, _brighter(p), _moved(box)) for p, box in crops])
    right = int(((moved @ still.T).argmax(axis=1) == np.arange(len(crops))).sum())
    note = "reference: people of a video 10 to 20 frames apart; ours: crops moved by 8 % and brightened"
    return [Figure("rank-1 re-identification", f"{right} of {len(crops)}", "23 of 23", note)]


def _vector(model: Model, picture: Picture, box: tuple[float, float, float, float]) -> Any:
    found, _ = model.run(picture, box)
    assert isinstance(found, Embedding)
    return found.vector


def _brighter(picture: Picture) -> Picture:
    image = picture.image.point(lambda v: min(v * 1.15 + 5, 255))
    return Picture(image, image.size)


def _moved(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    dx, dy = (box[2] - box[0]) * 0.08, (box[3] - box[1]) * 0.08
    return box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy


def _looked_at(model: Model) -> list[Figure]:
    """Output images have no figure: they are looked at. Only their times count."""
    for _, picture in pictures(PHOTOS)[:3]:
        model.run(picture)
    return [Figure("new pictures", "looked at", "looked at")]


MEASURES: dict[str, Callable[[Model], list[Figure]]] = {
    **dict.fromkeys(("cls-mobilenetv2-int8", "cls-mobilenetv2-tf-uint8"), _top1),
    **dict.fromkeys(
        (
            "det-yolox-nano", "det-nanodet-m-320", "det-nanodet-m-416", "det-picodet-s-320", "det-picodet-s-416",
            "det-ssd-mobilenetv1-tf", "ultra-yolov8n-320", "ultra-yolov8n-640", "ultra-yolo11n-320",
            "ultra-yolo26n-end2end",
        ),
        _detection,
    ),
    "ultra-yolov8n-seg-320": _instances,
    **dict.fromkeys(("seg-deeplabv3-mnv2-257", "seg-deeplabv3-513-argmax"), _label_map),
    **dict.fromkeys(("face-ultraface-rfb320", "face-ultraface-rfb640", "face-yunet-2023mar"), _faces),
    "fer-mini-xception": _expressions,
    "pose-movenet-lightning": _keypoints,
    **dict.fromkeys(("reid-person-0248", "reid-person-0287"), _people),
    "superres-espcn-x3": _super_resolution,
    **dict.fromkeys(
        (
            "style-candy-256", "style-mosaic-128", "cartoon-whitebox-512", "edge-ldc-640x360", "colorize-unet-cifar",
            "cutout-deeplabv3-257",
        ),
        _looked_at,
    ),
}  # fmt: skip


_REGISTRY: list[Registry] = []


def registry() -> Registry:
    if not _REGISTRY:
        _REGISTRY.append(Registry([ROOT / "tests/models"], weights=Weights([SHARED / "models"])))
    return _REGISTRY[0]


def measure(name: str) -> Line:
    """One model in this process: first its memory on five photos, then its figures, its times all along."""
    model = registry().model(name)
    timings: list[Timing] = []
    run = model.run

    def timed(*arguments: Any, **options: Any) -> Any:
        predictions, timing = run(*arguments, **options)
        timings.append(timing)
        return predictions, timing

    for path in sorted(PHOTOS.iterdir())[:5]:
        run(decode(path.read_bytes()))
    peak = peak_rss_mb()
    model.run = timed  # type: ignore[method-assign]
    figures = MEASURES[name](model)
    ms = {stage: median(getattr(t, stage) for t in timings) for stage in ("preprocess", "inference", "postprocess")}
    return Line(name, figures, ms, len(timings), peak)


def in_own_process(name: str) -> Line:
    print(f"{name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.write_accuracy", "--one", name]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    table = json.loads(done.stdout)
    return Line(**{**table, "figures": [Figure(**f) for f in table["figures"]]})


HEAD = """# Accuracy

Written by `python -m benchmarks.write_accuracy` on {day}: {machine}, load average
{load:.0f} when it began. Do not edit it by hand.

Every reference model ran here on the reference pictures (85 of COCO val2017, 126 of ImageNet, the faces), beside what
independent code reached with the same weights: its own resizing (OpenCV), its own decoding. Another resize library
moves COCO mAP by up to about 0.01. COCO figures: pycocotools, scores from 0.01 on, at most 100 boxes a picture. These
weights are not part of the project, and their own licences hold.

Times are medians over the measured runs in milliseconds, memory the highest that a process with this model alone took
on five photos, Python and all libraries included. At a score threshold of 0.01 postprocessing takes longer than in use.

| model | what | ours | reference | preprocess | inference | postprocess | peak MiB | note |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def report(lines: Sequence[Line], load: float) -> str:
    """The page. load: how many processes wanted a core when it began; times suffer above the number of cores."""
    libraries = ", ".join(f"{n} {version(n)}" for n in ("onnxruntime", "numpy", "pillow"))
    machine = f"{cpu_quota()} cores, {platform.machine()}, Python {platform.python_version()}, {libraries}"
    text = HEAD.format(day=datetime.now(UTC).date().isoformat(), machine=machine, load=load)
    for line in lines:
        for k, figure in enumerate(line.figures):
            times = [f"{v:.1f}" for v in line.ms.values()] if k == 0 else ["", "", ""]
            first = (line.model, str(line.peak_mb)) if k == 0 else ("", "")
            cells = (first[0], figure.what, figure.ours, figure.reference, *times, first[1], figure.note)
            text += f"| {' | '.join(cells)} |\n"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.write_accuracy", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL", help="only these (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/accuracy.md", metavar="FILE")
    parser.add_argument("--one", metavar="MODEL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(measure(options.one))))
        return 0
    if not SHARED.is_dir():
        parser.error(f"the reference pictures and weights are not here: no folder {SHARED}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    text = report([in_own_process(name) for name in options.names or MEASURES], load)
    options.out.write_text(text, "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
