"""handle(event): claim -> fetch -> analyze -> write -> complete, for one upload."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inference import analyze as engine
from inference.errors import DropsightError, LimitExceeded, Permanent, ServiceBusy, StorageUnavailable
from inference.media import SNIFF_BYTES, Limits, sniff
from inference.registry import Registry
from inference.result import Source, error_document, new_trace
from inference.routes import Route, Routes, sidecar_target
from inference.steps import Analysis

from . import publish
from .events import BlobEvent
from .ledger import Claim, Ledger, Receipt, make_key
from .models.serving import ServingModels
from .once import once
from .paths import canonical, output_path, shown
from .plans import Planner, UploadPlan, app_routes
from .settings import UPLOADS, Settings, current
from .storage import Conflict, Reading, Storage, default_storage

if TYPE_CHECKING:
    from .videos.jobs import Job
    from .videos.worker import Videos

log = logging.getLogger(__name__)

MAX_SIDECAR_BYTES = 64 * 1024
_VERSIONS = 5  # how often one delivery follows an upload that is overwritten while it is worked on
_SPARE_DISK = 64 * 1024 * 1024

Status = Literal["done", "failed", "busy", "waiting", "job", "dropped", "ignored"]


@dataclass(frozen=True)
class Outcome:
    """How a delivery ended. `attempt` is 0 where nothing had to be done by us."""

    status: Status
    attempt: int = 0


class Worker:
    """Handles events; one per process, shared by all threads."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        routes: Routes,
        registry: Registry,
        models: ServingModels | None = None,
        queues: str | None = None,
    ) -> None:
        """`queues`: the setting that connects to the queues over which long videos are split; None splits none."""
        self.models = models
        self._queues = queues
        self.storage = storage
        self.settings = settings
        self.registry = registry
        self.planner = Planner(routes, registry)
        self.ledger = Ledger(storage, settings.lease_seconds, settings.max_attempts)
        self.limits = Limits(bytes=settings.max_image_bytes)
        # The host may run a thousand threads; each of ours holds a decoded picture.
        self.places = threading.BoundedSemaphore(settings.max_concurrent)

    def handle(self, event: BlobEvent) -> Outcome:
        """Bring one upload to its result, its error record, or to whoever has it already.

        Raises Transient, and whatever else may pass, so that the host delivers again.
        """
        if event.container.lower() != UPLOADS:
            # Event Grid filters by subscription only: a wide one must not make us analyse our own results.
            log.warning("%s/%s is not an upload: ignored", event.container, shown(event.name))
            return Outcome("ignored")
        self.refresh_models()
        with self.places:
            for _ in range(_VERSIONS):
                outcome = self._once(event)
                if outcome is not None:
                    return outcome
        raise StorageUnavailable(f"{event.name}: it was overwritten {_VERSIONS} times while being analysed")

    @cached_property
    def videos(self) -> Videos | None:
        """Splits long videos. Imported at the first video: pictures need no decoder of those."""
        if self._queues is None:
            return None
        from .videos.messages import Queues
        from .videos.worker import Videos

        return Videos(self, Queues(self._queues))

    @contextmanager
    def place(self, patience_s: float) -> Iterator[None]:
        """One of the places for an upload in work. Raises ServiceBusy if none gets free in time."""
        if not self.places.acquire(timeout=patience_s):
            raise ServiceBusy(f"all {self.settings.max_concurrent} places were taken for {patience_s:g} s; try later")
        try:
            yield
        finally:
            self.places.release()

    def refresh_models(self) -> None:
        """Serve what changed in the container `models`, if it is time to look."""
        if self.models:
            self.models.refresh()

    def _once(self, event: BlobEvent) -> Outcome | None:
        """One version of the upload; None where it was overwritten meanwhile."""
        trace = new_trace()
        try:
            name = canonical(event.name)
        except Permanent as error:
            # No client can address this blob, so neither version nor receipt: the record is all there can be.
            log.error("%s", error)
            receipt = Receipt(event.name, "", "", "failed")
            publish.write_error(self.storage, receipt, error_document(_source(receipt), error, trace))
            return Outcome("failed", 1)
        reading = self.storage.open(UPLOADS, name)
        if reading is None:
            log.info("%s was deleted before it was analysed", shown(name))
            return Outcome("dropped")
        if reading.info.metadata.get("hdi_isfolder") == "true":
            return Outcome("ignored")  # a folder of an account with a hierarchical namespace
        if target := sidecar_target(name):
            return self._sidecar(reading, target)
        again = event.cause == "replay"
        claim = self.ledger.claim(
            name, reading.info.etag, lambda override: self.planner.plan(reading.info, override, now=again), again=again
        )
        if not isinstance(claim, Claim):
            log.info("%s: nothing to do (%s)", shown(name), claim)
            return Outcome(claim)
        with self.ledger.hold(claim):
            return self._work(claim, reading, trace)

    def _sidecar(self, reading: Reading, target: str) -> Outcome:
        """Note an override, then bring the upload that it speaks of up to date."""
        info = reading.info
        try:
            text: str | None = reading.read(MAX_SIDECAR_BYTES).decode("utf-8").strip() or None
        except (UnicodeDecodeError, LimitExceeded):
            # No TOML either: it is refused, by its name, when the upload's route is looked for.
            text = f"not UTF-8 text of at most {MAX_SIDECAR_BYTES:,} bytes"
        claim = self.ledger.claim(
            info.name, info.etag, lambda _: UploadPlan(make_key(UPLOADS, info.name, info.etag, "sidecar"))
        )
        if not isinstance(claim, Claim):
            return Outcome(claim)
        try:
            with self.ledger.hold(claim):
                self.ledger.override(target, text)
                # Absent: its own delivery will find the override. Busy: its worker will, when it finishes.
                self._once(BlobEvent(UPLOADS, target))
        except Exception:
            with suppress(DropsightError):
                self.ledger.finish(claim, "retry")
            raise
        self.ledger.finish(claim, "done")
        return Outcome("done", claim.receipt.attempt)

    def _work(self, claim: Claim[UploadPlan], reading: Reading, trace: str) -> Outcome | None:
        receipt = claim.receipt
        try:
            published = self._published(claim, reading, trace)
        except Permanent as error:
            return self.fail(claim, error, trace)
        except Conflict:
            published = "overwritten"
        except Exception as error:
            if receipt.attempt >= self.settings.max_attempts:
                log.exception("%s: the last of %d attempts failed", shown(receipt.name), receipt.attempt)
                return self.fail(claim, error, trace)
            with suppress(DropsightError):  # if storage is gone, the lease ends by itself
                self.ledger.finish(claim, "retry", reason=str(error))
            raise
        if published == "overwritten":
            self.ledger.finish(claim, "retry", reason="overwritten while it was analysed")
            return None
        if published == "deleted":
            self.ledger.finish(claim, "dropped", reason="deleted while it was analysed")
            return Outcome("dropped", receipt.attempt)
        if not isinstance(published, Receipt):
            assert self.videos
            return self.videos.hand_over(claim, published)
        ended = self.ledger.finish(
            claim, "done", result_etag=published.result_etag, old_keys=(), has_error=False, reason=""
        )
        log.info("%s: analysed (trace %s)", shown(receipt.name), trace)
        return None if ended == "changed" else Outcome("done", receipt.attempt)

    def _published(self, claim: Claim[UploadPlan], reading: Reading, trace: str) -> Receipt | Job | publish.Superseded:
        receipt, plan = claim.receipt, claim.plan
        if receipt.attempt > self.settings.max_attempts:
            raise Permanent(
                f"{receipt.attempt - 1} attempts to analyse this file ended without a word: the worker was "
                "killed, ran out of memory or out of time; try a smaller file or a larger plan, then replay it"
            )
        if plan.problem:
            raise plan.problem
        output_path(receipt.name)  # refuses names for whose results there is no room
        if receipt.attempt > 1 and (etag := publish.already_published(self.storage, receipt)):
            return publish.tidy(self.storage, receipt, etag)
        assert plan.route
        media_type = sniff(reading.head[:SNIFF_BYTES])
        if media_type.startswith("video/") and self.videos:
            job = self.videos.split(claim, reading, media_type, trace)
            if job is not None:
                return job
        with self.media(reading) as media:
            analysis = self.analyze(media, plan.route, _source(receipt, reading.info.size), trace)
            return publish.publish(self.storage, claim, analysis)

    def analyze(
        self, media: bytes | Path, route: Route, source: Source, trace: str, *, artifacts: bool = True
    ) -> Analysis:
        """The engine, with this app's models and limits."""
        return engine.analyze(media, route, self.registry, source, limits=self.limits, artifacts=artifacts, trace=trace)

    @contextmanager
    def media(self, reading: Reading) -> Iterator[bytes | Path]:
        """The content where it belongs: pictures in memory, videos in a temporary file, each under its cap."""
        if sniff(reading.head[:SNIFF_BYTES]).startswith("image/"):
            yield reading.read(self.settings.max_image_bytes)
            return
        with tempfile.TemporaryDirectory(prefix="dropsight-") as folder:
            free = shutil.disk_usage(folder).free
            if reading.info.size + _SPARE_DISK > free and reading.info.size <= self.settings.max_video_bytes:
                raise ServiceBusy(f"{free:,} bytes of disk are free, {reading.info.size:,} are needed; later")
            file = Path(folder, "media")
            with file.open("wb") as out:
                for chunk in reading.chunks(self.settings.max_video_bytes):
                    out.write(chunk)
            yield file

    def fail(self, claim: Claim[UploadPlan], error: Exception, trace: str) -> Outcome | None:
        """Record an error that no retry can mend; None where the upload is another one by now."""
        receipt = claim.receipt
        upload = self.storage.head(UPLOADS, receipt.name)
        gone = publish.superseded(upload, receipt)
        if gone:
            self.ledger.finish(claim, "dropped" if gone == "deleted" else "retry", reason=gone)
            return Outcome("dropped", receipt.attempt) if gone == "deleted" else None
        message = str(error) if receipt.name in str(error) else f"{receipt.name}: {error}"
        log.warning("%s: %s (trace %s)", type(error).__name__, shown(message), trace)
        document = error_document(_source(receipt, upload.size if upload else 0), error, trace)
        document["error"]["message"] = message
        version = publish.write_error(self.storage, receipt, document)
        ended = self.ledger.finish(claim, "failed", reason=message, has_error=True)
        if ended == "lost":
            publish.withdraw_error(self.storage, receipt, version)
        return None if ended == "changed" else Outcome("failed", receipt.attempt)


def _source(receipt: Receipt, size: int = 0) -> Source:
    return Source(UPLOADS, receipt.name, receipt.etag, size)


@once
def default_worker() -> Worker:
    """The worker of this process, made from its settings."""
    settings = current()
    storage, registry = default_storage(), Registry()
    models = ServingModels(storage, registry, settings.models_seconds)
    models.refresh()  # before the routes are read: they may name models that lie only in the container
    return Worker(storage, settings, app_routes(settings, registry), registry, models, settings.storage_connection)


def on_blob(container: str, name: str) -> None:
    """The body of the blob-triggered function."""
    default_worker().handle(BlobEvent(container, name))
