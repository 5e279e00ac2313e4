"""A sign of life of everybody who is at a step of a job, the news that the job is over, and what becomes of a step
whose worker gives no sign any more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from cloud.settings import STATE
from cloud.storage.containers import Conflict
from cloud.storage.paths import printable
from cloud.uploads.ledger import Ledger
from cloud.videos.jobs import AT_WORK, BEAT, TAKEN_UP, JobProgress, Jobs, VideoJob, path_of
from cloud.videos.messages import Message, Queues

log = logging.getLogger(__name__)

# Seconds between two looks whether the job goes on: so long a step goes on that was cancelled. At most a quarter of a
# lease.
LOOK_S = 5.0
# Seconds of silence after which a worker is taken for dead, by the clock of storage; at most a lease. With a look of
# every other worker at the job each quarter of it (a whole number of the looks above), and a queue that the host asks
# once a minute at least, the step is taken up within two minutes.
SILENT_S = 40.0

# Raises Gone once the job is over; cheap enough for every frame.
Check = Callable[[], None]


class Gone(Exception):
    """The job was cancelled, or its upload belongs to another job by now."""


def silent_after(lease_s: float) -> float:
    """Seconds without a sign of life, and the worker at a step counts as dead."""
    return min(SILENT_S, lease_s)


class Alive:
    """A worker at a step of a job: `with Alive(...) as alive`, which gives signs of life in a thread of its own.

    message: the step, with how many attempts at it there were, this one included. begin_thread: called in that thread
    first.
    """

    def __init__(
        self,
        jobs: Jobs,
        queues: Queues,
        ledger: Ledger,
        job: VideoJob,
        message: Message,
        begin_thread: Callable[[], None] = lambda: None,
    ) -> None:
        self._jobs, self._queues, self._ledger, self._job, self._message = jobs, queues, ledger, job, message
        self._begin_thread = begin_thread
        self._sign = f"{AT_WORK}{message.label}"
        self._gone, self._stop = threading.Event(), threading.Event()
        self._share: float | None = None
        self._trusts_from = 0.0  # by the monotonic clock

    def check(self) -> None:
        """Raises Gone once the job is over; cheap enough for every frame."""
        if self._gone.is_set():
            raise Gone

    def progress(self, done: int, expected: int | None) -> None:
        """As `check`, between two frames of about so many: the next sign says how far it is."""
        self.check()
        self._share = min(done / expected, 1.0) if expected else None

    @contextmanager
    def signs(self) -> Iterator[Alive]:
        """While the block runs there are signs of life. Raises StorageUnavailable where the first cannot be given."""
        self._give_sign()
        thread = threading.Thread(target=self._run, name=f"dropsight-job-{self._job.id}", daemon=True)
        thread.start()
        try:
            yield self
        except Exception as error:
            if not isinstance(error, Gone):
                with suppress(Exception):  # it is tried again: what is left says that somebody was there until now
                    self._jobs.put(self._job, BEAT, b"")
            raise
        finally:
            self._stop.set()
            thread.join()
            with suppress(Exception):  # else it is found to be old, and its step to be done
                self._jobs.storage.delete(STATE, path_of(self._job.id, self._sign))

    def _give_sign(self) -> None:
        metadata = {"attempt": str(self._message.attempts)}
        metadata |= {} if self._share is None else {"share": f"{self._share:.3f}"}
        self._jobs.put(self._job, self._sign, b"", metadata=metadata)

    def _run(self) -> None:
        self._begin_thread()
        silent_s, lease_s = silent_after(self._ledger.lease_s), self._ledger.lease_s
        signed = time.monotonic()
        while not self._stop.wait(min(LOOK_S, lease_s / 4)):
            try:
                stored = self._ledger.read(self._job.name)
                if stored is None or (stored.receipt.state, stored.receipt.job) != ("job", self._job.id):
                    self._gone.set()
                    return
                if time.monotonic() - signed < silent_s / 4:
                    continue
                self._give_sign()
                signed = self._signed_again(signed, silent_s)
                if signed >= self._trusts_from:
                    take_up(self._jobs, self._queues, self._job.id, silent_s)
            except Exception as error:  # noqa: BLE001 - the work itself goes on, and meets the same trouble
                log.warning("%s", printable(f"job {self._job.id}: no sign of life was given ({error})"))

    def _signed_again(self, signed: float, silent_s: float) -> float:
        """Now. Who could give no sign for so long (storage was out of reach, the machine asleep) was not dead, and
        others who are silent need not be: they have as long to come back before it says that they are."""
        now = time.monotonic()
        if now - signed >= silent_s:
            self._trusts_from = now + silent_s
        return now


def silent_steps(progress: JobProgress, job_id: str, silent_s: float) -> dict[Message, str]:
    """The steps whose workers have been silent for so long, with the names of their signs."""
    signs = {name: blob for name, blob in progress.blobs.items() if name.startswith(AT_WORK)}
    steps = {Message.labelled(job_id, name.removeprefix(AT_WORK)): name for name in signs}
    return {step: name for step, name in steps.items() if step and signs[name].age_s >= silent_s}


def take_up(jobs: Jobs, queues: Queues, job_id: str, silent_s: float) -> int:
    """Sends the steps of a job anew whose workers have been silent for so long; returns how many. A call where there
    are none. Their own messages come again, too, but only when the host's time for them is over.

    Who rewrites the sign sends the message, so that each death has one; who is killed or cut off before it is sent
    leaves a sign that grows old again. Raises StorageUnavailable.
    """
    if not silent_steps(jobs.progress(job_id, AT_WORK), job_id, silent_s):
        return 0
    job, progress = jobs.read(job_id), jobs.progress(job_id)
    if job is None or job.state != "running":
        return 0  # its work is cleared away
    missing, count = progress.missing(job), 0
    for step, name in silent_steps(progress, job_id, silent_s).items():
        again = replace(step, attempts=max(1, progress.said(name, "attempt")))
        sign = progress.blobs[name]
        with suppress(Conflict):  # it lives, after all
            metadata = {"attempt": str(again.attempts)}
            etag = jobs.put(job, name, b"", metadata=metadata, if_match=sign.etag)
            # Of a step that is done, its worker may have died before it sent what follows; nobody else does that.
            if step in missing or step.stage != missing[0].stage:
                queues.send([again])
                _say(jobs, job, again, sign.age_s)
                count += 1
            jobs.storage.delete(STATE, path_of(job_id, name), if_match=etag)
    return count


def _say(jobs: Jobs, job: VideoJob, step: Message, silent_s: float) -> None:
    words = f"{step.words(len(job.parts))} is taken up again: its worker was silent for {silent_s:.0f} s"
    log.warning("%s", printable(f"{job.name}: {words} (job {job.id})"))
    jobs.put(job, f"{TAKEN_UP}{step.label}", b"", metadata={"silent": f"{silent_s:.0f}"})
