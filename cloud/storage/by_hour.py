"""Results by the hour in which they were written: what the drift and lake timers go through.

A whole hour is rewritten as a file that is named after it, so doing it twice does no harm; and no hour is so
much work that a function could not finish it.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from cloud.settings import RESULTS, STATE
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.paths import printable
from inference.errors import LimitExceeded, StorageUnavailable
from inference.results.check import checked_result
from inference.threads import begin_thread

log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
_READERS = 8
# A result may appear in the listing a little after the clock says that its hour is over.
_SETTLED = timedelta(minutes=2)
# What knows the results may be so far behind, and its hours are waited for.
_BEHIND = timedelta(hours=2)
_BEGINNING = datetime.min.replace(tzinfo=UTC)
# So many of the documents that are left out are named.
_NAMED = 5


def floor(moment: datetime) -> datetime:
    """The hour that `moment` lies in."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


class Results(Protocol):
    """Knows without a listing which results were written when: all that were before `through`."""

    @property
    def through(self) -> datetime: ...

    def since(self, moment: datetime | None) -> Iterator[BlobInfo]:
        """The result documents that were written since then, `modified` in the right hour."""


def unprocessed(
    storage: Storage, mark: str, now: datetime, most: int, results: Results | None = None
) -> Iterator[tuple[datetime, list[BlobInfo]]]:
    """(start, result documents written in it) of the finished hours after the mark, oldest first.

    The mark moves on after an hour was handled, and past empty hours; at most `most` a call. One listing, or none where
    `results` knows: an hour is over then once it knows all of it, unless it has fallen far behind. Storage dates
    the documents, so storage says which hours are over: an hour that is over by `now` alone is given too, but the mark
    stays before it, and it is given again. A mark that cannot be read counts as none: everything is gone through again.
    """
    settled = floor(storage.date() - _SETTLED)  # asked before the listing, which may take a while
    done = _through(storage, mark)
    end = floor(now - _SETTLED)
    if results and settled - results.through < _BEHIND:
        end = min(end, floor(results.through))
        found = results.since(done if done > _BEGINNING else None) if done < end else iter(())
    else:
        found = (blob for page in storage.pages(RESULTS, size=5000) for blob in page.blobs)
    groups: dict[datetime, list[BlobInfo]] = defaultdict(list)
    for blob in found:
        if blob.name.endswith("/result.json") and done <= blob.modified < end:
            groups[floor(blob.modified)].append(blob)
    chosen = sorted(groups)[:most]
    for start in chosen:
        yield start, sorted(groups[start], key=lambda blob: blob.name)
        if start < settled:
            storage.write_json(STATE, mark, {"through": (start + HOUR).isoformat()})
    through = min(end, settled)
    if len(chosen) == len(groups) and through > done:
        storage.write_json(STATE, mark, {"through": through.isoformat()})


def _through(storage: Storage, mark: str) -> datetime:
    """Up to where all was handled; never more than was over, by storage's clock, when the mark was written."""
    try:
        stored = storage.read_json(STATE, mark)
        through = _moment(stored[0]["through"]) if stored else _BEGINNING
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        log.warning("%s/%s is no mark (%r): all hours are gone through again", STATE, mark, error)
        return _BEGINNING
    if stored is None:
        return through
    info = stored[1]
    over = floor(info.modified - _SETTLED)
    if through > over:
        log.warning(
            "%s/%s says that all before %s was handled, but storage dates it %s: the clock of a host was ahead; "
            "the hours from %s on are handled again",
            STATE, mark, through.isoformat(), info.modified.isoformat(), over.isoformat(),
        )  # fmt: skip
    return min(through, over)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


@dataclass
class LeftOut:
    """Documents that are no results of this app: how many of how many, and the first names."""

    read: int = 0
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str, why: str) -> None:
        """Count one more; the log says why, of the first ones."""
        self.count += 1
        if len(self.first) < _NAMED:
            self.first.append(f"{RESULTS}/{name}")
            log.warning("%s", printable(f"{RESULTS}/{name} is no result of this app and is left out: {why}"))

    def __str__(self) -> str:
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return printable(
            f"{self.count} of {self.read} documents are left out: {', '.join(self.first)}{more}; replay those uploads "
            "with --all, or delete what another program wrote"
        )


def documents(
    storage: Storage, blobs: list[BlobInfo], left_out: LeftOut | None = None
) -> Iterator[tuple[BlobInfo, dict[str, Any]]]:
    """The result documents themselves, in order; what was deleted meanwhile, or is no result, is left out.

    left_out: counts the latter; without it, they are of an hour, and the log says at the end how many. Read side by
    side: a document is small, and most of its time is waiting. In groups, so that a busy hour does not lie in memory
    as a whole.
    """
    noted = LeftOut() if left_out is None else left_out
    with ThreadPoolExecutor(_READERS, initializer=begin_thread()) as pool:
        for start in range(0, len(blobs), 8 * _READERS):
            group = blobs[start : start + 8 * _READERS]
            contents = pool.map(lambda blob: _document(storage, blob), group)
            for blob, content in zip(group, contents, strict=True):
                noted.read += content is not None
                if isinstance(content, str):
                    noted.add(blob.name, content)
                elif content is not None:
                    yield content
    if left_out is None and noted.count:
        log.warning("results of the hour %s: %s", floor(blobs[0].modified).isoformat(), noted)


def _document(storage: Storage, blob: BlobInfo) -> tuple[BlobInfo, dict[str, Any]] | str | None:
    """The document, why it is none, or None where it is not there any more; with what a listing said of it, or, where
    none did, what storage says now."""
    name = blob.name
    try:
        stored = storage.read(RESULTS, name)
        if stored is None:
            return None
        return (blob if blob.etag else stored[1]), dict(checked_result(json.loads(stored[0])))
    except (ValueError, RecursionError, LimitExceeded) as error:
        return str(error)
    except Conflict as error:
        raise StorageUnavailable(f"{RESULTS}/{name} was replaced while it was read: try again") from error
