"""What the sweep does for split videos: goes on with silent jobs, and clears away what is over."""

from __future__ import annotations

import itertools
import logging

from cloud.settings import STATE
from cloud.videos.job_worker import Videos
from cloud.videos.jobs import PLAN, PREFIX, JobProgress

log = logging.getLogger(__name__)

# How long GET /api/jobs/<id> can say how a job ended.
REMEMBERED_S = 7 * 86400.0


def revive(videos: Videos) -> int:
    """Goes through all jobs by a single listing; returns how many were sent on. No job's trouble stops the others."""
    sent = 0
    blobs = (blob for page in videos.storage.pages(STATE, PREFIX, size=5000) for blob in page.blobs)
    for job_id, group in itertools.groupby(blobs, lambda blob: blob.name.removeprefix(PREFIX).split("/", 1)[0]):
        try:
            sent += _revive_job(videos, job_id, JobProgress(group, job_id))
        except Exception as error:  # noqa: BLE001 - a job may claim its upload anew and meet whatever that meets
            log.warning("job %s: %s: %s", job_id, type(error).__name__, error)
    return sent


def _revive_job(videos: Videos, job_id: str, progress: JobProgress) -> bool:
    if progress.quiet_s < videos.settings.lease_seconds:
        return False
    plan = progress.blobs.get(PLAN)
    job = videos.jobs.read(job_id) if plan and plan.metadata.get("state") == "running" else None
    if job is not None:
        return videos.revive(job, progress.quiet_s)
    # Over: what a worker wrote that did not know, and in the end the plan itself.
    if set(progress.blobs) - {PLAN}:
        videos.jobs.clear(job_id)
    if plan and plan.age_s > REMEMBERED_S:
        videos.storage.delete(STATE, plan.name)
    return False
