"""The story of one video: decode, detect, track, draw, encode, all at once -> result and files."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from inference.artifacts import file_name, jpeg
from inference.draw import annotate
from inference.machine import peak_rss_mb
from inference.predictions import Embedding, Predictions, Rendering
from inference.registry import Registry
from inference.result import Cost, Result, Source, new_trace
from inference.routes import Route
from inference.steps import Analysis, OnProgress, naming
from inference.video.averages import Averages
from inference.video.chosen import NAME as CHOSEN
from inference.video.chosen import Chosen
from inference.video.detect import Detected, Detector
from inference.video.frames import Pixels, ReadReport, VideoInfo
from inference.video.frames import Source as VideoSource
from inference.video.options import VideoOptions, options_of
from inference.video.outputs import FrameLines, Stills, vtt
from inference.video.pipeline import overlapped
from inference.video.read import VideoReader, probe
from inference.video.story import Story
from inference.video.write import VideoWriter

# What the document calls files whose name alone does not tell them apart.
_NAMES = {"tracks.mot.txt": "mot", "tracks.csv": "csv", "tracks.vtt": "chapters"}


@dataclass(frozen=True)
class _Told:
    """One frame on its way to the files, with all that is known of it."""

    index: int
    pts_s: float
    pixels: Pixels
    steps: dict[str, Predictions]
    shown: int


def analyze_video(
    media: bytes | VideoSource,
    route: Route,
    registry: Registry,
    source: Source | None = None,
    *,
    media_type: str | None = None,
    threshold: float | None = None,
    artifacts: bool = True,
    trace: str = "",
    progress: OnProgress | None = None,
) -> Analysis:
    """Runs a route over one video, frame by frame; what it takes in memory does not grow with its length.

    `progress` is told how many frames are analysed, of about how many (None: unknown).
    Files too large for memory lie in a temporary folder that lives as long as the Analysis. Raises
    UnsupportedMedia, CorruptMedia (not one frame), LimitExceeded, BadModel, BadManifest, BadRoute.
    """
    started, cpu = time.perf_counter(), time.process_time()
    options = options_of(route.video, route.name)
    media = io.BytesIO(media) if isinstance(media, bytes) else media
    source = source or Source(name=str(media) if isinstance(media, Path) else "")
    with naming(source.name):
        info = probe(media, options.limits())
    detector = Detector(route, registry, options, threshold)
    folder = Path(tempfile.mkdtemp(prefix="dropsight-"))
    try:
        run = _Run(media, info, detector, options, route, folder if artifacts else None)
        with naming(source.name):
            run.go(progress)
        files, document = run.finish()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    result = Result(
        source=described(replace(source, media_type=media_type or info.media_type), media, run.report),
        route=route.name,
        steps=tuple(detector.step_results(run.frames, run.averages)),
        artifacts=named_artifacts(files),
        cost=Cost(time.process_time() - cpu, peak_rss_mb(), (time.perf_counter() - started) * 1e3),
        status="partial" if run.report.broken else "ok",
        trace=trace or new_trace(),
        extra=document,
    )
    analysis = Analysis(result, files)
    weakref.finalize(analysis, shutil.rmtree, folder, ignore_errors=True)
    return analysis


class _Run:
    """One analysis under way: its stages are methods, each called by one thread, in the order of the frames."""

    def __init__(
        self,
        media: VideoSource,
        info: VideoInfo,
        detector: Detector,
        options: VideoOptions,
        route: Route,
        folder: Path | None,
    ) -> None:
        self._media, self._info, self._detector = media, info, detector
        self._options, self._route, self._folder = options, route, folder
        self._reader = VideoReader(media, options.sampling(), options.limits())
        self._story: Story | None = None
        self._chosen = Chosen(options.follow) if options.follow else None
        self.averages = Averages()
        self._stills = Stills(options.thumbnails)
        self._last: Pixels | None = None
        self._dropped_sound: str | None = None
        self.frames = 0

    @property
    def report(self) -> ReadReport:
        """What decoding found; there once `go` is through."""
        assert self._reader.report is not None
        return self._reader.report

    def go(self, progress: OnProgress | None) -> None:
        """Runs all stages to the end of the clip, or to the first exception of any of them."""
        expected = self._expected()
        with contextlib.ExitStack() as stack:
            # Two at a time: while one frame is in the network, the next is made ready for it.
            pool = stack.enter_context(ThreadPoolExecutor(2, "video-detect"))
            stages: list[Callable[[Any], Any]] = [lambda frame: pool.submit(self._detector, frame), self._tell]
            if self._folder is not None:
                stages.append(self._draw)
            # A waiting frame of 1080p is 6 MB, and one is enough to keep the next stage busy.
            running: Generator[_Told] = overlapped(self._reader, *stages, depth=1)
            frames = stack.enter_context(contextlib.closing(running))
            files = stack.enter_context(_Files(self._folder, self._options)) if self._folder is not None else None
            for told in frames:
                self.frames += 1
                if files is not None:
                    files.write(told, self._media, self._info)
                if progress is not None:
                    progress(self.frames, expected)
        self._dropped_sound = None if files is None else files.dropped_sound

    def _expected(self) -> int | None:
        """About how many frames will be analysed, by the header: for a progress bar, for nothing else."""
        options, total, length = self._options, self._info.expected_frames(), self._info.claimed_duration_s
        if total is None or options.keyframes_only:
            return None
        if length:
            end = min(options.end_s or length, length)
            total = round(total * max(end - options.start_s, 0.0) / length)
        if options.fps and self._info.nominal_fps:
            return max(1, round(total * min(1.0, options.fps / self._info.nominal_fps)))
        return max(1, total // options.stride)

    def _tell(self, waiting: Future[Detected]) -> _Told:
        """Tracks, zones, the followed object: everything that needs the frames in order."""
        detected = self._detector.in_order(waiting.result())
        frame = detected.frame
        if self._story is None:
            height, width = frame.pixels.shape[:2]
            self._story = Story(self._options, self._detector.sure, width, height)
        shown = self._story.update(frame.pts_s, detected.objects, detected.embeddings, detected.warp)
        steps: dict[str, Predictions] = {step.name: step.predictions for step in detected.steps}
        if detected.tracked is not None:
            steps[detected.steps[detected.tracked].name] = shown
        if self._chosen is not None:
            steps[CHOSEN] = self._chosen.update(frame, shown)
        self.averages.update(steps)
        self._last = frame.pixels
        return _Told(frame.index, frame.pts_s, frame.pixels, steps, len(shown))

    def _draw(self, told: _Told) -> _Told:
        """The frame with everything drawn on it, and a thumbnail now and then."""
        canvas = Image.fromarray(told.pixels)
        drawn = [(name, p) for name, p in told.steps.items() if not isinstance(p, Rendering | Embedding)]
        pixels = np.asarray(annotate(canvas, drawn, self._route.draw))
        self._stills.update(pixels, told.shown)
        return replace(told, pixels=pixels)

    def finish(self) -> tuple[dict[str, bytes | Path], dict[str, Any]]:
        """(files by relative name, the members that a video adds to the document)."""
        report = self.report
        found = [
            {"step": step.title, **action.to_json()}
            for step, watch in self._detector.watches
            for action in watch.finish(report.duration_s)
        ]
        story = self._story or Story(self._options, self._detector.sure, max(report.width, 1), max(report.height, 1))
        document = story.extra([*found, *(self._chosen.timeline() if self._chosen else [])])
        document["analysed_frames"] = self.frames
        if report.broken:
            document["broken"] = broken(report)
        if self._dropped_sound:
            document["sound"] = self._dropped_sound
        files = self._files(story, document) if self._folder is not None else {}
        thumbnails = [name for name in files if name.startswith("thumbnails/")]
        return files, (document | {"thumbnails": thumbnails} if thumbnails else document)

    def _files(self, story: Story, document: dict[str, Any]) -> dict[str, bytes | Path]:
        assert self._folder is not None
        files: dict[str, bytes | Path] = {path.name: path for path in sorted(self._folder.iterdir())}
        if document["timeline"]:
            files["tracks.vtt"] = vtt(document["timeline"]).encode()
        files |= self._stills.files()
        if story.heat is not None and self._last is not None:
            files["heat.jpg"] = jpeg(Image.fromarray(story.heat.picture(self._last)))
        return files


class _Files:
    """The files that grow with the clip: lines as frames come, videos (annotated, and one for each step that
    makes pictures) from their first frame on."""

    def __init__(self, folder: Path, options: VideoOptions) -> None:
        self._folder, self._options = folder, options
        self._stack = contextlib.ExitStack()
        self._writers: dict[str, VideoWriter] = {}

    def __enter__(self) -> Self:
        self._lines = self._stack.enter_context(FrameLines(self._folder, self._options.tracker != "none"))
        return self

    def write(self, told: _Told, media: VideoSource, info: VideoInfo) -> None:
        """Appends one frame to all of them."""
        self._lines.write(told.index, told.pts_s, told.steps)
        pictures = {"annotated": told.pixels} if self._options.annotated else {}
        for step, found in told.steps.items():
            if isinstance(found, Rendering):
                pictures[file_name(step)] = np.asarray(Image.fromarray(found.pixels).convert("RGB"))
        for name, pixels in pictures.items():
            if name not in self._writers:
                self._writers[name] = self._stack.enter_context(self._writer(name, media, info))
            self._writers[name].write(pixels, told.pts_s)

    def _writer(self, name: str, media: VideoSource, info: VideoInfo) -> VideoWriter:
        sound = media if info.has_audio and isinstance(media, str | Path) else None
        return VideoWriter(self._folder / f"{name}.mp4", fps=usual_rate(self._options, info), sound=sound)

    @property
    def dropped_sound(self) -> str | None:
        """Why the clip's sound is not in the videos that were written, or None."""
        return next((writer.dropped_sound for writer in self._writers.values()), None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def usual_rate(options: VideoOptions, info: VideoInfo) -> float:
    """Frames a second of the videos that are written, for the length of the last frame and rate control."""
    rate = options.fps or (info.nominal_fps or 10.0) / options.stride
    return min(max(rate, 1.0), 120.0)


def broken(report: ReadReport) -> dict[str, Any]:
    """What the document says of a clip that breaks off or is damaged."""
    return {"reason": report.broken, "at_s": round(report.broken_at_s or 0.0, 3),
            "damaged_frames": report.damaged_frames}  # fmt: skip


def named_artifacts(files: Iterable[str]) -> dict[str, str]:
    """The files that the document lists, by what it calls them."""
    return {_NAMES.get(name, Path(name).stem): name for name in files if "/" not in name}


def described(source: Source, media: VideoSource, report: ReadReport) -> Source:
    """The source with what decoding found, not what the header claims."""
    size = media.stat().st_size if isinstance(media, Path) else source.bytes
    return replace(
        source,
        bytes=source.bytes or size,
        width=report.width,
        height=report.height,
        duration_s=round(report.duration_s, 3),
        frames=report.frames,
        fps=None if report.fps is None else round(report.fps, 3),
    )
