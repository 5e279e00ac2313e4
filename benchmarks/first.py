"""The first picture in a new process, against a hand-written script with the same libraries and model."""

from __future__ import annotations

from functools import partial
from statistics import median

from benchmarks import SHARED, Row, in_new_process, interleaved, spread

BAR = 1.25
RUNS = 15
PICTURE = SHARED / "media/coco/val2017/000000011813.jpg"

OURS = """
import sys
from pathlib import Path
from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.routes import Route, Step
result = analyze(Path(sys.argv[1]), Route("r", (Step("classify", threshold=0.0),)), Registry(), artifacts=False).result
print(result.steps[0].predictions.names[0])
"""

BY_HAND = """
import io, sys
import numpy as np
import onnxruntime as ort
from PIL import Image, ImageOps
session = ort.InferenceSession("models/classify/model.onnx", providers=["CPUExecutionProvider"])
labels = open("models/classify/labels.txt").read().splitlines()
image = ImageOps.exif_transpose(Image.open(io.BytesIO(open(sys.argv[1], "rb").read()))).convert("RGB")
scale = 64 / min(image.size)
image = image.resize((round(image.width * scale), round(image.height * scale)), Image.BILINEAR)
left, top = (image.width - 64) // 2, (image.height - 64) // 2
pixels = np.asarray(image.crop((left, top, left + 64, top + 64)), np.float32) / 255
x = ((pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)[None].astype(np.float32)
logits = session.run(["logits"], {"image": x})[0][0]
powers = np.exp(logits - logits.max())
best = np.argsort(-powers / powers.sum())[:5]
print(labels[best[0]])
"""


def run() -> list[Row]:
    if not PICTURE.is_file():
        return [Row("first picture in a new process", "not run: no ../shared")]
    assert in_new_process(OURS, PICTURE) == in_new_process(BY_HAND, PICTURE), "both must give the same label"
    codes = {"ours": OURS, "by hand": BY_HAND}
    times = interleaved(RUNS, {name: partial(in_new_process, code, PICTURE) for name, code in codes.items()})
    ratios = [ours / by_hand for ours, by_hand in zip(times["ours"], times["by hand"], strict=True)]
    by_hand_s = median(times["by hand"]) / 1e3
    return [
        Row(
            "first picture in a new process, ours / by hand",
            spread(ratios),
            f"<= {BAR}",
            median(ratios) <= BAR,
            f"by hand {by_hand_s:.2f} s; {RUNS} interleaved pairs, whole process",
        )
    ]
