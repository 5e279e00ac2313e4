"""The steps and their commands, once: the local run executes them, the component files must say the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """`command` has a place in braces for each input, and for the output folder `out`."""

    name: str
    command: str

    def arguments(self, values: Mapping[str, object]) -> list[str]:
        """The command's words, without the interpreter."""
        return [word.format(**values) for word in self.command.split()]

    def component_command(self, inputs: tuple[str, ...]) -> str:
        """The command as a component file says it."""
        places = {name: f"${{{{inputs.{name}}}}}" for name in inputs} | {"out": "${{outputs.out}}"}
        return "python " + self.command.format(**places)


PREPARE = Step("prepare", "-m training.pipeline.prepare --data {data} --out {out}")
TRAIN = Step("train", "-m training.pipeline.train --prepared {prepared} --epochs {epochs} --seed {seed} --out {out}")
EVALUATE = Step(
    "evaluate",
    "-m training.pipeline.evaluate --prepared {prepared} --trained {trained} --at-least {at_least} --out {out}",
)
EXPORT = Step(
    "export",
    "-m training.pipeline.export --prepared {prepared} --trained {trained} --evaluated {evaluated} "
    "--name {model_name} --out {out}",
)
REGISTER = Step("register", "-m training.pipeline.register --model {model} --name {model_name} --out {out}")
STEPS = (PREPARE, TRAIN, EVALUATE, EXPORT, REGISTER)
