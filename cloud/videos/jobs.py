"""What is known of a split video's job: its plan, and how far it has come, both in `state/jobs/<id>/`.

`job.json` is the plan, and at the end how it ended. The other blobs are work that is done, written in a single
commit and never changed, so whatever is there need not be done again. Names say what and which part.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from cloud.settings import STATE
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.videos.messages import JOB_ID, Message, Stage
from inference.errors import BadManifest, LimitExceeded, StorageUnavailable
from inference.results.result import Source
from inference.tables import build
from inference.video.split import Part
from inference.video.summary import RouteFacts

log = logging.getLogger(__name__)

Ended = Literal["done", "failed", "cancelled", "superseded"]
ENDED = get_args(Ended)
PREFIX = "jobs/"
# Of an installation that must be mended first, `waits` is the sign of life.
PLAN, BEAT, WAITS = "job.json", "beat", "waits"
# A blob for each message that a worker is at, as old as that worker's last sign of life; and for each whose worker was
# silent for too long, so that the message was sent anew.
AT_WORK, TAKEN_UP = "at-work/", "taken-up/"
NUMBER, SHARE = re.compile(r"[0-9]{1,9}"), re.compile(r"[01]\.[0-9]{1,6}")
MAX_PLAN_BYTES = 16 * 1024 * 1024
# Work that another version of the app did may have another form, and its videos another size or coding, which cannot be
# joined with ours: where that changes, so does this folder, and a job that runs meanwhile is done anew.
FORM = "5/"
STORY, SENT = f"{FORM}story.json", f"{FORM}sent/"
DETECTED, DRAW, RENDERED = f"{FORM}segments/", f"{FORM}told/", f"{FORM}renders/"
STILLS, FILES = f"{FORM}stills/", f"{FORM}files/"
# The videos of steps that make pictures, a folder a step. Stills lie in a folder a part.
PICTURES = f"{FORM}pictures/"
ENDINGS = {DETECTED: ".jsonl.gz", DRAW: ".jsonl.gz", RENDERED: ".mp4"}


class BrokenPlan(StorageUnavailable):
    """A job's plan cannot be read, so that nobody can say which upload it is about: see `revive`."""


@dataclass(frozen=True)
class VideoJob:
    """A version of an upload, by a receipt's key, in parts. `source` is the document's, as far as it is known."""

    id: str
    name: str
    etag: str
    key: str
    trace: str
    created: float  # seconds since 1970
    parts: tuple[Part, ...]
    width: int
    height: int
    fps: float
    has_audio: bool
    source: Source
    facts: RouteFacts | None = None  # of the route's models; None: planned before plans had them
    state: Literal["running"] | Ended = "running"
    reason: str = ""
    whole: bool = False  # it has no parts: it waited for a worker, which analyses (or splits) it as when it came in
    deployment: str = ""  # by whose routes and models it was begun; "": by ours, before plans said so

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> VideoJob:
        """The way back; members of later versions are ignored. Raises ValueError for what is no plan."""
        try:
            known = {key: value for key, value in document.items() if key in cls.__dataclass_fields__}
            parts = tuple(Part.from_json(part) for part in document["parts"])
            facts = RouteFacts.from_json(document["facts"]) if _is_whole(document.get("facts")) else None
            source = build(Source, document["source"], "source")
            if bool(parts) == bool(known.get("whole")) or [part.number for part in parts] != list(range(len(parts))):
                raise ValueError("it has no parts, or their numbers are not 0, 1, 2 and so on")
            job = build(cls, {**known, "parts": parts, "source": source, "facts": facts}, "plan")
            f"{job.name}{job.etag}{job.key}".encode()  # storage calls nothing by halves of UTF-16's pairs
            if (not job.whole and min(job.width, job.height, job.fps) <= 0) or job.created < 0:
                raise ValueError("its pictures have no size, no rate, or no time")
            return job
        except (AttributeError, KeyError, TypeError, ArithmeticError, RecursionError, BadManifest) as error:
            raise ValueError(f"it is no plan of a job: {error!r:.300}") from error


def _is_whole(facts: Any) -> bool:
    """Whether a plan's facts are there, with the thresholds that decide about scenes: older ones are without."""
    return bool(facts) and all("threshold" in step["model"] for step in facts["steps"])


def path_of(job_id: str, name: str = "") -> str:
    """Where the blob `name` of a job lies in the container `state`; without a name, what all begin with."""
    return f"{PREFIX}{job_id}/{name}"


def work(kind: str, number: int) -> str:
    """The name of a part's blob, below the job's folder."""
    return f"{kind}{number:04}{ENDINGS[kind]}"


class JobProgress:
    """What is done of a job, by a listing of its blobs (a call per thousand).

    Every blob says how long it is, and what ends a step how many files the step made beside it: what a rule of the
    account deleted, or a copy cut off, is done again, lest the result lacks it. spoilt: what is to be replaced.
    """

    def __init__(self, blobs: Iterable[BlobInfo], job_id: str) -> None:
        self.blobs = {blob.name.removeprefix(path_of(job_id)): blob for blob in blobs}
        done = {name: blob for name, blob in self.blobs.items() if name.startswith(FORM) and not name.startswith(SENT)}
        whole = {name for name, blob in done.items() if blob.metadata.get("bytes") == str(blob.size)}
        files = Counter(_beside(name) for name in whole)
        lacking = {name for name in whole if files[name] < self.said(name, "files")}
        self._whole = whole - lacking
        # What is drawn has no need any more of what says how.
        told, renders = {*self.parts(DRAW), *self.parts(RENDERED)}, self._renders()
        self.merged = renders is not None and told.issuperset(renders)
        self.renders = (renders or []) if self.merged else []
        self.spoilt = {n: b for n, b in done.items() if n not in self._whole or (n == STORY and not self.merged)}
        # Seconds since anybody wrote anything; the plan itself counts, else a job were dead when it starts.
        self.quiet_s = min((blob.age_s for blob in self.blobs.values()), default=0.0)
        # Seconds since anybody worked on it.
        self.idle_s = min((blob.age_s for name, blob in self.blobs.items() if name != WAITS), default=0.0)

    def said(self, name: str, key: str) -> int:
        """The number that a blob's metadata has by that key; 0 where it has none."""
        text = self.blobs[name].metadata.get(key, "0")
        return int(text) if NUMBER.fullmatch(text) else 0

    def _renders(self) -> list[int] | None:
        """The parts to be drawn, as the merge said; None where it has to be done (again)."""
        if STORY not in self._whole:
            return None
        numbers = [number for number in self.blobs[STORY].metadata.get("renders", "").split(",") if number]
        return [int(number) for number in numbers] if all(map(NUMBER.fullmatch, numbers)) else None

    def parts(self, kind: str) -> set[int]:
        """The parts of which this is done."""
        ending = ENDINGS[kind]
        found = (name for name in self._whole if name.startswith(kind) and name.endswith(ending))
        numbers = (name.removeprefix(kind).removesuffix(ending) for name in found)
        return {int(number) for number in numbers if NUMBER.fullmatch(number)}

    @property
    def pictures(self) -> int:
        """How many videos of pictures there are, of all parts and steps."""
        return sum(name.startswith(PICTURES) for name in self._whole)

    @property
    def share(self) -> float | None:
        """How much of a video is done that is analysed as a whole, 0 to 1; None where nobody says."""
        sign = self.blobs.get(f"{AT_WORK}{Message('', 'whole').label}")
        text = sign.metadata.get("share", "") if sign else ""
        return float(text) if SHARE.fullmatch(text) else None

    def missing(self, job: VideoJob) -> list[Message]:
        """The messages that bring the job on from here."""
        if job.whole:
            return [Message(job.id, "whole")]
        numbers = [part.number for part in job.parts]
        detect = _messages(job, "detect", numbers, self.parts(DETECTED))
        if not self.merged:
            return detect or [Message(job.id, "merge")]
        if self.pictures < self.said(STORY, "pictures"):
            return detect or _messages(job, "detect", numbers, set())
        return _messages(job, "render", self.renders, self.parts(RENDERED)) or [Message(job.id, "join")]


def _beside(name: str) -> str:
    """What ends the step that made this file, below the job's folder; "" for no such file."""
    if name.startswith(FILES):
        return STORY
    if name.startswith(STILLS):
        return f"{RENDERED}{name.removeprefix(STILLS).split('/', 1)[0]}{ENDINGS[RENDERED]}"
    return f"{DETECTED}{Path(name).stem}{ENDINGS[DETECTED]}" if name.startswith(PICTURES) else ""


def _messages(job: VideoJob, stage: Stage, wanted: Iterable[int], done: set[int]) -> list[Message]:
    return [Message(job.id, stage, number) for number in wanted if number not in done]


class Jobs:
    """The jobs of a storage account."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def write(self, job: VideoJob) -> None:
        """Writes the plan; a single call."""
        self.storage.write_json(STATE, path_of(job.id, PLAN), job.to_json(), metadata={"state": job.state})

    def read(self, job_id: str) -> VideoJob | None:
        """The job, or None where there is none (any more); one call. Raises BrokenPlan."""
        path = path_of(job_id, PLAN)
        reading = self.storage.open(STATE, path) if JOB_ID.fullmatch(job_id) else None
        if reading is None:
            return None
        try:
            job = VideoJob.from_json(json.loads(reading.read(MAX_PLAN_BYTES)))
            if job.id != job_id:
                raise ValueError(f"it is that of job {job.id[:50]!r}")
            return job
        except (ValueError, RecursionError, LimitExceeded) as error:
            raise BrokenPlan(f"{STATE}/{path} cannot be read ({error}): a sweep begins its upload anew") from error

    def progress(self, job_id: str, prefix: str = "") -> JobProgress:
        """What is done so far; as far as the job's blobs tell whose names begin with `prefix`."""
        pages = self.storage.pages(STATE, path_of(job_id, prefix))
        return JobProgress((blob for page in pages for blob in page.blobs), job_id)

    def describe(self, job: VideoJob) -> dict[str, Any]:
        """The job for people: how far it is."""
        document = {"id": job.id, "name": job.name, "state": job.state, "reason": job.reason, "trace": job.trace,
                    "segments": len(job.parts)}  # fmt: skip
        if job.state == "running":
            progress = self.progress(job.id)
            document |= {"detected": len(progress.parts(DETECTED)), "merged": progress.merged,
                         "rendered": len(progress.parts(RENDERED)), "quiet_s": progress.quiet_s}  # fmt: skip
            document |= {"share": progress.share} if job.whole else {}
        return document

    def put(self, job: VideoJob, name: str, data: Any, **options: Any) -> str:
        """Writes a blob of the job, in a single commit; it says how long it is. Returns its ETag."""
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        metadata = {**options.pop("metadata", {}), "bytes": str(size)}
        return self.storage.write(STATE, path_of(job.id, name), data, metadata=metadata, **options)

    def drop_spoilt(self, job: VideoJob, progress: JobProgress) -> JobProgress:
        """Deletes what has to be made again, so that it can be; no call where there is nothing."""
        if not progress.spoilt:
            return progress
        again = self.progress(job.id)  # a listing of many pages may have missed what came while it ran
        for name in progress.spoilt.keys() & again.spoilt.keys():
            with suppress(Conflict):  # replaced meanwhile
                self.storage.delete(STATE, path_of(job.id, name), if_match=again.spoilt[name].etag)
                log.warning("job %s: %s is not as it was written, or lacks files: it is made again", job.id, name)
        return self.progress(job.id)

    def end(self, job: VideoJob, state: Ended, reason: str = "") -> None:
        """Notes how the job ended and deletes its work; a call a blob."""
        self.write(replace(job, state=state, reason=reason))
        self.clear(job.id)

    def clear(self, job_id: str) -> None:
        """Deletes everything of a job but its plan."""
        for name, blob in self.progress(job_id).blobs.items():
            if name != PLAN:
                self.storage.delete(STATE, blob.name)
