"""Videos at work over HTTP: long ones that are split, and short ones that a worker has."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import cast

import azure.functions as func

from cloud.index.default import default_index
from cloud.index.entry import Entry, Query
from cloud.instance import default_videos
from cloud.web.answers import JobDoc, JobListDoc
from cloud.web.operations import Call, NoQuery, operation
from cloud.web.problems import NotFound
from cloud.web.router import json_answer

_LISTED, _PAGE = 500, 200


@operation("GET", "v1/jobs", {200: JobListDoc})
def list_jobs(_: Call[NoQuery]) -> func.HttpResponse:
    """Videos at work, the newest first."""
    document: JobListDoc = {"jobs": [_job_of(entry) for entry in islice(_at_work(), _LISTED)]}
    return json_answer(document)


@operation("GET", "v1/jobs/{id}", {200: JobDoc})
def read_job(call: Call[NoQuery]) -> func.HttpResponse:
    """How far a video is."""
    videos = default_videos()
    if job := videos.jobs.read(call.name):
        return json_answer(videos.jobs.describe(job))
    return json_answer(_job_of(_entry(call.name)))


@operation("DELETE", "v1/jobs/{id}", {200: JobDoc})
def cancel_job(call: Call[NoQuery]) -> func.HttpResponse:
    """Ends the work on a video without a result, for good: until it is uploaded anew or replayed."""
    videos = default_videos()
    if job := videos.jobs.read(call.name):
        videos.cancel(job)
        return json_answer(videos.jobs.describe(videos.jobs.read(job.id) or job))
    entry = _entry(call.name)
    if not videos.ledger.cancel(entry.name):
        raise NotFound(f"the work on {entry.name[:100]!r} has ended; GET v1/uploads/{{name}} says how")
    return json_answer(cast(JobDoc, {**_job_of(entry), "state": "cancelled", "reason": "cancelled"}))


def _at_work() -> Iterator[Entry]:
    index, cursor = default_index(), None
    while True:
        page = index.page(Query(state="working"), cursor, _PAGE)
        yield from (entry for entry in page.entries if entry.job and entry.state == "working")
        if page.next is None:
            return
        cursor = page.next


def _entry(job: str) -> Entry:
    """The video at work that has this job. Raises NotFound."""
    found = next((entry for entry in _at_work() if entry.job == job), None)
    if found is None:
        raise NotFound(f"there is no job {job[:100]!r}; GET v1/jobs lists the videos at work")
    return found


def _job_of(entry: Entry) -> JobDoc:
    return {
        "id": entry.job,
        "name": entry.name,
        "state": "running",
        "reason": entry.message,
        "share": entry.share,
    }


OPERATIONS = (list_jobs, read_job, cancel_job)
