"""The whole pipeline on this machine, step by step, with the very commands of the component files.

python -m training.pipeline --data PICTURES --out build/shop --name shop
python -m training.pipeline --data FOLDER_OF_SUCH_FOLDERS --out build --many
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from training.pipeline.steps import REGISTER, STEPS, VALUES, PipelineStep

ROOT = Path(__file__).resolve().parents[2]


def run(data: Path, out: Path, name: str, settings: Mapping[str, object], registered: Path) -> int:
    """The five steps; the first status that is not 0 ends it."""
    folders = {"prepared": "prepare", "trained": "train", "evaluated": "evaluate", "model": "export"}
    values = {"data": data, **{name: out / step for name, step in folders.items()}}
    for step in STEPS:
        target = registered if step is REGISTER else out / step.name
        status = _step(step, {**values, **settings, "model_name": name, "out": target})
        if status:
            sys.stderr.write(f"{name}: the step {step.name} ended with status {status}; nothing is registered\n")
            return status
    return 0


def _step(step: PipelineStep, values: dict[str, object]) -> int:
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
    parser.add_argument("--name", default="labelled", help=VALUES["model_name"]["help"])
    parser.add_argument("--many", action="store_true", help="one model per folder in --data, called like the folder")
    settings = ("epochs", "seed", "at_least")
    for name in settings:
        parser.add_argument(f"--{name.replace('_', '-')}", **VALUES[name])
    options = parser.parse_args(arguments)
    data, out = options.data.resolve(), options.out.resolve()
    rest = ({name: getattr(options, name) for name in settings}, out / "registered")
    if not options.many:
        return run(data, out, options.name, *rest)
    folders = sorted(path for path in data.iterdir() if path.is_dir() and not path.name.startswith("."))
    failed = [path.name for path in folders if run(path, out / path.name, path.name, *rest)]
    if failed or not folders:
        sys.stderr.write(f"{len(failed)} of {len(folders)} models failed: {', '.join(failed)}\n")
    return 1 if failed or not folders else 0


if __name__ == "__main__":
    sys.exit(main())
