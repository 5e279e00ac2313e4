"""The four steps of a job, as the engine does them: a step reads what is stored, and stores what it made.

Each may run twice, at the same time even: it writes the same then. What is there already is not made again.
"""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cloud.settings import STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.ranged import RangedFile
from cloud.storage.scratch import scratch
from cloud.videos.heartbeat import Check
from cloud.videos.jobs import (
    DETECTED,
    DRAW,
    FILES,
    PICTURES,
    RENDERED,
    SENT,
    STILLS,
    STORY,
    JobProgress,
    Jobs,
    VideoJob,
    path_of,
    work,
)
from inference.engine.registry import Registry
from inference.errors import StorageRefused
from inference.machine import peak_rss_mb
from inference.results.result import Cost
from inference.routes import Route
from inference.steps import Analysis, naming
from inference.video.detect import FrameDetector
from inference.video.join import join
from inference.video.outputs import ANNOTATED
from inference.video.render import draw_part
from inference.video.split import Part, detect_part, merge
from inference.video.summary import Summary

# What the lines of a part may take, packed; far more than a thousand frames with masks.
_MAX_LINES_BYTES = 1024 * 1024 * 1024
# By which frames.jsonl is longer than the packed lines that it is made of.
_UNPACKED = 15
_MAX_SUMMARY_BYTES = 64 * 1024 * 1024


# What json, gzip and our own reading raise for a blob that is cut off, empty, or something else.
_UNREADABLE = (
    ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, EOFError, gzip.BadGzipFile,
    zlib.error,
)  # fmt: skip


class Stages:
    """The steps with what they need: storage, models, the upload in the version that the job is about."""

    def __init__(self, jobs: Jobs, registry: Registry) -> None:
        self.jobs, self.registry = jobs, registry
        self.storage: Storage = jobs.storage

    def of(self, models: Registry | None) -> Stages:
        """The same with the models of a plan, where it has some."""
        return Stages(self.jobs, models) if models else self

    def detect(self, job: VideoJob, upload: BlobInfo, route: Route, number: int, check: Check) -> None:
        """Detects on a segment; and its part of the videos of steps that make pictures."""
        size = (job.width, job.height)
        with self._upload(upload, check) as media, _room_of_part(job, upload) as folder:
            path, videos = folder / "lines", folder / "videos"
            videos.mkdir()
            with gzip.open(path, "wt", encoding="utf-8", compresslevel=3) as out, naming(job.name):
                for line in detect_part(media.binary, job.parts[number], route, self.registry, videos, job.fps, size):
                    check()
                    out.write(line)
            media.check()
            made = sorted(videos.iterdir())
            for video in made:
                check()
                self._put_once(job, f"{PICTURES}{video.stem}/{number:04}.mp4", video)
            self._put_once(job, work(DETECTED, number), path, metadata={"files": str(len(made))})

    def merge(self, job: VideoJob, route: Route, pictures: int, check: Check) -> None:
        """Tracks, zones, actions: once, in order; and what the parts are to draw. The summary is written last.

        pictures: how many videos of pictures the parts made; the summary keeps it.
        """
        blobs = self.jobs.progress(job.id).blobs
        lines_bytes = sum(blob.size for path, blob in blobs.items() if path.startswith(DETECTED))
        with scratch(0, _UNPACKED * lines_bytes) as root, closing(_PartLines(root / "merged")) as writer:
            folder, merged = root / "files", root / "merged"
            folder.mkdir()
            merged.mkdir()
            lines = ((part, _checked(self._lines(job, DETECTED, part), check)) for part in job.parts)
            size = (job.width, job.height)
            # A job that was planned before plans had the facts loads the models for them.
            facts = job.facts or FrameDetector(route, self.registry, route.video_options, None).facts
            summary = merge(lines, route, facts, size, job.source, folder, writer.write)
            writer.close()
            for kind, made in ((DRAW, merged), (FILES, folder)):
                for path in sorted(made.iterdir()):
                    check()
                    self.jobs.put(job, f"{kind}{path.name}", path)
            metadata = {"renders": ",".join(map(str, writer.numbers)), "pictures": str(pictures)}
            metadata["files"] = str(len(list(folder.iterdir())))
            self._put_once(job, STORY, summary.to_line().encode(), metadata=metadata)

    def render(self, job: VideoJob, upload: BlobInfo, route: Route, number: int, check: Check) -> None:
        """Draws a segment: its part of the annotated video (empty where none is wanted), and its stills."""
        cpu, summary = time.process_time(), self.summary(job)
        with self._upload(upload, check) as media, _room_of_part(job, upload) as folder:
            lines = _checked(self._lines(job, DRAW, job.parts[number]), check)
            with naming(job.name):
                files = draw_part(media.binary, job.parts[number], lines, route, summary, folder, job.fps)
            media.check()
            video = files.pop(f"{ANNOTATED}.mp4", b"")
            for still, data in files.items():
                self.jobs.put(job, f"{STILLS}{number:04}/{still}", data)
            spent = {"cpu_s": f"{time.process_time() - cpu:.3f}", "files": str(len(files))}
            self._put_once(job, work(RENDERED, number), video, metadata=spent)

    @contextmanager
    def joined(
        self, job: VideoJob, upload: BlobInfo, route: Route, progress: JobProgress, check: Check
    ) -> Iterator[Analysis]:
        """The analysis of the whole; its files are there as long as the block runs."""
        blobs, summary, cpu = progress.blobs, self.summary(job), time.process_time()
        videos = {ANNOTATED: [blobs[work(RENDERED, n)] for n in sorted(progress.parts(RENDERED))]}
        for path in sorted(path for path in blobs if path.startswith(PICTURES)):
            videos.setdefault(path.removeprefix(PICTURES).split("/")[0], []).append(blobs[path])
        needed = sum(b.size for path, b in blobs.items() if path.startswith((RENDERED, PICTURES, FILES, STILLS)))
        with scratch(needed, 0, job.id) as folder, self._upload(upload, check) as media:
            files: dict[str, bytes | Path] = {}
            for kind in (FILES, STILLS):
                for blob in (blob for path, blob in sorted(blobs.items()) if path.startswith(kind)):
                    check()
                    relative = blob.name.split(f"/{kind}", 1)[1]
                    relative = relative.split("/", 1)[1] if kind == STILLS else relative
                    files[relative] = self._saved(blob.name, folder / relative, blob.etag)
            dropped, sound = None, media.binary if job.has_audio else None
            for video, all_parts in videos.items():
                # A part of which no frame is shown is empty.
                if parts := [part for part in all_parts if part.size]:
                    joined = files[f"{video}.mp4"] = folder / f"{video}.mp4"
                    dropped = join(self._opened(parts), joined, sound, route.video_options.span)
                    media.check()
            drawing = sum(float(part.metadata.get("cpu_s", "0")) for part in videos[ANNOTATED])
            spent = drawing + time.process_time() - cpu
            cost = Cost(summary.cpu_s + spent, peak_rss_mb(), max(0.0, time.time() - job.created) * 1e3)
            yield summary.analysis(files, route, job.trace, cost, dropped)

    def _upload(self, upload: BlobInfo, check: Check) -> RangedFile:
        """The upload, read as long as the job goes on: decoding up to the first frame that is wanted takes its time."""
        return RangedFile(self.storage, UPLOADS, upload, goes_on=check)

    def _opened(self, parts: Iterable[BlobInfo]) -> Iterator[BinaryIO]:
        """In order, a single part at a time: an open part keeps some of itself in memory."""
        for part in parts:
            with RangedFile(self.storage, STATE, part) as file:
                yield file.binary
                file.check()

    def summary(self, job: VideoJob) -> Summary:
        """What the merge gave. Raises Conflict where the job is over, StorageRefused where it is merged anew."""
        stored = self.storage.read(STATE, path_of(job.id, STORY), _MAX_SUMMARY_BYTES)
        if stored is None:
            raise Conflict(f"job {job.id} has no summary (any more)")
        with self._made_anew(job, STORY):
            return Summary.from_line(stored[0].decode())

    @contextmanager
    def _made_anew(self, job: VideoJob, *names: str) -> Iterator[None]:
        """Deletes work that turns out to be unreadable, so that it is done again. Raises StorageRefused then."""
        try:
            yield
        except _UNREADABLE as error:
            for name in (*names, f"{SENT}merge"):
                self.storage.delete(STATE, path_of(job.id, name))
            what = f"{STATE}/{path_of(job.id, names[0])} cannot be read ({type(error).__name__}: {error})"
            raise StorageRefused(f"{what}: it was deleted, and is made again") from error

    def _lines(self, job: VideoJob, kind: str, part: Part) -> Iterator[str]:
        """The lines that a part stored, through a temporary file: a line at a time is in memory."""
        name, with_it = work(kind, part.number), [STORY] if kind == DRAW else []
        with scratch() as folder:
            packed = self._saved(path_of(job.id, name), folder / "lines")
            with self._made_anew(job, name, *with_it), gzip.open(packed, "rt", encoding="utf-8") as lines:
                yield from lines

    def _saved(self, name: str, path: Path, etag: str | None = None) -> Path:
        reading = self.storage.open(STATE, name, etag)
        if reading is None:
            raise Conflict(f"{name} is not there (any more)")
        return reading.save(path, _MAX_LINES_BYTES)

    def _put_once(self, job: VideoJob, name: str, data: bytes | Path, **options: Any) -> None:
        try:
            self.jobs.put(job, name, data, if_absent=True, **options)
        except Conflict:
            return  # a duplicate of this message was faster, and made the same


def _room_of_part(job: VideoJob, upload: BlobInfo) -> AbstractContextManager[Path]:
    """A folder for what is made of a part: about its share of the clip, drawn anew, and its lines."""
    return scratch(0, 2 * upload.size // len(job.parts), job.id)


class _PartLines:
    """Files with the lines of the parts, in order, a single file open at a time. numbers: the parts that have lines."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._out: Any = None
        self.numbers: list[int] = []

    def write(self, number: int, line: str) -> None:
        if number not in self.numbers[-1:]:
            self.close()
            path = self._folder / Path(work(DRAW, number)).name
            self.numbers.append(number)
            # Closed by whoever comes next: a part's lines come over many calls.
            self._out = gzip.open(path, "wt", encoding="utf-8", compresslevel=3)  # noqa: SIM115
        self._out.write(line)

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None


def _checked(lines: Iterable[str], check: Check) -> Iterator[str]:
    for line in lines:
        check()
        yield line
