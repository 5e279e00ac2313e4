"""Results by the hour in which they were written: what the drift and lake timers go through.

A whole hour is rewritten as one file whose name says which, so doing it twice does no harm; and no hour is so
much work that a function could not finish it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud.settings import RESULTS, STATE
from cloud.storage.containers import BlobInfo, Storage

log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
_READERS = 8
# A result may appear in the listing a little after the clock says that its hour is over.
_SETTLED = timedelta(minutes=2)


def floor(moment: datetime) -> datetime:
    """The hour that `moment` lies in."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def unprocessed(storage: Storage, mark: str, now: datetime, most: int) -> Iterator[tuple[datetime, list[BlobInfo]]]:
    """(start, result documents written in it) of each finished hour after the mark, oldest first.

    The mark moves on after each one was handled, and past empty ones; at most `most` a call. One listing.
    """
    stored = storage.read_json(STATE, mark)
    done = datetime.fromisoformat(stored[0]["through"]) if stored else datetime.min.replace(tzinfo=UTC)
    end = floor(now - _SETTLED)
    groups: dict[datetime, list[BlobInfo]] = defaultdict(list)
    for page in storage.pages(RESULTS, size=5000):
        for blob in page.blobs:
            if blob.name.endswith("/result.json") and done <= blob.modified < end:
                groups[floor(blob.modified)].append(blob)
    chosen = sorted(groups)[:most]
    for start in chosen:
        yield start, sorted(groups[start], key=lambda blob: blob.name)
        storage.write_json(STATE, mark, {"through": (start + HOUR).isoformat()})
    if len(chosen) == len(groups) and end > done:
        storage.write_json(STATE, mark, {"through": end.isoformat()})


def documents(storage: Storage, blobs: list[BlobInfo]) -> Iterator[tuple[BlobInfo, dict[str, Any]]]:
    """The result documents themselves, in order; what was deleted meanwhile, or is no result, is left out.

    Read side by side: a document is small, and most of its time is waiting. In groups, so that a busy hour
    does not lie in memory as a whole.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(blobs), 8 * _READERS):
            group = blobs[start : start + 8 * _READERS]
            contents = pool.map(lambda blob: _document(storage, blob.name), group)
            for blob, content in zip(group, contents, strict=True):
                if content:
                    yield blob, content


def _document(storage: Storage, name: str) -> dict[str, Any] | None:
    try:
        stored = storage.read_json(RESULTS, name)
        if stored is None or str(stored[0]["schema"]).startswith("dropsight/"):
            return stored and stored[0]
        wrong = f"its schema is {stored[0]['schema']!r}, not dropsight/..."
    except (ValueError, TypeError, LookupError) as error:
        wrong = f"{type(error).__name__}: {error}"
    log.warning("%s/%s is no result of this app and is left out: %s", RESULTS, name, wrong)
    return None
