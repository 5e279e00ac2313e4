"""handle(event): claim -> fetch -> analyze -> write -> complete."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import inference
from cloud.models.serving_models import ServingModels
from cloud.settings import UPLOADS, Settings, app_identity
from cloud.storage.containers import Reading, Storage
from cloud.storage.paths import canonical, output_path, printable
from cloud.storage.scratch import scratch
from cloud.uploads import publish
from cloud.uploads.events import Again, BlobEvent, Outcome
from cloud.uploads.intake import PAUSED, is_paused
from cloud.uploads.ledger import Claim, Ledger, Refusal
from cloud.uploads.plans import Planner, UploadPlan, packages_of
from cloud.uploads.publish import Superseded
from cloud.uploads.receipt_blobs import BlobReceipts, sidecar_text
from cloud.uploads.receipts import Receipt, make_key
from cloud.uploads.retry import decide, is_fault_of_file
from cloud.uploads.sweep_mark import note_pause
from inference.clutter import is_clutter
from inference.engine.pinned import PinnedModels
from inference.engine.registry import Registry
from inference.errors import (
    DropsightError,
    ModelReplaced,
    NotReady,
    Permanent,
    ServiceBusy,
    StorageUnavailable,
    UnsupportedMedia,
)
from inference.extras import extra
from inference.image.limits import Limits
from inference.image.sniff import sniff
from inference.results.result import Source, error_document, new_trace
from inference.routes import Route
from inference.routes_file import Routes, sidecar_target
from inference.steps import Analysis, OnProgress

log = logging.getLogger(__name__)

_VERSIONS = 5  # how often a delivery follows an upload that is overwritten while it is worked on
_AGAIN = Outcome("again")


# Plans the parts of a long video and returns what starts them, None for a short video; Videos.split.
Split = Callable[[Claim[UploadPlan], Reading, str, str], Callable[[], Outcome] | None]


class UploadWorker:
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
        self.storage = storage
        self.settings = settings
        self.registry = registry
        self.planner = Planner(routes, registry, settings.sweep_schedule)
        self.ledger = Ledger(BlobReceipts(storage), settings.lease_seconds, app_identity())
        self.limits = Limits(bytes=settings.max_image_bytes, seconds=settings.picture_seconds)
        # The host may run a thousand threads, and a thread of ours holds a decoded picture.
        self.places = threading.BoundedSemaphore(settings.max_concurrent)

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
        with self.places:
            for _ in range(_VERSIONS):
                outcome = self._handle_version(event)
                if outcome.status != "again":
                    return outcome
        what = f"it, its sidecar or a model was replaced {_VERSIONS} times while it was analysed"
        raise StorageUnavailable(f"{event.name}: {what}; it is tried again")

    def _put_off(self, name: str) -> Outcome:
        """Intake is paused. What a sidecar says is noted, lest its upload be analysed without it afterwards; its own
        receipt is left to the sweep, which then takes both."""
        log.info("%s: %s", printable(name), PAUSED)
        if not self._pause_noted:  # a pause may end before a sweep has seen it
            self._pause_noted = True
            with suppress(StorageUnavailable):
                note_pause(self.storage, self.ledger.deployment)
        with suppress(UnsupportedMedia):  # of a name that nobody can address: recorded afterwards
            target = None if is_clutter(name) else sidecar_target(canonical(name))
            if target and (sidecar := self.storage.open(UPLOADS, canonical(name))):
                self.ledger.override(target, sidecar_text(sidecar))
        return Outcome("waiting")

    @contextmanager
    def place(self, patience_s: float) -> Iterator[None]:
        """One of the places for an upload in work. Raises ServiceBusy if none gets free in time."""
        if not self.places.acquire(timeout=patience_s):
            raise ServiceBusy(f"all {self.settings.max_concurrent} places were taken for {patience_s:.3g} s; try later")
        try:
            yield
        finally:
            self.places.release()

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
            publish.write_error(self.storage, receipt, error_document(_source(receipt), error, trace))
            return Outcome("failed", 1)
        reading = self.storage.open(UPLOADS, name)
        if reading is None:
            log.info("%s was deleted before it was analysed", printable(name))
            return Outcome("dropped")
        if reading.info.is_folder:
            return Outcome("ignored")
        if target := sidecar_target(name):
            return self._sidecar(reading, target, event)
        claim = self._claimed(name, reading, event.again if event.cause == "replay" else None, event.replay)
        if not isinstance(claim, Claim):
            return Outcome(claim)
        with self.ledger.hold(claim, event.begin_thread):
            return self._work(claim, reading, trace)

    def _claimed(
        self, name: str, reading: Reading, again: Again | None, replay: str = ""
    ) -> Claim[UploadPlan] | Refusal:
        """The claim of an upload; or why there is none, which the log has too."""
        plan = UploadPlan("")

        def plan_for(override: str | None) -> UploadPlan:
            nonlocal plan
            plan = self.planner.plan(reading.info, override, now=again is not None)
            return plan

        claim = self.ledger.claim(name, reading.info.etag, plan_for, again=again, replay=replay)
        if claim == "waiting" and plan.blocked:
            log.warning("%s", printable(f"{name} waits for {plan.cause}: {plan.blocked}"))
        elif not isinstance(claim, Claim):
            log.info("%s: nothing to do (%s)", printable(name), claim)
        return claim

    def _sidecar(self, reading: Reading, target: str, event: BlobEvent) -> Outcome:
        """Note an override, then bring the upload that it speaks of up to date."""
        info = reading.info
        text = sidecar_text(reading)
        claim = self.ledger.claim(
            info.name, info.etag, lambda _: UploadPlan(make_key(UPLOADS, info.name, info.etag, "sidecar"))
        )
        if not isinstance(claim, Claim):
            return Outcome(claim)
        try:
            with self.ledger.hold(claim, event.begin_thread):
                self.ledger.override(target, text)
                # Absent: its own delivery will find the override. Busy: its worker will, when it finishes.
                self._handle_version(replace(event, name=target, cause="trigger"))
        except Exception:
            self.ledger.finish(claim, "retry")
            raise
        self.ledger.finish(claim, "done")
        return Outcome("done", claim.receipt.attempt)

    def _work(self, claim: Claim[UploadPlan], reading: Reading, trace: str) -> Outcome:
        receipt = claim.receipt
        try:
            end = self._analyzed(claim, reading, trace)
        except Superseded as how:
            return self._superseded(claim, how)
        except Exception as error:
            cause = self.planner.cause(claim.plan.route, error)
            if isinstance(cause, NotReady):
                waits = self._wait(claim, cause)
                return _AGAIN if isinstance(cause, ModelReplaced) else waits
            retry = decide(cause, receipt.attempt, self.settings.max_attempts)
            if retry == "never":
                return self.fail(claim, error, trace)
            # Given back, so that the next attempt does not wait for the end of the lease.
            self.ledger.finish(claim, "retry", reason=str(cause))
            if retry == "later":
                raise
            return _AGAIN
        return end()

    def _wait(self, claim: Claim[UploadPlan], error: NotReady) -> Outcome:
        """Let the upload wait for the installation. Raises only where its receipt cannot be written."""
        name = claim.receipt.name
        ended = self.ledger.wait(claim, error.cause, str(error), self.planner.next_look(datetime.now(UTC)))
        how = f"waits for {error.cause}" if error.cause else "is planned anew"
        log.warning("%s", printable(f"{name} {how}: {error}"))
        return _AGAIN if ended == "changed" else Outcome("waiting", cause=error.cause)

    def _done(self, claim: Claim[UploadPlan], result_etag: str, trace: str) -> Outcome:
        ended = self.ledger.finish(claim, "done", result_etag=result_etag)
        if ended == "lost" and self.storage.head(UPLOADS, claim.receipt.name) is None:
            publish.withdraw(self.storage, claim.receipt, result_etag)
            return Outcome("dropped", claim.receipt.attempt)
        log.info("%s: analysed (trace %s)", printable(claim.receipt.name), trace)
        return _AGAIN if ended == "changed" else Outcome("done", claim.receipt.attempt)

    def _superseded(self, claim: Claim[UploadPlan], error: Superseded) -> Outcome:
        self.ledger.finish(claim, "dropped" if error.how == "deleted" else "retry", reason=str(error))
        return Outcome("dropped", claim.receipt.attempt) if error.how == "deleted" else _AGAIN

    def _analyzed(self, claim: Claim[UploadPlan], reading: Reading, trace: str) -> Callable[[], Outcome]:
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
        if receipt.attempt > 1 and (etag := publish.already_published(self.storage, receipt)):
            return partial(self._done, claim, etag, trace)
        assert plan.route
        media_type = sniff(reading.head)
        if media_type.startswith("video/"):
            for package in packages_of(plan.route):
                extra(package)  # before a video is fetched in vain, at every sweep
            if start := self.split(claim, reading, media_type, trace):
                return start
        with self.media(reading) as media:
            source = _source(receipt, reading.info.size)
            analysis = self.analyze(media, plan.route, source, trace, progress=claim.note, models=plan.models)
            return partial(self._done, claim, publish.publish(self.storage, receipt, analysis), trace)

    def analyze(
        self,
        media: bytes | Path,
        route: Route,
        source: Source,
        trace: str,
        *,
        artifacts: bool = True,
        progress: OnProgress | None = None,
        models: Registry | None = None,
    ) -> Analysis:
        """The engine, with this app's models and limits. models: those of a plan, in place of those that serve now."""
        models = models or PinnedModels(self.registry, [name for _, name in route.models()])
        return inference.analyze(
            media, route, models, source,
            limits=self.limits, artifacts=artifacts, trace=trace, progress=progress,
        )  # fmt: skip

    @contextmanager
    def media(self, reading: Reading) -> Iterator[bytes | Path]:
        """The content where it belongs: pictures in memory, videos in a temporary file, under their limits."""
        if sniff(reading.head).startswith("image/"):
            yield reading.read(self.settings.max_image_bytes)
            return
        size, limit = reading.info.size, self.settings.max_video_bytes
        with scratch(size if size <= limit else 0) as folder:
            yield reading.save(folder / "media", limit)

    def fail(self, claim: Claim[UploadPlan], error: Exception, trace: str) -> Outcome:
        """Record an error that no retry can mend; "again" where the upload was overwritten."""
        receipt = claim.receipt
        try:
            upload = publish.current_upload(self.storage, receipt)
        except Superseded as how:
            return self._superseded(claim, how)
        message = str(error) if receipt.name in str(error) else f"{receipt.name}: {error}"
        _log_failure(error, f"{printable(message)} (attempt {receipt.attempt}, trace {trace})")
        document = error_document(_source(receipt, upload.size), error, trace)
        document["error"]["message"] = message
        version = publish.write_error(self.storage, receipt, document)
        ended = self.ledger.finish(claim, "failed", reason=message)
        if ended == "lost":
            publish.withdraw_error(self.storage, receipt, version)
        return _AGAIN if ended == "changed" else Outcome("failed", receipt.attempt)


def _log_failure(error: Exception, message: str) -> None:
    # A file's fault is its uploader's to mend, everything else an operator's; where it is a bug, it says where.
    level = logging.WARNING if is_fault_of_file(error) else logging.ERROR
    log.log(level, "%s: %s", type(error).__name__, message, exc_info=not isinstance(error, DropsightError) and error)


def _source(receipt: Receipt, size: int = 0) -> Source:
    return Source(UPLOADS, receipt.name, receipt.etag, size)
