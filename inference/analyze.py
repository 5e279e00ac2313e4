"""The story on one screen: media + route + registry -> result and artifacts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from inference.errors import CorruptMedia, LimitExceeded, OutOfMemory, UnsupportedMedia
from inference.machine import peak_rss_mb
from inference.media import DEFAULT_LIMITS, SNIFF_BYTES, Limits, Picture, decode, read_bytes, sniff
from inference.model import Loaded, Model
from inference.predictions import Objects, Predictions
from inference.preprocess import wanted_side
from inference.registry import Registry
from inference.render import ImageToImage
from inference.result import Cost, ModelFacts, Result, Source, StepResult, new_trace
from inference.routes import Route, Step

ANIMATIONS = ("image/gif", "image/webp", "image/png")
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Analysis:
    """A result and the files that belong to it: relative name -> content, or a file that holds it."""

    result: Result
    artifacts: Mapping[str, bytes | Path]


def analyze(
    media: bytes | Path,
    route: Route,
    registry: Registry,
    source: Source | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    threshold: float | None = None,
    artifacts: bool = True,
    trace: str = "",
    progress: Progress | None = None,
) -> Analysis:
    """Run a route's steps over one file.

    threshold: overrides every step's score threshold. artifacts: also make the annotated picture and the other
    files. progress: told, of videos, how many frames are done, of about how many (None: unknown). Raises
    UnsupportedMedia, CorruptMedia, LimitExceeded, BadModel, BadManifest, BadRoute.
    """
    started, cpu = time.perf_counter(), time.thread_time()
    source = source or Source(name=str(media) if isinstance(media, Path) else "")
    with naming(source.name):
        media_type = media_type_of(media)
    if is_video(media_type, route):
        from inference.video.analyze import analyze_video  # lazily: pictures need no decoder of videos

        return analyze_video(media, route, registry, source, media_type=media_type, threshold=threshold,
                             artifacts=artifacts, trace=trace, progress=progress)  # fmt: skip
    with naming(source.name):
        data = media if isinstance(media, bytes) else read_bytes(media, limits)
    models = [registry.model(step.model) for step in route.steps]
    with naming(source.name):
        picture = decode(data, limits, None if artifacts else decode_at_least(route.steps, models))
        steps = run_steps(picture, route.steps, models, threshold)
        files, names = _artifacts(picture, steps, route) if artifacts else ({}, {})
    result = Result(
        source=describe(source, picture, len(data)),
        route=route.name,
        steps=tuple(steps),
        artifacts={Path(n).stem: n for n in files if "/" not in n},
        cost=cost(started, cpu, steps, models),
        trace=trace or new_trace(),
        files=names,
    )
    return Analysis(result, files)


def _artifacts(
    picture: Picture, steps: Sequence[StepResult], route: Route
) -> tuple[dict[str, bytes], dict[tuple[str, int], str]]:
    from inference.artifacts import image_artifacts  # lazily: documents alone need no fonts

    return image_artifacts(picture, steps, route.draw)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors about the media begin with its name."""
    try:
        yield
    except (UnsupportedMedia, CorruptMedia, LimitExceeded, OutOfMemory) as error:
        raise type(error)(f"{name}: {error}" if name else str(error)) from error
    except MemoryError as error:
        raise OutOfMemory(f"{name}: memory ran out; give the process more, or less to do at once") from error


def is_video(media_type: str, route: Route) -> bool:
    """Whether frames are analysed over time; animations only where the route's video table says so."""
    return media_type.startswith("video/") or (media_type in ANIMATIONS and route.video.animations)


def media_type_of(media: bytes | Path) -> str:
    """The media type by content. Raises UnsupportedMedia."""
    if isinstance(media, bytes):
        return sniff(media[:SNIFF_BYTES])
    with media.open("rb") as file:
        return sniff(file.read(SNIFF_BYTES))


def describe(source: Source, picture: Picture, size: int) -> Source:
    """The source with what decoding found out."""
    width, height = picture.size
    return replace(
        source,
        bytes=source.bytes or size,
        media_type=picture.media_type,
        width=width,
        height=height,
        orientation=picture.orientation,
        frames=picture.frames if picture.frames > 1 else None,
    )


def decode_at_least(steps: Sequence[Step], models: Sequence[Model]) -> int | None:
    """The shorter side that a reduced JPEG must keep so that no step sees less than it would; None: all of it."""
    sides = [wanted_side(m.manifest.preprocess, m.spec) for m in models]
    if any(s.on or s.tile for s in steps) or any(isinstance(m, ImageToImage) for m in models) or None in sides:
        return None
    return max((s for s in sides if s is not None), default=None)


def run_steps(
    picture: Picture, steps: Sequence[Step], models: Sequence[Model], threshold: float | None = None
) -> list[StepResult]:
    """Run the steps in order over one picture; a step with `on` runs on the crops of earlier objects."""
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
    """What the result says of the model, the provider that was asked for in vain included."""
    ran, asked = model.session.provider, model.session.provider_asked
    manifest = model.manifest
    return ModelFacts(manifest.name, manifest.version, model.sha256, ran, asked if asked != ran else None)


def cost(started: float, cpu: float, steps: Sequence[StepResult], models: Sequence[Model]) -> Cost:
    """What the analysis took since `started` (perf_counter) and `cpu` (thread_time)."""
    helpers = sum(s.timing.inference * (m.session.threads - 1) for s, m in zip(steps, models, strict=True)) / 1e3
    wall = (time.perf_counter() - started) * 1e3
    return Cost(time.thread_time() - cpu + helpers, peak_rss_mb(), wall)


class _Callable(ModuleType):
    """This module shares its name with its function: `from inference import analyze` means the function either way."""

    def __call__(self, *args: Any, **kwargs: Any) -> Analysis:
        return analyze(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
