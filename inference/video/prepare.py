"""The plan of a long video: parts that each take about so much time, and all that later stages need to know."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from inference.engine.registry import Registry
from inference.routes import Route
from inference.video.detect import Detector
from inference.video.facts import RouteFacts
from inference.video.frames import Source, VideoInfo
from inference.video.outputs import usual_rate
from inference.video.read import VideoReader
from inference.video.split import Part, plan

# As many frames tell how fast this machine is with this clip; the first one pays for warming up and is not counted.
_SAMPLE_FRAMES = 8
_SAMPLE_S = 5.0
_MOST_PARTS = 1000


@dataclass(frozen=True)
class Prepared:
    """The parts of a clip, the size of its upright frames, the rate of the videos that are written, and the facts of
    the route's models."""

    parts: list[Part]
    width: int
    height: int
    fps: float
    facts: RouteFacts


def prepare(media: Source, info: VideoInfo, route: Route, registry: Registry, budget_s: float) -> Prepared:
    """Plans parts that take about `budget_s` seconds of work each, by the speed on the clip's first frames.

    Raises as `plan`; BadModel, BadManifest, BadRoute; CorruptMedia where not one picture can be decoded.
    """
    options = route.video
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
    lead_s, part_s = detector.lead_seconds(), budget_s * clip_s / max(worked, 1e-6)
    parts = plan(media, part_s, options, lead_s)
    if len(parts) > _MOST_PARTS:
        parts = plan(media, parts[-1].start.pts_s / _MOST_PARTS, options, lead_s)
    return Prepared(parts, width, height, usual_rate(options, info), detector.facts)
