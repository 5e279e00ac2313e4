"""A sign of life while a step of a job runs, and the news that the job is over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cloud.storage.paths import printable
from cloud.uploads.ledger import Ledger
from cloud.videos.jobs import BEAT, Jobs, VideoJob

log = logging.getLogger(__name__)

# Raises Gone once the job is over; cheap enough for every frame.
Check = Callable[[], None]


class Gone(Exception):
    """The job was cancelled, or its upload belongs to another job by now."""


@contextmanager
def alive(jobs: Jobs, ledger: Ledger, job: VideoJob, begin_thread: Callable[[], None]) -> Iterator[Check]:
    """While the block runs: two calls every quarter of a lease, in a thread that calls `begin_thread` first."""
    gone, stop = threading.Event(), threading.Event()

    def beat() -> None:
        begin_thread()
        while not stop.wait(ledger.lease_s / 4):
            try:
                stored = ledger.read(job.name)
                if stored is None or (stored.receipt.state, stored.receipt.job) != ("job", job.id):
                    gone.set()
                    return
                jobs.put(job, BEAT, b"")
            except Exception as error:  # noqa: BLE001 - the work itself goes on, and meets the same trouble
                log.warning("%s", printable(f"job {job.id}: no sign of life was given ({error})"))

    def check() -> None:
        if gone.is_set():
            raise Gone

    thread = threading.Thread(target=beat, name=f"dropsight-job-{job.id}", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        stop.set()
        thread.join()
