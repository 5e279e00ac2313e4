"""The whole way on a single screen: media + route + registry -> result and artifacts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.image.limits import DEFAULT_LIMITS, Limits, read_bytes
from inference.image.media import ANIMATIONS, Picture, decode
from inference.image.preprocess import wanted_side
from inference.image.sniff import head_of, sniff
from inference.machine import peak_rss_mb
from inference.memory import share
from inference.results.result import Cost, Result, Source, StepResult, new_trace
from inference.routes import Route, Step
from inference.steps import Analysis, OnProgress, naming, run_steps
from inference.time_limits import within

if TYPE_CHECKING:
    from inference.draw.crops import CropFiles


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
    progress: OnProgress | None = None,
) -> Analysis:
    """Run a route's steps over a picture or video.

    media: the content of a file, or its path. threshold: 0..1, in place of every step's score threshold. artifacts:
    also make the annotated picture and the other files. progress: called for videos with the frames done and about
    how many there are (None: unknown). Raises UnsupportedMedia, CorruptMedia, LimitExceeded, BadModel, BadManifest,
    BadRoute, and OutOfMemory and TookTooLong, after which it may help to try again.
    """
    started, cpu = time.perf_counter(), time.thread_time()
    source = source or Source(name=str(media) if isinstance(media, Path) else "")
    with naming(source.name):
        media_type = media_type_of(media)
    if is_video(media_type, route):
        from inference.video.run import analyze_video  # lazily: pictures need no decoder of videos

        return analyze_video(media, route, registry, source, media_type=media_type, threshold=threshold,
                             artifacts=artifacts, trace=trace, progress=progress)  # fmt: skip
    with naming(source.name):
        data = media if isinstance(media, bytes) else read_bytes(media, limits)
    models = [registry.model(step.model) for step in route.steps]
    whole = within(limits.seconds, f"a picture may take {limits.seconds:g} s (PICTURE_SECONDS)")
    with naming(source.name), whole, share():
        picture = decode(data, limits, None if artifacts else decode_at_least(route.steps, models), media_type)
        steps = run_steps(picture, route.steps, models, threshold, look=route.look, blur=route.draw.blur)
        files, names = _artifacts(picture, steps, route) if artifacts else ({}, {})
        crops = _crops(picture, steps, route) if artifacts and route.draw.crops else None
    if crops:
        files |= crops.files
    result = Result(
        source=describe(source, picture, len(data)),
        route=route.name,
        steps=tuple(steps),
        artifacts={Path(n).stem: n for n in files if "/" not in n},
        cost=cost(started, cpu, steps, models),
        trace=trace or new_trace(),
        files=names,
        notes=picture.notes + (crops.notes if crops else ()),
        crops=crops.names if crops else {},
        blurred=route.draw.blur,
    )
    return Analysis(result, files)


def _artifacts(
    picture: Picture, steps: Sequence[StepResult], route: Route
) -> tuple[dict[str, bytes], dict[tuple[str, int], str]]:
    from inference.draw.artifacts import image_artifacts  # lazily: documents alone need no fonts

    return image_artifacts(picture, steps, route.draw)


def _crops(picture: Picture, steps: Sequence[StepResult], route: Route) -> CropFiles:
    from inference.draw.crops import crop_files

    return crop_files(picture, steps, route.draw)


def is_video(media_type: str, route: Route) -> bool:
    """Whether frames are analysed over time; animations only where the route's video table says so."""
    return media_type.startswith("video/") or (media_type in ANIMATIONS and route.video_options.animations)


def media_type_of(media: bytes | Path) -> str:
    """The media type by content. Raises UnsupportedMedia."""
    if isinstance(media, bytes):
        return sniff(media)
    with media.open("rb") as file:
        return sniff(head_of(file))


def describe(source: Source, picture: Picture, size: int) -> Source:
    """The source with the facts of the decoded picture. size: of the file, in bytes."""
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
    """The shorter side in pixels that a reduced JPEG must keep, so that no step loses detail; None: its full size."""
    sides = [wanted_side(m.manifest.preprocess, m.spec) for m in models]
    if any(s.on or s.tile for s in steps) or any(m.manifest.task == "image-to-image" for m in models) or None in sides:
        return None
    return max((s for s in sides if s is not None), default=None)


def cost(started: float, cpu: float, steps: Sequence[StepResult], models: Sequence[Model]) -> Cost:
    """What the analysis took since `started` (perf_counter) and `cpu` (thread_time)."""
    helpers = sum(s.timing.inference * (m.session.threads - 1) for s, m in zip(steps, models, strict=True)) / 1e3
    wall = (time.perf_counter() - started) * 1e3
    return Cost(time.thread_time() - cpu + helpers, peak_rss_mb(), wall)
