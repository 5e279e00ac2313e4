"""Step 1: DATA/<label>/*.jpg -> small pictures in one file, split into train and test, and the labels.

The split is decided by each picture's content: the same picture is on the same side in every run, and copies
of it cannot be on both. Needs no PyTorch.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from training.pipeline.steps import PREPARE

SIDE = 64
TEST_SHARE = 0.2
FEWEST = 5
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def small(path: Path) -> NDArray[np.uint8]:
    """(64, 64, 3): upright, shorter side 64, centre; what the exported model's manifest asks of the app."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    return np.asarray(ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.BILINEAR))


def read(folder: Path, skipped: list[str]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(hash, picture) of each different picture in a folder; what cannot be read is named in `skipped`."""
    seen = set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        if path.suffix.lower() not in ENDINGS:
            skipped.append(f"{path.name}: left out, its name ends with none of {' '.join(ENDINGS)}")
            continue
        digest = int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:8], "big")
        if digest in seen:
            continue
        seen.add(digest)
        try:
            yield digest, small(path)
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            skipped.append(f"{path.name}: {error}")


def prepare(data: Path, out: Path) -> dict[str, object]:
    """Write out/pictures.npz, labels.txt and report.json. Raises SystemExit with what is missing."""
    labels = sorted(path.name for path in data.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(labels) < 2:
        raise SystemExit(f"{data}: found {labels or 'no folders'}; expected one folder of pictures for each label")
    sides: dict[str, list[tuple[NDArray[np.uint8], int]]] = {"train": [], "test": []}
    counts, skipped = {}, list[str]()
    for number, label in enumerate(labels):
        pictures = sorted(read(data / label, skipped), key=lambda row: row[0])
        count = counts[label] = len(pictures)
        if count < FEWEST:
            raise SystemExit(f"{data / label}: {count} different pictures; at least {FEWEST} are needed")
        for place, (digest, picture) in enumerate(pictures):
            # By the hash alone, so that more pictures never move one across; but every label has one to test on.
            test = digest < TEST_SHARE * 2**64 if count >= 50 else place < max(1, TEST_SHARE * count)
            sides["test" if test else "train"].append((picture, number))
    out.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {}
    for side, rows in sides.items():
        arrays[f"{side}_pictures"] = np.stack([picture for picture, _ in rows])
        arrays[f"{side}_classes"] = np.array([number for _, number in rows], np.int64)
    np.savez_compressed(out / "pictures.npz", **arrays)
    (out / "labels.txt").write_text("\n".join(labels) + "\n", "utf-8")
    report = {"pictures": counts, "skipped": skipped, **{side: len(rows) for side, rows in sides.items()}}
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return report


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = PREPARE.parse(arguments, __doc__)
    sys.stdout.write(json.dumps(prepare(options.data, options.out)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
