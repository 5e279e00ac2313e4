"""The bodies of the queue functions: a message brings its job on by a step, or changes nothing.

A job belongs to a version of an upload and to a key, as the receipt says. Whoever takes a message looks there first,
at the upload, and at the key that the routes and models of today give; where any of them has changed, the job is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from cloud.places import Kind, NoPlace, behind_pictures
from cloud.settings import STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Conflict
from cloud.storage.paths import printable
from cloud.uploads import publish
from cloud.uploads.events import BlobEvent
from cloud.uploads.ledger import Claim
from cloud.uploads.plans import UploadPlan, load_models
from cloud.uploads.publish import Published, Superseded
from cloud.uploads.retry import decide
from cloud.uploads.upload_line import log_end
from cloud.uploads.upload_worker import VIDEO_PATIENCE_S, UploadWorker
from cloud.videos.heartbeat import Alive, Check, Gone
from cloud.videos.jobs import DETECTED, RENDERED, SENT, WAITS, BrokenPlan, Ended, JobProgress, Jobs, VideoJob, path_of
from cloud.videos.messages import Message, Queues
from cloud.videos.splitting import Splitter
from cloud.videos.stages import Stages
from inference.errors import Permanent
from inference.routes import Route

log = logging.getLogger(__name__)

# So many leases without a sign of life, and a job is dead, whatever waits in the queues.
SILENT_LEASES = 20
_ENDED: dict[str, Ended] = {"done": "done", "failed": "failed", "cancelled": "cancelled"}


def _seconds(wanted: float, most: int) -> int:
    """As a queue takes them: whole ones, one at least."""
    return max(1, min(most, int(wanted)))


class Videos:
    """Splits the long videos of a worker, and works on the jobs of all workers. Safe to use from many threads."""

    def __init__(self, worker: UploadWorker, queues: Queues) -> None:
        self.worker, self.queues = worker, queues
        self.storage, self.ledger, self.settings = worker.storage, worker.ledger, worker.settings
        self.jobs = Jobs(worker.storage)
        self.stages = Stages(self.jobs, worker.registry)
        splitter = Splitter(worker, queues, self.jobs)
        self.split, self.leave = splitter.split, splitter.leave

    def deliver(self, message: Message, attempt: int, begin_thread: Callable[[], None] = lambda: None) -> None:
        """Does what a message asks for. Raises what may pass, until the last `attempt`; then the failure is recorded.

        begin_thread: makes the log lines of a thread those of this invocation.
        """
        self.worker.refresh_models()
        job = self._job_of(message)
        claimed = self.claim(job) if job else None
        if job is None or claimed is None:
            log.info("job %s: nothing to do for %s %d", message.job, message.stage, message.part)
            return
        claim, upload = claimed
        if self._is_put_back(job, claim, message):
            return
        attempt += message.attempts
        if message.attempts and attempt > self.settings.max_attempts:
            self.poison(message)  # which the host does not, since it has seen fewer
            return
        try:
            # Whoever was killed at it has the worker for itself the next time: no other work dies with it.
            died = attempt > 1 or (message.stage == "whole" and claim.receipt.suspect)
            kind: Kind = "alone" if died else "video"
            step = replace(message, attempts=attempt)
            # Also while it waits for a place: killed then, its message would be hidden as long.
            with (
                Alive(self.jobs, self.queues, self.ledger, job, step, begin_thread).signs() as alive,
                self.worker.places.take(kind, VIDEO_PATIENCE_S),
            ):
                if message.stage in ("whole", "detect"):
                    load_models(claim.plan)
                behind_pictures(lambda: self._step(job, claim, upload, message, alive), begin_thread)
        except NoPlace:
            # Anew, so that no attempt is spent; the host ends whoever waits too long.
            self.queues.send([replace(message, attempts=attempt - 1)], 10)
        except (Gone, Superseded):
            self.claim(job)  # notes how it ended
            ended = self.jobs.read(job.id)
            how = ended.state if ended else "gone"
            log.info("%s", printable(f"{job.name}: {message.words(len(job.parts))} was stopped, as the job is {how}"))
        except Exception as error:
            if self._is_again(job, claim, message, error, attempt):
                raise

    def _is_again(
        self, job: VideoJob, claim: Claim[UploadPlan], message: Message, error: Exception, attempt: int
    ) -> bool:
        """Whether the message has to be delivered again after an error; notes what else follows from it."""
        error = self.worker.planner.cause(claim.plan.route, error)
        retry = decide(error, attempt, self.settings.max_attempts)
        if retry in ("mended", "passed"):
            self._put_back(job, message, str(error))
            return False
        if not isinstance(error, Permanent):
            current = self.claim(job)
            if current is None:
                return False  # over meanwhile: its work was deleted under our hands
            claim = current[0]
            if self._is_put_back(job, claim, message):
                return False
        if retry != "never":
            return True
        log.debug("job %s: %s failed in attempt %d", job.id, message.stage, attempt)
        self.fail(job, claim, error)
        return False

    def waits(self, job: VideoJob, claim: Claim[UploadPlan]) -> bool:
        """Whether a job that goes on waits here: for the installation, or for its own deployment, which is at it."""
        return claim.plan.key != job.key

    def _is_put_back(self, job: VideoJob, claim: Claim[UploadPlan], message: Message) -> bool:
        """Whether the message waits, and was put back for that."""
        if not self.waits(job, claim):
            return False
        if claim.plan.blocked:
            self._put_back(job, message, claim.plan.blocked)
        else:
            log.info("job %s: %s %d is left to %s", job.id, message.stage, message.part, printable(job.deployment))
            self.queues.send([message], _seconds(self.settings.lease_seconds / 4, 10))
        return True

    def _put_back(self, job: VideoJob, message: Message, why: str) -> None:
        """Lets a message wait until the installation is mended: sent anew, so that no attempt and none of its time is
        spent; the one that was delivered ends with the function. Raises StorageUnavailable."""
        log.error("%s", printable(f"job {job.id} of {job.name} waits: {why}"))
        self.jobs.put(job, WAITS, b"")  # or `revive` would send it, too
        self.queues.send([message], _seconds(self.settings.lease_seconds / 2, 60))

    def poison(self, message: Message) -> None:
        """A message that the host gave up: its workers were killed at every attempt."""
        job = self._job_of(message)
        claimed = self.claim(job) if job else None
        if job and claimed and claimed[0].plan.blocked:
            self._put_back(job, message, claimed[0].plan.blocked)
        elif job and claimed:
            what = f"segment {message.part}" if message.stage in ("detect", "render") else "it as a whole"
            verb = "analyse" if message.stage == "whole" else message.stage
            why = f"all attempts to {verb} {what} ended without a word: the workers were killed, ran out of "
            why += "memory or out of time; set VIDEO_SEGMENT_SECONDS lower or take a larger plan, then replay it"
            self.fail(job, claimed[0], Permanent(why))

    def _job_of(self, message: Message) -> VideoJob | None:
        try:
            return self.jobs.read(message.job)
        except BrokenPlan as error:  # no attempt would mend it: `revive` gives the upload back
            log.error("job %s: %s", message.job, error)
            return None

    def claim(self, job: VideoJob) -> tuple[Claim[UploadPlan], BlobInfo] | None:
        """The upload of a job that goes on, here or (see `waits`) elsewhere; None where it is over, which is noted."""
        if job.state != "running":
            # Its upload may still wait for it, where the job was taken for dead before the upload was handed to it.
            left = self.ledger.adopt(job.name, job.id, lambda _: UploadPlan(""))
            if left:
                self.ledger.finish(left, "retry", reason=f"its job was {job.state}")
            return None
        upload = self.storage.head(UPLOADS, job.name)
        claim = self.ledger.adopt(job.name, job.id, lambda override: self._plan(upload, override))
        if claim is None:
            stored = self.ledger.read(job.name)
            ended: Ended = "superseded"
            if stored and stored.receipt.job == job.id:
                ended = _ENDED.get(stored.receipt.state, ended)
            self.jobs.end(job, ended, stored.receipt.reason if stored else "")
            return None
        if upload is None:
            self._stop(job, claim, "dropped", "deleted while it was analysed")
        elif upload.etag != job.etag:
            self._stop(job, claim, "retry", "overwritten while it was analysed")
        elif self.waits(job, claim) and not claim.plan.blocked and not self._is_at_work_elsewhere(job):
            self._stop(job, claim, "retry", "its route or a model changed while it was analysed")
        else:
            claim.seen = upload.served_at
            return claim, upload
        return None

    def _is_at_work_elsewhere(self, job: VideoJob) -> bool:
        """Whether another deployment, with routes and models of its own, has begun the job and goes on with it."""
        if job.deployment in ("", self.ledger.deployment):
            return False
        return self.jobs.progress(job.id).idle_s < SILENT_LEASES * self.settings.lease_seconds

    def cancel(self, job: VideoJob) -> None:
        """Ends a running job without a result, for good: until the upload changes or is replayed."""
        claim = self.ledger.adopt(job.name, job.id, lambda _: UploadPlan(""))  # whatever would be done with it today
        if claim is None:
            self.claim(job)  # notes how it ended
        elif self.ledger.finish(claim, "cancelled", reason="cancelled") != "lost":
            self.jobs.end(job, "cancelled", "cancelled")

    def fail(self, job: VideoJob, claim: Claim[UploadPlan], error: Exception) -> None:
        """Records an error that no retry can mend."""
        outcome = self.worker.ends.fail(claim, error, job.trace)
        if claim.lost:
            return
        self.jobs.end(job, "failed" if outcome.status == "failed" else "superseded", str(error))
        if outcome.status == "again":
            self.worker.handle(BlobEvent(UPLOADS, job.name))

    def _plan(self, upload: BlobInfo | None, override: str | None) -> UploadPlan:
        return UploadPlan("") if upload is None else self.worker.planner.plan(upload, override, now=True)

    def _stop(self, job: VideoJob, claim: Claim[Any], state: Literal["dropped", "retry"], reason: str) -> None:
        ended = self.ledger.finish(claim, state, reason=reason)
        if ended == "lost":
            return
        self.jobs.end(job, "superseded", reason)
        if state == "retry":
            # Its own delivery may have come and gone while the job had the upload.
            self.worker.handle(BlobEvent(UPLOADS, job.name))

    def _step(self, job: VideoJob, claim: Claim[UploadPlan], upload: BlobInfo, message: Message, alive: Alive) -> None:
        """Does what the message asks for, if it is not done; then sends what follows, if this was the last."""
        route, number, check = claim.plan.route, message.part, alive.check
        assert route
        progress = self.jobs.drop_spoilt(job, self.jobs.progress(job.id))
        if message not in progress.missing(job):
            log.info("job %s: %s %d is done already", job.id, message.stage, number)
        elif message.stage == "whole":
            self._as_a_whole(job, claim, alive)
            return
        elif message.stage == "join":
            self._publish(job, claim, upload, route, progress, check)
            return
        elif message.stage == "merge":
            self.stages.of(claim.plan.models).merge(job, route, progress.pictures, check)
        else:
            stages = self.stages.of(claim.plan.models)
            step = stages.detect if message.stage == "detect" else stages.render
            step(job, upload, route, number, check)
        progress = self.jobs.progress(job.id)
        claim.share = (len(progress.parts(DETECTED)) + len(progress.parts(RENDERED))) / max(1, 2 * len(job.parts))
        self.ledger.notes.renewed(claim)
        self._follow(job, progress, message)

    def _follow(self, job: VideoJob, progress: JobProgress, message: Message) -> None:
        """Sends what comes after the last segment, or after the merge, unless somebody has sent all of it: whose worker
        at this step died, may have died in the middle of that."""
        missing = progress.missing(job)
        stage, died = missing[0].stage, message.attempts > 0
        marker = f"{SENT}{stage}"
        sent = progress.blobs.get(marker)
        if stage in ("detect", message.stage) or (sent and (not died or "all" in sent.metadata)):
            return
        try:
            etag = self.jobs.put(job, marker, b"", if_absent=not died)
        except Conflict:
            return
        try:
            self.queues.send(missing)
        except Exception:
            self.storage.delete(STATE, path_of(job.id, marker))
            raise
        with suppress(Conflict):  # what was sent is done, and with it the job
            self.jobs.put(job, marker, b"", metadata={"all": "sent"}, if_match=etag)

    def _as_a_whole(self, job: VideoJob, claim: Claim[UploadPlan], alive: Alive) -> None:
        """Does with a video that had to wait what is done with one that comes in: analyses it, or splits it."""
        published = publish.already_published(self.storage, claim.receipt)
        if published is None:
            reading = self.storage.open(UPLOADS, job.name, job.etag)
            if reading is None:
                raise Gone
            if start := self.split(claim, reading, job.source.media_type or "", job.trace):
                start()
                self.jobs.end(job, "superseded", "it was split, and another job has it")
                return
            published = self.worker.published(claim, reading, job.trace, alive.progress)
        self._end(job, claim, published)

    def _publish(
        self,
        job: VideoJob,
        claim: Claim[UploadPlan],
        upload: BlobInfo,
        route: Route,
        progress: JobProgress,
        goes_on: Check,
    ) -> None:
        published = publish.already_published(self.storage, claim.receipt)
        if published is None:
            with self.stages.joined(job, upload, route, progress, goes_on) as analysis:
                check = partial(self._check_ours, claim)
                blurred = bool(route.draw.blur)
                published = publish.publish(self.storage, claim.receipt, analysis, check, blurred=blurred)
        self._end(job, claim, published)

    def _end(self, job: VideoJob, claim: Claim[UploadPlan], published: Published) -> None:
        """The result is there: the upload is done, and so is its job."""
        ended = self.worker.ends.complete(claim, published)
        if ended == "changed":
            raise Gone  # a sidecar came in: its delivery, or the sweep, claims the upload anew
        if ended == "ok":
            self.jobs.end(job, "done")
            how = "analysed" if job.whole else f"analysed in {len(job.parts)} segments"
            log_end(claim, how, job.trace, since=job.created)

    def _check_ours(self, claim: Claim[UploadPlan]) -> None:
        """Raises Superseded where the upload is not the job's any more: other workers of the job share its claim, and
        may have ended it."""
        holder = self.ledger.holder(claim)
        if claim.lost or holder is None or holder.state != "job":
            raise Superseded("lost")
