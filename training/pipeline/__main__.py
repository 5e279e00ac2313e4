"""The whole pipeline on this machine, step by step, with the very commands of the component files.

python -m training.pipeline --data PICTURES --out build/shop --name shop
python -m training.pipeline --data FOLDER_OF_SUCH_FOLDERS --out build --many
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from training.pipeline.steps import EVALUATE, EXPORT, PREPARE, REGISTER, TRAIN, Step

ROOT = Path(__file__).resolve().parents[2]


def run(data: Path, out: Path, name: str, epochs: int, seed: int, at_least: float, registered: Path) -> int:
    """The five steps; the first status that is not 0 ends it."""
    folders = {step.name: out / step.name for step in (PREPARE, TRAIN, EVALUATE, EXPORT)}
    values: dict[str, object] = {
        "data": data,
        "prepared": folders["prepare"],
        "trained": folders["train"],
        "evaluated": folders["evaluate"],
        "model": folders["export"],
        "epochs": epochs,
        "seed": seed,
        "at_least": at_least,
        "model_name": name,
    }
    for step in (PREPARE, TRAIN, EVALUATE, EXPORT, REGISTER):
        status = _step(step, {**values, "out": folders.get(step.name, registered)})
        if status:
            sys.stderr.write(f"{name}: the step {step.name} ended with status {status}; nothing is registered\n")
            return status
    return 0


def _step(step: Step, values: dict[str, object]) -> int:
    sys.stdout.write(f"== {step.name}\n")
    sys.stdout.flush()
    return subprocess.run([sys.executable, *step.arguments(values)], cwd=ROOT, check=False).returncode


def main(arguments: list[str] | None = None) -> int:
    """The command line. With --many one model per folder; those that fail do not stop the others."""
    parser = argparse.ArgumentParser(
        prog="python -m training.pipeline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder per label, with pictures in it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="labelled", help="what routes call the model")
    parser.add_argument("--many", action="store_true", help="one model per folder in --data, called like the folder")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-least", type=float, default=0.0, help="the least top-1 accuracy to register, 0 to 1")
    options = parser.parse_args(arguments)
    data, out = options.data.resolve(), options.out.resolve()
    settings = (options.epochs, options.seed, options.at_least, out / "registered")
    if not options.many:
        return run(data, out, options.name, *settings)
    folders = sorted(each for each in data.iterdir() if each.is_dir() and not each.name.startswith("."))
    failed = [each.name for each in folders if run(each, out / each.name, each.name, *settings)]
    if failed or not folders:
        sys.stderr.write(f"{len(failed)} of {len(folders)} models failed: {', '.join(failed)}\n")
    return 1 if failed or not folders else 0


if __name__ == "__main__":
    sys.exit(main())
