"""The audit of every night: a slice at a time, on whichever host comes first, with its figures for the deep health.

`state/audit/run.json` says where it is (a single one for an account, whatever deployments work on it), `state/audit/
last.json` what the last one to come to the end has found. It mends nothing.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud.index.default import default_tables
from cloud.settings import STATE, Settings
from cloud.storage.blobs import Conflict
from cloud.storage.containers import Storage
from cloud.uploads.audit import Audit
from cloud.uploads.audit_listing import ListMark
from cloud.uploads.audit_report import AuditReport
from cloud.uploads.index_check import clear_gone
from cloud.uploads.intake import is_paused
from cloud.uploads.sweep_mark import pauses_noted
from inference.errors import BadManifest, LimitExceeded, StorageUnavailable
from inference.tables import build

log = logging.getLogger(__name__)

RUN, LAST = "audit/run.json", "audit/last.json"
HOW = "python -m cloud audit"
# A slice: some twenty thousand uploads. The timer that it belongs to goes on afterwards.
SLICE_S = 30.0
# What is younger may be waiting in a queue: figures that stay for a day are not to speak of a busy minute.
_YOUNG_S = 3600.0
_BEGINS = timedelta(hours=2)  # UTC
# After so many nights it is done also where sweeps never come to their end.
_NIGHTS_WITHOUT = 3
_TRIES = 3
_MOST_BYTES = 4 * 1024 * 1024
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadManifest, LimitExceeded)


@dataclass(frozen=True)
class _Run:
    """Where the audit of a night is. marks: none before it begins, and when it is over."""

    night: str = ""  # ISO date
    marks: dict[str, ListMark] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    over: bool = False
    tries: int = 0  # slices that began at these marks
    working: bool = False

    @classmethod
    def parse(cls, content: bytes) -> _Run:
        """Raises as `_BROKEN`."""
        known = {key: value for key, value in json.loads(content).items() if key in cls.__dataclass_fields__}
        run = build(cls, known, f"{STATE}/{RUN}")
        if run.report:
            AuditReport.from_json(run.report)
        return run


# When this process looks at the next one: a tick every minute is to cost no call a minute.
_next_look: dict[str, float] = {}


def nightly(
    storage: Storage,
    settings: Settings,
    *,
    idle: bool = True,
    begin_thread: Callable[[], None] = lambda: None,
    now: datetime | None = None,
    slice_s: float = SLICE_S,
) -> AuditReport | None:
    """Do a slice of this night's audit, unless it is done, or another host is at it; the report of one that is over.

    idle: whether uploads have nothing to wait for. Raises StorageUnavailable, which nobody has to mind: the next one
    goes on.
    """
    account = storage.service.url
    if now is None and time.monotonic() < _next_look.get(account, 0.0):
        return None
    now = now or datetime.now(UTC)
    night = (now - _BEGINS).date()
    run, version, age_s = _read(storage)
    if run.over and run.night >= night.isoformat():
        _next_look[account] = time.monotonic() + 3600
        return None
    waits = not idle and run.night >= (night - timedelta(days=_NIGHTS_WITHOUT)).isoformat()
    if waits or (run.working and age_s < 2 * slice_s + 60):
        return None
    if run.over or not run.night or run.tries >= _TRIES:
        run = _Run(night.isoformat())
    run = replace(run, tries=run.tries + 1, working=True)
    try:
        version = _write(storage, run, version)
        return _slice(storage, settings, run, version, begin_thread, slice_s)
    except Conflict:
        return None  # another host is at it
    except StorageUnavailable:
        with suppress(Conflict, StorageUnavailable):
            _write(storage, replace(run, working=False), version)
        raise


def _slice(
    storage: Storage, settings: Settings, run: _Run, version: str, begin_thread: Callable[[], None], slice_s: float
) -> AuditReport | None:
    audit = Audit(
        storage,
        max(settings.lease_seconds, _YOUNG_S),
        paused=is_paused(settings) or any(True for _ in pauses_noted(storage)),
        report=AuditReport.from_json(run.report) if run.report else None,
        marks=run.marks,
        begin_thread=begin_thread,
    )
    left = audit.run(slice_s)
    report = audit.report
    if left is not None:
        _write(storage, replace(run, marks=left, report=report.to_json(), tries=0, working=False), version)
        return None
    (log.info if report.is_clean else log.warning)("audit: %s", report)
    _write(storage, _Run(run.night, over=True), version)
    storage.write_json(STATE, LAST, report.to_json())
    return report


def _read(storage: Storage) -> tuple[_Run, str | None, float]:
    """Where the audit is, the version of the mark, and its age. What cannot be read begins anew."""
    reading = storage.open(STATE, RUN)
    if reading is None:
        return _Run(), None, 0.0
    try:
        return _Run.parse(reading.read(_MOST_BYTES)), reading.info.etag, reading.info.age_s
    except _BROKEN as error:
        log.warning("%s/%s is no mark of an audit (%.300s): it begins anew", STATE, RUN, error)
        return _Run(), reading.info.etag, 0.0


def _write(storage: Storage, run: _Run, version: str | None) -> str:
    return storage.write_json(STATE, RUN, asdict(run), **({"if_match": version} if version else {"if_absent": True}))


def told(storage: Storage) -> dict[str, Any]:
    """What the deep health says of the last audit, without a name; a single call. Raises ValueError where something is
    lost, doubled or stale."""
    stored = storage.read(STATE, LAST, _MOST_BYTES)
    try:
        report = AuditReport.from_json(json.loads(stored[0])) if stored else None
    except _BROKEN:
        report = None
    if not stored or report is None:
        return {"audited_at": None, "why": "no audit has come to its end so far; one begins every night", "how": HOW}
    figures = {key: value for key, value in report.to_json().items() if isinstance(value, int)}
    at = stored[1].modified.isoformat()
    if any(figures[kind] for kind in ("lost", "doubled", "stale")):
        raise ValueError(f"the audit of {at}: {report}; `{HOW}` names them, and `{HOW} --repair` mends them")
    return {**figures, "audited_at": at, "how": HOW}


def quietly(storage: Storage, settings: Settings, *, idle: bool, begin_thread: Callable[[], None]) -> None:
    """As `nightly`, for the timers: what is wrong with an audit stops nothing else."""
    try:
        is_over = nightly(storage, settings, idle=idle, begin_thread=begin_thread) is not None
        table = default_tables().table() if is_over else None
        if table and (gone := clear_gone(storage, table)):
            log.info("index: the rows of %d uploads are removed, of which nothing is there any more", gone)
    except StorageUnavailable as error:
        log.warning("the audit goes on later: %s", error)
    except Exception:
        log.exception("the audit")
