"""The one log line of an upload that was worked on: its name, what came out, and how that was reached."""

from __future__ import annotations

import logging
import time
from typing import Any

from cloud.storage.paths import printable
from cloud.uploads.ledger import Claim
from cloud.uploads.retry import is_fault_of_file
from inference.errors import DropsightError

log = logging.getLogger(__name__)

_LOGGED = "_dropsight_logged"


def log_end(
    claim: Claim[Any],
    what: str,
    trace: str,
    level: int = logging.INFO,
    error: Exception | None = None,
    since: float | None = None,
) -> None:
    """Log what came out of a claim; with the traceback of an `error` that is a bug.

    since: when the work began, in seconds since 1970, where that was before this claim was made (a job's).
    """
    seconds = time.monotonic() - claim.begun if since is None else max(0.0, time.time() - since)
    how = f"({seconds:.1f} s, attempt {claim.attempt}, trace {trace})"
    bug = error if error is not None and not isinstance(error, DropsightError) else None
    log.log(level, "%s", printable(f"{claim.receipt.name}: {what} {how}"), exc_info=bug)


def log_failure(claim: Claim[Any], error: Exception, trace: str, again: bool = False) -> None:
    """Log how a claim failed, for good or until it is tried `again`."""
    # A file's fault is its uploader's to mend, everything else an operator's; where it is a bug, it says where.
    level = logging.WARNING if again or is_fault_of_file(error) else logging.ERROR
    message = str(error).removeprefix(f"{claim.receipt.name}: ")
    what = f"{type(error).__name__}: {message}" + ("; it is tried again" if again else "")
    log_end(claim, what, trace, level, error)
    setattr(error, _LOGGED, True)


def is_logged(error: Exception) -> bool:
    """Whether `log_failure` has told of it: whoever catches it further up need not."""
    return getattr(error, _LOGGED, False)
