"""A video in parts, from the plan to the result: what is decided before, told in the middle, and put together last.

`prepare` plans the parts so that each takes about so much time; `merge` tells the story over what they stored and
says what is to be drawn; `drawn_stills` are the pictures that a part owes; `assemble` makes the result of it all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from inference.artifacts import jpeg
from inference.machine import peak_rss_mb
from inference.model import Timing
from inference.predictions import Predictions
from inference.registry import Registry
from inference.result import Cost, ModelFacts, Result, Source, StepResult
from inference.routes import Route
from inference.steps import Analysis
from inference.video.analyze import broken, described, named_artifacts, usual_rate
from inference.video.averages import Averages
from inference.video.detect import Detector
from inference.video.frames import Pixels, VideoInfo
from inference.video.frames import Source as VideoSource
from inference.video.options import options_of
from inference.video.outputs import POSTER, Choice, FrameLines, small, thumbnail_name, vtt
from inference.video.parts import Part, lead_seconds, plan, tell
from inference.video.read import VideoReader
from inference.video.stored import to_line

# As many frames tell how fast this machine is with this clip; the first one pays for warming up and is not counted.
_SAMPLE_FRAMES = 8
_SAMPLE_S = 5.0
_MOST_PARTS = 1000
Write = Callable[[int, str], None]


@dataclass(frozen=True)
class Prepared:
    """The parts of a clip, the size of its upright frames, and the rate of the video that is written."""

    parts: list[Part]
    width: int
    height: int
    fps: float


def prepare(media: VideoSource, info: VideoInfo, route: Route, registry: Registry, budget_s: float) -> Prepared:
    """Plans parts that take about `budget_s` seconds of work each, by the speed on the clip's first frames.

    Raises as `plan`; BadModel, BadManifest, BadRoute; CorruptMedia where not one picture can be decoded.
    """
    options = options_of(route.video, route.name)
    detector = Detector(route, registry, options, None)
    reader = VideoReader(media, replace(options.sampling(), start_s=0.0, end_s=None), options.limits())
    width = height = 0
    begun, marks = time.monotonic(), []
    for frame in reader:
        height, width = frame.pixels.shape[:2]
        detector.in_order(detector(frame))
        marks.append((time.monotonic(), frame.pts_s))
        if len(marks) > _SAMPLE_FRAMES or marks[-1][0] - begun > _SAMPLE_S:
            break
    worked, clip_s = marks[-1][0] - marks[0][0], marks[-1][1] - marks[0][1]
    lead_s, part_s = lead_seconds(detector, options), budget_s * clip_s / max(worked, 1e-6)
    parts = plan(media, part_s, options, lead_s)
    if len(parts) > _MOST_PARTS:
        parts = plan(media, parts[-1].start.pts_s / _MOST_PARTS, options, lead_s)
    return Prepared(parts, width, height, usual_rate(options, info))


class _Merging:
    """What `merge` keeps while the story is told: the part that is being read, its frames, the stills."""

    def __init__(self, files: FrameLines, write: Write, thumbnails: int) -> None:
        self._files, self._write = files, write
        self.averages = Averages()
        self.stills: Choice[int] = Choice(thumbnails)
        self.counts: dict[int, int] = {}
        self.part = 0

    def following(self, lines: Iterable[tuple[Part, Iterable[str]]]) -> Iterator[Iterable[str]]:
        for part, each in lines:
            self.part = part.number
            yield each

    def frame(self, shown: Callable[[Mapping[str, Predictions]], int]) -> Callable[..., None]:
        def on_frame(index: int, t_s: float, steps: dict[str, Predictions]) -> None:
            self.averages.update(steps)
            self._files.write(index, t_s, steps)
            self._write(self.part, to_line({"frame": index, "steps": steps}))
            self.counts[self.part] = self.counts.get(self.part, 0) + 1
            self.stills.take(shown(steps), lambda: index, lambda: index)

        return on_frame


def merge(
    lines: Iterable[tuple[Part, Iterable[str]]],
    route: Route,
    registry: Registry,
    size: tuple[int, int],
    source: Source,
    folder: Path,
    write: Write,
) -> dict[str, Any]:
    """Tells the story over the stored lines of all parts in order; returns what `assemble` goes on from.

    `size` is width and height of the upright frames. frames.jsonl and the tracks lie in `folder` then; `write` gets
    each part's lines for drawing. The answer can be stored with `to_line`.
    """
    cpu = time.process_time()
    options = options_of(route.video, route.name)
    detector = Detector(route, registry, options, None)
    tracked = None if detector.tracked is None else detector.steps[detector.tracked].title
    spent: list[float] = []
    with FrameLines(folder, options.tracker != "none") as files:
        merging = _Merging(files, write, options.thumbnails)
        on_frame = merging.frame(lambda steps: len(steps[tracked]) if tracked else 0)  # type: ignore[arg-type]
        told = tell(merging.following(lines), route, registry, *size, on_frame, None, detector, spent.append)
    report, extra = told
    frames = sum(merging.counts.values())
    extra["analysed_frames"] = frames
    if report.broken:
        extra["broken"] = broken(report)
    if extra["timeline"]:
        (folder / "tracks.vtt").write_text(vtt(extra["timeline"]), encoding="utf-8")
    steps = [{**vars(step), "model": vars(step.model), "timing": vars(step.timing)}
             for step in detector.step_results(frames, merging.averages)]  # fmt: skip
    return {
        "source": vars(described(source, source.name, report)),
        "steps": steps,
        "status": "partial" if report.broken else "ok",
        "extra": extra,
        "counts": [[number, count] for number, count in merging.counts.items()],
        "poster": merging.stills.poster,
        "thumbnails": merging.stills.thumbnails,
        "cpu_s": sum(spent) + time.process_time() - cpu,
    }


def wanted_parts(story: Mapping[str, Any], annotated: bool) -> list[int]:
    """The parts that have something to draw."""
    return [number for number, _ in story["counts"]] if annotated or story["poster"] is not None else []


def drawn_stills(story: Mapping[str, Any], put: Callable[[str, bytes], None]) -> Callable[[int, Pixels], None]:
    """For `render_part`: `put` gets the poster and the thumbnails that are among the frames drawn, by their names."""
    thumbnails = {index: number for number, index in enumerate(story["thumbnails"])}

    def on_drawn(index: int, pixels: Pixels) -> None:
        if index == story["poster"]:
            put(POSTER, jpeg(Image.fromarray(pixels)))
        if index in thumbnails:
            put(thumbnail_name(thumbnails[index]), small(pixels))

    return on_drawn


def assemble(
    story: Mapping[str, Any],
    files: Mapping[str, bytes | Path],
    route: str,
    trace: str,
    cpu_s: float,
    wall_s: float,
    dropped_sound: str | None,
) -> Analysis:
    """The analysis of the whole clip, of what `merge` said and the files that came of it; as that of one piece."""
    extra = dict(story["extra"])
    if dropped_sound:
        extra["sound"] = dropped_sound
    if thumbnails := sorted(name for name in files if name.startswith("thumbnails/")):
        extra["thumbnails"] = thumbnails
    result = Result(
        source=Source(**story["source"]),
        route=route,
        steps=tuple(_step(step) for step in story["steps"]),
        artifacts=named_artifacts(sorted(files)),
        cost=Cost(story["cpu_s"] + cpu_s, peak_rss_mb(), wall_s * 1e3),
        status=story["status"],
        trace=trace,
        extra=extra,
    )
    return Analysis(result, files)


def _step(members: Mapping[str, Any]) -> StepResult:
    return StepResult(**{**members, "model": ModelFacts(**members["model"]), "timing": Timing(**members["timing"])})
