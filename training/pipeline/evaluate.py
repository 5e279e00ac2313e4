"""Step 3: measure the trained network on the held-out pictures, and stop the pipeline where it is not good enough."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

from training.export import torch_predictor
from training.pipeline.labelled import Labelled
from training.pipeline.steps import EVALUATE


def trained(recipe: Labelled, folder: Path) -> nn.Module:
    """The averaged network of the training's checkpoint, in evaluation mode."""
    network = recipe.network()
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(state["average"])
    return network.eval()


def main(arguments: list[str] | None = None) -> int:
    """The command line. 1 where the main figure is below --at-least."""
    options = EVALUATE.parse(arguments, __doc__)
    recipe = Labelled(options.prepared)
    form = recipe.export_form(trained(recipe, options.trained)).eval()
    figures = recipe.measure(torch_predictor(form))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n")
    sys.stdout.write(json.dumps(figures) + "\n")
    if figures[recipe.main] < options.at_least:
        sys.stderr.write(f"{recipe.main} is {figures[recipe.main]:.3f}, at least {options.at_least} was asked for\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
