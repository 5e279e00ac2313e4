"""The bodies of the drift check and of `python -m cloud drift`: collect, compare, report, request retraining."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from cloud.drift import drift_report
from cloud.drift.drift_entry import VERDICT, DriftEntry
from cloud.drift.drift_rows import Row, collect, picture, rows
from cloud.drift.drift_verdict import Profile, Verdict, compare, profile
from cloud.settings import STATE
from cloud.storage.containers import Conflict, Storage
from cloud.storage.parsed_json import read_parsed, unchanged
from inference.errors import BadPipeline

log = logging.getLogger(__name__)

BASELINE = "drift/baseline.json"
REQUEST = "drift/retraining.json"
_BASELINE_ANEW = "save it anew with `python -m cloud drift baseline`"

Submit = Callable[[str], datetime]


@dataclass(frozen=True)
class Request:
    """The last request for retraining. state: waiting, approved or submitted. slot: where it runs, as ISO text."""

    state: str
    pipeline: str
    why: str
    at: str
    slot: str = ""

    def to_json(self) -> dict[str, str]:
        """As it is stored: without a slot before it has run."""
        return {key: value for key, value in vars(self).items() if key != "slot" or value}


def check(storage: Storage, entry: DriftEntry, now: datetime, submit: Submit) -> Verdict:
    """Collect what is new, compare the window with the baseline, write the report, ask for retraining."""
    collect(storage, now)
    window = list(rows(storage, now - timedelta(days=entry.window_days), now))
    stored = read_parsed(storage, STATE, BASELINE, lambda document: Profile(**document), remedy=_BASELINE_ANEW)
    if stored is None:
        verdict = Verdict("unknown", "no baseline was saved: python -m cloud drift baseline", count=len(window))
    else:
        # What was the baseline itself is no evidence of change.
        window = [row for row in window if row["time"] >= stored[0].until]
        verdict = compare(stored[0], profile(window), entry)
        if verdict.status in ("warning", "alert"):
            verdict = _report(storage, verdict, window, stored[0], now)
    storage.write_json(STATE, VERDICT, {**asdict(verdict), "at": now.isoformat()})
    if entry.retrain and verdict.status == "alert":
        _retrain(storage, entry, verdict, now, submit)
    return verdict


def _report(storage: Storage, verdict: Verdict, window: list[Row], baseline: Profile, now: datetime) -> Verdict:
    """Write the page and the pictures that a person judges by; the verdict that names their folder."""
    path = f"drift/reports/{now:%Y%m%dT%H%M%SZ}"
    groups = [
        ("Most drifted", drift_report.most_drifted(window, baseline)),
        ("Least certain", drift_report.least_certain(window)),
    ]
    contact = drift_report.contact_sheet(groups, lambda name: picture(storage, name, at_least=160))
    storage.write(STATE, f"{path}/contact.jpg", contact)
    page = drift_report.page(replace(verdict, at=now.isoformat(timespec="seconds")), "contact.jpg")
    storage.write(STATE, f"{path}/report.html", page)
    log.warning("drift: %s: %s (report %s/%s/report.html)", verdict.status, verdict.why, STATE, path)
    return replace(verdict, report=path)


def save_baseline(storage: Storage, days: int, now: datetime) -> Profile:
    """Make the last `days` the baseline. Raises BadPipeline where they hold no results."""
    collect(storage, now)
    made = profile(list(rows(storage, now - timedelta(days=days), now)), now.isoformat())
    if not made.count:
        raise BadPipeline(f"no results were collected in the last {days} days: a baseline needs some")
    storage.write_json(STATE, BASELINE, asdict(made))
    return made


def approve(storage: Storage, submit: Submit) -> datetime:
    """Run the retraining that waits for a person. Raises BadPipeline where none does."""
    stored = read_parsed(storage, STATE, REQUEST, lambda document: Request(**document))
    if stored is None or stored[0].state != "waiting":
        state = stored[0].state if stored else "absent"
        raise BadPipeline(f"no retraining waits for approval (the last request is {state})")
    return _submit(storage, stored[0], stored[1], submit)


def _retrain(storage: Storage, entry: DriftEntry, verdict: Verdict, now: datetime, submit: Submit) -> None:
    """Request retraining, once per cooldown; it runs when a person says so, or at once without `approval`."""
    stored = read_parsed(storage, STATE, REQUEST, lambda document: Request(**document))
    if stored:
        age = now - datetime.fromisoformat(stored[0].at)
        if stored[0].state == "waiting" or age < timedelta(days=entry.cooldown_days):
            return
    request = Request("waiting", entry.retrain, verdict.why, now.isoformat())
    try:
        etag = storage.write_json(STATE, REQUEST, request.to_json(), **unchanged(stored))
    except Conflict:
        return  # somebody else asked at this moment
    if entry.approval:
        log.warning("drift: retraining by %s waits for `python -m cloud drift approve`", entry.retrain)
    else:
        _submit(storage, request, etag, submit)


def _submit(storage: Storage, request: Request, etag: str, submit: Submit) -> datetime:
    # Written first: two who approve at the same moment start a single run.
    try:
        etag = storage.write_json(STATE, REQUEST, replace(request, state="approved").to_json(), if_match=etag)
    except Conflict as error:
        raise BadPipeline("this request was answered by somebody else at this moment") from error
    slot = submit(request.pipeline)
    submitted = replace(request, state="submitted", slot=slot.isoformat())
    storage.write_json(STATE, REQUEST, submitted.to_json(), if_match=etag)
    return slot
