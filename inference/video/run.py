"""A video as a whole: decode, detect, aggregate, draw, encode, all at once -> result and files."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import time
import weakref
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import starmap
from pathlib import Path

import numpy as np

from inference.engine.registry import Registry
from inference.machine import peak_rss_mb
from inference.os_errors import own_files
from inference.predictions import OutputImage
from inference.results.result import Cost, Source, new_trace
from inference.routes import Route
from inference.steps import Analysis, OnProgress, naming
from inference.threads import begin_thread
from inference.video.aggregate import Aggregate
from inference.video.colours import fitted
from inference.video.detect import Detected, FrameDetector
from inference.video.frames import Between, Frame, Media, VideoInfo
from inference.video.held import Held, most_waiting
from inference.video.outputs import ANNOTATED, Drawing, VideoFiles, made_pictures, usual_rate
from inference.video.overlap import overlapped
from inference.video.overlay import Shown
from inference.video.read import VideoReader, probe
from inference.video.stills import Cuts, Stills
from inference.video.summary import Summary
from inference.video.view import Tween, view_of

_WAITING_BYTES = 24 << 20


def analyze_video(
    media: bytes | Media,
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
    """Runs a route over a video, frame by frame; what it takes in memory does not grow with its length.

    `progress` gets how many frames are analysed, of about how many (None: unknown).
    Files too large for memory lie in a temporary folder that lives as long as the Analysis. Raises
    UnsupportedMedia, CorruptMedia (no frame at all), LimitExceeded, BadModel, BadManifest, BadRoute, and
    StorageUnavailable where our own files cannot be written.
    """
    started, cpu = time.perf_counter(), time.process_time()
    media = io.BytesIO(media) if isinstance(media, bytes) else media
    source = source or Source(name=str(media) if isinstance(media, Path) else "")
    with naming(source.name):
        info = probe(media, route.video_options)
    size = source.bytes or (media.stat().st_size if isinstance(media, Path) else 0)
    source = replace(source, bytes=size, media_type=media_type or info.media_type)
    detector = FrameDetector(route, registry, route.video_options, threshold)
    with own_files():
        folder = Path(tempfile.mkdtemp(prefix="dropsight-"))
    try:
        run = _Run(media, info, detector, route, folder if artifacts else None)
        with naming(source.name), own_files(media if isinstance(media, Path) else None):
            summary = run.go(source, progress)
        files = {path.name: path for path in sorted(folder.iterdir())} | run.stills.files(summary)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    cost = Cost(time.process_time() - cpu, peak_rss_mb(), (time.perf_counter() - started) * 1e3)
    analysis = summary.analysis(files, route, trace or new_trace(), cost, run.dropped_sound)
    weakref.finalize(analysis, shutil.rmtree, folder, ignore_errors=True)
    return analysis


@dataclass(frozen=True)
class _OnItsWay:
    """A frame on its way to the files: what is shown of it, what was cut of it for the stills, and its pictures by the
    names of their videos."""

    frame: Frame | Between
    shown: Shown
    cuts: Cuts = field(default_factory=dict)
    pictures: dict[str, OutputImage] = field(default_factory=dict)


def _with_shown(coming: _OnItsWay, shown: Shown) -> _OnItsWay:
    return replace(coming, shown=shown)


class _Run:
    """An analysis under way: its stages are methods, called by a thread of their own in the order of the frames."""

    def __init__(
        self, media: Media, info: VideoInfo, detector: FrameDetector, route: Route, folder: Path | None
    ) -> None:
        self._media, self._info, self._detector, self._route, self._folder = media, info, detector, route, folder
        self._aggregate = Aggregate(route.video_options, detector.facts, folder, route.draw)
        self._view = view_of(route, info)
        self._drawing = Drawing(route.draw, self._view)
        self._size = (0, 0)
        self.stills = Stills(route.draw, route.video_options.heat_map)
        self.dropped_sound: str | None = None

    def go(self, source: Source, progress: OnProgress | None) -> Summary:
        """Runs all stages to the end of the clip, or to the first exception of any of them."""
        options, folder = self._route.video_options, self._folder
        view = None if folder is None else self._view
        reader = VideoReader(self._media, options.sampling(), options, view=view)
        expected, number = self._info.expected_frames(options), 0
        # What is made and waits is bounded in bytes: a frame of 1080p is 6 MB.
        depth = max(1, min(8, _WAITING_BYTES // max(1, 3 * self._info.width * self._info.height)))
        with self._aggregate, contextlib.ExitStack() as stack:
            # Two at a time: while a frame is in the network, the next is prepared for it.
            pool = stack.enter_context(ThreadPoolExecutor(2, "video-detect", begin_thread()))
            detected = overlapped(self._begun(pool, reader), depth=depth)
            frames = overlapped(self._updated(detected), *([] if folder is None else [self._draw]), depth=depth)
            stack.enter_context(contextlib.closing(frames))
            videos = None if folder is None else stack.enter_context(self._videos(folder))
            for drawn in frames:
                if videos is not None:
                    videos.write(drawn.frame.pts_s, drawn.pictures)
                number += isinstance(drawn.frame, Frame)
                if progress is not None and isinstance(drawn.frame, Frame):
                    progress(number, expected)
            assert reader.report is not None
            if videos is not None:
                videos.end(reader.report.duration_s)
        self.dropped_sound = None if videos is None else videos.dropped_sound
        return self._aggregate.finish(reader.report, self._detector.work(), source)

    def _begun(self, pool: ThreadPoolExecutor, reader: VideoReader) -> Generator[Future[Detected] | Between]:
        """What is read, and of each sample what will be found on it."""
        with contextlib.closing(reader.shown()) as frames:
            yield from map(partial(self._detect, pool), frames)

    def _detect(self, pool: ThreadPoolExecutor, frame: Frame | Between) -> Future[Detected] | Between:
        return pool.submit(self._detector, frame) if isinstance(frame, Frame) else frame

    def _updated(self, detected: Generator[Future[Detected] | Between]) -> Generator[_OnItsWay]:
        """Tracks, zones, the followed object: everything that needs the frames in order."""
        tween, held = Tween(self._view), Held[_OnItsWay]((), 1)
        with contextlib.closing(detected):
            for waiting in detected:
                if isinstance(waiting, Between):
                    tween.hold(waiting)
                    continue
                first = self._size == (0, 0)
                coming = self._tracked(waiting.result())
                del waiting  # and with it the frame in its full size
                held = self._holding() if first else held
                yield from starmap(_OnItsWay, tween.sample(coming.frame.pts_s, coming.shown))
                yield from starmap(_with_shown, held.update(coming, coming.frame.pts_s, coming.shown))
            yield from starmap(_with_shown, held.rest())
            yield from starmap(_OnItsWay, tween.rest())

    def _tracked(self, done: Detected) -> _OnItsWay:
        """The next frame, with what is shown of it; scaled down to that."""
        if self._size == (0, 0):
            self._size = done.frame.pixels.shape[1], done.frame.pixels.shape[0]
        shown = self._aggregate.update(self._detector.in_order(done), self._size, done.frame)
        return self._reduced(done.frame, shown)

    def _holding(self) -> Held[_OnItsWay]:
        """What lets frames wait until it is known what is blurred on them; without files none has to."""
        labels = () if self._folder is None else self._route.draw.blur
        return Held(labels, most_waiting(self._route, self._detector.facts, self._size))

    def _reduced(self, frame: Frame, shown: Shown) -> _OnItsWay:
        """The frame as it may wait: cut and scaled down to what is shown, and without pixels where nothing is."""
        if self._folder is None:
            return _OnItsWay(frame, shown)
        cuts = self.stills.cut(frame, shown.steps, self._aggregate.choice)
        pixels = np.empty((0, 0, 3), np.uint8)
        if self._is_drawn(frame):
            pixels = fitted(frame.pixels, self._view.size(*self._size))
        return _OnItsWay(replace(frame, pixels=pixels), shown, cuts)

    def _is_drawn(self, frame: Frame) -> bool:
        """Whether anything shows the frame, so far: a later one may take its place as a still, none gives it back."""
        return self._route.annotates_videos or self.stills.wants(frame, self._aggregate.choice)

    def _draw(self, coming: _OnItsWay) -> _OnItsWay:
        """The pictures of the frame, and a still now and then."""
        frame, shown, choice = coming.frame, coming.shown, self._aggregate.choice
        pictures: dict[str, OutputImage] = {}
        picture = None
        if isinstance(frame, Between) or self._is_drawn(frame):
            picture = self._drawing(frame.pixels, shown, self._size)
        if isinstance(frame, Frame):
            pictures = made_pictures(shown.steps, self._route.draw.blur, self._size)
            self.stills.take(frame, shown.steps, picture, choice, coming.cuts)
        if self._route.annotates_videos and picture is not None:
            pictures[ANNOTATED] = OutputImage(picture)
        return replace(coming, pictures=pictures)

    def _videos(self, folder: Path) -> VideoFiles:
        options, sound = self._route.video_options, self._media if self._info.has_audio else None
        if isinstance(sound, io.BytesIO):  # a file of its own over the same bytes: the pictures are read meanwhile
            sound = io.BytesIO(sound.getvalue())
        sound = sound if isinstance(sound, str | Path | io.BytesIO) else None
        return VideoFiles(folder, usual_rate(options, self._info), self._view, sound, options.span)
