"""The request for retraining: made by an alert, approved by a person, carried out exactly once.

waiting -> approved -> submitted. The slot of the run is written with `approved`, before anything is sent, and a slot
runs once however often it is submitted: whoever finds an approved request goes on with it. Where nothing was
submitted the request waits again, and its next try is said beforehand too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from cloud.drift.drift_entry import DriftEntry
from cloud.settings import STATE
from cloud.storage.containers import Conflict, Storage
from cloud.storage.parsed_json import read_parsed, unchanged
from inference.errors import BadPipeline, Permanent

log = logging.getLogger(__name__)

REQUEST = "drift/retraining.json"
# A process that began to submit a slot has ended after this long: only then another slot may be taken.
_OVER = timedelta(hours=1)


class Receipt(Protocol):
    """What is known of a slot (`cloud.azureml.slot.Slot`): its state, its run if it has one, and what went wrong."""

    @property
    def state(self) -> str: ...

    @property
    def run(self) -> Mapping[str, str] | None: ...

    @property
    def why(self) -> str: ...


# Runs a pipeline for a slot, which happens once however often it is called. Raises Permanent where nothing was
# submitted, Transient where it may have been.
Submit = Callable[[str, datetime], Receipt]


@dataclass(frozen=True)
class Request:
    """The last request for retraining. state: waiting, approved or submitted. at: when it was made (ISO). slot: where
    it runs; of a waiting one, where its next try does. error: why it could not be carried out."""

    state: str
    pipeline: str
    why: str
    at: str
    slot: str = ""
    error: str = ""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Request:
        """As stored; members of later versions are ignored. Raises TypeError or ValueError."""
        known = {key: value for key, value in document.items() if key in cls.__dataclass_fields__}
        if wrong := [key for key, value in known.items() if not isinstance(value, str)]:
            raise TypeError(f"{', '.join(wrong)}: no text")
        request = cls(**known)
        _moment(request.at), request.slot and _moment(request.slot)
        return request

    def to_json(self) -> dict[str, str]:
        """As it is stored: without what is not known."""
        return {key: value for key, value in vars(self).items() if value or key not in ("slot", "error")}


def read(storage: Storage) -> tuple[Request, str] | None:
    """The last request, and its ETag. Raises BadPipeline."""
    return read_parsed(storage, STATE, REQUEST, Request.from_json)


def approve(storage: Storage, now: datetime, submit: Submit) -> Request:
    """Run the retraining that waits for a person, or go on with one that was approved; the request as it is now.

    Raises BadPipeline where there is none, or it cannot be carried out: then it waits on.
    """
    stored = read(storage)
    if stored is None or stored[0].state not in ("waiting", "approved"):
        state = stored[0].state if stored else "absent"
        raise BadPipeline(f"no retraining waits for approval (the last request is {state})")
    request = _carry_out(storage, stored, now, submit)
    if request is None:
        raise BadPipeline("this request was answered by somebody else at this moment: look again")
    return request


def follow(storage: Storage, entry: DriftEntry, alert: str, now: datetime, submit: Submit) -> None:
    """What a check does: go on with what was approved, and on an alert (its words) request retraining.

    Once per cooldown; it runs when a person says so, or at once without `approval`. Raises BadPipeline where it cannot
    be carried out: then it waits on.
    """
    stored = read(storage)
    if stored and stored[0].state == "approved" and stored[0].slot:
        _carry_out(storage, stored, now, submit)
    elif alert and entry.retrain:
        stored = _requested(storage, entry, alert, now, stored)
        if stored and not entry.approval:
            _carry_out(storage, stored, now, submit)


def _requested(
    storage: Storage, entry: DriftEntry, why: str, now: datetime, stored: tuple[Request, str] | None
) -> tuple[Request, str] | None:
    """The request that waits, made now unless there is one; None within the cooldown, and where another was faster."""
    request = Request("waiting", entry.retrain, why, now.isoformat())
    if stored and stored[0].state == "waiting":
        if stored[0].pipeline == entry.retrain:
            return stored
        # The entry was renamed, or another one takes its place.
        request = Request("waiting", entry.retrain, stored[0].why, stored[0].at)
    elif stored and now - _moment(stored[0].at) < timedelta(days=entry.cooldown_days):
        return None
    etag = _write(storage, request, unchanged(stored))
    if etag and entry.approval:
        log.warning("drift: retraining by %s waits for `python -m cloud drift approve`", entry.retrain)
    return (request, etag) if etag else None


def _carry_out(storage: Storage, stored: tuple[Request, str], now: datetime, submit: Submit) -> Request | None:
    """The request as far as it goes; None where somebody else answers it at this moment."""
    request, etag = stored
    if request.state == "waiting" or not request.slot:
        request = replace(request, state="approved", slot=_slot(request, now).isoformat(), error="")
        taken = _write(storage, request, {"if_match": etag})
        if taken is None:
            return None
        etag = taken
    at = _moment(request.slot)
    try:
        receipt = submit(request.pipeline, at)
    except Permanent as error:
        # The slot stays that of the next try: another host that is at it now would start a second run otherwise.
        raise _put_back(storage, request, etag, at, str(error)) from error
    if receipt.run or receipt.state == "skipped":  # skipped: by a person, and so answered
        return _submitted(storage, request, etag)
    if receipt.state == "failed":
        # This slot is over: the next try has another one.
        raise _put_back(storage, request, etag, at + timedelta(seconds=1), receipt.why)
    where = f"retraining by {request.pipeline}, slot {request.slot}"
    log.warning("drift: %s is %s, and not submitted yet: %s", where, receipt.state, receipt.why)
    return request


def _slot(request: Request, now: datetime) -> datetime:
    """The moment of the next try: the one that was said beforehand, as long as somebody may still be at it."""
    said = _moment(request.slot) if request.slot else None
    return said if said and now - said < _OVER else now.astimezone(UTC).replace(microsecond=0)


def _put_back(storage: Storage, request: Request, etag: str, at: datetime, error: str) -> BadPipeline:
    """Let the request wait again; the error to raise. Where somebody else got further meanwhile, theirs stays."""
    _write(storage, replace(request, state="waiting", slot=at.isoformat(), error=error), {"if_match": etag})
    return BadPipeline(f"retraining by {request.pipeline} was not started, and its request waits on: {error}")


def _submitted(storage: Storage, request: Request, etag: str) -> Request:
    submitted = replace(request, state="submitted")
    written = _write(storage, submitted, {"if_match": etag})
    while written is None:
        # It has its run, whatever somebody else who could not start it has made of the request.
        found = read(storage)
        if not found or found[0].at != request.at or found[0].state == "submitted":
            break
        written = _write(storage, submitted, {"if_match": found[1]})
    return submitted


def _write(storage: Storage, request: Request, condition: Mapping[str, Any]) -> str | None:
    """The ETag of the request as written, or None where another version is there."""
    try:
        return storage.write_json(STATE, REQUEST, request.to_json(), **condition)
    except Conflict:
        # The SDK repeats a write whose answer was lost, and then meets its own work.
        stored = read(storage)
        return stored[1] if stored and stored[0] == request else None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
