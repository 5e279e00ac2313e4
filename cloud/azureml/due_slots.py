"""Which slots of an entry are due, from the entry and its plan alone: never from the tick.

A Functions timer fires once for many missed ticks, may fire early, late or twice, and fires on two hosts in
a split brain. Every wake-up therefore computes the same thing: what lies between the plan and the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from cloud.pipelines_file import PipelineEntry
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
# In the place of the schedule by which a plan was decided, while its entry is switched off.
OFF = "off"


@dataclass(frozen=True)
class Plan:
    """`state/pipelines/<name>/plan.json`: where an entry stands.

    through: every slot up to here has been decided.
    open: slots decided to run whose receipts are not final yet, oldest first.
    skipped: slots decided against whose receipts are not written yet, with the reason.
    sent_at: when a run was last submitted.
    names_kept: the batch endpoint gave a run the name we chose, so it can be looked up by it.
    last: the newest final receipt, for health and lists.
    schedule: the schedule by which `through` was decided.
    """

    through: datetime | None = None
    open: tuple[datetime, ...] = ()
    skipped: tuple[tuple[datetime, str], ...] = ()
    sent_at: datetime | None = None
    names_kept: bool = False
    last: dict[str, str] = field(default_factory=dict)
    schedule: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "through": _text(self.through),
            "open": [_text(slot) for slot in self.open],
            "skipped": [[_text(slot), reason] for slot, reason in self.skipped],
            "sent_at": _text(self.sent_at),
            "names_kept": self.names_kept,
            "last": self.last,
            "schedule": self.schedule,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Plan:
        """As it was stored."""
        return cls(
            _moment(document["through"]),
            tuple(datetime.fromisoformat(slot) for slot in document["open"]),
            tuple((datetime.fromisoformat(slot), reason) for slot, reason in document["skipped"]),
            _moment(document["sent_at"]),
            document["names_kept"],
            document["last"],
            document.get("schedule", ""),
        )

    def opened(self, at: datetime) -> Plan:
        """With a slot that runs outside the schedule."""
        return self if at in self.open else replace(self, open=tuple(sorted((*self.open, at))))

    def off(self) -> Plan:
        """Of an entry that is switched off: what falls into that time is not missed later on."""
        return replace(self, schedule=OFF)


def due(entry: PipelineEntry, plan: Plan, now: datetime, tick: str = EACH_MINUTE) -> Plan:
    """The plan with every slot up to `now` decided: to run, or skipped with a reason. tick: NCRONTAB of wake-ups."""
    after = plan.through or _first_look(tick, now)
    schedule = repr(entry.schedule)
    if plan.schedule not in ("", schedule):  # a schedule that was just written, or switched on, has missed nothing
        after = max(after, _first_look(tick, now))
    until = now + EARLY
    if until <= after:  # nothing new, or the clock was set back: decided slots stay decided
        return plan
    missed_before = now - max(ON_TIME, longest_gap(tick))
    decided = replace(_decide(entry, plan, after, until, missed_before), schedule=schedule)
    if replace(decided, through=plan.through) == plan and plan.through and until - after < REST:
        return plan  # nothing was due: looking again from the same moment costs no write
    return decided


def _first_look(tick: str, now: datetime) -> datetime:
    return min(now - FIRST_LOOK, moment_before(tick, now + EARLY))


def _decide(entry: PipelineEntry, plan: Plan, after: datetime, until: datetime, missed_before: datetime) -> Plan:
    if entry.catch_up == "all":
        run = list(islice(entry.schedule.slots(after, until), MOST))
        through = run[-1] if len(run) == MOST else until
        return replace(plan, through=through, open=(*plan.open, *run))
    slots = entry.schedule.newest(after, until, MOST if entry.keeps else 1)
    run, missed = slots[-1:], slots[:-1]
    if entry.catch_up == "none" and run and run[0] < missed_before:
        run, missed = [], slots
    reason = f"missed; catch_up is {entry.catch_up!r}"
    skipped = [(slot, reason) for slot in missed]
    if len(slots) == MOST:
        skipped[0] = (missed[0], f"{reason}; stands for every earlier slot since {after.isoformat()} too")
    return replace(plan, through=until, open=(*plan.open, *run), skipped=(*plan.skipped, *skipped))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
