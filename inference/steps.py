"""The steps of a route over a picture, and the analysis of any media."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inference.engine.model import Loaded, Model
from inference.errors import CorruptMedia, LimitExceeded, OutOfMemory, UnsupportedMedia
from inference.heads import threshold as head_threshold
from inference.image.media import Picture
from inference.predictions import Objects, Predictions
from inference.results.result import ModelFacts, Result, StepResult
from inference.routes import Step

_CLASSIFY = ("image-classification", "video-classification")
_LIKELY = 0.5

# Called with the number of frames done, and of about how many (None: unknown).
OnProgress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Analysis:
    """A result and the files that belong to it: relative name -> content, or a file that holds it."""

    result: Result
    artifacts: Mapping[str, bytes | Path]


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors about the media begin with its name."""
    try:
        yield
    except (UnsupportedMedia, CorruptMedia, LimitExceeded, OutOfMemory) as error:
        raise type(error)(f"{name}: {error}" if name else str(error)) from error
    except MemoryError as error:
        raise OutOfMemory(f"{name}: memory ran out; give the process more, or less to do at once") from error


def run_steps(
    picture: Picture, steps: Sequence[Step], models: Sequence[Model], threshold: float | None = None
) -> list[StepResult]:
    """Run the steps in order over a picture; a step with `on` runs on the crops of earlier objects.

    models: of the steps, in order. threshold: 0..1, in place of all steps' own. Raises BadRoute, BadModel, OutOfMemory.
    """
    results: list[StepResult] = []
    for step, model in zip(steps, models, strict=True):
        limit = threshold if threshold is not None else step.threshold
        if step.on:
            from inference.crops import run_on_crops  # lazily, as below: most first pictures need neither

            timing = run_on_crops(picture, step, model, limit, results)
            predictions: Predictions = Objects.empty()
        elif step.tile:
            from inference.crops import run_tiled

            predictions, timing = run_tiled(picture, step, model, limit)
        else:
            predictions, timing = model.run(picture, threshold=limit)
        facts = model_facts(model)
        results.append(StepResult(step.title, model.manifest.task, facts, predictions, timing, step.on))
    return results


def model_facts(model: Loaded) -> ModelFacts:
    """The model as the result names it, with the requested provider where another had to run."""
    ran, asked = model.session.provider, model.session.provider_asked
    manifest = model.manifest
    return ModelFacts(
        manifest.name, manifest.version, model.sha256, ran, asked if asked != ran else None, own_threshold(model)
    )


def own_threshold(model: Loaded) -> float:
    """The score (0..1) from which an answer of the model counts on its own, whatever a route lets through. A
    classifier always has a best class: without a threshold in its manifest it must be likelier than not."""
    manifest = model.manifest
    if manifest.task in _CLASSIFY and manifest.postprocess.confidence_threshold is None:
        return max(model.head.threshold, _LIKELY)
    return head_threshold(manifest, model.head)
