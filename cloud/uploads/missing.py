"""Which finished uploads lack what they ended with: somebody, or a rule of the account, has deleted it."""

from __future__ import annotations

from collections.abc import Iterator

from cloud.settings import ERRORS, RESULTS
from cloud.storage.containers import Storage
from cloud.storage.paths import record_prefix
from cloud.uploads.publish import RESULT
from cloud.uploads.receipts import ReceiptStore

# Where the answer of an upload lies: the container, and what its path has behind the receipt's.
ANSWERS = {"done": (RESULTS, f"/{RESULT}"), "failed": (ERRORS, ".json")}


def without_answer(storage: Storage, receipts: ReceiptStore, prefix: str, state: str) -> set[str]:
    """The paths of receipts in `state` (done, failed) without result or error record; a call per page of both lists."""
    container, ending = ANSWERS[state]
    below = record_prefix(prefix)
    wanted = (found.path for page in receipts.pages(below) for found in page.summaries if found.state == state)
    pages = storage.pages(container, below, size=5000)
    there = (blob.name.removesuffix(ending) for page in pages for blob in page.blobs if blob.name.endswith(ending))
    return absent(wanted, there)


def absent(wanted: Iterator[str], there: Iterator[str]) -> set[str]:
    """What of `wanted` is not `there`. In memory is what has no partner so far: little where both are sorted alike, and
    how they are sorted decides nothing else."""
    missing: set[str] = set()
    spare: set[str] = set()
    first, second = next(wanted, None), next(there, None)
    while first is not None or second is not None:
        if second is None or (first is not None and first <= second):
            assert first is not None
            _pair(first, spare, missing)
            first = next(wanted, None)
        else:
            _pair(second, missing, spare)
            second = next(there, None)
    return missing


def _pair(name: str, others: set[str], own: set[str]) -> None:
    if name in others:
        others.remove(name)
    else:
        own.add(name)
