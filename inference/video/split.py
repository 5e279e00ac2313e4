"""A long video in parts that any worker can do in any order: detect, merge once, draw, join.

Parts start at keyframes, or between them where those are rare. Sampling keeps the phase of the whole clip; tracking,
zones and the smoothing of actions, which need the order of the frames, run once over what the parts stored. So the
number of parts changes nothing in the result: the same tracks, to the number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.engine.registry import Registry
from inference.errors import CorruptMedia, LimitExceeded
from inference.results.result import Source
from inference.routes import Route
from inference.tables import build
from inference.video.aggregate import Aggregate, Detections, whole_report
from inference.video.detect import FrameDetector
from inference.video.draw_lines import DrawLines
from inference.video.frames import Anchor, Between, Frame, Media, ReadReport, VideoInfo, View
from inference.video.held import Held, most_waiting
from inference.video.made import MadePictures
from inference.video.options import VideoOptions
from inference.video.outputs import TrialDrawing, VideoFiles, usual_rate
from inference.video.overlay import Shown, answers_of
from inference.video.read import VideoReader
from inference.video.stored import from_line, stored, to_line
from inference.video.summary import RouteFacts, Summary, Work
from inference.video.table import PacketTable, scan
from inference.video.times import SAME_S
from inference.video.view import shows_between, view_of

# The trial by which a plan estimates ends after so many frames (the first pays for warming up and does not count), so
# many seconds of work, or so many of the clip.
_TRIAL_FRAMES, _TRIAL_WORK_S, _TRIAL_CLIP_S = 8, 5.0, 60.0
_MOST_PARTS = 1000


@dataclass(frozen=True)
class Part:
    """Frames from `start` on, before `end_s`. `lead`: where reading begins for what looks back in time."""

    number: int
    start: Anchor
    end_s: float | None
    lead: Anchor

    def leads(self, frame: Frame | Between) -> bool:
        """Whether the frame is before the part."""
        return self.start.index > 0 and frame.pts_s < self.start.pts_s - SAME_S

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Part:
        """From the plan of a job, where it lies as `asdict` gives it. Raises BadManifest."""
        return build(cls, document, "a part in a job's plan")


def plan(
    table: PacketTable,
    options: VideoOptions,
    part_s: float,
    lead_s: float,
    most_s: float = math.inf,
    lead_samples: int = 1,
) -> list[Part]:
    """Parts of at least `part_s` seconds, from keyframe to keyframe; of `most_s` where none comes for so long.

    `lead_s`, `lead_samples`: how far back something looks, whichever is further (see `FrameDetector.lead_seconds`).
    Raises CorruptMedia without a keyframe.
    """
    if options.keyframes_only:  # the reader counts them alone
        table = table.keyframes()
    first, end_s = _first_keyframe(table), math.inf if options.end_s is None else options.end_s
    # Whatever comes before the first keyframe cannot be decoded, or leads to it: the first part takes it.
    starts = [table.anchor(first)]
    frames = zip(table.pts_s.tolist(), table.keyframe.tolist(), strict=True)
    for index, (pts_s, is_keyframe) in enumerate(frames):
        due = pts_s - starts[-1].pts_s >= (part_s if is_keyframe else most_s)
        # How long the last picture is shown, the one before it tells.
        if due and first < index < len(table.pts_s) - 1 and pts_s < end_s:
            starts.append(table.anchor(index))
    ends = [anchor.pts_s for anchor in starts[1:]]
    return [
        Part(number, start, end, _lead(table, start, options, lead_s, lead_samples))
        for number, (start, end) in enumerate(zip(starts, [*ends, None], strict=True))
    ]


def _first_keyframe(table: PacketTable) -> int:
    if not table.keyframe.any():
        raise CorruptMedia("no keyframe in it; convert it")
    return int(table.keyframe.argmax())


def _lead(table: PacketTable, start: Anchor, options: VideoOptions, lead_s: float, samples: int) -> Anchor:
    """The last frame before which nothing matters to the part: `lead_s` back, and so many samples."""
    if start.index == 0 or lead_s <= 0:
        return start
    sampling, before = options.sampling(), start.pts_s
    for i in range(start.index - 1, -1, -1):
        tick = sampling.tick(float(table.pts_s[i - 1])) if i else -1
        if sampling.takes(i, float(table.pts_s[i]), tick):
            before, samples = float(table.pts_s[i]), samples - 1
            if not samples:
                break
    index = int(np.searchsorted(table.pts_s, min(before, start.pts_s - lead_s), "right")) - 1
    return table.anchor(max(index, _first_keyframe(table)))


@dataclass(frozen=True)
class Pace:
    """Seconds of work that a second of the clip takes: to decode, decode and analyse, decode and draw it."""

    decode: float
    analyse: float
    draw: float = 0.0

    @property
    def step(self) -> float:
        """What the longer of a part's two steps takes."""
        return max(self.analyse, self.draw)

    def work_s(self, part: Part, options: VideoOptions, clip_s: float) -> float:
        """What the longer step of the part takes of a clip of this length, by estimate."""
        end_s = min(end for end in (part.end_s, options.end_s, clip_s) if end is not None)
        analysed_s = max(0.0, end_s - max(part.start.pts_s, options.start_s))
        return self.decode * (end_s - part.lead.decoded_from_s) + (self.step - self.decode) * analysed_s


@dataclass(frozen=True)
class Prepared:
    """The parts of a clip, the size of its upright frames, the rate of the videos that are written, and the facts of
    the route's models."""

    parts: list[Part]
    width: int
    height: int
    fps: float
    facts: RouteFacts


def prepare(
    media: Media, info: VideoInfo, route: Route, registry: Registry, budget_s: float, limit_s: float = math.inf
) -> Prepared:
    """Plans parts that take about `budget_s` seconds of work, by the speed on the clip's first frames.

    Where keyframes are so far apart that a part would take `limit_s`, parts begin between them, too. Raises
    LimitExceeded where that does not help; as `scan` and `plan`; BadModel, BadManifest, BadRoute; CorruptMedia where
    no picture can be decoded.
    """
    options, table = route.video_options, scan(media, route.video_options, route.video_options.keyframes_only, limit_s)
    detector = FrameDetector(route, registry, options, None)
    start_s = float(table.pts_s[_first_keyframe(table)])
    with TrialDrawing(route, view_of(route, info)) as drawing:
        pace, (width, height) = trial(media, detector, options, start_s, drawing)
    # Half of the limit is for the frames before the part, from its keyframe on.
    part_s, most_s = budget_s / pace.step, limit_s / 2 / pace.step
    lead_s, lead_samples = detector.lead_seconds(), detector.lead_samples()
    parts = plan(table, options, part_s, lead_s, most_s, lead_samples)
    if len(parts) > _MOST_PARTS:
        part_s = parts[-1].start.pts_s / _MOST_PARTS
        parts = plan(table, options, part_s, lead_s, max(part_s, most_s), lead_samples)
    work_s = max(pace.work_s(part, options, float(table.pts_s[-1])) for part in parts)
    if work_s > limit_s:
        raise LimitExceeded(
            f"a part of it would take about {work_s:.0f} s, more than the {limit_s:g} s that there are, since its "
            f"keyframes are up to {table.widest_gap_s():.0f} s apart or its frames take long; encode it again with a "
            "keyframe every 10 s, or analyse fewer frames (video.fps, stride) or less of it (video.end_s)"
        )
    return Prepared(parts, width, height, usual_rate(options, info), detector.facts)


def trial(
    media: Media, detector: FrameDetector, options: VideoOptions, start_s: float, drawing: TrialDrawing
) -> tuple[Pace, tuple[int, int]]:
    """How fast this machine is with the first frames of a clip that starts there, and their width and height."""
    sampling = replace(options.sampling(), start_s=0.0, end_s=start_s + _TRIAL_CLIP_S)
    reader = VideoReader(media, sampling, options)
    size = (0, 0)
    begun = done = time.monotonic()
    first_s = at_s = start_s
    decoding = analysing = drawn = 0.0
    count = 0
    for count, frame in enumerate(reader):
        decoded = time.monotonic()
        steps = detector.in_order(detector(frame)).steps
        analysed = time.monotonic()
        drawing(frame, steps)
        decoding, analysing, done = decoding + decoded - done, analysing + analysed - decoded, time.monotonic()
        drawn, at_s = drawn + done - analysed, frame.pts_s
        if count == 0:
            size, first_s = (frame.pixels.shape[1], frame.pixels.shape[0]), at_s
            decoding = analysing = drawn = 0.0
        elif count >= _TRIAL_FRAMES or done - begun > _TRIAL_WORK_S:
            break
    else:
        assert reader.report is not None
        decoding, at_s = decoding + time.monotonic() - done, max(at_s, reader.report.duration_s)
    if size == (0, 0):
        raise CorruptMedia(f"not one picture could be decoded in its first {_TRIAL_CLIP_S:.0f} s; convert it")
    clip_s = max(at_s - first_s, 1e-3)
    decoding, drawn = decoding / clip_s, drawn / max(count, 1)
    return Pace(decoding, decoding + max(analysing, 1e-6) / clip_s, decoding + drawing.fps * drawn), size


def detect_part(
    media: Media, part: Part, route: Route, registry: Registry, folder: Path, fps: float, size: tuple[int, int]
) -> Iterator[str]:
    """Lines: for every sampled frame of the part its predictions, then a last line with the models' timings.

    `size` is width and height of the clip's upright frames. The pictures that steps make lie in `folder` then, a video
    a step, which are the part's share of the clip's.
    """
    cpu = time.process_time()
    options = route.video_options
    detector = FrameDetector(route, registry, options, None)
    reader = part_frames(media, part, options, size)
    with VideoFiles(folder, fps) as videos:
        made = MadePictures(detector, route, size, videos)
        for frame in reader:
            if part.leads(frame):
                detector.lead(frame)
                made.beside(frame)
                continue
            detections = detector.in_order(detector(frame))
            made.write(detections)
            yield to_line({"frame": frame.index, "t_s": frame.pts_s, "steps": stored(detections.steps),
                           "embeddings": detections.embeddings, "warp": detections.warp,
                           "actions": {step: a and vars(a) for step, a in detections.actions.items()}})  # fmt: skip
        assert reader.report is not None
        if part.end_s is None:
            videos.end(reader.report.duration_s)
        elif made.waits:
            # Read once more, beyond its end: the report is that of the part alone.
            for frame in part_frames(media, replace(part, end_s=None), options, size):
                if frame.pts_s >= part.end_s - SAME_S and not made.beside(frame):
                    break
        made.rest()
    work = detector.work(complete=part.end_s is None)
    work.cpu_s = time.process_time() - cpu
    report = replace(reader.report, frames=part.lead.index + reader.report.frames)
    yield to_line({"report": asdict(report), **work.to_json()})


def part_frames(
    media: Media, part: Part, options: VideoOptions, size: tuple[int, int], view: View | None = None
) -> VideoReader:
    """Reads the part from its lead on, all frames of the clip's size."""
    sampling = options.sampling()
    ends = [end for end in (part.end_s, sampling.end_s) if end is not None]
    sampling = replace(sampling, end_s=min(ends) if ends else None)
    return VideoReader(media, sampling, options, part.lead, part.start, view, size)


def merge(
    lines: Iterable[tuple[Part, Iterable[str]]],
    route: Route,
    facts: RouteFacts,
    size: tuple[int, int],
    source: Source,
    folder: Path,
    write: Callable[[int, str], None],
) -> Summary:
    """Aggregates the stored lines of all parts in order: the clip as a whole. Needs neither pixels nor models.

    `size` is width and height of the upright frames. frames.jsonl and the tracks lie in `folder` then; `write` gets
    the number of every part that has frames to draw, and its lines for that, part by part.
    """
    cpu = time.process_time()
    reports, work = _Counted(), Work()
    drawn = DrawLines(write, shows_between(route))
    held = Held[tuple[int, dict[str, Any]]](route.draw.blur, most_waiting(route, facts, size))

    def draw(ready: Iterable[tuple[tuple[int, dict[str, Any]], Shown]]) -> None:
        for (number, line), shown in ready:
            drawn.add(number, {**line, "steps": shown.steps, "overlay": shown.overlay.to_json()})

    with Aggregate(route.video_options, facts, folder, route.draw) as aggregate:
        for part, stored_lines in lines:
            drawn.begin(part.number)
            reports.begin(part)
            for members in map(from_line, stored_lines):
                if "report" in members:
                    reports.add(ReadReport(**members["report"]))
                    work.add(members)
                    continue
                index, steps = members["frame"] + reports.moved, members["steps"]
                actions = answers_of(members)
                detections = Detections(index, members["t_s"], steps, members["embeddings"], members["warp"], actions)
                shown = aggregate.update(detections, size)
                line = {"frame": index, "moved": reports.moved, "t_s": detections.pts_s}
                draw(held.update((part.number, line), detections.pts_s, shown))
        draw(held.rest())
        drawn.end()
        summary = aggregate.finish(whole_report(reports.all), work, source)
    return replace(summary, cpu_s=summary.cpu_s + time.process_time() - cpu)


class _Counted:
    """The reports of parts, in order, and by how much the numbers of a part's frames are to be moved: where damage
    costs frames that the plan counted, those after it have smaller numbers."""

    def __init__(self) -> None:
        self.all: list[ReadReport] = []
        self.moved = 0
        self._end = 0  # the number of the next frame, by the plan and what was read of the part before
        self._part: Part | None = None

    def begin(self, part: Part) -> None:
        """The frames that come now are of that part."""
        if self._part is not None:
            self.moved += self._end - part.start.index
        self._part, self._end = part, part.start.index

    def add(self, report: ReadReport) -> None:
        """The part's report."""
        assert self._part is not None
        self._end = max(report.frames, self._part.start.index)
        self.all.append(replace(report, frames=report.frames + self.moved))
