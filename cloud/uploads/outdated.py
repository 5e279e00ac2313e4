"""How many finished uploads the models and routes of today would answer otherwise: counted by the sweep, which goes
through all receipts anyway, and shown by the deep health. `replay --changed` takes them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from typing import Any

from cloud.settings import STATE, app_identity
from cloud.storage.containers import BlobInfo, Storage
from cloud.uploads.plans import Planner
from cloud.uploads.receipts import ReceiptSummary
from inference.errors import DropsightError, Transient
from inference.route_problems import problem_of
from inference.routes import Route
from inference.routes_file import sidecar_target

log = logging.getLogger(__name__)

HOW = "python -m cloud replay --changed"
ANSWERED = ("done", "failed")
_ANEW = 5000


class Digests:
    """The digests of the routes by which uploads would be analysed today: a look-up each, not a digest each."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._known: dict[str, str] = {}
        self._asked = 0

    def of(self, upload: BlobInfo) -> str:
        """Of the route of an upload without a sidecar; "" where there is none that can be used."""
        try:
            route = self._planner.routes.match(upload.name, upload.metadata.get("dropsight_route"))
        except DropsightError:
            return ""
        if route is None:
            return ""
        self._asked += 1
        if self._asked % _ANEW == 0:
            self._known.clear()  # models may be replaced while a long list is read
        return self.of_route(route)

    def of_route(self, route: Route) -> str:
        """As `of`, of a route."""
        if route.name not in self._known:
            self._known[route.name] = self._digest(route)
        return self._known[route.name]

    def fingerprint(self) -> str:
        """Of all by which it is decided what uploads would be answered: counts under another do not add up."""
        facts: list[object] = []
        for entry in self._planner.routes.entries:
            if isinstance(entry, Route):
                self._known[entry.name] = self._digest(entry)
                facts.append((entry.name, entry.match, entry.priority, self._known[entry.name]))
            else:
                facts.append((entry.name, entry.match))
        return hashlib.sha256(repr(facts).encode("utf-8", "replace")).hexdigest()[:16]

    def _digest(self, route: Route) -> str:
        registry = self._planner.registry
        try:
            return "" if problem_of(route, registry) else route.digest(registry)
        except DropsightError:
            return ""


@dataclass(frozen=True)
class Tally:
    """Receipts of uploads that have their answer: all of them, those of another digest than today's, and those of
    which a listing does not say (older ones, with a sidecar, or of a route that cannot be used).

    outdated: what this deployment has answered itself; by_others: what others over the account have, whose routes and
    models may be meant to be others. by: this deployment; today: the fingerprint of what receipts were held against.
    """

    by: str = ""
    today: str = ""
    finished: int = 0
    outdated: int = 0
    unknown: int = 0
    by_others: int = 0

    def plus(self, pairs: Iterable[tuple[BlobInfo, ReceiptSummary | None]], digests: Digests) -> Tally:
        """With a page of uploads and their receipts; a look-up each and no call."""
        finished = outdated = unknown = by_others = 0
        for upload, receipt in pairs:
            if not receipt or receipt.state not in ANSWERED or receipt.etag != upload.etag:
                continue
            if sidecar_target(upload.name) or receipt.expired:
                continue
            today = "" if receipt.overridden or not receipt.digest else digests.of(upload)
            finished += 1
            unknown += not today
            if today and today != receipt.digest:
                ours = receipt.deployment in ("", self.by)  # older versions did not say who
                outdated += ours
                by_others += not ours
        return self + Tally(self.by, self.today, finished, outdated, unknown, by_others)

    def __add__(self, other: Tally) -> Tally:
        """Both together; of one deployment, held against the same."""
        counts = (mine + theirs for mine, theirs in zip(astuple(self)[2:], astuple(other)[2:], strict=True))
        return Tally(other.by, other.today, *counts)


def store(storage: Storage, tally: Tally) -> None:
    """Keeps the count of a pass over all uploads; a single call."""
    document = {key: value for key, value in asdict(tally).items() if key != "by"}
    try:
        storage.write_json(STATE, _path(tally.by), document)
    except Transient as error:
        log.warning("how many uploads are outdated was counted, and not written down: %s", error)


def told(storage: Storage, today: str = "") -> dict[str, Any]:
    """What the deep health says of the last count of this deployment; a single call. today: as Tally's; "" where it is
    not known."""
    stored = storage.read(STATE, _path(app_identity()))
    try:
        document = json.loads(stored[0]) if stored else {}
        count, of, unknown = (int(document[key]) for key in ("outdated", "finished", "unknown"))
        by_others, then = int(document.get("by_others", 0)), str(document.get("today", ""))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, OverflowError):
        return {
            "counted_at": None,
            "why": "no sweep has gone through all uploads so far; the next that does counts",
        }
    assert stored
    said: dict[str, Any] = {"count": count, "of": of, "counted_at": stored[1].modified.isoformat()}
    said |= {name: number for name, number in (("unknown", unknown), ("by_others", by_others)) if number}
    if today not in ("", then):
        said["why"] = "routes or models have changed since; the next sweep that goes through all uploads counts anew"
    return said | ({"how": HOW} if count or unknown or by_others else {})


def _path(by: str) -> str:
    # Deployments over one account have routes of their own.
    return f"outdated/{by}.json"
