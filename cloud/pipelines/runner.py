"""One slot from due to done: pending -> submitting -> submitted -> done, failed or canceled.

A slot is sent at most once because `submitting` is written, on condition of the receipt's version, before
anything is sent; whoever finds it there afterwards does not know what happened and looks at the service
(`unknown`) before it sends again. Where the service cannot tell, the slot stays unknown for a person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

from cloud.azureml.types import NotAccepted, Run, Search, Submission
from cloud.pipelines.entries import Entry
from cloud.pipelines.expressions import Facts, fill, unmet
from cloud.pipelines.receipts import FINAL, Receipt, Receipts, new_receipt
from cloud.pipelines.slots import Plan, due
from inference.errors import Permanent, Transient

log = logging.getLogger(__name__)

# A submission takes seconds (its timeouts add up to about two minutes); after this its worker is dead.
DEAD = timedelta(minutes=10)
# How long a run may take to appear in the service's lists.
APPEARS = timedelta(minutes=3)
# A submitted run that the service does not know after this long is gone.
VANISHED = timedelta(hours=1)


class PipelineFailed(Permanent):
    """A run failed, or a submission was refused. Raised once, so that the host shows a failed invocation."""


class Service(Protocol):
    """What the runner needs of `cloud.azureml.client.AzureML`."""

    def submit(self, submission: Submission) -> Run: ...

    def search(self, submission: Submission, since: datetime, *, names_kept: bool = False) -> Search: ...

    def status(self, kind: str, run: str) -> Run | None: ...


class Runner:
    """Moves the slots of entries on; safe to run in any number of processes at the same time."""

    def __init__(
        self,
        receipts: Receipts,
        service: Callable[[], Service],
        facts: Callable[[datetime | None], Facts],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.receipts = receipts
        self._service = service  # made when needed: most wake-ups find nothing to do
        self._facts = facts
        self._clock = clock
        self._failures: list[str] = []

    def wake(self, entry: Entry) -> None:
        """What the entry's timer does: decide the due slots, then move its open ones on."""
        self.receipts.change_plan(entry.name, lambda plan: due(entry, plan, self._clock()))
        self.follow(entry)

    def run_now(self, entry: Entry) -> datetime:
        """A slot for this very second, outside the schedule and whatever the condition says. Returns the slot."""
        slot = self._clock().replace(microsecond=0)
        self.receipts.create(entry.name, slot, new_receipt(entry.name, entry.kind, slot, "pending", asked=True))
        self.receipts.change_plan(
            entry.name, lambda plan: plan if slot in plan.open else replace(plan, open=(*plan.open, slot))
        )
        self.follow(entry)
        return slot

    def follow(self, entry: Entry) -> None:
        """Move every open slot on as far as it goes. Raises PipelineFailed for those that failed just now."""
        self._failures = []
        plan = self._write_skipped(entry)
        for slot in plan.open:
            try:
                receipt = self._advance(entry, plan, slot)
            except Transient as error:
                log.warning("pipeline %s, slot %s waits: %s", entry.name, slot.isoformat(), error)
                continue
            except Permanent as error:  # the workspace refuses to tell: the other slots go on
                self._failures.append(f"pipeline {entry.name}, slot {slot.isoformat()}: {error}")
                continue
            if receipt["state"] in FINAL:
                self._close(entry, slot, receipt)
        if self._failures:
            raise PipelineFailed("; ".join(self._failures))

    def _write_skipped(self, entry: Entry) -> Plan:
        plan = self.receipts.plan(entry.name)
        for slot, reason in plan.skipped:
            self.receipts.create(entry.name, slot, new_receipt(entry.name, entry.kind, slot, "skipped", reason=reason))
        if not plan.skipped:
            return plan
        written = set(plan.skipped)
        return self.receipts.change_plan(
            entry.name,
            lambda now: replace(now, skipped=tuple(each for each in now.skipped if each not in written)),
        )

    def _advance(self, entry: Entry, plan: Plan, slot: datetime) -> Receipt:
        found = self.receipts.read(entry.name, slot)
        if found is None:
            self.receipts.create(entry.name, slot, new_receipt(entry.name, entry.kind, slot, "pending"))
            found = self.receipts.read(entry.name, slot)
            assert found is not None
        receipt, etag = found
        if receipt["state"] == "submitting" and self.receipts.age(entry.name, slot) > DEAD:
            receipt, etag = self._write(entry, slot, receipt, etag, state="unknown", error="its worker ended")
        if receipt["state"] == "unknown":
            receipt, etag = self._settle(entry, plan, slot, receipt, etag)
        if receipt["state"] == "pending":
            return self._submit(entry, plan, slot, receipt, etag)
        if receipt["state"] == "submitted":
            return self._poll(entry, slot, receipt, etag)
        return receipt

    def _submit(self, entry: Entry, plan: Plan, slot: datetime, receipt: Receipt, etag: str) -> Receipt:
        now = self._clock()
        if receipt.get("not_before", "") > now.isoformat():
            return receipt
        asked = receipt.get("asked")  # by a person, or by drift
        newer = any(each > slot for each in plan.open) or plan.last.get("slot", "") > receipt["slot"]
        if newer and entry.catch_up != "all" and not asked:
            return self._write(entry, slot, receipt, etag, state="skipped", reason="a newer slot is due")[0]
        try:
            facts = self._facts(plan.sent_at)
            if not asked and (reason := unmet(entry.condition, facts)):
                return self._write(entry, slot, receipt, etag, state="skipped", reason=reason)[0]
            submission = submission_for(entry, slot, facts)
        except Permanent as error:
            return self._failed(entry, slot, receipt, etag, str(error))
        mine = {**receipt, "state": "submitting", "owner": uuid4().hex, "sent_at": now.isoformat()}
        mine |= {"attempts": receipt["attempts"] + 1, "submission": _stored(submission), "error": ""}
        taken = self.receipts.replace(entry.name, slot, mine, etag)
        if taken is None:  # somebody else sends it
            return {**receipt, "state": "submitting"}
        return self._send(entry, slot, submission, mine, taken)

    def _send(self, entry: Entry, slot: datetime, submission: Submission, mine: Receipt, etag: str) -> Receipt:
        try:
            run = self._service().submit(submission)
        except NotAccepted as error:
            later = self._clock() + timedelta(seconds=error.retry_after_s)
            return self._write(
                entry, slot, mine, etag, state="pending", not_before=later.isoformat(), error=str(error)
            )[0]
        except Permanent as error:
            return self._failed(entry, slot, mine, etag, str(error))
        except Transient as error:
            return self._write(entry, slot, mine, etag, state="unknown", error=str(error))[0]
        return self._submitted(entry, slot, mine, etag, run)

    def _submitted(self, entry: Entry, slot: datetime, receipt: Receipt, etag: str, run: Run) -> Receipt:
        sent = datetime.fromisoformat(receipt["sent_at"])
        named = run.id == receipt["submission"]["key"]
        self.receipts.change_plan(
            entry.name,
            lambda plan: replace(plan, sent_at=max(plan.sent_at or sent, sent), names_kept=plan.names_kept or named),
        )
        log.info("pipeline %s, slot %s runs as %s: %s", entry.name, slot.isoformat(), run.id, run.page)
        told = {"id": run.id, "status": run.status, "page": run.page}
        return self._write(entry, slot, receipt, etag, state="submitted", run=told, error="")[0]

    def _settle(self, entry: Entry, plan: Plan, slot: datetime, receipt: Receipt, etag: str) -> tuple[Receipt, str]:
        """Find out what became of an attempt whose outcome is unknown."""
        wait = timedelta(0) if receipt["kind"] == "job" else APPEARS  # a job's id is ours: sending again is safe
        if self.receipts.age(entry.name, slot) < wait:
            return receipt, etag
        since = datetime.fromisoformat(receipt["sent_at"])
        submission = _restored(receipt["submission"], slot)
        search = self._service().search(submission, since, names_kept=plan.names_kept)
        if search.run:
            self._submitted(entry, slot, receipt, etag, search.run)
        elif search.certain:
            self._write(entry, slot, receipt, etag, state="pending", error="the service has no such run")
        elif receipt.get("unsettled") != search.why:
            log.error(
                "pipeline %s, slot %s: it is unknown whether its run was started (%s). Look at %s and say "
                "`python -m cloud pipelines resolve %s %s --run ID | --resubmit | --skip`",
                entry.name, slot.isoformat(), search.why, "Azure Machine Learning studio", entry.name, slot.isoformat(),
            )  # fmt: skip
            self._write(entry, slot, receipt, etag, unsettled=search.why)
        found = self.receipts.read(entry.name, slot)
        return found if found else (receipt, etag)

    def _poll(self, entry: Entry, slot: datetime, receipt: Receipt, etag: str) -> Receipt:
        told = receipt["run"]
        run = self._service().status(receipt["kind"], told["id"])
        if run is None:
            if self.receipts.age(entry.name, slot) < VANISHED:
                return receipt
            return self._failed(entry, slot, receipt, etag, f"run {told['id']} is not in the workspace any more")
        if run.state == "running" and run.status == told["status"]:
            return receipt
        state = {"running": "submitted"}.get(run.state, run.state)
        more = {"run": {**told, "status": run.status}}
        if state == "failed":
            said = f"run {run.id} failed: {run.detail or 'no detail given'} ({run.page})"
            return self._failed(entry, slot, {**receipt, **more}, etag, said)
        return self._write(entry, slot, receipt, etag, state=state, **more)[0]

    def _failed(self, entry: Entry, slot: datetime, receipt: Receipt, etag: str, why: str) -> Receipt:
        changed, _ = self._write(entry, slot, receipt, etag, state="failed", error=why)
        if changed["state"] == "failed":
            self._failures.append(f"pipeline {entry.name}, slot {slot.isoformat()}: {why}")
            log.error("%s", self._failures[-1])
        return changed

    def _write(self, entry: Entry, slot: datetime, receipt: Receipt, etag: str, **changes: Any) -> tuple[Receipt, str]:
        """The receipt with these changes, or what somebody else has made of it meanwhile."""
        changed = {**receipt, **changes, "updated": self._clock().isoformat()}
        written = self.receipts.replace(entry.name, slot, changed, etag)
        if written:
            return changed, written
        found = self.receipts.read(entry.name, slot)
        if found is None:
            raise Transient(f"the receipt of {entry.name} {slot.isoformat()} was deleted")
        if changed["state"] == "submitted" and found[0]["state"] in ("submitting", "unknown"):
            # We were slow and taken for dead; but we know the run.
            return self._write(entry, slot, {**found[0], **changes}, found[1], **changes)
        return found

    def _close(self, entry: Entry, slot: datetime, receipt: Receipt) -> None:
        last = {"slot": receipt["slot"], "state": receipt["state"]}
        last["why"] = receipt.get("error") or receipt.get("reason") or ""
        self.receipts.change_plan(
            entry.name,
            lambda plan: replace(
                plan,
                open=tuple(each for each in plan.open if each != slot),
                last=max(plan.last, last, key=lambda each: each.get("slot", "")),
            ),
        )


def submission_for(entry: Entry, slot: datetime, facts: Facts) -> Submission:
    """The entry's submission for a slot, expressions filled in."""
    filled = fill(
        {"target": entry.target, "tags": entry.tags, "experiment": entry.experiment, "description": entry.description},
        entry.name, slot, entry.schedule.tz, facts,
    )  # fmt: skip
    return Submission(
        entry.name,
        entry.kind,
        slot,
        filled["target"],
        filled["experiment"],
        filled["description"],
        filled["tags"],
    )


def _stored(submission: Submission) -> dict[str, Any]:
    return {
        "key": submission.key,
        "pipeline": submission.pipeline,
        "kind": submission.kind,
        "target": dict(submission.target),
        "experiment": submission.experiment,
        "description": submission.description,
        "tags": dict(submission.tags),
    }


def _restored(stored: dict[str, Any], slot: datetime) -> Submission:
    return Submission(slot=slot, **{key: value for key, value in stored.items() if key != "key"})
