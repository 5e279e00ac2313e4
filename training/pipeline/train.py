"""Step 2: train on the prepared pictures; writes checkpoint.pt (goes on from one that is there) and log.json."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training import loop
from training.pipeline.labelled import Labelled

# Where the layers of the starter classifier lie, if somebody has them: fewer pictures are needed then.
START = Path("starter") / "classify" / "checkpoint_fp16.pt"


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=Labelled.epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, default=START, help="checkpoint of the starter classifier")
    options = parser.parse_args(arguments)
    loop.fit(Labelled(options.prepared, options.start), options.out, options.epochs, seed=options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
