"""What is known of a split video's job: its plan, and how far it has come, both in `state/jobs/<id>/`.

`job.json` is the plan, and at the end how it ended. Everything else there is work that is done: one blob each, written
in one commit and never changed, so whatever is there need not be done again. Names say what and which part.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from cloud.settings import STATE
from cloud.storage.containers import BlobInfo, Storage
from cloud.videos.messages import JOB_ID, Message, Stage
from inference.results.result import Source
from inference.video.split import Part

Ended = Literal["done", "failed", "cancelled", "superseded"]
PREFIX = "jobs/"
PLAN, STORY, BEAT = "job.json", "story.json", "beat"
DETECTED, TOLD, RENDERED, STILLS, FILES = "segments/", "told/", "renders/", "stills/", "files/"
ENDINGS = {DETECTED: ".jsonl.gz", TOLD: ".jsonl.gz", RENDERED: ".mp4"}


@dataclass(frozen=True)
class Job:
    """One version of one upload, by one key, in parts. `source` is the document's, as far as it is known."""

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
    facts: dict[str, Any] | None = None  # of the route's models; None: planned before plans had them
    state: Literal["running"] | Ended = "running"
    reason: str = ""

    def ended(self, state: Ended, reason: str = "") -> Job:
        """The job when it is over."""
        return replace(self, state=state, reason=reason)

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Job:
        """The way back."""
        parts = tuple(Part.from_json(part) for part in document["parts"])
        return cls(**{**document, "parts": parts, "source": Source(**document["source"])})


def work(kind: str, number: int) -> str:
    """The name of a part's blob, below the job's folder."""
    return f"{kind}{number:04}{ENDINGS[kind]}"


class JobProgress:
    """What is done of a job, by one listing of its blobs (one call for a thousand)."""

    def __init__(self, blobs: Iterable[BlobInfo], job_id: str) -> None:
        folder = f"{PREFIX}{job_id}/"
        self.blobs = {blob.name.removeprefix(folder): blob for blob in blobs}
        self.merged = STORY in self.blobs
        # Seconds since anybody wrote anything; the plan itself counts, else a job were dead when it starts.
        self.quiet_s = min((blob.age_s for blob in self.blobs.values()), default=0.0)

    def parts(self, kind: str) -> set[int]:
        """The parts of which this is done."""
        ending = ENDINGS[kind]
        return {
            int(name.removeprefix(kind).removesuffix(ending))
            for name in self.blobs
            if name.startswith(kind) and name.endswith(ending)
        }

    def missing(self, job: Job) -> list[Message]:
        """The messages that bring the job on from here."""
        if self.merged:
            text = self.blobs[STORY].metadata.get("renders", "")
            wanted = [int(number) for number in text.split(",") if number]
            return _messages(job, "render", wanted, self.parts(RENDERED)) or [Message(job.id, "join")]
        numbers = [part.number for part in job.parts]
        return _messages(job, "detect", numbers, self.parts(DETECTED)) or [Message(job.id, "merge")]


def _messages(job: Job, stage: Stage, wanted: Iterable[int], done: set[int]) -> list[Message]:
    return [Message(job.id, stage, number) for number in wanted if number not in done]


class Jobs:
    """The jobs of one account."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def write(self, job: Job) -> None:
        """Writes the plan; one call."""
        path = f"{PREFIX}{job.id}/{PLAN}"
        self.storage.write_json(STATE, path, job.to_json(), metadata={"state": job.state})

    def read(self, job_id: str) -> Job | None:
        """The job, or None where there is none (any more); one call."""
        stored = self.storage.read(STATE, f"{PREFIX}{job_id}/{PLAN}")
        return None if stored is None else Job.from_json(json.loads(stored[0]))

    def find(self, requested: str) -> Job | None:
        """As `read`, for an id that anybody may have written."""
        return self.read(requested) if JOB_ID.fullmatch(requested) else None

    def progress(self, job_id: str) -> JobProgress:
        """What is done so far."""
        return JobProgress(
            (blob for page in self.storage.pages(STATE, f"{PREFIX}{job_id}/") for blob in page.blobs), job_id
        )

    def put(self, job: Job, name: str, data: Any, **options: Any) -> None:
        """Writes one blob of the job, in one commit."""
        self.storage.write(STATE, f"{PREFIX}{job.id}/{name}", data, **options)

    def end(self, job: Job, state: Ended, reason: str = "") -> None:
        """Notes how the job ended and deletes its work; a call a blob."""
        self.write(job.ended(state, reason))
        self.clear(job.id)

    def clear(self, job_id: str) -> None:
        """Deletes everything of a job but its plan."""
        for name, blob in self.progress(job_id).blobs.items():
            if name != PLAN:
                self.storage.delete(STATE, blob.name)
