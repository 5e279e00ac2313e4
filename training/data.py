"""Reading the datasets into memory, once, as bytes; and the splits, which are decided here and nowhere else."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pictures = NDArray[np.uint8]

STREET_LABELS = [
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
]
CELL_LABELS = ["red blood cell", "white blood cell", "platelet"]
CELL_TAGS = {"RBC": 0, "WBC": 1, "Platelets": 2}
EXPRESSIONS = ["neutral", "happiness", "surprise", "sadness", "anger"]
UNLABELLED = 11
HELD_OUT = "tiny_imagenet_val4000.zip"


def there(path: Path) -> Path:
    """`path`, if it is a file; otherwise the program ends, saying what is missing."""
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


@dataclass(frozen=True)
class Street:
    """CamVid: pictures (N, 360, 480, 3) and label maps (N, 360, 480), 0..10 and 11 for unlabelled."""

    pictures: Pictures
    labels: Pictures


def street(root: Path, splits: Iterable[str], limit: int | None = None) -> Street:
    """The splits `train`, `val` and `test` as the publisher made them: whole drives apart."""
    pictures, labels = [], []
    with zipfile.ZipFile(there(root / "camvid" / "camvid.zip")) as archive:
        names = sorted(archive.namelist())
        for split in splits:
            chosen = [n for n in names if n.startswith(f"{split}/") and not n.endswith("/")][:limit]
            for name in chosen:
                pictures.append(picture(archive.read(name)))
                label = name.replace(f"{split}/", f"{split}annot/", 1).rsplit(".", 1)[0] + ".png"
                labels.append(picture(archive.read(label), mode="P"))
    return Street(np.stack(pictures), np.stack(labels))


@dataclass(frozen=True)
class Faces:
    """Grey portraits (N, 144, 144), the first face's box of each (N, 4) xyxy, and its expression's name."""

    names: list[str]
    pictures: Pictures
    boxes: NDArray[np.float32]
    expressions: list[str]


def person(file: str) -> str:
    """Noer_Moeis_0001.jpg -> Noer_Moeis."""
    return re.sub(r"_\d+\.\w+$", "", file)


def face_split(file: str) -> str:
    """`train`, `val` or `test` (80/10/10), by a hash of the person's name: nobody is in two splits."""
    bucket = int.from_bytes(hashlib.sha256(person(file).encode()).digest()[:4], "big") % 10
    return {8: "val", 9: "test"}.get(bucket, "train")


def faces(root: Path, splits: Iterable[str], limit: int | None = None) -> Faces:
    """Portraits with exactly one face that the index's detector found."""
    wanted = set(splits)
    index = json.loads(there(root / "faces" / "index.json").read_text())
    rows = [r for r in index if len(r["faces"]) == 1 and face_split(r["file"]) in wanted][:limit]
    with zipfile.ZipFile(there(root / "faces" / "faces.zip")) as archive:
        pictures = np.stack([picture(archive.read(r["file"]), "L", (144, 144)) for r in rows])
    boxes = np.array([r["faces"][0][:4] for r in rows], np.float32)
    return Faces([r["file"] for r in rows], pictures, boxes, [r["expression"] for r in rows])


@dataclass(frozen=True)
class Cells:
    """BCCD: pictures (N, 480, 640, 3), and per picture boxes (n, 4) xyxy and classes (n,)."""

    pictures: Pictures
    boxes: list[NDArray[np.float32]]
    classes: list[NDArray[np.int64]]


def cells(root: Path, splits: Iterable[str], limit: int | None = None) -> Cells:
    """The published lists of ImageSets/Main; boxes without area (there are a few) are left out."""
    pictures, boxes, classes = [], [], []
    with zipfile.ZipFile(there(root / "bccd" / "bccd.zip")) as archive:
        for split in splits:
            names = archive.read(f"ImageSets/Main/{split}.txt").decode().split()
            for name in names[:limit]:
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
    return Cells(np.stack(pictures), boxes, classes)


@dataclass(frozen=True)
class Classes:
    """Tiny ImageNet: pictures (N, 64, 64, 3) and class indices (N,) in the order of the sorted WordNet ids."""

    pictures: Pictures
    classes: NDArray[np.int64]


def wordnet_ids(folder: Path) -> list[str]:
    """The classes of a folder laid out like Tiny ImageNet, sorted as our labels are: its wnids.txt, if it has one,
    is in another order."""
    listed = folder / "wnids.txt"
    if listed.is_file():
        return sorted(listed.read_text("utf-8").split())
    return sorted(path.parent.name for path in (folder / "train").glob("*/images"))


def first_names(folder: Path, wnids: list[str]) -> list[str]:
    """What words.txt calls each class, or the WordNet id where it says nothing."""
    words = folder / "words.txt"
    lines = words.read_text("utf-8").splitlines() if words.is_file() else []
    names = {wnid: synonyms.split(",")[0] for wnid, _, synonyms in (line.partition("\t") for line in lines)}
    return [names.get(wnid, wnid) for wnid in wnids]


def tiny_imagenet(folder: Path, wnids: list[str], limit: int | None = None) -> Classes:
    """The training pictures of a folder as published: train/<wnid>/images/*.JPEG; `limit` is per class."""
    pictures, classes = [], []
    for index, wnid in enumerate(wnids):
        for path in sorted((folder / "train" / wnid / "images").glob("*.JPEG"))[:limit]:
            pictures.append(picture(path.read_bytes(), size=(64, 64)))
            classes.append(index)
    if not pictures:
        raise SystemExit(f"{folder}: has no train/<wnid>/images/*.JPEG; unpack Tiny ImageNet-200 there")
    return Classes(np.stack(pictures), np.array(classes, np.int64))


def tiny_imagenet_validation(folder: Path, wnids: list[str], limit: int | None = None) -> Classes:
    """The validation pictures of a folder as published: val/images and val/val_annotations.txt."""
    rows = [line.split("\t")[:2] for line in there(folder / "val" / "val_annotations.txt").read_text().splitlines()]
    rows = [row for row in rows if row[1:] and row[1] in wnids][:limit]
    if not rows:
        raise SystemExit(f"{folder}: val/val_annotations.txt names no picture of the classes in train/")
    images = folder / "val" / "images"
    pictures = np.stack([picture((images / name).read_bytes(), size=(64, 64)) for name, _ in rows])
    return Classes(pictures, np.array([wnids.index(wnid) for _, wnid in rows], np.int64))


def tiny_imagenet_held_out(root: Path, limit: int | None = None) -> Classes:
    """4,000 of the 10,000 validation pictures, from HELD_OUT."""
    with zipfile.ZipFile(there(root / HELD_OUT)) as archive:
        labels = json.loads(archive.read("labels.json"))
        names = sorted(labels)[:limit]
        pictures = np.stack([picture(archive.read(name)) for name in names])
    return Classes(pictures, np.array([labels[name] for name in names], np.int64))
