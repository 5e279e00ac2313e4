"""What becomes of a claim: its result or error record is noted, it is given back, or it waits."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from cloud.settings import UPLOADS, Settings
from cloud.storage.containers import BlobInfo, Storage
from cloud.storage.paths import printable
from cloud.uploads import publish
from cloud.uploads.events import AGAIN, BlobEvent, Outcome
from cloud.uploads.ledger import Claim, Finish, Ledger, Stopping
from cloud.uploads.plans import Planner, UploadPlan
from cloud.uploads.publish import Published, Superseded
from cloud.uploads.receipts import ARCHIVED, KEPT_BACK, Receipt, is_surroundings, make_key
from cloud.uploads.retry import decide, is_suspect, surroundings
from cloud.uploads.upload_line import log_end, log_failure
from inference.errors import ModelReplaced, NotReady, StorageUnavailable, UnreadableMedia
from inference.results.result import Source, error_document

log = logging.getLogger(__name__)


class ClaimEnds:
    """The ends of a worker's claims. Safe to use from many threads."""

    def __init__(self, storage: Storage, ledger: Ledger, planner: Planner, settings: Settings) -> None:
        self.storage, self.ledger, self.planner, self.settings = storage, ledger, planner, settings

    def settle(self, name: str) -> None:
        """Delete what an answer replaces, where whoever wrote it died before that."""
        stored = self.ledger.read(name)
        if stored and stored.receipt.unsettled:
            self._settle_now(Claim(stored.receipt, stored.version, UploadPlan(""), ended=True))

    def after(self, claim: Claim[UploadPlan], error: Exception, trace: str, event: BlobEvent) -> Outcome:
        """What becomes of a claim after an error. Raises it where the host is to deliver again."""
        if claim.given_back:
            raise Stopping(claim.receipt.name) from error
        try:
            return self._noted(claim, error, trace, event)
        except StorageUnavailable as trouble:
            if claim.ended:
                raise
            return self._not_noted(claim, trouble, trace, event)
        finally:
            if claim.lost:  # the holder may have cleared away what this one wrote before it wrote the last of it
                with suppress(StorageUnavailable):  # else the audit finds it
                    publish.clear_away(self.storage, claim.receipt, claim.receipt.folder)

    def _not_noted(self, claim: Claim[UploadPlan], trouble: Exception, trace: str, event: BlobEvent) -> Outcome:
        """The end could not be written, or the record, which may be held: that is no death, and waits as all trouble of
        the surroundings does."""
        try:
            return self._put_off_until_passed(claim, trouble, trace, event)
        except StorageUnavailable:
            self.ledger.give_back_later(claim, str(trouble))
            raise trouble from None

    def _noted(self, claim: Claim[UploadPlan], error: Exception, trace: str, event: BlobEvent) -> Outcome:
        receipt, cause = claim.receipt, self.planner.cause(claim.plan.route, error)
        if isinstance(cause, NotReady):
            waits = self._wait(claim, cause, trace)
            return AGAIN if isinstance(cause, ModelReplaced) else waits
        retry = decide(cause, receipt.attempt, self.settings.max_attempts)
        if retry == "never":
            return self.fail(claim, error, trace)
        if retry == "passed":
            return self._put_off_until_passed(claim, cause, trace, event)
        # Given back, so that the next attempt does not wait for the end of the lease.
        ended = self.ledger.finish(claim, "retry", reason=str(cause), suspect=is_suspect(cause))
        if retry == "later":
            if ended != "lost":
                log_failure(claim, error, trace, again=True)
            raise error
        return AGAIN

    def _put_off_until_passed(
        self, claim: Claim[UploadPlan], error: Exception, trace: str, event: BlobEvent
    ) -> Outcome:
        """Trouble of the surroundings: no attempt is spent. The host delivers again at once after the first time; what
        goes on for longer is left to the sweep, at ever longer intervals."""
        receipt, cause = claim.receipt, surroundings(error) or "storage"
        if receipt.waits == 0 and event.cause == "trigger":
            self.ledger.give_back_later(claim, str(error))
            log_failure(claim, error, trace, again=True)
            raise error
        return self._wait(claim, NotReady(str(error), cause), trace)

    def _wait(self, claim: Claim[UploadPlan], error: NotReady, trace: str) -> Outcome:
        """Let the upload wait for the installation or its surroundings. Raises only where its receipt cannot be
        written."""
        until = None if is_surroundings(error.cause) else self.planner.next_look(datetime.now(UTC))
        ended = self.ledger.wait(claim, error.cause, str(error), until)
        if ended == "ok":
            how = f"waits for {error.cause}" if error.cause else "is planned anew"
            log_end(claim, f"{how}: {error}", trace, logging.WARNING)
        return AGAIN if ended == "changed" else Outcome("waiting", cause=error.cause)

    def done(self, claim: Claim[UploadPlan], published: Published, trace: str) -> Outcome:
        ended = self.complete(claim, published)
        if ended == "lost" and self.storage.head(UPLOADS, claim.receipt.name) is None:
            return Outcome("dropped", claim.receipt.attempt)
        if ended == "ok":
            log_end(claim, "analysed", trace)
        return AGAIN if ended == "changed" else Outcome("done", claim.receipt.claims)

    def complete(self, claim: Claim[UploadPlan], published: Published) -> Finish:
        """Note a result, then delete what it replaces: in this order, so that what is noted is there. As `finish`."""
        claim.facts = {**published.facts, "written": claim.now}
        ended = self.ledger.complete(claim, published.etag, published.replaced, published.folder)
        if ended == "ok" and claim.receipt.unsettled:
            self._settle_now(claim)
        elif ended == "lost":
            publish.withdraw(self.storage, claim.receipt, published)
        return ended

    def _settle_now(self, claim: Claim[UploadPlan]) -> None:
        try:
            left, has_error = publish.tidy(self.storage, claim.receipt, partial(self.check_ours, claim))
            self.ledger.settle(claim, left, has_error)
        except Superseded:
            return  # whoever has it by now has these in its own receipt
        except StorageUnavailable as error:  # the answer stands; the sweep goes on with the rest
            log.warning("%s", printable(f"{claim.receipt.name}: what its answer replaces is not deleted yet: {error}"))
        self.ledger.notes.ended(claim)

    def check_ours(self, claim: Claim[UploadPlan]) -> None:
        """Raises Superseded where somebody else has the upload by now; a call."""
        self.ledger.holder(claim)
        if claim.lost:
            raise Superseded("lost")

    def superseded(self, claim: Claim[UploadPlan], error: Superseded, trace: str) -> Outcome:
        if error.how == "lost":
            log_end(claim, f"{error}, which publishes; this one does not", trace, logging.WARNING)
            return AGAIN
        ended = self.ledger.finish(claim, "dropped" if error.how == "deleted" else "retry", reason=str(error))
        if error.how != "deleted":
            return AGAIN
        if ended == "ok":
            log_end(claim, str(error), trace)
            with suppress(StorageUnavailable):  # else the audit finds them
                publish.clear_away(self.storage, claim.receipt, claim.receipt.folder, *claim.receipt.old_keys)
        return Outcome("dropped", claim.receipt.attempt)

    def gone(self, name: str) -> Outcome:
        """The upload is not there: what a worker that died has left of it is no work any more."""
        log.info("%s was deleted before it was analysed", printable(name))
        if receipt := self.ledger.drop(name):
            publish.clear_away(self.storage, receipt, receipt.folder, *receipt.old_keys)
        else:
            self.ledger.notes.changed(name)  # it may be listed as waiting, before anybody has claimed it
        return Outcome("dropped")

    def kept_back(self, upload: BlobInfo, error: UnreadableMedia, event: BlobEvent, trace: str) -> Outcome:
        """Record that nobody can read the upload. Once it can be read its plan is another one, and it is claimed."""
        if not upload.archived:  # it may have come back from the archive just now
            with suppress(UnreadableMedia):
                self.storage.open(UPLOADS, upload.name)
                return AGAIN
        digest = _kept_back_digest(upload)
        again = event.again if event.cause == "replay" else None
        plan = UploadPlan(make_key(UPLOADS, upload.name, upload.etag, digest), problem=error, digest=digest)
        claim = self.ledger.claim(
            upload.name, upload.etag, lambda _: plan, again=again, replay=event.replay,
            uploaded=upload.modified.isoformat(),
        )  # fmt: skip
        return self.fail(claim, error, trace) if isinstance(claim, Claim) else Outcome(claim)

    def fail(self, claim: Claim[UploadPlan], error: Exception, trace: str) -> Outcome:
        """Record an error that no retry can mend; "again" where the upload was overwritten."""
        try:
            upload = publish.current_upload(self.storage, claim.receipt)
        except Superseded as how:
            return self.superseded(claim, how, trace)
        if isinstance(error, UnreadableMedia):
            _note_kept_back(claim, upload)
        receipt = claim.receipt
        message = str(error) if receipt.name in str(error) else f"{receipt.name}: {error}"
        document = error_document(source_of(receipt, upload.size), error, trace)
        document["error"]["message"] = message
        with claim.lock:  # from here on the record may be there, however the claim ends
            claim.receipt = replace(claim.receipt, has_error=True)
        try:
            version = publish.write_error(self.storage, receipt, document, partial(self.check_ours, claim))
        except Superseded as how:
            return self.superseded(claim, how, trace)
        claim.facts = {"error_class": document["error"]["class"], "written": claim.now}
        ended = self.ledger.finish(claim, "failed", reason=message)
        if ended == "lost":
            publish.withdraw_error(self.storage, receipt, version)
        elif ended == "ok":
            log_failure(claim, error, trace)
            if claim.receipt.unsettled:
                self._settle_now(claim)
        return AGAIN if ended == "changed" else Outcome("failed", receipt.attempt)


def _kept_back_digest(upload: BlobInfo) -> str:
    """In the place of a route's digest in the receipt of an upload that storage gives to nobody."""
    return ARCHIVED if upload.archived else KEPT_BACK


def _note_kept_back(claim: Claim[UploadPlan], upload: BlobInfo) -> None:
    """Make the claim one of an upload that cannot be read: it can be archived in the middle of the work, too. So it is
    taken up once it is back, though its version is the same then."""
    digest = _kept_back_digest(upload)
    with claim.lock:
        key = make_key(UPLOADS, upload.name, upload.etag, digest)
        claim.receipt = replace(claim.receipt, key=key, digest=digest)


def source_of(receipt: Receipt, size: int = 0) -> Source:
    """What a document says of the upload that it is about."""
    return Source(UPLOADS, receipt.name, receipt.etag, size)
