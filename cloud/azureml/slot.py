"""A scheduled moment of an entry, from due to done; every transition gives a new `Slot`.

pending -> submitting -> submitted -> done | failed | canceled
pending -> skipped;  submitting -> unknown -> submitted | pending
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from cloud.azureml.azureml_client import KINDS
from cloud.azureml.pipeline_kind import Kind, Submission
from cloud.azureml.workspace import Run

State = Literal["pending", "submitting", "unknown", "submitted", "done", "failed", "canceled", "skipped"]
FINAL = ("done", "failed", "canceled", "skipped")
# Why a slot was skipped that a person decided against.
ON_REQUEST = "skipped on request"
# A slot that was not taken after so many attempts is given up: seven to eight hours, by the delays below.
MOST_ATTEMPTS = 20
_LONGEST_DELAY_S = 1800.0


@dataclass(frozen=True)
class Slot:
    """What is known of it, and is written in `state/pipelines/<name>/slots/`. Times are ISO texts, as stored.

    attempts: how often its submission was tried. number: of its run; another than 1 where a run failed and was sent
    again, under a key of its own, since the service keeps names for ever. asked: by a person, or by drift. not_before:
    when it is tried again. run: id, status and page of its run. submission: what was sent. unsettled: why nobody can
    say whether it was taken. reason: why it was skipped.
    """

    pipeline: str
    kind: str
    slot: str
    state: State = "pending"
    attempts: int = 0
    number: int = 1
    asked: bool = False
    reason: str = ""
    error: str = ""
    not_before: str = ""
    owner: str = ""
    sent_at: str = ""
    unsettled: str = ""
    submission: Mapping[str, Any] | None = None
    run: Mapping[str, str] | None = None
    updated: str = ""

    @classmethod
    def new(cls, pipeline: str, kind: str, at: datetime, **more: Any) -> Slot:
        """The slot as it begins."""
        return cls(pipeline, kind, at.astimezone(UTC).isoformat(), **more)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Slot:
        """As it was stored; members of later versions are ignored. Raises ValueError, TypeError for wrong values."""
        slot = cls(**{key: value for key, value in document.items() if key in cls.__dataclass_fields__})
        if slot.state not in get_args(State):
            raise ValueError(f"state is {slot.state!r}, none of {', '.join(get_args(State))}")
        if not all(type(count) is int for count in (slot.attempts, slot.number)):
            raise TypeError("attempts and number must be whole numbers")
        if not all(part is None or isinstance(part, Mapping) for part in (slot.run, slot.submission)):
            raise TypeError("run and submission must be objects")
        texts = [getattr(slot, each.name) for each in fields(cls) if each.type == "str"]
        if not all(isinstance(text, str) for text in [*texts, *(slot.run or {}).values()]):
            raise TypeError("all but counts and objects must be texts")
        for moment in filter(None, (slot.slot, slot.sent_at)):
            moment_of(moment)
        return slot

    def to_json(self) -> dict[str, Any]:
        """As it is stored: without what is not known."""
        known = {key: value for key, value in vars(self).items() if value not in ("", None, False)}
        return {"schema": "dropsight-slot/1", **known, "attempts": self.attempts}

    @property
    def at(self) -> datetime:
        """Its moment."""
        return datetime.fromisoformat(self.slot)

    @property
    def why(self) -> str:
        """What went wrong, or why it was skipped."""
        return self.error or self.reason

    def awaits(self, number: int) -> bool:
        """Whether its run of that number may be known to somebody who has not written it yet."""
        return self.state in ("submitting", "unknown", "pending") and self.number == number

    def submitted_as(self, target: Kind) -> Submission:
        """What was sent. target: the entry's of today, which stands for what had no keys to store."""
        stored = dict(self.submission or {})
        if stored["target"]:
            target = KINDS[stored["kind"]](**stored["target"])
        more = {key: stored[key] for key in ("experiment", "description", "tags")}
        return Submission(stored["pipeline"], self.at, target, **more, number=stored.get("number", 1))

    def submitting(self, submission: Submission, owner: str, now: datetime) -> Slot:
        """Taken by a worker, which sends it: written before anything is sent."""
        stored = {
            "key": submission.key,
            "pipeline": submission.pipeline,
            "kind": submission.target.kind,
            "target": submission.target.as_table(),
            "experiment": submission.experiment,
            "description": submission.description,
            "tags": dict(submission.tags),
            "number": submission.number,
        }
        return replace(
            self,
            state="submitting",
            kind=submission.target.kind,  # the entry's may have changed since the slot was due
            owner=owner,
            sent_at=now.isoformat(),
            attempts=self.attempts + 1,
            submission=stored,
            error="",
        )

    def refused_for_now(self, error: str, now: datetime, after_s: float = 60) -> Slot:
        """Not taken, for certain: again after a while, which grows; given up after MOST_ATTEMPTS."""
        delay = max(after_s, min(60.0 * 2 ** (self.attempts - 1), _LONGEST_DELAY_S))
        return self._pending(error, (now + timedelta(seconds=delay)).isoformat())

    def absent(self) -> Slot:
        """The service has no such run: what was unknown was not taken, and is sent again."""
        return self._pending("; ".join(["the service has no such run", *filter(None, [self.error])]))

    def _pending(self, error: str, not_before: str = "") -> Slot:
        if self.attempts >= MOST_ATTEMPTS:
            return self.failed(f"given up after {self.attempts} attempts: {error}")
        return replace(self, state="pending", error=error, not_before=not_before)

    def unknown(self, error: str) -> Slot:
        """Sent, perhaps: nobody knows yet whether it was taken."""
        return replace(self, state="unknown", error=error)

    def submitted(self, run: Run) -> Slot:
        """Taken: this is its run."""
        known = {"id": run.id, "status": run.status, "page": run.page}
        return replace(self, state="submitted", run=known, error="", unsettled="")

    def followed(self, run: Run) -> Slot:
        """Its run as it is now."""
        error = f"run {run.id} failed: {run.detail or 'no detail given'} ({run.page})" if run.state == "failed" else ""
        state = "submitted" if run.state == "running" else run.state
        return replace(self, state=state, run={**(self.run or {}), "status": run.status}, error=error)

    def again(self) -> Slot:
        """To be sent again because a person says so: as another run where this one failed."""
        number = self.number + (self.state == "failed")
        fresh = replace(self, number=number, attempts=0, not_before="", unsettled="", run=None)
        return replace(fresh, state="pending", asked=True, error="sent again on request")

    def skipped(self, reason: str) -> Slot:
        """Decided against."""
        return replace(self, state="skipped", reason=reason)

    def failed(self, why: str) -> Slot:
        """Over, and a person should look."""
        return replace(self, state="failed", error=why)


def moment_of(text: str) -> datetime:
    """A stored moment. Raises ValueError for one that is none, or has no offset from UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return moment
