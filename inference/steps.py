"""The steps of a route over a picture, and the analysis of any media."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inference.engine.model import Loaded, Model
from inference.errors import CorruptMedia, LimitExceeded, OutOfMemory, TookTooLong, UnsupportedMedia
from inference.heads import threshold as head_threshold
from inference.image.media import Picture
from inference.predictions import Objects, Predictions
from inference.results.result import ModelFacts, Result, StepResult
from inference.routes import Step
from inference.timing import Timing

if TYPE_CHECKING:
    from inference.keep import Sieve
    from inference.regions import Look

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
    except (UnsupportedMedia, CorruptMedia, LimitExceeded, OutOfMemory, TookTooLong) as error:
        raise type(error)(f"{name}: {error}" if name else str(error)) from error
    except MemoryError as error:
        raise OutOfMemory(f"{name}: memory ran out; give the process more, or less to do at once") from error


def run_steps(
    picture: Picture,
    steps: Sequence[Step],
    models: Sequence[Model],
    threshold: float | None = None,
    *,
    look: Look | None = None,
    blur: Collection[str] = (),
    floors: Mapping[str, float] | None = None,
) -> list[StepResult]:
    """Run the steps in order over a picture; a step with `on` runs on the crops of earlier objects.

    models: of the steps, in order. threshold: 0..1, in place of all steps' own. look: where in the picture objects
    count. blur: labels whose objects stay `hidden` where they are not in the answer. floors: by step the score
    from which a tracker wants its objects, below the threshold. Raises BadRoute, BadModel, OutOfMemory.
    """
    results: list[StepResult] = []
    sure: dict[str, NDArray[np.bool_]] = {}
    filtered = look is not None or any(step.filters for step in steps)
    if filtered or blur:
        from inference.keep import gives_any, leading_to, sieve_of  # lazily, as below: most first pictures need neither

        held = leading_to(steps, [model.manifest for model in models], blur)
    for number, (step, model) in enumerate(zip(steps, models, strict=True)):
        limit = threshold if threshold is not None else step.threshold
        floor = (floors or {}).get(step.title)
        if filtered or (blur and gives_any(model.manifest, step, held[number])):
            sieve = sieve_of(step, model, limit, floor, look, picture.size, held[number], blur)
            predictions, timing = _run(picture, step, sieve.widened(model), sieve.lowest, results, sure, sieve)
        else:
            predictions, timing = _run(picture, step, model, limit if floor is None else floor, results, sure)
        if floor is not None and isinstance(predictions, Objects):
            sure[step.title] = _counts_alone(predictions, step, model, limit)
        facts = model_facts(model)
        results.append(
            StepResult(step.title, model.manifest.task, facts, predictions, timing, step.on, renamed=step.rename)
        )
    return results


def _counts_alone(objects: Objects, step: Step, model: Model, threshold: float | None) -> NDArray[np.bool_]:
    """Which of the objects (N,) reach the score of their label, where a tracker wants others, too."""
    usual = head_threshold(model.manifest, model.head) if threshold is None else threshold
    limits = np.array([step.thresholds.get(name, usual) for name in objects.names], np.float32)
    return np.asarray(objects.scores >= limits)


def _run(
    picture: Picture,
    step: Step,
    model: Model,
    threshold: float | None,
    results: list[StepResult],
    sure: Mapping[str, NDArray[np.bool_]],
    sieve: Sieve | None = None,
) -> tuple[Predictions, Timing]:
    """A step over the picture, or over the crops of the objects in `results`, which get its answers. sure: by step,
    which of its objects count without a tracker."""
    if step.on:
        from inference.crops import run_on_crops

        timing = run_on_crops(picture, step, model, threshold, results, sieve, sure)
        return Objects.empty() if sieve is None else replace(Objects.empty(), left_out=+sieve.left_out), timing
    if step.tile:
        from inference.crops import run_tiled

        predictions, timing = run_tiled(picture, step, model, threshold)
    else:
        predictions, timing = model.run(picture, threshold=threshold)
    return predictions if sieve is None else sieve(predictions), timing


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
