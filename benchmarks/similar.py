"""How long the exact search takes, one query at a time for the 10 nearest of random vectors of 256 dimensions."""

from __future__ import annotations

from functools import partial
from statistics import median

import numpy as np

from benchmarks import Row, spread, timed
from inference.similar import Index

DIMENSIONS = 256
QUERIES = 200
BARS = {5_000: 5.0, 100_000: None}  # milliseconds


def run() -> list[Row]:
    generator = np.random.default_rng(0)
    rows = []
    for count, bar in BARS.items():
        vectors = generator.standard_normal((count, DIMENSIONS), np.float32)
        index = Index.of([str(i) for i in range(count)], vectors)
        queries = generator.standard_normal((QUERIES, DIMENSIONS), np.float32)
        index.search(queries[0])
        times = [timed(partial(index.search, query))[0] for query in queries]
        met = None if bar is None else median(times) < bar
        what = f"nearest of {count:,} vectors"
        rows.append(Row(what, f"{spread(times)} ms", f"< {bar} ms" if bar else "", met, f"{QUERIES} queries"))
    return rows
