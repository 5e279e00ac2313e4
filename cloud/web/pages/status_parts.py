"""What the status page looks at: a function for each part, which gives rows or raises what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from cloud.index.entry import Entry, Query, State
from cloud.settings import STATE, current
from cloud.web.pages import services
from cloud.web.pages.filters import address_of
from cloud.web.pages.render import Frame
from cloud.web.pages.tiles import first_sentence
from inference.results.plurals import counted

# So many uploads of a state are looked at; of more the page says "at least".
_LOOKED_AT = 500
_WORKING = 100
_SLOTS = 3
_BARS = 12


_NOT_COUNTED = (
    ("unknown", "more it is not known by what they were made"),
    ("by_others", "more another deployment is the one that answers"),
)


@dataclass(frozen=True)
class Cell:
    """A field of a table, with where it leads. trouble: whether somebody should do something about it."""

    text: str
    address: str = ""
    trouble: bool = False


Row = list[Cell]
Rows = list[Row]


@dataclass(frozen=True)
class Bar:
    """A bar of a plot; length: 0..1 of the longest."""

    words: str
    value: str
    length: float


@dataclass(frozen=True)
class Plot:
    """Bars under a sentence."""

    title: str
    bars: Sequence[Bar]


def _head(*words: str) -> list[Cell]:
    return [Cell(word) for word in words]


def waiting(frame: Frame) -> Rows:
    """How many uploads wait for what."""
    turn = "its turn, or the time that its route names"
    return _counted(frame, "waiting", "For", lambda entry: first_sentence(entry.message, entry.name) or turn, turn)


def failed(frame: Frame) -> Rows:
    """How many uploads failed by class."""
    return _counted(frame, "failed", "Error", lambda entry: entry.error_class or "unknown")


def working(frame: Frame) -> Rows:
    """What is being worked on, with how far it is; first what says so."""
    entries = services.index().page(Query(state="working"), None, _WORKING).entries
    rows = [_head("Upload", "So far")]
    for entry in sorted(entries, key=lambda entry: entry.share is None):
        far = "taken up" if entry.share is None else f"{entry.share:.0%}"
        rows.append([Cell(entry.name, frame.result(entry.name, "")), Cell(entry.message or far)])
    return rows


def _counted(frame: Frame, state: State, title: str, key: Callable[[Entry], str], calm: str = "") -> Rows:
    """Uploads of a state, counted. calm: the key of those about which nothing is to be done."""
    page = services.index().page(Query(state=state), None, _LOOKED_AT)
    counts = Counter(key(entry) for entry in page.entries)
    example = {key(entry): entry for entry in reversed(page.entries)}
    rows = [_head(title, "Uploads", "Newest")]
    for words, count in counts.most_common():
        newest = example[words].name
        rows.append(
            [
                Cell(words, trouble=words != calm),
                Cell(f"at least {count:,}" if page.next else f"{count:,}", frame.home + address_of(Query(state=state))),
                Cell(newest, frame.result(newest, "")),
            ]
        )
    return rows


def outdated(_: Frame) -> Rows:
    """What other models or routes would answer otherwise today, by the sweep's last count."""
    from cloud.health_parts import outdated

    told = outdated()
    if told.get("counted_at") is None:
        return [_head(""), [Cell(f"Not counted so far: {told.get('why', '')}")]]
    count = told["count"]
    many = f"{count:,}" if count else "None"
    verb = "is" if count < 2 else "are"
    said = f"{many} of {counted(told['of'], 'result')} {verb} outdated (counted {told['counted_at']})."
    more = [f"Of {told[name]:,} {words}." for name, words in _NOT_COUNTED if told.get(name)]
    notes = [f"{told['why'][:1].upper()}{told['why'][1:]}."] if told.get("why") else []
    how = [f"To analyse them again: {told['how']}"] if count and told.get("how") else []
    return [_head(""), [Cell(said, trouble=bool(count))], *([Cell(words)] for words in (*more, *notes, *how))]


def models(_: Frame) -> Rows:
    """Every model with its version and licence, and why it is not used or what was refused in its place."""
    from cloud.instance import default_worker

    worker = default_worker()
    worker.refresh_models()
    rows = [_head("Model", "Version", "Licence", "State")]
    delivered = worker.models
    refused = {name: why for name, (_, why) in delivered.refused.items()} if delivered else {}
    waits = dict(delivered.waiting) | dict(delivered.leaving) if delivered else {}
    for entry in worker.registry.list():
        manifest = entry.manifest
        last = refused.pop(entry.name, "")
        why = f"refused: {last}" if last else waits.get(entry.name, "") or entry.reason or ""
        rows.append(
            [
                Cell(entry.name),
                Cell(manifest.version if manifest else ""),
                Cell(manifest.licence if manifest else ""),
                Cell(why or "usable", trouble=bool(why)),
            ]
        )
    rows += [[Cell(name), Cell(""), Cell(""), Cell(f"refused: {why}", trouble=True)] for name, why in refused.items()]
    return rows


def routes(frame: Frame) -> Rows:
    """The routes in their order, with their steps and what is wrong with them."""
    from cloud.instance import default_worker

    planner = default_worker().planner
    rows = [_head("Route", "Uploads", "Steps")]
    rows += [[Cell(problem, trouble=True), Cell(""), Cell("")] for problem in map(str, planner.problems())]
    for route in planner.routes.routes:
        steps = ", ".join(step.title for step in route.steps)
        where = frame.home + address_of(Query(route=route.name))
        rows.append([Cell(route.name, where), Cell(str(route.match)), Cell(steps)])
    return rows


def pipelines(_: Frame) -> Rows:
    """The entries of pipelines.toml with their next slots and what the last one came to."""
    from cloud.azureml.pipeline_runs import slot_store
    from cloud.pipelines_file import pipelines

    found, now = pipelines(), datetime.now(UTC)
    rows = [_head("Pipeline", "Next", "Last")]
    rows += [[Cell(line, trouble=True), Cell(""), Cell("")] for line in map(str, found.problems)]
    for entry in found.entries:
        plan = slot_store().plan(entry.name)
        until = now.replace(year=now.year + 1, day=min(now.day, 28))
        slots = [] if not entry.enabled else [*islice(entry.schedule.slots(now, until), _SLOTS)]
        upcoming = ", ".join(f"{slot.astimezone(entry.schedule.tz):%a %d %b %H:%M %Z}" for slot in slots)
        last = f"{plan.last.get('slot', '')} {plan.last.get('state', '')}" if plan.last else "never ran"
        why = f": {plan.failed.get('why', '')}" if plan.failed else ""
        rows.append([Cell(entry.name), Cell(upcoming or "never"), Cell(last + why, trouble=bool(why))])
    return rows


def drift(_: Frame) -> tuple[Rows, Plot | None]:
    """The last verdict, and what moved most as bars."""
    from cloud.drift.drift_entry import VERDICT

    stored = services.storage().read_json(STATE, VERDICT)
    if stored is None or not isinstance(stored[0], dict):
        return [], None
    verdict: dict[str, Any] = stored[0]
    rows = [_head("", "")]
    for title, key in (("Verdict", "status"), ("Why", "why"), ("Results", "count"), ("Compared", "at")):
        rows.append([Cell(title), Cell(str(verdict.get(key, "")), trouble=verdict.get(key) in ("warning", "alert"))])
    shifts = [shift for shift in verdict.get("shifts") or () if isinstance(shift, dict)]
    return rows, _plot(shifts)


def _plot(shifts: Sequence[dict[str, Any]]) -> Plot | None:
    moved = sorted(shifts, key=lambda shift: -float(shift.get("psi") or 0))[:_BARS]
    most = max((float(shift.get("psi") or 0) for shift in moved), default=0.0)
    if not most:
        return None
    bars = [
        Bar(f"{shift.get('feature', '')} ({shift.get('group', '')})", f"{float(shift.get('psi') or 0):.3f}",
            float(shift.get("psi") or 0) / most)
        for shift in moved
    ]  # fmt: skip
    return Plot("Population stability index of what moved most", bars)


def paused() -> bool:
    """Whether no upload is begun."""
    return current().intake == "paused"
