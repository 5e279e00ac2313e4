"""What is told of an upload's end: a CloudEvents 1.0 event, as JSON."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from cloud.index.entry import Entry, State
from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.paths import record_path

# By the state in which an upload ended; other states are no end.
TYPES: dict[State, str] = {
    "done": "dropsight.result.written",
    "partial": "dropsight.result.written",
    "failed": "dropsight.result.failed",
    "cancelled": "dropsight.result.cancelled",
}
# A queue's message has room for 48 KiB.
_LABELS, _LABEL = 20, 200
_MESSAGE = 2000


def event_of(entry: Entry, number: int, deployment: str) -> dict[str, Any]:
    """The event of an entry whose state is one of `TYPES`.

    number: of the ends of this upload, from 1 on; of two events the one with the higher number is the newer, whenever
    they arrive. The id is the same whenever the same end is told again.
    """
    path = record_path(entry.name)
    said = hashlib.sha256(entry.name.encode("utf-8", "replace")).hexdigest()[:24]
    data: dict[str, Any] = {
        "container": UPLOADS,
        "name": entry.name,
        "etag": entry.etag,
        "state": entry.state,
        "number": number,
        "route": entry.route,
        "media_type": entry.media_type or None,
        "summary": {"objects": _first(entry.objects), "scene": _first(entry.scene)},
    }
    if entry.state in ("done", "partial"):
        data["result"] = {"container": RESULTS, "path": f"{path}/result.json"}
    else:
        data["error"] = {"class": entry.error_class or None, "message": entry.message[:_MESSAGE]}
        if entry.state == "failed":
            data["record"] = {"container": ERRORS, "path": f"{path}.json"}
    return {
        "specversion": "1.0",
        "id": f"{said}-{entry.etag.removeprefix('0x')[-16:]}-{number}",
        "source": f"/dropsight/{deployment}",
        "type": TYPES[entry.state],
        "subject": entry.name,
        "time": (entry.written or datetime.now(UTC)).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": data,
    }


def _first(numbers: Any) -> dict[str, Any]:
    return {label[:_LABEL]: number for label, number in list(numbers.items())[:_LABELS]}
