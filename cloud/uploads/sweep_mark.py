"""Where the next sweep goes on: between sweeps `state/sweep.json`, of an app in Azure `state/sweep-<deployment>.json`.

Each deployment over an account has a mark of its own: it counts by routes of its own, and may pause.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from cloud.settings import STATE
from cloud.storage.blobs import Conflict
from cloud.storage.containers import Storage
from cloud.storage.paths import printable
from cloud.uploads.outdated import Tally
from inference.errors import BadManifest, LimitExceeded
from inference.tables import build

log = logging.getLogger(__name__)

_BEGINNING = "sweep"
MARK = f"{_BEGINNING}.json"
_MARK_BYTES = 1024 * 1024  # of thousands of scans


@dataclass(frozen=True)
class ScanMark:
    """Where a scan goes on: the pages of both lists that were being read, and what was counted before them.

    outdated: None where that is not known, as in the marks of older versions.
    """

    uploads: str | None = None
    receipts: str | None = None
    outdated: Tally | None = None

    def tally(self, none: Tally) -> Tally | None:
        """The count with which a scan begins (`none` counted so far) or goes on. None where it was begun by another
        deployment, with other routes or models, or by a version that did not count."""
        if self.uploads is None:
            return none
        mine = self.outdated
        return mine if mine and (mine.by, mine.today) == (none.by, none.today) else None


@dataclass(frozen=True)
class SweepMark(ScanMark):
    """Where the next sweep goes on: in the scan of everything, and in `scans`, others that were not finished, by key.

    first: the scan with which it begins, where those before it left that one no time; "" for the first of all.
    paused_by: the deployment whose intake is paused; the next sweep then begins at the beginning.
    """

    scans: Mapping[str, ScanMark] = field(default_factory=dict)
    first: str = ""
    paused_by: str = ""


def path_of(deployment: str) -> str:
    """Where a deployment keeps its mark in the container `state`."""
    return MARK if deployment == "local" else f"{_BEGINNING}-{deployment}.json"


def write_mark(storage: Storage, deployment: str, mark: SweepMark) -> None:
    """Keeps the mark; a single call."""
    storage.write_json(STATE, path_of(deployment), asdict(mark))


def note_pause(storage: Storage, deployment: str) -> None:
    """Takes the place of a mark, since what comes during a pause may lie before it; a single call."""
    write_mark(storage, deployment, SweepMark(paused_by=deployment))


def pauses_noted(storage: Storage) -> Iterator[tuple[str, datetime]]:
    """The deployments that were paused when they last looked, and when that was; a call, and one for each mark."""
    for blob in [blob for page in storage.pages(STATE, _BEGINNING) for blob in page.blobs]:  # none without a container
        try:
            stored = storage.read(STATE, blob.name, _MARK_BYTES)
            by = json.loads(stored[0]).get("paused_by") if stored else None
        except (ValueError, AttributeError, RecursionError, LimitExceeded, Conflict):
            continue
        if stored and by:
            yield str(by), stored[1].modified


def read_mark(storage: Storage, deployment: str) -> SweepMark:
    """The mark that the last sweep left, if any; what cannot be read as one begins at the beginning."""
    path = path_of(deployment)
    reading = storage.open(STATE, path)
    if reading is None:
        return SweepMark()
    # Deleted before it is used: a mark that the service does not take any more must not stop every sweep.
    storage.delete(STATE, path)
    try:
        document = json.loads(reading.read(_MARK_BYTES))
        known = {key: value for key, value in document.items() if key in SweepMark.__dataclass_fields__}
        return build(SweepMark, known, f"{STATE}/{path}")
    except (ValueError, AttributeError, RecursionError, BadManifest, LimitExceeded, Conflict) as error:
        what = f"{STATE}/{path} is no mark ({str(error)[:300]}): the sweep starts from the beginning"
        log.warning("%s", printable(what))
        return SweepMark()
