"""One video in one piece: decode, detect, aggregate, draw, encode, all at once -> result and files."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inference.engine.registry import Registry
from inference.machine import peak_rss_mb
from inference.predictions import Predictions
from inference.results.result import Cost, Source, new_trace
from inference.routes import Route
from inference.steps import Analysis, OnProgress, naming
from inference.video.aggregate import Aggregate
from inference.video.detect import Detected, Detector
from inference.video.frames import Frame, Pixels, VideoInfo
from inference.video.frames import Source as VideoSource
from inference.video.options import VideoOptions
from inference.video.outputs import ANNOTATED, Stills, VideoFiles, drawn, made_pictures, usual_rate
from inference.video.overlap import overlapped
from inference.video.read import VideoReader, probe
from inference.video.summary import Summary


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
    options = route.video
    media = io.BytesIO(media) if isinstance(media, bytes) else media
    source = source or Source(name=str(media) if isinstance(media, Path) else "")
    with naming(source.name):
        info = probe(media, options.limits())
    size = source.bytes or (media.stat().st_size if isinstance(media, Path) else 0)
    source = replace(source, bytes=size, media_type=media_type or info.media_type)
    detector = Detector(route, registry, options, threshold)
    folder = Path(tempfile.mkdtemp(prefix="dropsight-"))
    try:
        run = _Run(media, info, detector, options, route, folder if artifacts else None)
        with naming(source.name):
            summary = run.go(source, progress)
        files = {path.name: path for path in sorted(folder.iterdir())} | run.stills.files(summary)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    cost = Cost(time.process_time() - cpu, peak_rss_mb(), (time.perf_counter() - started) * 1e3)
    analysis = summary.analysis(files, route.name, trace or new_trace(), cost, run.dropped_sound)
    weakref.finalize(analysis, shutil.rmtree, folder, ignore_errors=True)
    return analysis


@dataclass(frozen=True)
class _Analysed:
    """One frame on its way to the files, with all that is known of it; `picture` once it is drawn."""

    frame: Frame
    steps: dict[str, Predictions]
    picture: Pixels | None = None


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
        self._aggregate = Aggregate(options, detector.facts, folder)
        self.stills = Stills()
        self.dropped_sound: str | None = None

    def go(self, source: Source, progress: OnProgress | None) -> Summary:
        """Runs all stages to the end of the clip, or to the first exception of any of them."""
        reader = VideoReader(self._media, self._options.sampling(), self._options.limits())
        expected = self._expected()
        with self._aggregate, contextlib.ExitStack() as stack:
            # Two at a time: while one frame is in the network, the next is made ready for it.
            pool = stack.enter_context(ThreadPoolExecutor(2, "video-detect"))
            stages: list[Callable[[Any], Any]] = [lambda frame: pool.submit(self._detector, frame), self._update]
            stages += [] if self._folder is None else [self._draw]
            # A waiting frame of 1080p is 6 MB, and one is enough to keep the next stage busy.
            running: Generator[_Analysed] = overlapped(reader, *stages, depth=1)
            frames = stack.enter_context(contextlib.closing(running))
            videos = None if self._folder is None else stack.enter_context(self._videos(self._folder))
            for number, analysed in enumerate(frames, 1):
                if videos is not None:
                    self._write(videos, analysed)
                if progress is not None:
                    progress(number, expected)
        self.dropped_sound = None if videos is None else videos.dropped_sound
        assert reader.report is not None
        return self._aggregate.finish(reader.report, self._detector.work(), source)

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

    def _update(self, waiting: Future[Detected]) -> _Analysed:
        """Tracks, zones, the followed object: everything that needs the frames in order."""
        detected = waiting.result()
        frame = detected.frame
        height, width = frame.pixels.shape[:2]
        steps = self._aggregate.update(self._detector.in_order(detected), (width, height), frame)
        return _Analysed(frame, steps)

    def _draw(self, analysed: _Analysed) -> _Analysed:
        """The frame with everything drawn on it, and a still now and then."""
        picture = drawn(analysed.frame.pixels, analysed.steps, self._route.draw)
        self.stills.take(analysed.frame, picture, self._aggregate.choice)
        return replace(analysed, picture=picture)

    def _write(self, videos: VideoFiles, analysed: _Analysed) -> None:
        pictures = made_pictures(analysed.steps)
        if self._options.annotated and analysed.picture is not None:
            pictures[ANNOTATED] = analysed.picture
        videos.write(analysed.frame.pts_s, pictures)

    def _videos(self, folder: Path) -> VideoFiles:
        sound = self._media if self._info.has_audio and isinstance(self._media, str | Path) else None
        return VideoFiles(folder, usual_rate(self._options, self._info), sound)
