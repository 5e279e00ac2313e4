"""python -m inference schema: the JSON Schema of the result document."""

from __future__ import annotations

import argparse
import json

from inference.results.schema import schema


def run(options: argparse.Namespace) -> int:
    print(json.dumps(schema(), indent=2))
    return 0
