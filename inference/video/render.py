"""Drawing a part of a long video: what was merged, over the frames of the part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference.errors import CorruptMedia
from inference.predictions import OutputImage
from inference.routes import Route
from inference.video.frames import Between, Frame, Media, View
from inference.video.outputs import ANNOTATED, Drawing, VideoFiles
from inference.video.overlay import Overlay, Shown
from inference.video.read import probe
from inference.video.split import Part, part_frames
from inference.video.stills import Stills
from inference.video.stored import from_line
from inference.video.summary import Summary
from inference.video.view import Tween, view_of


def draw_part(
    media: Media,
    part: Part,
    lines: Iterable[str],
    route: Route,
    summary: Summary,
    folder: Path,
    fps: float,
) -> dict[str, bytes | Path]:
    """Draws the merged predictions (the lines of `merge`) over the part's frames; returns the files made of them.

    These are the annotated video, if the route has it, and whichever of the clip's stills are among the frames.
    Raises CorruptMedia where other frames are there than were analysed.
    """
    options, view = route.video_options, view_of(route, probe(media, route.video_options))
    end_s = summary.source.duration_s if part.end_s is None else part.end_s
    view = replace(view, lasts_s=max(0.0, (end_s or 0.0) - part.start.pts_s))
    size = summary.source.width or 1, summary.source.height or 1
    # Read as they were analysed, from the lead on: behind damage, a decoder that begins later gives other frames.
    frames = (frame for frame in part_frames(media, part, options, size, view).shown() if not part.leads(frame))
    stills, drawing = Stills(route.draw, summary.heat is not None), Drawing(route.draw, view)
    with VideoFiles(folder, fps, view) as videos:
        for frame, shown in _with_shown(frames, map(from_line, lines), view):
            picture = None
            if route.annotates_videos or (isinstance(frame, Frame) and stills.wants(frame, summary)):
                picture = drawing(frame.pixels, shown, size)
            if isinstance(frame, Frame):
                stills.take(frame, shown.steps, picture, summary, stills.cut(frame, shown.steps, summary))
            if route.annotates_videos and picture is not None:
                videos.write(frame.pts_s, {ANNOTATED: OutputImage(picture)})
        if part.end_s is None and summary.source.duration_s is not None:
            videos.end(summary.source.duration_s)
    return {path.name: path for path in folder.iterdir()} | stills.files(summary)


def _with_shown(
    frames: Iterable[Frame | Between], lines: Iterator[dict[str, Any]], view: View
) -> Iterator[tuple[Frame | Between, Shown]]:
    """The frames of a part that are drawn, with what is shown of them. Raises CorruptMedia for those without a line."""
    tween, line = Tween(view), next(lines, None)
    if line is not None and line.get("beside") == "before":
        tween.start(line["t_s"], _shown(line))
        line = next(lines, None)
    for frame in frames:
        if isinstance(frame, Between):
            tween.hold(frame)
            continue
        # The merge knows how many frames the parts before really have; the part counts from where the plan says.
        number = frame.index + (0 if line is None else line["moved"])
        if line is None or line["frame"] != number:
            analysed = "none" if line is None else f"frame {line['frame']}"
            raise CorruptMedia(f"{analysed} was analysed where frame {number} is; it changed")
        yield from tween.sample(frame.pts_s, _shown(line))
        yield replace(frame, index=number), _shown(line)
        line = next(lines, None)
    if line is not None and line.get("beside") == "after":
        yield from tween.sample(line["t_s"], _shown(line))
    yield from tween.rest()


def _shown(line: Mapping[str, Any]) -> Shown:
    return Shown(line["steps"], Overlay.from_json(line.get("overlay")))
