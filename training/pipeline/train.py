"""Step 2: train on the prepared pictures; writes checkpoint.pt (goes on from one of the same pictures) and log.json."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from training import loop
from training.pipeline.labelled import Labelled
from training.pipeline.steps import TRAIN

# A checkpoint of the starter classifier to start from, where there is one: fewer pictures are needed then.
START = Path("starter") / "classify" / "checkpoint_fp16.pt"


def fingerprint(prepared: Path) -> str:
    """Names the prepared pictures and labels, whatever the compressed file looks like."""
    digest = hashlib.sha256((prepared / "labels.txt").read_bytes())
    with np.load(prepared / "pictures.npz") as arrays:
        for name in sorted(arrays.files):
            digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def forget_other_pictures(prepared: Path, out: Path) -> None:
    """Remove a checkpoint of other pictures: a finished one would be taken for the result of these."""
    now, kept = fingerprint(prepared), out / "pictures.sha256"
    if (out / "checkpoint.pt").exists() and not (kept.exists() and kept.read_text("utf-8") == now):
        sys.stdout.write("the pictures are not those of the checkpoint: training begins anew\n")
        (out / "checkpoint.pt").unlink()
    out.mkdir(parents=True, exist_ok=True)
    kept.write_text(now, "utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = TRAIN.parse(arguments, __doc__)
    forget_other_pictures(options.prepared, options.out)
    loop.fit(Labelled(options.prepared, START), options.out, options.epochs, seed=options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
