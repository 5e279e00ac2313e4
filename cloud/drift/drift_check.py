"""The bodies of the drift check and of `python -m cloud drift`: collect, compare, report, request retraining."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from cloud.drift import drift_report, retraining
from cloud.drift.drift_entry import LAKE, VERDICT, DriftEntry
from cloud.drift.drift_groups import BASELINE_ANEW
from cloud.drift.drift_profile import Profile, from_json, profile
from cloud.drift.drift_rows import Row, collect, published, rows
from cloud.drift.drift_verdict import Verdict, compare
from cloud.drift.freshness import good_until
from cloud.drift.retraining import Submit
from cloud.pipelines_file import pipelines
from cloud.settings import STATE
from cloud.storage.by_hour import Results
from cloud.storage.containers import Storage
from cloud.storage.parsed_json import read_parsed
from inference.errors import BadPipeline

log = logging.getLogger(__name__)

BASELINE = "drift/baseline.json"


def check(
    storage: Storage, entry: DriftEntry, now: datetime, submit: Submit, results: Results | None = None
) -> Verdict:
    """Collect what is new, compare the window with the baseline, write the report, ask for retraining. results: what
    knows them without a listing.

    Raises BadPipeline where the baseline cannot be read, or a retraining that is due could not be started: it is tried
    again, and everything else is done.
    """
    collect(storage, now, results)
    broken: Counter[str] = Counter()
    window = rows(storage, now - timedelta(days=entry.window_days), now, broken)
    verdict = _compared(storage, entry, window, now)
    why = "; ".join([verdict.why, *_remarks(broken)])
    verdict = replace(verdict, why=why, good_until=good_until(entry.schedule, now).isoformat())
    storage.write_json(STATE, VERDICT, {**asdict(verdict), "at": now.isoformat()})
    alert = "; ".join(moved.why for moved in verdict.moved[:5]) if verdict.status == "alert" else ""
    retraining.follow(storage, entry, alert, now, submit)
    return verdict


def _compared(storage: Storage, entry: DriftEntry, window: Sequence[Row], now: datetime) -> Verdict:
    stored = read_parsed(storage, STATE, BASELINE, from_json, remedy=BASELINE_ANEW)
    if stored is None:
        return Verdict("unknown", "no baseline was saved: python -m cloud drift baseline", count=len(window))
    baseline = stored[0]
    if baseline is None:
        why = f"the baseline was saved by another release: {BASELINE_ANEW}"
        return Verdict("unknown", why, count=len(window))
    # What was the baseline itself is no evidence of change.
    window = [row for row in window if baseline.until is None or row.time >= baseline.until]
    verdict = compare(baseline, profile(window), entry)
    return _report(storage, verdict, window, baseline, now) if verdict.moved else verdict


def _remarks(broken: Counter[str]) -> list[str]:
    """What else a person should know: lines that were left out, and a `retrain` that names nothing."""
    remarks = []
    if broken:
        first, more = next(iter(broken)), f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        remarks.append(f"{broken.total()} lines that cannot be read are left out, of {LAKE}/{first}{more}")
    wrong = [line for line in pipelines().problems if "[drift]" in line]
    for line in wrong:
        log.warning("drift: %s", line)
    return remarks + wrong


def _report(storage: Storage, verdict: Verdict, window: Sequence[Row], baseline: Profile, now: datetime) -> Verdict:
    """Write the page and the pictures that a person judges by; the verdict that names their folder."""
    path = f"drift/reports/{now:%Y%m%dT%H%M%SZ}"
    groups = drift_report.picked(verdict, window, baseline)
    contact = drift_report.contact_sheet(groups, lambda name: published(storage, name))
    storage.write(STATE, f"{path}/contact.jpg", contact)
    page = drift_report.page(replace(verdict, at=now.isoformat(timespec="seconds")), "contact.jpg")
    storage.write(STATE, f"{path}/report.html", page)
    log.warning("drift: %s: %s (report %s/%s/report.html)", verdict.status, verdict.why, STATE, path)
    return replace(verdict, report=path)


def save_baseline(storage: Storage, days: int, now: datetime, results: Results | None = None) -> Profile:
    """Make the last `days` the baseline. Raises BadPipeline where they hold no results."""
    collect(storage, now, results)
    made = profile(rows(storage, now - timedelta(days=days), now), now)
    if not made.count:
        raise BadPipeline(f"no results were collected in the last {days} days: a baseline needs some")
    storage.write_json(STATE, BASELINE, made.to_json())
    return made
