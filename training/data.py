"""Reading the datasets into memory, once, as bytes; and the splits, which are decided here and nowhere else."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pictures = NDArray[np.uint8]
ClassIds = NDArray[np.int64]
Boxes = NDArray[np.float32]

STREET_LABELS = [
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
]  # fmt: skip
CELL_LABELS = ["red blood cell", "white blood cell", "platelet"]
CELL_TAGS = {"RBC": 0, "WBC": 1, "Platelets": 2}
EXPRESSIONS = ["neutral", "happiness", "surprise", "sadness", "anger"]
UNLABELLED = 11
HELD_OUT = "tiny_imagenet_val4000.zip"
TINY_IMAGENET = "tiny-imagenet-200"


def required_file(path: Path) -> Path:
    """`path`. Raises SystemExit with what is missing where it is no file."""
    if path.is_file():
        return path
    raise SystemExit(
        f"{path}: there is no such file; --data must be the folder of the datasets, with what else the recipes read "
        f"beside it (docs/training.md lists both)"
    )


def picture(data: bytes, mode: str = "RGB", size: tuple[int, int] | None = None) -> Pictures:
    """Decode one picture to (H, W, 3) or, in mode "L", (H, W); `size` is (width, height)."""
    with Image.open(io.BytesIO(data)) as opened:
        image = opened if opened.mode == mode or mode == "P" else opened.convert(mode)
        if size is not None and image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.array(image)


def street(root: Path, splits: Iterable[str], limit: int | None = None) -> tuple[Pictures, Pictures]:
    """CamVid: pictures (N, 360, 480, 3) and label maps (N, 360, 480), 0..10 and 11 for unlabelled; the splits
    `train`, `val` and `test` as the publisher made them: whole drives apart."""
    pictures, labels = [], []
    with zipfile.ZipFile(required_file(root / "camvid" / "camvid.zip")) as archive:
        names = sorted(archive.namelist())
        for split in splits:
            for name in [n for n in names if n.startswith(f"{split}/") and not n.endswith("/")][:limit]:
                pictures.append(picture(archive.read(name)))
                label = name.replace(f"{split}/", f"{split}annot/", 1).rsplit(".", 1)[0] + ".png"
                labels.append(picture(archive.read(label), mode="P"))
    return np.stack(pictures), np.stack(labels)


def person(file: str) -> str:
    """Noer_Moeis_0001.jpg -> Noer_Moeis."""
    return re.sub(r"_\d+\.\w+$", "", file)


def face_split(file: str) -> str:
    """`train`, `val` or `test` (80/10/10), by a hash of the person's name: nobody is in two splits."""
    bucket = int.from_bytes(hashlib.sha256(person(file).encode()).digest()[:4], "big") % 10
    return {8: "val", 9: "test"}.get(bucket, "train")


def faces(root: Path, split: str, limit: int | None = None) -> tuple[Pictures, Boxes, list[str]]:
    """Portraits with exactly one face in the index: grey pictures (N, 144, 144), boxes (N, 4) xyxy, expressions."""
    index = json.loads(required_file(root / "faces" / "index.json").read_text())
    rows = [r for r in index if len(r["faces"]) == 1 and face_split(r["file"]) == split][:limit]
    with zipfile.ZipFile(required_file(root / "faces" / "faces.zip")) as archive:
        pictures = np.stack([picture(archive.read(r["file"]), "L", (144, 144)) for r in rows])
    return pictures, np.array([r["faces"][0][:4] for r in rows], np.float32), [r["expression"] for r in rows]


def cells(root: Path, split: str, limit: int | None = None) -> tuple[Pictures, list[Boxes], list[ClassIds]]:
    """BCCD by the published lists of ImageSets/Main: pictures (N, 480, 640, 3), and of every picture boxes (n, 4) xyxy
    and classes (n,). Boxes without area are left out."""
    pictures, boxes, classes = [], [], []
    with zipfile.ZipFile(required_file(root / "bccd" / "bccd.zip")) as archive:
        for name in archive.read(f"ImageSets/Main/{split}.txt").decode().split()[:limit]:
            pictures.append(picture(archive.read(f"JPEGImages/{name}.jpg")))
            tree = ElementTree.fromstring(archive.read(f"Annotations/{name}.xml"))
            rows = [
                [float(o.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax")]
                + [CELL_TAGS[o.findtext("name", "")]]
                for o in tree.iter("object")
            ]
            kept = np.array([r for r in rows if r[2] > r[0] and r[3] > r[1]], np.float32).reshape(-1, 5)
            boxes.append(kept[:, :4])
            classes.append(kept[:, 4].astype(np.int64))
    return np.stack(pictures), boxes, classes


def wordnet_ids(folder: Path) -> list[str]:
    """The classes of Tiny ImageNet, sorted as our labels are: its wnids.txt is in another order."""
    wnids = sorted(required_file(folder / "wnids.txt").read_text("utf-8").split())
    if len(wnids) != 200:
        raise SystemExit(
            f"{folder / 'wnids.txt'}: {len(wnids)} classes; expected the 200 of Tiny ImageNet. For pictures of other "
            f"classes use the retraining pipeline: python -m training.pipeline --help"
        )
    return wnids


def tiny_imagenet(folder: Path, limit: int | None = None) -> tuple[Pictures, ClassIds]:
    """Pictures (N, 64, 64, 3) and class indices (N,) of the training split as published, train/<wnid>/images/*.JPEG;
    `limit` is per class."""
    pictures, classes = [], []
    for index, wnid in enumerate(wordnet_ids(folder)):
        for path in sorted((folder / "train" / wnid / "images").glob("*.JPEG"))[:limit]:
            pictures.append(picture(path.read_bytes(), size=(64, 64)))
            classes.append(index)
    if not pictures:
        raise SystemExit(f"{folder}: has no train/<wnid>/images/*.JPEG; unpack Tiny ImageNet-200 there")
    return np.stack(pictures), np.array(classes, np.int64)


def tiny_imagenet_held_out(root: Path, limit: int | None = None) -> tuple[Pictures, ClassIds]:
    """The 4,000 of the 10,000 validation pictures that lie in HELD_OUT; where it is not, all of val/ as published."""
    if not (root / HELD_OUT).is_file() and (root / TINY_IMAGENET).is_dir():
        return _tiny_imagenet_validation(root / TINY_IMAGENET, limit)
    with zipfile.ZipFile(required_file(root / HELD_OUT)) as archive:
        labels = json.loads(archive.read("labels.json"))
        names = sorted(labels)[:limit]
        pictures = np.stack([picture(archive.read(name)) for name in names])
    return pictures, np.array([labels[name] for name in names], np.int64)


def _tiny_imagenet_validation(folder: Path, limit: int | None) -> tuple[Pictures, ClassIds]:
    """val/images and val/val_annotations.txt."""
    rows = [
        line.split("\t")[:2] for line in required_file(folder / "val" / "val_annotations.txt").read_text().splitlines()
    ]
    wnids, images = wordnet_ids(folder), folder / "val" / "images"
    pictures = np.stack([picture((images / name).read_bytes(), size=(64, 64)) for name, _ in rows[:limit]])
    return pictures, np.array([wnids.index(wnid) for _, wnid in rows[:limit]], np.int64)
