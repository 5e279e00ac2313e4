"""Comparing a window of production with a saved baseline, group by group.

Population stability index and Jensen-Shannon distance over the baseline's deciles (or the labels),
two-sample Kolmogorov-Smirnov on the values; cosine distance of mean embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cloud.drift.drift_entry import DriftEntry
from cloud.drift.drift_groups import BASELINE_ANEW, Group, groups_of
from cloud.drift.drift_profile import Profile
from cloud.drift.drift_shifts import FEWEST, Shift, Turn

# What chance alone may do in one comparison of a hundred, however many groups there are.
_CHANCE = 0.01
# From this part of its results on (or FEWEST) another model is what a route is served by.
_ANOTHER = 0.05
# So much of a verdict is said in words; the shifts hold all of it.
_SENTENCES = 5
_FEATURES = 4


@dataclass(frozen=True)
class Moved:
    """A group that drifted (folder None: the whole route): warning or alert, and what moved."""

    route: str
    folder: str | None
    status: str
    excess: float
    why: str


@dataclass(frozen=True)
class Verdict:
    """status: ok, warning, alert, or unknown where nothing could be compared. good_until: when it is out of date (ISO,
    as `at`). moved, turns: the worst first."""

    status: str
    why: str
    shifts: tuple[Shift, ...] = ()
    turns: tuple[Turn, ...] = ()
    moved: tuple[Moved, ...] = ()
    count: int = 0
    at: str = ""
    good_until: str = ""
    report: str = ""


@dataclass(frozen=True)
class _Outcome:
    """status: ok, warning, alert, or unknown, which `why` explains. notes: what else is to be said."""

    group: Group
    status: str
    excess: float = 0.0
    why: str = ""
    shifts: tuple[Shift, ...] = ()
    turn: Turn | None = None
    notes: tuple[str, ...] = ()


def compare(baseline: Profile, window: Profile, entry: DriftEntry) -> Verdict:
    """The verdict over a window. Raises nothing: too little evidence is `unknown`."""
    if min(baseline.count, window.count) < FEWEST:
        why = f"{window.count} results against a baseline of {baseline.count}; both need at least {FEWEST}"
        return Verdict("unknown", why, count=window.count)
    groups, more = groups_of(baseline, window)
    chance = _CHANCE / max(sum(group.is_enough for group in groups), 1)
    # Of a changed instrument nobody can say that the world has changed: no retraining starts on its account.
    changed = {group.route for group in groups if group.folder is None and _is_another(group)}
    outcomes = [_outcome(group, entry, chance, capped=group.route in changed) for group in groups]
    notes = [*_notes(outcomes), *_silent(baseline, window)]
    if more:
        notes.append(f"{more} smaller groups were not compared by themselves")
    return _verdict(outcomes, notes, window.count)


def _outcome(group: Group, entry: DriftEntry, chance: float, *, capped: bool) -> _Outcome:
    notes = () if group.folder is not None else tuple(filter(None, (group.another_model[1], group.left_out)))
    if not group.is_enough:
        return _Outcome(group, "unknown", why=_too_little(group), notes=notes)
    inputs, outputs = list(group.inputs(1 - chance)), list(group.outputs(1 - chance))
    turn = group.turn(1 - chance)
    shifts = sorted((*inputs, *outputs), key=lambda shift: -shift.psi_excess)
    sure = [shift for shift in shifts if shift.p is None or shift.p < chance]
    worst = max([*(shift.psi_excess for shift in sure), turn.excess if turn else 0.0], default=0.0)
    moved = [f"{s.feature} {s.before} -> {s.now}" for s in sure if s.psi_excess >= entry.warning][:_FEATURES]
    if turn and turn.excess >= entry.warning:
        moved.insert(0, f"embedding turned by a cosine distance of {turn.distance}")
    status = "alert" if worst >= entry.alert and not capped else "warning" if worst >= entry.warning else "ok"
    if status == "ok" and (not shifts or (capped and not outputs)):
        status = "unknown"  # that the pictures are what they were says nothing of the predictions
    named = tuple(replace(shift, group=str(group)) for shift in shifts)
    turn = turn and replace(turn, group=str(group))
    return _Outcome(group, status, worst, f"{group}: {', '.join(moved)}", named, turn, notes)


def _is_another(group: Group) -> bool:
    count = group.another_model[0]
    return count >= FEWEST or count > _ANOTHER * group.window.count


def _too_little(group: Group) -> str:
    if not group.baseline.count:
        return f"{group}: the baseline has none of this route, the window {group.window.count} results: {BASELINE_ANEW}"
    old, kept = group.matched
    why = f"{group}: {int(kept.sum())} results against {old} of the baseline from the same folders and hours"
    return f"{why}; that is too little, both need at least {FEWEST}"


def _notes(outcomes: Sequence[_Outcome]) -> Iterator[str]:
    """What is missing, of the routes with most results first."""
    nothing = not any(outcome.shifts for outcome in outcomes)
    for outcome in outcomes:
        # A route with a handful of results is nothing to worry about beside others.
        if outcome.status == "unknown" and not outcome.shifts and (nothing or outcome.group.window.count >= FEWEST):
            yield outcome.why
        yield from outcome.notes


def _silent(baseline: Profile, window: Profile) -> Iterator[str]:
    seen = set(window.route.tolist())
    for route in sorted(set(baseline.route.tolist()) - seen):
        if (count := int((baseline.route == route).sum())) >= FEWEST:
            yield f"route {route}: no results in the window, {count} in the baseline"


def _verdict(outcomes: Sequence[_Outcome], notes: Sequence[str], count: int) -> Verdict:
    drifted = [outcome for outcome in outcomes if outcome.status in ("warning", "alert")]
    drifted.sort(key=lambda outcome: (outcome.status != "alert", -outcome.excess))
    statuses = {outcome.status for outcome in outcomes}
    status = next((each for each in ("alert", "warning", "ok") if each in statuses), "unknown")
    said = [outcome.why for outcome in drifted[:_SENTENCES]]
    if len(drifted) > _SENTENCES:
        said.append(f"{len(drifted) - _SENTENCES} more groups moved")
    if status == "ok":
        said.append("nothing moved")
    said += notes[:_SENTENCES]
    if len(notes) > _SENTENCES:
        said.append(f"and {len(notes) - _SENTENCES} more remarks of this kind")
    shifts = sorted((shift for outcome in outcomes for shift in outcome.shifts), key=lambda shift: -shift.psi_excess)
    turns = sorted((outcome.turn for outcome in outcomes if outcome.turn), key=lambda turn: -turn.excess)
    moved = tuple(Moved(o.group.route, o.group.folder, o.status, o.excess, o.why) for o in drifted)
    return Verdict(status, "; ".join(said), tuple(shifts), tuple(turns), moved, count)
