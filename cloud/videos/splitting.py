"""A long video becomes a job: its parts are planned, and the upload is left to them. So does one that has to wait."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

from cloud.settings import UPLOADS
from cloud.storage.containers import Reading
from cloud.storage.paths import printable
from cloud.storage.ranged import RangedFile
from cloud.uploads.events import Outcome
from cloud.uploads.ledger import Claim
from cloud.uploads.plans import UploadPlan
from cloud.uploads.upload_worker import UploadWorker
from cloud.videos.jobs import Jobs, VideoJob
from cloud.videos.messages import Message, Queues
from inference.errors import LimitExceeded
from inference.results.result import Source
from inference.steps import naming
from inference.video.frames import VideoInfo
from inference.video.options import VideoOptions
from inference.video.read import probe, runs_past
from inference.video.split import prepare

log = logging.getLogger(__name__)

# What one message may take by estimate: the host would end an invocation after functionTimeout, ten minutes.
PART_LIMIT_S = 480.0


def _is_long(media: BinaryIO, info: VideoInfo, options: VideoOptions, limit_s: float) -> bool:
    """Whether more than `limit_s` seconds of it are analysed. A header that says so is enough: planning looks itself.

    A header that says less is checked: without a split, a clip longer than it claims would run out of time.
    """
    if options.end_s is not None and options.end_s - options.start_s <= limit_s:
        return False
    claimed = info.claimed_duration_s
    return claimed is None or claimed - options.start_s > limit_s or runs_past(media, options.start_s + limit_s)


class Splitter:
    """Splits the long videos of a worker. Safe to use from many threads."""

    def __init__(self, worker: UploadWorker, queues: Queues, jobs: Jobs) -> None:
        self._worker, self._queues, self._jobs = worker, queues, jobs

    def split(
        self, claim: Claim[UploadPlan], reading: Reading, media_type: str, trace: str
    ) -> Callable[[], Outcome] | None:
        """Writes the plan of a long video's job; returns what leaves the upload to the job, None for a short video.

        Reads the upload by ranges. Raises as `prepare`, Conflict where it was overwritten, LimitExceeded for a long
        video that cannot be split: as a whole it could run out of the function's time.
        """
        route, info = claim.plan.route, reading.info
        assert route
        if reading.packed:
            return None  # ranges of it are of the packed bytes
        options, limit = route.video_options, self._worker.settings.video_split_above_seconds
        with RangedFile(self._worker.storage, UPLOADS, info, reading.head) as file, naming(info.name):
            video = probe(file.binary, options)
            file.check()
            if not _is_long(file.binary, video, options, limit):
                file.check()
                return None
            if options.follow is not None:
                too_long = runs_past(file.binary, options.start_s + limit)  # the header may have claimed too much
                file.check()
                if not too_long:
                    return None
                raise LimitExceeded(
                    f"more than {limit:g} s of it would be analysed at once, since follow needs every frame in "
                    "order; cut the clip, give the route a range (video.start_s and end_s), or leave follow out"
                )
            segment_s = self._worker.settings.video_segment_seconds
            plan = prepare(
                file.binary, video, route, claim.plan.models or self._worker.registry, segment_s, PART_LIMIT_S
            )
            file.check()
        if len(plan.parts) < 2:
            return None
        job = VideoJob(
            secrets.token_hex(12), info.name, info.etag, claim.receipt.key, trace, time.time(), tuple(plan.parts),
            plan.width, plan.height, plan.fps, video.has_audio,
            Source(UPLOADS, info.name, info.etag, info.size, media_type), plan.facts,
            deployment=self._worker.ledger.deployment,
        )  # fmt: skip
        self._jobs.write(job)
        return partial(self._hand_over, claim, job)

    def leave(self, claim: Claim[UploadPlan], reading: Reading, media_type: str, trace: str) -> Callable[[], Outcome]:
        """Writes the plan of a job that does with a video as a whole what would be done here; returns what leaves the
        upload to it. Raises StorageUnavailable."""
        info = reading.info
        job = VideoJob(
            secrets.token_hex(12), info.name, info.etag, claim.receipt.key, trace, time.time(), (), 0, 0, 0.0, False,
            Source(UPLOADS, info.name, info.etag, info.size, media_type),
            whole=True, deployment=self._worker.ledger.deployment,
        )  # fmt: skip
        self._jobs.write(job)
        return partial(self._hand_over, claim, job)

    def _hand_over(self, claim: Claim[UploadPlan], job: VideoJob) -> Outcome:
        """Leaves the upload to the job and starts it; "again" where a sidecar came in meanwhile."""
        ended = self._worker.ledger.hand_over(claim, job.id)
        if ended != "ok":
            self._jobs.end(job, "superseded", "the upload was claimed anew")
            return Outcome("again" if ended == "changed" else "busy")
        how = "left to a worker with room for videos" if job.whole else f"split into {len(job.parts)} segments"
        log.info("%s: %s, job %s", printable(job.name), how, job.id)
        parts = [Message(job.id, "detect", part.number) for part in job.parts]
        self._queues.send(parts or [Message(job.id, "whole")])
        return Outcome("job", claim.receipt.attempt)
