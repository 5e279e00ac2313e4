"""python -m training RECIPE --data DIR --out DIR: trains, exports, measures.
python -m training evaluate --data DIR [NAME ...]: measures the shipped files again."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from training import evaluate, export, loop
from training.recipe import Recipe
from training.recipes.cells import Cells
from training.recipes.classify import Classify
from training.recipes.expression import Expression
from training.recipes.faces import Faces
from training.recipes.street import Street
from training.recipes.style import Brush

RECIPES: dict[str, type[Recipe]] = {
    recipe.name: recipe for recipe in (Cells, Classify, Expression, Faces, Street, Brush)
}


def main(arguments: list[str]) -> int:
    return _evaluate(arguments[1:]) if arguments[:1] == ["evaluate"] else _train(arguments)


def _evaluate(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training evaluate", description=evaluate.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}; all unless said")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=evaluate.MODELS)
    parser.add_argument("--engine", action="store_true", help="also measure through the app's own engine")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(RECIPES)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such recipe; there are {', '.join(RECIPES)}")
    names = options.names or list(RECIPES)
    status = evaluate.run([RECIPES[name](options.data) for name in names], options.models)
    if options.engine:
        from training import engine  # lazily: only this needs the app's own requirements

        engine.run(names, options.data, options.models)
    return status


def _count(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)


def _device(text: str) -> str:
    """A device that this PyTorch has, for argparse."""
    try:
        torch.empty(0, device=text)
    except (RuntimeError, AssertionError) as error:  # an assertion is what a build without CUDA answers
        raise argparse.ArgumentTypeError(f"{text!r}: {str(error).splitlines()[0]}") from error
    return text


def _train(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True, help="the folder with the datasets")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, log, model.onnx and metrics.json go here")
    parser.add_argument("--epochs", type=_count, help="the recipe's own number unless said")
    parser.add_argument("--stop-after", type=_count, metavar="EPOCH", help="end here; the schedule is that of --epochs")
    parser.add_argument("--device", type=_device, default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=_count, help="processor cores to use; PyTorch's choice unless said")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = RECIPES[options.recipe](options.data)
    epochs = options.epochs or recipe.epochs
    network = loop.fit(recipe, options.out, epochs, options.device, options.seed, options.stop_after)
    metrics = export.publish(recipe, network, options.out)
    sys.stdout.write(json.dumps(metrics, indent=1) + "\n")
    return 0
