"""Step 4: the network as a model folder that the app serves: model.onnx, labels.txt, model.toml, README.md."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from pathlib import Path

from training import export
from training.pipeline.evaluate import trained
from training.pipeline.labelled import Labelled
from training.pipeline.steps import EXPORT

MANIFEST = """name = "{name}"
version = "{version}"
task = "image-classification"
head = "classifier"
sha256 = "{sha256}"
labels = "labels.txt"
source = "retrained with training/pipeline"
accuracy = "{accuracy}"

[preprocess]
size = {{ shortest_edge = 64 }}
do_center_crop = true
crop_size = {{ height = 64, width = 64 }}
do_normalize = true

[postprocess.outputs]
scores = "logits"
"""


def write_model(recipe: Labelled, trained_in: Path, name: str, out: Path) -> dict[str, object]:
    """Write the folder; the file is checked against PyTorch and measured again, whole and in int8."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise SystemExit(f"the name {name!r} must be 1 to 64 letters, digits, dots, hyphens and underscores")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        metrics = export.publish(recipe, trained(recipe, trained_in), Path(scratch))
        data = Path(scratch, "model.onnx").read_bytes()
    (out / "model.onnx").write_bytes(data)
    (out / "labels.txt").write_text("\n".join(recipe.labels) + "\n", "utf-8")
    sha256 = hashlib.sha256(data).hexdigest()
    figures = metrics[str(metrics["shipped"])]
    assert isinstance(figures, dict)
    tests = len(recipe.arrays["test_classes"])
    accuracy = f"{figures['top1']:.1%} top-1 on {tests} held-out pictures"
    facts = {"name": name, "version": sha256[:8], "sha256": sha256, "accuracy": accuracy}
    (out / "model.toml").write_text(MANIFEST.format(**facts), "utf-8")
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")
    return metrics


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = EXPORT.parse(arguments, __doc__)
    metrics = write_model(Labelled(options.prepared), options.trained, options.name, options.out)
    sys.stdout.write(json.dumps(metrics) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
