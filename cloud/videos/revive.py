"""What the sweep does for split videos: goes on with silent jobs, and clears away what is over."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Mapping

from cloud.settings import STATE, UPLOADS
from cloud.storage.paths import printable
from cloud.uploads.events import BlobEvent
from cloud.uploads.plans import UploadPlan
from cloud.videos.heartbeat import silent_after, take_up
from cloud.videos.job_worker import SILENT_LEASES, Videos
from cloud.videos.jobs import AT_WORK, BEAT, ENDED, PLAN, PREFIX, BrokenPlan, JobProgress, VideoJob, path_of
from cloud.videos.messages import JOB_ID

log = logging.getLogger(__name__)

# How long GET /api/v1/jobs/<id> can say how a job ended.
REMEMBERED_S = 7 * 86400.0


def revive(videos: Videos, handed: Mapping[str, str] | None = None) -> int:
    """Goes through all jobs by a single listing; returns how many were sent on. No job's trouble stops the others.

    handed: uploads whose receipts said, before this, that a job has them, with its id ("" where it is not known). Where
    nothing is left of that job, they begin anew.
    """
    sent, living = 0, set()
    blobs = (blob for page in videos.storage.pages(STATE, PREFIX, size=5000) for blob in page.blobs)
    ours = (blob for blob in blobs if "/" in blob.name.removeprefix(PREFIX))
    for job_id, group in itertools.groupby(ours, lambda blob: blob.name.removeprefix(PREFIX).split("/", 1)[0]):
        progress = JobProgress(group, job_id)
        if PLAN not in progress.blobs or progress.blobs[PLAN].metadata.get("state") not in ENDED:
            living.add(job_id)  # a plan lies there before a receipt speaks of it
        try:
            sent += _revive_job(videos, job_id, progress)
        except Exception as error:  # noqa: BLE001 - a job may claim its upload anew and meet whatever that meets
            log.warning("%s", printable(f"job {job_id}: {type(error).__name__}: {error}"))
    for name in [name for name, job_id in (handed or {}).items() if job_id not in living]:
        try:
            _begin_anew(videos, name, living)
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("%s", printable(f"{name}: {type(error).__name__}: {error}"))
    return sent


def take_up_silent(videos: Videos) -> int:
    """Has the steps done anew whose workers died, of all jobs, also where nobody is at work who could see it; returns
    how many. A call where no step has been begun that is not done. No job's trouble stops the others."""
    silent_s = silent_after(videos.settings.lease_seconds)
    names = (blob.name for page in videos.storage.pages(STATE, PREFIX, size=5000) for blob in page.blobs)
    begun = {name.removeprefix(PREFIX).split("/", 1)[0] for name in names if f"/{AT_WORK}" in name}
    return sum(_taken_up(videos, job_id, silent_s) for job_id in sorted(begun))


def _taken_up(videos: Videos, job_id: str, silent_s: float) -> int:
    try:
        return take_up(videos.jobs, videos.queues, job_id, silent_s)
    except Exception as error:  # noqa: BLE001 - a plan that cannot be read, say: the other jobs do not wait for it
        log.warning("%s", printable(f"job {job_id}: {type(error).__name__}: {error}"))
        return 0


def _begin_anew(videos: Videos, name: str, living: Collection[str]) -> None:
    """Takes an upload back from a job of which nothing is left: an attempt of it that counts. Where the receipt itself
    cannot be read, claiming the upload decides."""
    stored = videos.ledger.read(name)
    if stored and stored.receipt.state not in ("job", "retry"):
        return
    if stored and stored.receipt.state == "job":
        job_id = stored.receipt.job or ""
        if job_id in living or _began_meanwhile(videos, job_id):
            return
        claim = videos.ledger.adopt(name, job_id, lambda _: UploadPlan(""))
        if claim and videos.ledger.finish(claim, "retry", reason=f"its job {job_id} is gone") != "lost":
            log.error("%s", printable(f"job {job_id} of {name} is gone: the upload begins anew"))
    videos.worker.handle(BlobEvent(UPLOADS, name))


def _began_meanwhile(videos: Videos, job_id: str) -> bool:
    """Whether a job that was not there when jobs were listed is there now; one call."""
    job = videos.jobs.read(job_id)
    return job is not None and job.state == "running"


def _revive_job(videos: Videos, job_id: str, progress: JobProgress) -> bool:
    if progress.quiet_s < videos.settings.lease_seconds:
        return False
    plan = progress.blobs.get(PLAN)
    try:
        # A plan that was written by hand lacks the metadata: only what says so is over.
        job = None if plan is None or plan.metadata.get("state") in ENDED else videos.jobs.read(job_id)
    except BrokenPlan as error:
        _give_back(videos, job_id, str(error))
        return False
    if job is not None and job.state == "running":
        return _send_again(videos, job, progress)
    if job is not None:  # it says so itself, and nobody else does: its upload may still wait for it
        videos.claim(job)
    if plan is None and JOB_ID.fullmatch(job_id):
        _give_back(videos, job_id, f"the plan {STATE}/{path_of(job_id, PLAN)} is gone")
        return False
    # Over: what a worker wrote that did not know, and in the end the plan itself.
    if set(progress.blobs) - {PLAN}:
        videos.jobs.clear(job_id)
    if plan and plan.age_s > REMEMBERED_S:
        videos.storage.delete(STATE, plan.name)
    return False


def _give_back(videos: Videos, job_id: str, why: str) -> None:
    """Ends a job without a plan, and begins its upload anew: an attempt of it that counts. Only its receipt still says
    which upload that is."""
    name = videos.ledger.store.handed_to(job_id)
    log.error("%s", printable(f"job {job_id} of {name or 'no upload any more'} ends: {why}"))
    claim = videos.ledger.adopt(name, job_id, lambda _: UploadPlan("")) if name else None
    if claim:
        videos.ledger.finish(claim, "retry", reason=why)
    videos.jobs.clear(job_id)
    videos.storage.delete(STATE, path_of(job_id, PLAN))
    if claim and name:
        videos.worker.handle(BlobEvent(UPLOADS, name))


def _send_again(videos: Videos, job: VideoJob, progress: JobProgress) -> bool:
    """Sends what is missing, where nothing has come of a job for a lease and no message waits."""
    claimed, missing = videos.claim(job), progress.missing(job)
    if claimed is None or videos.waits(job, claimed[0]):
        return False
    # A message that waits behind others, or is being worked on, is not lost: twice of all would fill the queue.
    if videos.queues.waiting(missing[0].stage) and progress.quiet_s < SILENT_LEASES * videos.settings.lease_seconds:
        return False
    log.warning(
        "job %s of %s: silent for %.0f s, sending %d again", job.id, printable(job.name), progress.quiet_s, len(missing)
    )
    videos.jobs.put(job, BEAT, b"")
    videos.queues.send(missing)
    return True
