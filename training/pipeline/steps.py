"""The commands of the five steps: the local run executes them, the component files repeat them (a test compares), and
each step parses its options by them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# argparse settings of the inputs that are not folders.
VALUES: dict[str, dict[str, Any]] = {
    "epochs": {"type": int, "default": 20},
    "seed": {"type": int, "default": 0},
    "at_least": {"type": float, "default": 0.0, "help": "the least top-1 accuracy to register, 0 to 1"},
    "model_name": {"help": "what routes call the model"},
}


@dataclass(frozen=True)
class PipelineStep:
    """`command` has a placeholder in braces for every input, and for the output folder `out`."""

    name: str
    command: str

    def arguments(self, values: Mapping[str, object]) -> list[str]:
        """The command's words, without the interpreter."""
        return [word.format(**values) for word in self.command.split()]

    def component_command(self, inputs: tuple[str, ...]) -> str:
        """The command as a component file has it."""
        values = {name: f"${{{{inputs.{name}}}}}" for name in inputs} | {"out": "${{outputs.out}}"}
        return "python " + self.command.format(**values)

    def parse(self, arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
        """The options of the command. Folders, and values without a default, are required."""
        parser = argparse.ArgumentParser(prog=f"python {self.command.split(' --')[0]}", description=description)
        for flag, name in re.findall(r"(--\S+) {(\w+)}", self.command):
            settings = VALUES.get(name, {"type": Path})
            parser.add_argument(flag, **settings, required="default" not in settings)
        return parser.parse_args(arguments)


PREPARE = PipelineStep("prepare", "-m training.pipeline.prepare --data {data} --out {out}")
TRAIN = PipelineStep(
    "train", "-m training.pipeline.train --prepared {prepared} --epochs {epochs} --seed {seed} --out {out}"
)
EVALUATE = PipelineStep(
    "evaluate",
    "-m training.pipeline.evaluate --prepared {prepared} --trained {trained} --at-least {at_least} --out {out}",
)
EXPORT = PipelineStep(
    "export",
    "-m training.pipeline.export --prepared {prepared} --trained {trained} --evaluated {evaluated} "
    "--name {model_name} --out {out}",
)
REGISTER = PipelineStep("register", "-m training.pipeline.register --model {model} --name {model_name} --out {out}")
STEPS = (PREPARE, TRAIN, EVALUATE, EXPORT, REGISTER)
