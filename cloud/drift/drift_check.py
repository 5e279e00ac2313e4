"""The bodies of the drift check and of `python -m cloud drift`: collect, compare, report, request retraining."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from PIL import Image

from cloud.drift import drift_report
from cloud.drift.collect import MAX_PICTURE, collect, rows
from cloud.drift.compare import Profile, Verdict, compare, profile
from cloud.drift.drift_entry import VERDICT, DriftEntry
from cloud.settings import STATE, UPLOADS
from cloud.storage.containers import Conflict, Storage
from inference.errors import BadPipeline, DropsightError
from inference.image.limits import Limits
from inference.image.media import decode

log = logging.getLogger(__name__)

BASELINE = "drift/baseline.json"
REQUEST = "drift/retraining.json"

Submit = Callable[[str], datetime]


def check(storage: Storage, entry: DriftEntry, now: datetime, submit: Submit) -> Verdict:
    """Collect what is new, compare the window with the baseline, write the report, ask for retraining."""
    collect(storage, now)
    window = list(rows(storage, now - timedelta(days=entry.window_days), now))
    found = storage.read_json(STATE, BASELINE)
    if found is None:
        verdict = Verdict("unknown", "no baseline was saved: python -m cloud drift baseline", count=len(window))
        _publish(storage, verdict, now, "")
        return verdict
    baseline = Profile(**found[0])
    # What was the baseline itself is no evidence of change.
    window = [row for row in window if row["time"] >= baseline.until]
    verdict = replace(compare(baseline, profile(window), entry), at=now.isoformat(timespec="seconds"))
    path = f"drift/reports/{now:%Y%m%dT%H%M%SZ}"
    if verdict.status in ("warning", "alert"):
        groups = [
            ("Most drifted", drift_report.most_drifted(window, baseline)),
            ("Least certain", drift_report.least_certain(window)),
        ]
        storage.write(STATE, f"{path}/contact.jpg", drift_report.contact_sheet(groups, _fetcher(storage)))
        storage.write(STATE, f"{path}/report.html", drift_report.page(verdict, "contact.jpg"))
        log.warning("drift: %s: %s (report %s/%s/report.html)", verdict.status, verdict.why, STATE, path)
    else:
        path = ""
    _publish(storage, verdict, now, path)
    if entry.retrain:
        _retrain(storage, entry, verdict, now, submit)
    return verdict


def save_baseline(storage: Storage, days: int, now: datetime) -> Profile:
    """Make the last `days` the baseline. Raises BadPipeline where they hold no results."""
    collect(storage, now)
    made = profile(list(rows(storage, now - timedelta(days=days), now)), now.isoformat())
    if not made.count:
        raise BadPipeline(f"no results were collected in the last {days} days: a baseline needs some")
    storage.write_json(STATE, BASELINE, made.to_json())
    return made


def approve(storage: Storage, submit: Submit) -> datetime:
    """Run the retraining that waits for a person. Raises BadPipeline where none does."""
    found = storage.read_json(STATE, REQUEST)
    if found is None or found[0]["state"] != "waiting":
        state = found[0]["state"] if found else "absent"
        raise BadPipeline(f"no retraining waits for approval (the last request is {state})")
    return _submit(storage, found[0], found[1].etag, submit)


def _retrain(storage: Storage, entry: DriftEntry, verdict: Verdict, now: datetime, submit: Submit) -> None:
    """Request retraining on an alert: once per cooldown, and run it only with a person's word, unless told so."""
    found = storage.read_json(STATE, REQUEST)
    if verdict.status != "alert":
        return
    if found:
        age = now - datetime.fromisoformat(found[0]["at"])
        if found[0]["state"] == "waiting" or age < timedelta(days=entry.cooldown_days):
            return
    request = {"state": "waiting", "pipeline": entry.retrain, "why": verdict.why, "at": now.isoformat()}
    condition: dict[str, Any] = {"if_match": found[1].etag} if found else {"if_absent": True}
    try:
        etag = storage.write_json(STATE, REQUEST, request, **condition)
    except Conflict:
        return  # somebody else asked at this moment
    if entry.approval:
        log.warning("drift: retraining by %s waits for `python -m cloud drift approve`", entry.retrain)
    else:
        _submit(storage, request, etag, submit)


def _submit(storage: Storage, request: dict[str, Any], etag: str, submit: Submit) -> datetime:
    # Written first: two who approve at the same moment start one run.
    try:
        etag = storage.write_json(STATE, REQUEST, {**request, "state": "approved"}, if_match=etag)
    except Conflict as error:
        raise BadPipeline("this request was answered by somebody else at this moment") from error
    slot = submit(request["pipeline"])
    storage.write_json(STATE, REQUEST, {**request, "state": "submitted", "slot": slot.isoformat()}, if_match=etag)
    return slot


def _publish(storage: Storage, verdict: Verdict, now: datetime, path: str) -> None:
    document = {**verdict.to_json(), "at": now.isoformat(), "report": path}
    storage.write_json(STATE, VERDICT, document)


def _fetcher(storage: Storage) -> Callable[[str], Image.Image | None]:
    def fetch(name: str) -> Image.Image | None:
        try:
            found = storage.read(UPLOADS, name, MAX_PICTURE)
            return decode(found[0], Limits(bytes=MAX_PICTURE), at_least=160).image if found else None
        except DropsightError:
            return None  # a video, or a picture that is no picture any more: its tile stays grey

    return fetch
