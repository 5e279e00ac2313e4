"""handle(event): claim -> fetch -> analyze -> write -> complete."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial

from cloud.models.serving_models import ServingModels
from cloud.places import NoPlace, Places, behind_pictures
from cloud.settings import UPLOADS, Settings, app_identity
from cloud.storage.containers import BlobInfo, Reading, Storage
from cloud.storage.paths import canonical, output_path, printable
from cloud.uploads import publish
from cloud.uploads.claim_ends import ClaimEnds, source_of
from cloud.uploads.content_analysis import ContentAnalysis, noted
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.intake import PAUSED, is_paused
from cloud.uploads.ledger import Claim, Ledger, Refusal, Stopping
from cloud.uploads.plans import Planner, UploadPlan, load_models, packages_of
from cloud.uploads.publish import Superseded
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt
from cloud.uploads.sidecars import Sidecars
from cloud.uploads.sweep_mark import note_pause
from cloud.uploads.upload_line import is_logged
from cloud.uploads.watch import watched
from inference.clutter import is_clutter
from inference.engine.registry import Registry
from inference.errors import (
    Permanent,
    StorageRefused,
    StorageUnavailable,
    UnreadableMedia,
    UnsupportedMedia,
)
from inference.extras import extra
from inference.image.limits import Limits
from inference.image.sniff import sniff
from inference.results.result import error_document, new_trace
from inference.routes_file import Routes, sidecar_target

log = logging.getLogger(__name__)

_VERSIONS = 5  # how often a delivery follows an upload that is overwritten while it is worked on


# How long a video waits for a place before it is left to the queue, and everything else before it is left to the sweep:
# the host ends whoever takes functionTimeout, and with it all others that work in the process.
VIDEO_PATIENCE_S = 30.0
PATIENCE_S = 240.0

# Plans the parts of a long video and returns what starts them, None for a short video; Videos.split. The same of a
# video that has to wait, Videos.leave.
Split = Callable[[Claim[UploadPlan], Reading, str, str], Callable[[], Outcome] | None]


class UploadWorker(ContentAnalysis):
    """Handles events; a process has a single worker, which all threads share."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        routes: Routes,
        registry: Registry,
        models: ServingModels | None = None,
    ) -> None:
        self.models = models
        self._pause_noted = False
        self.split: Split = lambda *_: None
        self.leave: Split | None = None  # None: there is no queue, so that videos wait for their places here
        self.storage = storage
        self.settings = settings
        self.registry = registry
        self.planner = Planner(routes, registry, settings.sweep_schedule, inline_routes=settings.inline_routes)
        self.ledger = Ledger(BlobReceipts(storage), settings.lease_seconds, app_identity())
        self.ends = ClaimEnds(storage, self.ledger, self.planner, settings)
        self.sidecars = Sidecars(storage, self.ledger)
        self.limits = Limits(bytes=settings.max_image_bytes, seconds=settings.picture_seconds)
        # The host may run a thousand threads, and a thread of ours holds a decoded picture.
        self.places = Places(settings.max_concurrent)

    def handle(self, event: BlobEvent) -> Outcome:
        """Bring an upload to its result or its error record, unless somebody else works on it.

        Raises Transient, and whatever else may pass, so that the host delivers again.
        """
        if event.container.lower() != UPLOADS:
            # Event Grid filters by subscription only: a wide filter must not make us analyse our own results.
            log.warning("%s/%s is not an upload: ignored", event.container, printable(event.name))
            return Outcome("ignored")
        if is_paused(self.settings):
            return self._put_off(event.name)
        self.refresh_models()
        try:
            return self._handled(event)
        except NoPlace as error:
            if event.cause == "replay":
                raise
            if not is_logged(error):
                log.warning("%s", printable(f"{event.name} is left to the sweep: {error}"))
            return Outcome("waiting")

    def _handled(self, event: BlobEvent) -> Outcome:
        """The upload's newest version. Raises NoPlace, too."""
        for _ in range(_VERSIONS):
            with self.places.take("picture", _patience(event)):  # what turns out to be a video takes another
                outcome = self._handle_version(event)
            if outcome.status != "again":
                return outcome
        what = f"it, its sidecar or a model was replaced {_VERSIONS} times while it was analysed"
        raise StorageUnavailable(f"{event.name}: {what}; it is tried again")

    def _put_off(self, name: str) -> Outcome:
        """Intake is paused. What a sidecar says is noted, lest its upload be analysed without it afterwards; its own
        receipt is left to the sweep, which then takes both."""
        log.info("%s: %s", printable(name), PAUSED)
        self.ledger.notes.changed(name)
        if not self._pause_noted:  # a pause may end before a sweep has seen it
            self._pause_noted = True
            with suppress(StorageUnavailable):
                note_pause(self.storage, self.ledger.deployment)
        with suppress(UnsupportedMedia):  # of a name that nobody can address: recorded afterwards
            target = None if is_clutter(name) else sidecar_target(canonical(name))
            if target and (sidecar := self.storage.open(UPLOADS, canonical(name))):
                self.sidecars.note(target, sidecar)
        return Outcome("waiting")

    def refresh_models(self) -> None:
        """Serve what changed in the container `models`, if it is time to look."""
        if self.models:
            self.models.refresh()

    def _handle_version(self, event: BlobEvent) -> Outcome:
        """One version of the upload; "again" where it was overwritten meanwhile."""
        if is_clutter(event.name):
            return Outcome("ignored")
        trace = new_trace()
        try:
            name = canonical(event.name)
        except UnsupportedMedia as error:
            # No client can address this blob, so neither version nor receipt: the record is all there can be.
            log.error("%s", error)
            receipt = Receipt(event.name, "", "", "failed")
            publish.write_error(self.storage, receipt, error_document(source_of(receipt), error, trace), lambda: None)
            return Outcome("failed", 1)
        try:
            reading = self.storage.open(UPLOADS, name)
        except (UnreadableMedia, StorageUnavailable) as error:
            return self._unopened(name, error, event, trace)
        if reading is None:
            return self.ends.gone(name)
        if reading.info.is_folder:
            return Outcome("ignored")
        if target := sidecar_target(name):
            # Absent: its own delivery will find the override. Busy: its worker will, when it finishes.
            return self.sidecars.handle(
                reading, target, event, lambda: self._handle_version(replace(event, name=target, cause="trigger"))
            )
        claim = self._claimed(reading.info, event)
        if not isinstance(claim, Claim):
            return Outcome(claim)
        with self.ledger.hold(claim, event.begin_thread):
            outcome = self._work(claim, reading, trace, event)
        if claim.given_back:
            raise Stopping(name)  # else the host would delete a message that nobody else has
        return outcome

    def _unopened(
        self, name: str, error: UnreadableMedia | StorageUnavailable, event: BlobEvent, trace: str
    ) -> Outcome:
        """An upload that storage does not give: what becomes of it stands in its receipt. Raises the error where
        storage does not even say that it is there."""
        try:
            upload = self.storage.head(UPLOADS, name)
        except StorageUnavailable:
            raise error from None
        if upload is None:
            return self.ends.gone(name)
        if isinstance(error, UnreadableMedia):
            return self.ends.kept_back(upload, error, event, trace)
        if upload.is_folder or sidecar_target(name):
            raise error
        if isinstance(error, StorageRefused):
            error = StorageRefused(f"{error}; upload it anew, or replay it once storage gives it")
        claim = self._claimed(upload, event)
        if not isinstance(claim, Claim):
            return Outcome(claim)
        with self.ledger.hold(claim, event.begin_thread):
            return self.ends.after(claim, error, trace, event)

    def _claimed(self, info: BlobInfo, event: BlobEvent) -> Claim[UploadPlan] | Refusal:
        """The claim of an upload; or why there is none, which the log has too."""
        plan, again = UploadPlan(""), event.again if event.cause == "replay" else None

        def plan_for(override: str | None) -> UploadPlan:
            nonlocal plan
            plan = self.planner.plan(info, override, now=again is not None)
            return plan

        claim = self.ledger.claim(
            info.name, info.etag, plan_for, again=again, replay=event.replay, uploaded=info.modified.isoformat()
        )
        if isinstance(claim, Claim):
            claim.seen = info.served_at
        if claim == "busy" and self.ledger.stopped:
            raise Stopping(info.name)
        if claim == "waiting" and plan.blocked:
            log.warning("%s", printable(f"{info.name} waits for {plan.cause}: {plan.blocked}"))
        elif not isinstance(claim, Claim):
            log.debug("%s: nothing to do (%s)", printable(info.name), claim)
        if claim in ("done", "failed") and event.cause == "sweep":
            self.ends.settle(info.name)
        return claim

    def _work(self, claim: Claim[UploadPlan], reading: Reading, trace: str, event: BlobEvent) -> Outcome:
        try:
            with nullcontext() if self._is_left(reading, event) else self._alone(claim, event):
                end = self._analyzed(claim, reading, trace, event)
            return end()
        except Superseded as how:
            return self.ends.superseded(claim, how, trace)
        except Exception as error:  # noqa: BLE001 - it is raised there, where the host is to deliver again
            return self.ends.after(claim, error, trace, event)

    def _is_left(self, reading: Reading, event: BlobEvent) -> bool:
        """Whether it is a video that a sweep leaves to the queue, where it has the worker for itself if it must."""
        if not self.leave or event.cause != "sweep":
            return False
        with suppress(UnsupportedMedia):
            return sniff(reading.head).startswith("video/")
        return False

    @contextmanager
    def _alone(self, claim: Claim[UploadPlan], event: BlobEvent) -> Iterator[None]:
        """Keep everybody else out of this worker where a claim's last attempt killed a worker, or ran out of memory or
        time. Raises NoPlace."""
        if not claim.receipt.suspect:
            yield
            return
        with self.places.take("alone", _patience(event)):
            if not self.ledger.runs_alone(claim):
                raise Superseded("lost")
            yield

    def _analyzed(
        self, claim: Claim[UploadPlan], reading: Reading, trace: str, event: BlobEvent
    ) -> Callable[[], Outcome]:
        """The result, written, or the plan of a job; returns what ends the claim."""
        receipt, plan = claim.receipt, claim.plan
        if receipt.attempt > self.settings.max_attempts:
            made = f"{receipt.attempt - 1} attempts to analyse this file ended without a"
            if receipt.reason:
                raise Permanent(f"{made} result; the last: {receipt.reason}; replay it when that is over")
            raise Permanent(
                f"{made} word: the worker was killed, ran out of memory or out of time; try a smaller file or a "
                "larger plan, then replay it"
            )
        if plan.problem:
            raise plan.problem
        output_path(receipt.name)  # refuses names for whose results there is no room
        if receipt.claims > 1 and (published := publish.already_published(self.storage, receipt)):
            return partial(self.ends.done, claim, published, trace)
        media_type = sniff(reading.head)
        if not media_type.startswith("video/"):
            return partial(self.ends.done, claim, self.published(claim, reading, trace, claim.note), trace)
        self.ledger.notes.begun(claim)
        assert plan.route
        for package in packages_of(plan.route):
            extra(package)  # before a video is fetched in vain, at every sweep
        video = (claim, reading, media_type, trace)
        if self.leave and event.cause == "sweep" and (left := self.leave(*video)):
            return left  # its time is for many

        def work() -> Callable[[], Outcome]:
            if start := self.split(*video):
                return start
            return partial(self.ends.done, claim, self.published(claim, reading, trace, partial(noted, claim)), trace)

        try:
            with self._place_for_video(claim), watched(self.ledger, claim, event.begin_thread):
                load_models(plan)
                return behind_pictures(work, event.begin_thread)
        except NoPlace:
            if self.leave and (left := self.leave(*video)):
                return left
            raise

    def _place_for_video(self, claim: Claim[UploadPlan]) -> AbstractContextManager[None]:
        """A video's place; a suspect has them all."""
        if claim.receipt.alone:
            return nullcontext()
        return self.places.take("video", VIDEO_PATIENCE_S if self.leave else None)


def _patience(event: BlobEvent) -> float:
    """Seconds to wait for a place."""
    return max(0.0, min(PATIENCE_S, event.end - time.monotonic()))
