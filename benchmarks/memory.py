"""Memory of a process that analyses pictures of many sizes in many threads: how much it grows after a warm-up."""

from __future__ import annotations

import json
import os

from benchmarks import Row, in_new_process

WARM_UP, PICTURES, THREADS = 400, 5000, 16
BAR_MIB = 50

# The process is that of an app: it calls own_process(). argv: pictures. Prints [MiB after the warm-up, MiB at the end].
_RUN = """
import io, json, sys
from concurrent.futures import ThreadPoolExecutor
from inference.image.media import own_process
own_process()
import numpy as np
from PIL import Image
from inference.analysis import analyze
from inference.engine.registry import BUILT_IN, Registry
from inference.machine import rss_bytes
from inference.routes import Route, Step

def photo(seed):
    draw = np.random.default_rng(seed)
    rough = draw.integers(0, 255, (16, 24, 3), dtype=np.uint8)
    out = io.BytesIO()
    size = tuple(int(side) for side in draw.integers(200, 1600, 2))
    Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()

warm_up, pictures, threads = map(int, sys.argv[1:])
photos, registry = [photo(seed) for seed in range(60)], Registry([BUILT_IN])
route = Route("all", (Step("classify"), Step("faces")))
with ThreadPoolExecutor(threads) as pool:
    def run(count):
        list(pool.map(lambda i: analyze(photos[i % 60], route, registry) and None, range(count)))
        return rss_bytes() >> 20
    print(json.dumps([run(warm_up), run(pictures)]))
"""


def run() -> list[Row]:
    """A row; MEMORY_PICTURES in the environment measures fewer pictures, for a first look."""
    pictures = int(os.environ.get("MEMORY_PICTURES", PICTURES))
    before, after = json.loads(in_new_process(_RUN, WARM_UP, pictures, THREADS))
    return [
        Row(
            f"growth over {pictures:,} pictures after {WARM_UP}, {THREADS} threads, MiB",
            f"{after - before:+d}",
            f"at most {BAR_MIB}",
            after - before <= BAR_MIB,
            f"{before} MiB, then {after} MiB",
        )
    ]
