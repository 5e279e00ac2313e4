"""A long video in parts that any worker can do in any order: detect each, tell the story once, draw each, join.

Parts start at keyframes. Sampling keeps the phase of the whole clip; tracking, zones and the smoothing of actions,
which need the order of the frames, run once over what the parts stored. So the number of parts changes nothing in
the result: the same tracks, to the number.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inference.draw import annotate
from inference.errors import CorruptMedia
from inference.predictions import Embedding, Objects, Predictions
from inference.registry import Registry, kind_of
from inference.render import ImageToImage
from inference.routes import Route
from inference.timing import NO_TIME, Timing
from inference.video.actions import Window
from inference.video.detect import Detector
from inference.video.frames import Anchor, Frame, Pixels, ReadReport, Source
from inference.video.options import VideoOptions
from inference.video.read import SAME_S, PacketTable, VideoReader, scan
from inference.video.stored import from_line, stored, to_line
from inference.video.story import Story
from inference.video.write import VideoWriter


@dataclass(frozen=True)
class Part:
    """Frames from `start` on, before `end_s`. `lead` is where decoding begins for what looks back in time."""

    number: int
    start: Anchor
    end_s: float | None
    lead: Anchor

    def to_json(self) -> dict[str, Any]:
        """For a queue message."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Part:
        """The way back."""
        start, lead = Anchor(**document["start"]), Anchor(**document["lead"])
        return cls(int(document["number"]), start, document["end_s"], lead)


def cannot_be_split(route: Route, registry: Registry, options: VideoOptions) -> str | None:
    """Why a route's videos are analysed in one piece, or None."""
    if options.follow is not None:
        return "follow needs every picture in order"
    if options.keyframes_only:
        return "keyframes alone are quickly done"
    if options.heat_map:
        return "the heat map is painted over a picture of the clip"
    for step in route.steps:
        manifest = registry.entry(step.model).manifest
        if manifest is not None and kind_of(manifest) is ImageToImage:
            return f"{step.title} makes pictures"
    return None


def plan(media: Source, part_s: float, options: VideoOptions, lead_s: float) -> list[Part]:
    """Parts of at least `part_s` seconds each, from keyframe to keyframe.

    `lead_s`: how far back something looks (see `lead_seconds`). Reads the packets of the clip, decodes none.
    Raises as `scan`, and CorruptMedia where there is no picture.
    """
    table = scan(media, options.limits())
    anchors = table.anchors()
    if not anchors:
        raise CorruptMedia("no keyframe in it; convert it")
    # Whatever comes before the first keyframe cannot be decoded, or leads to it: the first part takes it.
    starts = [replace(anchors[0], index=0, previous_pts_s=None)]
    for anchor in anchors[1:]:
        wanted = options.end_s is None or anchor.pts_s < options.end_s
        if wanted and anchor.pts_s - starts[-1].pts_s >= part_s:
            starts.append(anchor)
    ends = [anchor.pts_s for anchor in starts[1:]]
    return [
        Part(number, start, end, _lead(table, anchors, start, options, lead_s))
        for number, (start, end) in enumerate(zip(starts, [*ends, None], strict=True))
    ]


def _lead(table: PacketTable, anchors: Sequence[Anchor], start: Anchor, options: VideoOptions, lead_s: float) -> Anchor:
    """The last keyframe before which nothing matters to the part: `lead_s` back, and one sampled frame at least."""
    if start.index == 0 or lead_s <= 0:
        return start
    sampling, before = options.sampling(), start.pts_s
    for i in range(start.index - 1, -1, -1):
        tick = sampling.tick(float(table.pts_s[i - 1])) if i else -1
        if sampling.takes(i, float(table.pts_s[i]), tick):
            before = float(table.pts_s[i])
            break
    wanted = min(before, start.pts_s - lead_s)
    earlier = [anchor for anchor in anchors if anchor.pts_s <= wanted]
    return earlier[-1] if earlier else replace(anchors[0], index=0, previous_pts_s=None)


def lead_seconds(detector: Detector, options: VideoOptions) -> float:
    """How far back anything looks that runs in a part: clip models their window, camera motion one frame."""
    windows = [watch.model.window_s + 1.0 for _, watch in detector.watches]
    return max([*windows, 1e-3 if options.camera_motion else 0.0])


def detect_part(
    media: Source, part: Part, route: Route, registry: Registry, threshold: float | None = None
) -> Iterator[str]:
    """Lines: one per sampled frame of the part with what the models said, then one with what they took."""
    cpu = time.process_time()
    options = route.video
    detector = Detector(route, registry, options, threshold)
    reader = _frames(media, part, options)
    for frame in reader:
        if part.start.index and frame.pts_s < part.start.pts_s - SAME_S:
            detector.lead(frame)
            continue
        found = detector.in_order(detector(frame))
        steps = stored({step.name: step.predictions for step in found.steps})
        yield to_line({"frame": frame.index, "t_s": frame.pts_s, "steps": steps, "embeddings": found.embeddings,
                       "warp": found.warp})  # fmt: skip
    assert reader.report is not None
    if part.end_s is None:
        for _, watch in detector.watches:
            watch.close()
    windows = [[(w.start_s, w.end_s, w.scores) for w in watch.windows] for _, watch in detector.watches]
    frames = part.lead.index + reader.report.frames
    timings = {name: vars(timing) for name, timing in detector.timings.items()}
    yield to_line({"report": asdict(replace(reader.report, frames=frames)), "windows": windows,
                   "timings": timings, "cpu_s": time.process_time() - cpu})  # fmt: skip


def _frames(media: Source, part: Part, options: VideoOptions) -> VideoReader:
    sampling = options.sampling()
    ends = [end for end in (part.end_s, sampling.end_s) if end is not None]
    sampling = replace(sampling, end_s=min(ends) if ends else None)
    return VideoReader(media, sampling, options.limits(), part.lead)


OnFrame = Callable[[int, float, dict[str, Predictions]], None]


def tell(
    parts: Iterable[Iterable[str]],
    route: Route,
    registry: Registry,
    width: int,
    height: int,
    on_frame: OnFrame,
    threshold: float | None = None,
    detector: Detector | None = None,
    on_spent: Callable[[float], None] | None = None,
) -> tuple[ReadReport, dict[str, Any]]:
    """(what decoding found, what a video adds to the document) over the stored lines of all parts, in order.

    `width` and `height` are of the upright frames. `on_frame` is told each frame's index, seconds, and
    predictions by step with track numbers, in order. A `detector` that is given gets the times
    that the parts measured; `on_spent` is told each part's seconds of processor.
    """
    options = route.video
    detector = detector or Detector(route, registry, options, threshold)
    story = Story(options, detector.sure, width, height)
    tracked = None if detector.tracked is None else detector.steps[detector.tracked].title
    reports: list[ReadReport] = []
    for members in (from_line(line) for lines in parts for line in lines):
        if "report" in members:
            reports.append(ReadReport(**members["report"]))
            for (_, watch), windows in zip(detector.watches, members["windows"], strict=True):
                watch.windows += [Window(*window) for window in windows]
            if on_spent is not None:
                on_spent(members["cpu_s"])
            for name, timing in members["timings"].items():
                detector.timings[name] = detector.timings.get(name, NO_TIME) + Timing(**timing)
            continue
        steps: dict[str, Predictions] = members["steps"]
        found = Objects.empty() if tracked is None else steps[tracked]
        assert isinstance(found, Objects)
        shown = story.update(members["t_s"], found, members["embeddings"], members["warp"])
        if tracked is not None:
            steps[tracked] = shown
        on_frame(members["frame"], members["t_s"], steps)
    report = _of_all(reports)
    found_actions = [
        {"step": step.title, **action.to_json()}
        for step, watch in detector.watches
        for action in watch.told(report.duration_s)
    ]
    return report, story.extra(found_actions)


def _of_all(reports: Sequence[ReadReport]) -> ReadReport:
    """The report of the whole clip; what broke first is what is told."""
    broken = next((report for report in reports if report.broken), None)
    return replace(
        max(reports, key=lambda report: report.duration_s),
        frames=max(report.frames for report in reports),
        broken=broken.broken if broken else None,
        broken_at_s=broken.broken_at_s if broken else None,
        damaged_frames=sum(report.damaged_frames for report in reports),
    )


def render_part(
    media: Source,
    part: Part,
    told: Iterable[str],
    route: Route,
    path: Path | None,
    fps: float,
    on_drawn: Callable[[int, Pixels], None] | None = None,
) -> int:
    """Draws the stored predictions (lines of `frame`, `steps`) over the part's frames; returns how many.

    `path` None writes no video. `on_drawn` is told each frame's index and its picture with everything on it.
    Raises CorruptMedia where other frames are there than were analysed, ValueError for a video of no frame.
    """
    options = route.video
    frames: Iterator[Frame] = iter(_frames(media, replace(part, lead=part.start), options))
    count = 0
    with contextlib.nullcontext() if path is None else VideoWriter(path, fps=fps) as writer:
        for line, frame in zip(told, frames, strict=False):
            members = from_line(line)
            if members["frame"] != frame.index:
                raise CorruptMedia(f"frame {members['frame']} was analysed, frame {frame.index} is there; it changed")
            drawn = [(name, found) for name, found in members["steps"].items() if not isinstance(found, Embedding)]
            pixels = np.asarray(annotate(Image.fromarray(frame.pixels), drawn, route.draw))
            if writer is not None:
                writer.write(pixels, frame.pts_s)
            if on_drawn is not None:
                on_drawn(frame.index, pixels)
            count += 1
    return count
