"""Which slots of an entry are due, from the entry and its plan alone: never from the tick.

A Functions timer fires once for many missed ticks, may fire early, late or twice, and fires on two hosts in
a split brain. Every wake-up therefore computes the same thing: what lies between the plan and the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.slot import Slot, moment_of
from cloud.schedule import longest_gap, moment_before

# A wake-up plans at most this many slots; `catch_up = "all"` goes on at the next wake-up.
MOST = 200
# The host may fire up to a second early.
EARLY = timedelta(seconds=1)
# A first wake-up has no plan: its own slot lies at most this far back, or since the tick before.
FIRST_LOOK = timedelta(seconds=60)
EACH_MINUTE = "0 * * * * *"
# Without slots the plan moves on this often, so that the stretch to look through stays short.
REST = timedelta(hours=6)
# With catch_up = "none" a slot older than this has been missed, unless ticks lie further apart.
ON_TIME = timedelta(minutes=5)
# So long after an upgrade a deployment may ask for the first time how far the release before had come.
HANDOVER = timedelta(days=2)
# In the place of the schedule by which a plan was decided, while its entry is switched off.
OFF = "off"
WHILE_OFF = "the entry was switched off"
# No clock of a host is this far ahead of another: a plan that is was decided by a clock that was wrong.
AHEAD = timedelta(minutes=5)


@dataclass(frozen=True)
class Progress:
    """How far a deployment has decided an entry: up to `through`, by `schedule` (OFF: switched off since)."""

    through: datetime | None = None
    schedule: str = ""


@dataclass(frozen=True)
class Plan:
    """`state/pipelines/<name>/plan.json`: where an entry stands.

    progress: by deployment, since an entry may be on in one and off in another; under "" that of earlier releases.
    open: slots decided to run whose receipts are not final yet, oldest first.
    skipped: slots decided against whose receipts are not written yet, with the reason.
    sent_at: when a run was last submitted.
    names_kept: the batch endpoint gave a run the name we chose, so it can be looked up by it.
    last: the newest final receipt, for lists.
    failed: the newest slot that failed, until a later one is done or a person resolves it.
    """

    progress: Mapping[str, Progress] = field(default_factory=dict)
    open: tuple[datetime, ...] = ()
    skipped: tuple[tuple[datetime, str], ...] = ()
    sent_at: datetime | None = None
    names_kept: bool = False
    last: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        progress = {
            name: {"through": _text(each.through), "schedule": each.schedule} for name, each in self.progress.items()
        }
        return {
            "progress": progress,
            "open": [_text(slot) for slot in self.open],
            "skipped": [[_text(slot), reason] for slot, reason in self.skipped],
            "sent_at": _text(self.sent_at),
            "names_kept": self.names_kept,
            "last": self.last,
            "failed": self.failed,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Plan:
        """As it was stored."""
        progress = document.get("progress")
        if progress is None:  # of an earlier release, which knew of no deployments
            progress = {"": {"through": document["through"], "schedule": document.get("schedule", "")}}
        last = _of_a_slot(document["last"])
        return cls(
            {name: Progress(_moment(each["through"]), str(each["schedule"])) for name, each in progress.items()},
            tuple(moment_of(slot) for slot in document["open"]),
            tuple((moment_of(slot), str(reason)) for slot, reason in document["skipped"]),
            _moment(document["sent_at"]),
            bool(document["names_kept"]),
            last,
            _of_a_slot(document.get("failed", last if last.get("state") == "failed" else {})),
        )

    def of(self, deployment: str) -> Progress:
        """How far the deployment has come; an earlier release's progress belongs to the first that has the entry on."""
        return self.progress.get(deployment) or self.progress.get("") or Progress()

    def progressed(self, deployment: str, progress: Progress) -> Plan:
        """With the deployment's progress."""
        is_off = progress.schedule == OFF
        others = {name: each for name, each in self.progress.items() if name or is_off}
        return replace(self, progress={**others, deployment: progress})

    def handed_over(self, now: datetime) -> Plan:
        """Without an earlier release's progress that no deployment has taken over for days."""
        through = self.of("").through
        if through is None or now - through < HANDOVER:
            return self
        return replace(self, progress={name: each for name, each in self.progress.items() if name})

    def is_on(self, deployment: str) -> bool:
        """Whether the deployment had the entry switched on when it looked last, or a release that knew of none had."""
        return self.of(deployment).schedule not in ("", OFF)

    def opened(self, *slots: datetime) -> Plan:
        """With slots that are to run."""
        return replace(self, open=tuple(sorted({*self.open, *slots})))

    def off(self, deployment: str) -> Plan:
        """Of an entry that is switched off there: what falls into that time is not missed later on."""
        mine = self.progress.get(deployment, Progress())
        return self if mine.schedule == OFF else self.progressed(deployment, replace(mine, schedule=OFF))

    def overtakes(self, at: datetime, now: datetime) -> bool:
        """Whether a newer slot is due, or over."""
        newer = [*self.open, *map(datetime.fromisoformat, filter(None, [self.last.get("slot")]))]
        return any(at < other <= now + AHEAD for other in newer)  # what lies ahead is of a clock that was wrong

    def set_right(self, now: datetime) -> Plan:
        """With results counted from now on, where a run was sent by a clock that was ahead."""
        return replace(self, sent_at=now) if self.sent_at and self.sent_at > now + AHEAD else self

    def resolved(self, at: datetime) -> Plan:
        """With a slot for which a person has decided what happens."""
        return replace(self.opened(at), failed={} if self.is_failed(at) else self.failed)

    def is_failed(self, at: datetime) -> bool:
        """Whether that slot is the failure that is shown."""
        return self.failed.get("slot") == at.astimezone(UTC).isoformat()

    def closed(self, slot: Slot, now: datetime) -> Plan:
        """Without an open slot that is over."""
        last = {"slot": slot.slot, "state": slot.state, "why": slot.why}
        # A slot that lies ahead is of a clock that was wrong: what is over now is news all the same.
        known = [item for item in (self.last, last) if item and datetime.fromisoformat(item["slot"]) <= now + AHEAD]
        newest = max(known, key=lambda item: item["slot"], default=last)
        still_open = tuple(at for at in self.open if at != slot.at)
        return replace(self, open=still_open, last=newest, failed=self._failed_after(slot, now))

    def _failed_after(self, slot: Slot, now: datetime) -> Mapping[str, str]:
        before = self.failed.get("slot", "")
        later = slot.slot >= before or before > (now + AHEAD).isoformat()
        if slot.state == "failed":
            return {"slot": slot.slot, "why": slot.why} if later else self.failed
        answered = later if slot.state == "done" else slot.slot == before
        return {} if answered else self.failed


def is_ahead(plan: Plan, deployment: str, now: datetime) -> bool:
    """Whether the plan was decided by a clock that was wrong: for so long no slot would be due."""
    through = plan.of(deployment).through
    return through is not None and through > now + AHEAD


def due(
    entry: PipelineEntry,
    plan: Plan,
    now: datetime,
    tick: str = EACH_MINUTE,
    deployment: str = "",
    alone: Callable[[], bool] = lambda: True,
) -> Plan:
    """The plan with every slot up to `now` decided: to run, or skipped with a reason.

    tick: NCRONTAB of wake-ups. alone: whether no other deployment has the entry switched on, whose slots these may be.
    """
    mine, until = plan.of(deployment), now + EARLY
    after = mine.through or _first_look(tick, now)
    schedule = repr(entry.schedule)
    if is_ahead(plan, deployment, now):
        after = _first_look(tick, now)
    elif mine.schedule not in ("", schedule):  # what was just written, or switched on, has missed nothing
        after = max(after, _first_look(tick, now))
    if until <= after:  # nothing new, or the clock was set back: decided slots stay decided
        return plan
    missed_before = now - max(ON_TIME, longest_gap(tick))
    decided, through = _decide(entry, plan, after, until, missed_before)
    if mine.schedule == OFF and mine.through:
        decided = _skip(entry, decided, mine.through, after, alone)
    nothing_due = decided == plan and mine.schedule == schedule and through - after < REST
    if nothing_due and mine.through == after:
        return plan  # looking again from the same moment costs no write
    return decided.progressed(deployment, Progress(through, schedule))


def pass_by(entry: PipelineEntry, plan: Plan, now: datetime, deployment: str, alone: Callable[[], bool]) -> Plan:
    """The plan of an entry that is switched off: what comes while it is off is decided against, and never missed later.

    alone: as in `due`.
    """
    plan = plan.handed_over(now)
    mine, until = plan.progress.get(deployment, Progress()), now + EARLY
    since = until if mine.through is None or is_ahead(plan, deployment, now) else mine.through
    passed = entry.schedule.newest(since, until, 1)
    if mine.schedule == OFF and not passed and until - since < REST:
        return plan if mine.through == since else plan.progressed(deployment, Progress(since, OFF))
    return _skip(entry, plan, since, until, alone).progressed(deployment, Progress(max(since, until), OFF))


def _skip(entry: PipelineEntry, plan: Plan, after: datetime, until: datetime, alone: Callable[[], bool]) -> Plan:
    slots = entry.schedule.newest(after, until, MOST) if entry.keeps else []
    if not slots or not alone():
        return plan
    return replace(plan, skipped=(*plan.skipped, *((slot, WHILE_OFF) for slot in slots)))


def _first_look(tick: str, now: datetime) -> datetime:
    return min(now - FIRST_LOOK, moment_before(tick, now + EARLY))


def _decide(
    entry: PipelineEntry, plan: Plan, after: datetime, until: datetime, missed_before: datetime
) -> tuple[Plan, datetime]:
    """The plan with the slots of (after, until], and up to where they are decided."""
    if entry.catch_up == "all":
        run = list(islice(entry.schedule.slots(after, until), MOST))
        return plan.opened(*run), run[-1] if len(run) == MOST else until
    slots = entry.schedule.newest(after, until, MOST if entry.keeps else 1)
    run, missed = slots[-1:], slots[:-1]
    if entry.catch_up == "none" and run and run[0] < missed_before:
        run, missed = [], slots
    reason = f"missed; catch_up is {entry.catch_up!r}"
    skipped = [(slot, reason) for slot in missed]
    if len(slots) == MOST:
        skipped[0] = (missed[0], f"{reason}; stands for every earlier slot since {after.isoformat()} too")
    return replace(plan.opened(*run), skipped=(*plan.skipped, *skipped)), until


def _moment(text: str | None) -> datetime | None:
    return moment_of(text) if text else None


def _of_a_slot(document: Mapping[str, Any]) -> dict[str, str]:
    """What a plan keeps of a slot, or nothing. Raises ValueError, KeyError, AttributeError for anything else."""
    known = {key: str(value) for key, value in document.items()}
    if known:
        moment_of(known["slot"])
    return known


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
