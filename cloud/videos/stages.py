"""The four steps of a job, as the engine does them: each reads what is stored, and stores what it made.

Each may run twice, at the same time even: it writes the same then. What is there already is not made again.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cloud.settings import STATE, UPLOADS
from cloud.storage import BlobInfo, Conflict, Storage
from inference.errors import ServiceBusy
from inference.registry import Registry
from inference.result import Source
from inference.routes import Route
from inference.steps import Analysis, naming
from inference.video.join import join
from inference.video.merge import assemble, drawn_stills, merge, wanted_parts
from inference.video.options import options_of
from inference.video.parts import Part, detect_part, render_part
from inference.video.stored import from_line, to_line

from .alive import Alive
from .jobs import DETECTED, FILES, RENDERED, STILLS, STORY, TOLD, Job, Jobs, Progress, work
from .ranged import RangedFile

# What the lines of one part may take, packed; far more than a thousand frames with masks.
_MAX_LINES_BYTES = 1024 * 1024 * 1024
_MAX_STORY_BYTES = 64 * 1024 * 1024
_SPARE_DISK = 64 * 1024 * 1024


class Stages:
    """The steps with what they need: storage, models, the upload in the version that the job is about."""

    def __init__(self, jobs: Jobs, registry: Registry) -> None:
        self.jobs, self.registry = jobs, registry
        self.storage: Storage = jobs.storage

    def detect(self, job: Job, upload: BlobInfo, route: Route, number: int, alive: Alive) -> None:
        """Detects on one segment."""
        with self._media(upload) as media, tempfile.TemporaryDirectory(prefix="dropsight-") as folder:
            path = Path(folder, "lines")
            with gzip.open(path, "wt", encoding="utf-8", compresslevel=3) as out, naming(job.name):
                for line in detect_part(media.binary, job.parts[number], route, self.registry):
                    alive.check()
                    out.write(line)
            media.check()
            self._put_once(job, work(DETECTED, number), path)

    def merge(self, job: Job, route: Route, alive: Alive) -> None:
        """Tracks, zones, actions: once, in order; and what each part is to draw. The story is written last."""
        with tempfile.TemporaryDirectory(prefix="dropsight-") as name, ExitStack() as stack:
            folder, told = Path(name), Path(name, "told")
            files = folder / "files"
            files.mkdir()
            told.mkdir()
            writer = stack.enter_context(closing(_Told(told)))
            lines = ((part, _checked(self._lines(job, DETECTED, part), alive)) for part in job.parts)
            source = Source(**job.source)
            story = merge(lines, route, self.registry, (job.width, job.height), source, files, writer.write)
            writer.close()
            for kind, made in ((TOLD, told), (FILES, files)):
                for path in sorted(made.iterdir()):
                    alive.check()
                    self.jobs.put(job, f"{kind}{path.name}", path)
            wanted = wanted_parts(story, options_of(route.video, route.name).annotated)
            metadata = {"renders": ",".join(map(str, wanted))}
            self._put_once(job, STORY, to_line(story).encode(), metadata=metadata)

    def render(self, job: Job, upload: BlobInfo, route: Route, number: int, alive: Alive) -> None:
        """Draws one segment: its part of the annotated video (empty where none is wanted), and its stills."""
        cpu, story = time.process_time(), self.story(job)
        annotated = options_of(route.video, route.name).annotated
        with self._media(upload) as media, tempfile.TemporaryDirectory(prefix="dropsight-") as folder:
            path = Path(folder, "part.mp4")
            told = _checked(self._lines(job, TOLD, job.parts[number]), alive)
            still = drawn_stills(story, lambda name, data: self.jobs.put(job, f"{STILLS}{name}", data))
            with naming(job.name):
                render_part(media.binary, job.parts[number], told, route, path if annotated else None, job.fps, still)
            media.check()
            spent = {"cpu_s": f"{time.process_time() - cpu:.3f}"}
            self._put_once(job, work(RENDERED, number), path if annotated else b"", metadata=spent)

    @contextmanager
    def joined(self, job: Job, upload: BlobInfo, route: Route, progress: Progress) -> Iterator[Analysis]:
        """The analysis of the whole; its files are there as long as the block runs."""
        blobs, story, cpu = progress.blobs, self.story(job), time.process_time()
        parts = [blobs[work(RENDERED, n)] for n in sorted(progress.parts(RENDERED))]
        needed = sum(blob.size for name, blob in blobs.items() if name.startswith((RENDERED, FILES, STILLS)))
        with tempfile.TemporaryDirectory(prefix="dropsight-") as name, ExitStack() as stack:
            if needed + _SPARE_DISK > shutil.disk_usage(name).free:
                raise ServiceBusy(f"{needed:,} bytes of disk are needed to join {job.name}, fewer are free; later")
            files: dict[str, bytes | Path] = {}
            for kind in (FILES, STILLS):
                for blob in (each for path, each in sorted(blobs.items()) if path.startswith(kind)):
                    relative = blob.name.split(f"/{kind}", 1)[1]
                    files[relative] = self._fetched(blob, Path(name, relative))
            dropped = None
            if any(part.size for part in parts):
                media = stack.enter_context(self._media(upload))
                path = Path(name, "annotated.mp4")
                dropped = join(self._opened(parts), path, media.binary if job.has_audio else None)
                media.check()
                files[path.name] = path
            spent = sum(float(part.metadata.get("cpu_s", "0")) for part in parts) + time.process_time() - cpu
            wall = max(0.0, time.time() - job.created)
            yield assemble(story, files, route.name, job.trace, spent, wall, dropped)

    def _opened(self, parts: Iterable[BlobInfo]) -> Iterator[BinaryIO]:
        """One after the other: each keeps some of itself in memory while it is open."""
        for part in parts:
            with RangedFile(self.storage, STATE, part) as file:
                yield file.binary
                file.check()

    def story(self, job: Job) -> dict[str, Any]:
        """What the merge said. Raises Conflict where the job is over."""
        found = self.storage.read(STATE, f"jobs/{job.id}/{STORY}", _MAX_STORY_BYTES)
        if found is None:
            raise Conflict(f"job {job.id} has no story (any more)")
        return from_line(found[0].decode())

    @contextmanager
    def _media(self, upload: BlobInfo) -> Iterator[RangedFile]:
        with RangedFile(self.storage, UPLOADS, upload) as file:
            yield file

    def _lines(self, job: Job, kind: str, part: Part) -> Iterator[str]:
        """The lines that a part stored, through a temporary file: a line at a time is in memory."""
        name = f"jobs/{job.id}/{work(kind, part.number)}"
        reading = self.storage.open(STATE, name)
        if reading is None:
            raise Conflict(f"{name} is not there (any more)")
        with tempfile.TemporaryFile(prefix="dropsight-") as packed:
            for chunk in reading.chunks(_MAX_LINES_BYTES):
                packed.write(chunk)
            packed.seek(0)
            with gzip.open(packed, "rt", encoding="utf-8") as lines:
                yield from lines

    def _fetched(self, blob: BlobInfo, path: Path) -> Path:
        reading = self.storage.open(STATE, blob.name, blob.etag)
        if reading is None:
            raise Conflict(f"{blob.name} was deleted")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for chunk in reading.chunks(_MAX_LINES_BYTES):
                out.write(chunk)
        return path

    def _put_once(self, job: Job, name: str, data: bytes | Path, **options: Any) -> None:
        try:
            self.jobs.put(job, name, data, if_absent=True, **options)
        except Conflict:
            return  # a duplicate of this message was faster, and made the same


class _Told:
    """Files with the lines of each part, one open at a time: parts come in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number: int | None = None
        self._out: Any = None

    def write(self, number: int, line: str) -> None:
        if number != self._number:
            self.close()
            path = self._folder / Path(work(TOLD, number)).name
            # Closed by whoever comes next: a part's lines come over many calls.
            self._number, self._out = number, gzip.open(path, "wt", encoding="utf-8", compresslevel=3)  # noqa: SIM115
        self._out.write(line)

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None


def _checked(lines: Iterable[str], alive: Alive) -> Iterator[str]:
    for line in lines:
        alive.check()
        yield line
