"""Step 3: measure the trained network on the held-out pictures, and stop the pipeline where it is not good enough."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.pipeline.labelled import Labelled


def trained(recipe: Labelled, folder: Path) -> nn.Module:
    """The averaged network of the training's checkpoint, in evaluation mode."""
    network = recipe.network()
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(state["average"])
    return network.eval()


def measure(recipe: Labelled, network: nn.Module) -> dict[str, float]:
    """The recipe's figures of the network as it will be exported."""
    form = recipe.export_form(network).eval()

    def predict(pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            return [output.numpy() for output in form(torch.from_numpy(pictures))]

    return recipe.measure(predict)


def main(arguments: list[str] | None = None) -> int:
    """The command line. 1 where the main figure is below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--at-least", type=float, default=0.0, help="the least top-1 accuracy, 0 to 1")
    options = parser.parse_args(arguments)
    recipe = Labelled(options.prepared)
    figures = measure(recipe, trained(recipe, options.trained))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n")
    sys.stdout.write(json.dumps(figures) + "\n")
    if figures[recipe.main] < options.at_least:
        sys.stderr.write(f"{recipe.main} is {figures[recipe.main]:.3f}, at least {options.at_least} was asked for\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
