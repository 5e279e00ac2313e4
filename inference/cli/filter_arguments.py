"""Arguments of analyze that choose among what is found, and name it; filters.py reads them."""

from __future__ import annotations

import argparse
from typing import Any


def add_filter_arguments(run: argparse.ArgumentParser) -> None:
    """Adds the options, as they are typed."""
    chosen = run.add_argument_group("what is kept of what the models find, and what it is called")
    often: dict[str, Any] = {"action": "append", "default": []}  # may be repeated
    chosen.add_argument("--labels", **often, metavar="A,B", help="keep only these labels; may be repeated")
    chosen.add_argument("--label-threshold", **often, metavar="LABEL=X", help="the score threshold of a label (0..1)")
    chosen.add_argument("--rename", **often, metavar="LABEL=NAME", help="call a label so; two of one name are one")
    chosen.add_argument("--min-size", metavar="X", help="keep what covers this share of the picture's area (0..1)")
    chosen.add_argument("--max-size", metavar="X", help="keep what covers no more than this share (0..1)")
    chosen.add_argument("--region", **often, metavar="'X,Y X,Y X,Y'",
                        help="keep what stands in this area, in shares of the picture; may be repeated")  # fmt: skip
    chosen.add_argument("--ignore", **often, metavar="'X,Y X,Y X,Y'", help="leave out what stands in this area")
    chosen.add_argument("--mask", default="", metavar="FILE", help="a PNG: white where to look, black what to ignore")
