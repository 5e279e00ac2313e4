"""A long video in parts that any worker can do in any order: detect each, merge once, draw each, join.

Parts start at keyframes. Sampling keeps the phase of the whole clip; tracking, zones and the smoothing of actions,
which need the order of the frames, run once over what the parts stored. So the number of parts changes nothing in
the result: the same tracks, to the number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inference.engine.registry import Registry
from inference.errors import CorruptMedia
from inference.results.result import Source
from inference.routes import Route
from inference.video.aggregate import Aggregate, Detections, whole_report
from inference.video.detect import FrameDetector
from inference.video.frames import Anchor, Frame, Media, ReadReport, VideoInfo
from inference.video.options import VideoOptions
from inference.video.outputs import ANNOTATED, Stills, VideoFiles, drawn, made_pictures, usual_rate
from inference.video.read import SAME_S, PacketTable, VideoReader, scan
from inference.video.stored import from_line, stored, to_line
from inference.video.summary import RouteFacts, Summary, Work

# As many frames tell how fast this machine is with this clip; the first one pays for warming up and is not counted.
_SAMPLE_FRAMES = 8
_SAMPLE_S = 5.0
_MOST_PARTS = 1000


@dataclass(frozen=True)
class Part:
    """Frames from `start` on, before `end_s`. `lead` is where decoding begins for what looks back in time."""

    number: int
    start: Anchor
    end_s: float | None
    lead: Anchor

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Part:
        """The way back."""
        start, lead = Anchor(**document["start"]), Anchor(**document["lead"])
        return cls(int(document["number"]), start, document["end_s"], lead)


def plan(media: Media, part_s: float, options: VideoOptions, lead_s: float) -> list[Part]:
    """Parts of at least `part_s` seconds each, from keyframe to keyframe.

    `lead_s`: how far back something looks (see `FrameDetector.lead_seconds`). Reads the clip's packets, decodes none.
    Raises as `scan`, and CorruptMedia where there is no picture.
    """
    table = scan(media, options)
    if options.keyframes_only:  # the reader counts them alone
        table = PacketTable(table.pts_s[table.keyframe], table.keyframe[table.keyframe])
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


@dataclass(frozen=True)
class Prepared:
    """The parts of a clip, the size of its upright frames, the rate of the videos that are written, and the facts of
    the route's models."""

    parts: list[Part]
    width: int
    height: int
    fps: float
    facts: RouteFacts


def prepare(media: Media, info: VideoInfo, route: Route, registry: Registry, budget_s: float) -> Prepared:
    """Plans parts that take about `budget_s` seconds of work each, by the speed on the clip's first frames.

    Raises as `plan`; BadModel, BadManifest, BadRoute; CorruptMedia where not one picture can be decoded.
    """
    options = route.video
    detector = FrameDetector(route, registry, options, None)
    reader = VideoReader(media, replace(options.sampling(), start_s=0.0, end_s=None), options)
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


def detect_part(media: Media, part: Part, route: Route, registry: Registry, folder: Path, fps: float) -> Iterator[str]:
    """Lines: one per sampled frame of the part with what the models said, then one with what they took.

    The pictures that steps make lie in `folder` then, a video a step, which are the part's share of the clip's.
    """
    cpu = time.process_time()
    options = route.video
    detector = FrameDetector(route, registry, options, None)
    reader = _frames(media, part, options)
    with VideoFiles(folder, fps) as videos:
        for frame in reader:
            if part.start.index and frame.pts_s < part.start.pts_s - SAME_S:
                detector.lead(frame)
                continue
            detections = detector.in_order(detector(frame))
            videos.write(frame.pts_s, made_pictures(detections.steps))
            yield to_line({"frame": frame.index, "t_s": frame.pts_s, "steps": stored(detections.steps),
                           "embeddings": detections.embeddings, "warp": detections.warp})  # fmt: skip
    assert reader.report is not None
    work = detector.work(complete=part.end_s is None)
    work.cpu_s = time.process_time() - cpu
    report = replace(reader.report, frames=part.lead.index + reader.report.frames)
    yield to_line({"report": asdict(report), **work.to_json()})


def _frames(media: Media, part: Part, options: VideoOptions) -> VideoReader:
    sampling = options.sampling()
    ends = [end for end in (part.end_s, sampling.end_s) if end is not None]
    sampling = replace(sampling, end_s=min(ends) if ends else None)
    return VideoReader(media, sampling, options, part.lead)


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
    the number of each part that has frames, and its lines for drawing.
    """
    cpu = time.process_time()
    reports, work = [], Work()
    with Aggregate(route.video, facts, folder) as aggregate:
        for part, stored_lines in lines:
            for members in map(from_line, stored_lines):
                if "report" in members:
                    reports.append(ReadReport(**members["report"]))
                    work.add(members)
                    continue
                index, steps = members["frame"], members["steps"]
                detections = Detections(index, members["t_s"], steps, members["embeddings"], members["warp"])
                steps = aggregate.update(detections, size)
                write(part.number, to_line({"frame": index, "steps": steps}))
        summary = aggregate.finish(whole_report(reports), work, source)
    return replace(summary, cpu_s=summary.cpu_s + time.process_time() - cpu)


def draw_part(
    media: Media,
    part: Part,
    lines: Iterable[str],
    route: Route,
    summary: Summary,
    folder: Path,
    fps: float,
) -> dict[str, bytes | Path]:
    """Draws the merged predictions (lines of `frame`, `steps`) over the part's frames; returns the files made of them.

    These are the annotated video, if the route wants one, and whichever of the clip's stills are among the frames.
    Raises CorruptMedia where other frames are there than were analysed.
    """
    options = route.video
    frames: Iterator[Frame] = iter(_frames(media, replace(part, lead=part.start), options))
    stills = Stills()
    with VideoFiles(folder, fps) as videos:
        for line, frame in zip(lines, frames, strict=False):
            members = from_line(line)
            if members["frame"] != frame.index:
                raise CorruptMedia(f"frame {members['frame']} was analysed, frame {frame.index} is there; it changed")
            picture = drawn(frame.pixels, members["steps"], route.draw)
            stills.take(frame, picture, summary)
            if options.annotated:
                videos.write(frame.pts_s, {ANNOTATED: picture})
    return {path.name: path for path in folder.iterdir()} | stills.files(summary)
