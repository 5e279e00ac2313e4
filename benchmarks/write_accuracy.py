"""Writes docs/accuracy.md: python -m benchmarks.write_accuracy [--out FILE] [MODEL ...]

Every reference model is measured on the reference pictures in a process of its own, so that its peak memory is its
own. Figures stand beside those that independent code reached with the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import ROOT, SHARED, machine, reference_models
from benchmarks.accuracy import coco_map, label_map_figures, person_mask_iou, pictures, top1, top_down_similarity
from inference.analysis import analyze
from inference.engine.model import Model
from inference.image.media import Picture, decode
from inference.machine import peak_rss_mb
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
    peak_mb: int | None


def _detection(model: Model) -> list[Figure]:
    known = json.loads((SHARED / "models/REFERENCE.json").read_text("utf-8")).get(model.manifest.name)
    known, note = known or OTHER_PICTURES[model.manifest.name], "" if known else "reference: 79 COCO pictures"
    ours = coco_map(model, pictures(PHOTOS), INSTANCES)
    return [Figure(f"COCO {kind}", f"{ours[kind]:.3f}", f"{known[kind]:.3f}", note) for kind in ("mAP", "AP50")]


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
    photos = [picture for path, picture in pictures(MEDIA / "faces") if path.name.startswith("group_")]
    counts = [str(len(model.run(picture)[0])) for picture in photos]  # type: ignore[arg-type]
    return [Figure("faces on 4 group photos", ", ".join(counts), "4, 5, 9, 19")]


def _expressions(model: Model) -> list[Figure]:
    entries = [e for e in json.loads((MEDIA / "index.json").read_text("utf-8")) if e["kind"] == "face+expression"]
    route = Route("faces", (Step("face-yunet-2023mar"), Step(model.manifest.name, "read", on="face")))
    right = 0
    for entry in entries:
        result = analyze((MEDIA / entry["file"]).read_bytes(), route, registry(), artifacts=False).result
        faces = result.steps[0].predictions
        assert isinstance(faces, Objects)
        right += faces.attributes[0]["read"].names[0] == entry["ground_truth"]["expression"]
    return [Figure("expressions on YuNet's faces", f"{right} of {len(entries)}", "8 of 9", "reference: 2 photos more")]


def _keypoints(model: Model) -> list[Figure]:
    value, people = top_down_similarity(model, pictures(PHOTOS), MEDIA / "coco/person_keypoints.json")
    note = f"ours: the {people} people on our pictures; a loop with OpenCV's resize reaches 0.648 on them"
    return [Figure("mean OKS on true boxes", f"{value:.3f}", "0.672", note)]


def _label_map(model: Model) -> list[Figure]:
    accuracy, iou = {"seg-deeplabv3-mnv2-257": (0.809, 0.553)}.get(model.manifest.name, (0.866, 0.668))
    ours = label_map_figures(model, pictures(PHOTOS), INSTANCES)
    note = "reference: 79 COCO pictures"
    if model.manifest.name == "seg-deeplabv3-mnv2-257":
        note += "; a loop with OpenCV's resize reaches 0.822 and 0.515 on ours"
    return [
        Figure("pixel accuracy", f"{ours['pixel accuracy']:.3f}", f"{accuracy:.3f}", note),
        Figure("person IoU", f"{ours['person IoU']:.3f}", f"{iou:.3f}", note),
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
    """For every large COCO person's crop, moved and brightened a little: is the same person's crop the nearest?"""
    notes = json.loads((MEDIA / "coco/person_keypoints.json").read_text("utf-8"))
    files = {image["id"]: image["file_name"] for image in notes["images"]}
    large = [item for item in notes["annotations"] if item["area"] > 5000 and not item["iscrowd"]]
    still, moved = [], []
    for item in sorted(large, key=lambda item: int(item["id"])):
        x, y, w, h = item["bbox"]
        picture, dx, dy = decode((PHOTOS / files[item["image_id"]]).read_bytes()), w * 0.08, h * 0.08
        still.append(_vector(model, picture, (x, y, x + w, y + h)))
        brighter = picture.image.point(lambda v: min(v * 1.15 + 5, 255))
        box = (x + dx, y + dy, x + w + dx, y + h + dy)
        moved.append(_vector(model, Picture(brighter, brighter.size), box))
    right = int(((np.stack(moved) @ np.stack(still).T).argmax(axis=1) == np.arange(len(still))).sum())
    note = "reference: people of a video 10 to 20 frames apart; ours: crops moved by 8 % and brightened"
    return [Figure("rank-1 re-identification", f"{right} of {len(still)}", "23 of 23", note)]


def _vector(model: Model, picture: Picture, box: tuple[float, float, float, float]) -> Any:
    embedding, _ = model.run(picture, box)
    assert isinstance(embedding, Embedding)
    return embedding.vector


def _looked_at(model: Model) -> list[Figure]:
    """Output images have no figure: they are looked at. Only their times count."""
    for _, picture in pictures(PHOTOS)[:3]:
        model.run(picture)
    return [Figure("new pictures", "looked at", "looked at")]


MEASURES: dict[str, Callable[[Model], list[Figure]]] = {
    name: measured
    for measured, names in (
        (_top1, "cls-mobilenetv2-int8 cls-mobilenetv2-tf-uint8"),
        (_detection, "det-yolox-nano det-nanodet-m-320 det-nanodet-m-416 det-picodet-s-320 det-picodet-s-416"),
        (_detection, "det-ssd-mobilenetv1-tf ultra-yolov8n-320 ultra-yolov8n-640 ultra-yolo11n-320"),
        (_detection, "ultra-yolo26n-end2end"),
        (_instances, "ultra-yolov8n-seg-320"),
        (_label_map, "seg-deeplabv3-mnv2-257 seg-deeplabv3-513-argmax"),
        (_faces, "face-ultraface-rfb320 face-ultraface-rfb640 face-yunet-2023mar"),
        (_expressions, "fer-mini-xception"),
        (_keypoints, "pose-movenet-lightning"),
        (_people, "reid-person-0248 reid-person-0287"),
        (_super_resolution, "superres-espcn-x3"),
        (_looked_at, "style-candy-256 style-mosaic-128 cartoon-whitebox-512 edge-ldc-640x360"),
        (_looked_at, "colorize-unet-cifar cutout-deeplabv3-257"),
    )
    for name in names.split()
}

registry = cache(reference_models)


def measure(name: str) -> Line:
    """One model in this process: first its memory on five photos, then its figures, and the times of these runs."""
    print(f"{name} ...", file=sys.stderr, flush=True)
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
    return Line(name, figures, ms, peak)


HEAD = """# Accuracy

Written by `python -m benchmarks.write_accuracy` on {day}: {machine}, load average
{load:.0f} when it began. Do not edit it by hand.

Every reference model ran here on the reference pictures (85 of COCO val2017, 126 of ImageNet, the faces), beside what
independent code reached with the same weights: its own resizing (OpenCV), its own decoding. Another resize library
moves COCO mAP by up to about 0.01; colour profiles, which the references ignore, are left out (with them, on 11 of the
85 photos, it is 0.002 to 0.005 lower). COCO figures: pycocotools, scores from 0.01 on, at most 100 boxes a picture.
These weights are not part of the project, and their own licences hold.

Times are medians over the measured runs in milliseconds, memory the highest that a process with this model alone took
on five photos, Python and all libraries included. At a score threshold of 0.01 postprocessing takes longer than in use.

| model | what | ours | reference | preprocess | inference | postprocess | peak MiB | note |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def report(lines: Sequence[Line], load: float) -> str:
    """The page. load: how many processes wanted a core when it began; times suffer above the number of cores."""
    text = HEAD.format(day=datetime.now(UTC).date().isoformat(), machine=machine(), load=load)
    for line in lines:
        model, *rest = line.model, *(f"{v:.1f}" for v in line.ms.values()), str(line.peak_mb)
        for figure in line.figures:
            text += f"| {' | '.join((model, figure.what, figure.ours, figure.reference, *rest, figure.note))} |\n"
            model, rest = "", [""] * len(rest)  # the model's own cells stand in its first line only
    return text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.write_accuracy", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL", help="only these (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/accuracy.md", metavar="FILE")
    options = parser.parse_args()
    unknown = set(options.names) - set(MEASURES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(MEASURES)}")
    if not SHARED.is_dir():
        parser.error(f"the reference pictures and weights are not here: no folder {SHARED}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    lines = []
    for name in options.names or MEASURES:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            lines.append(process.submit(measure, name).result())
    text = report(lines, load)
    options.out.write_text(text, "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
