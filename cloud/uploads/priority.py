"""In which order uploads are looked for: those of routes with a higher `priority` first, over the whole listing.

A listing has the order of names, and whoever sorted it would hold all of it. So it is read in scans, one per priority
and place: a scan of a priority other than 0 lists only what may fit the patterns of its routes, the scan of priority 0
lists everything and leaves out what the others take. Without priorities that one scan is all there is.
"""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Iterable
from dataclasses import dataclass

from cloud.storage.containers import BlobInfo
from cloud.storage.paths import record_path
from inference.route_patterns import literal_beginning
from inference.routes import Route
from inference.routes_file import Routes, sidecar_target, takes


@dataclass(frozen=True)
class Scan:
    """The uploads of one priority whose names begin with `prefix`, as do the paths of their receipts."""

    priority: int
    prefix: str

    @property
    def key(self) -> str:
        """Its name in a mark."""
        return f"{self.priority} {self.prefix}"


class Order:
    """The scans for all uploads whose names begin with `prefix`, in their order; each upload belongs to one."""

    def __init__(self, routes: Routes, prefix: str = "") -> None:
        self._entries = routes.entries
        self.everything = Scan(0, prefix)
        self.scans = [self.everything]
        for priority in {route.priority for route in routes.routes} - {0}:
            places = {_place(route.match) for route in routes.routes if route.priority == priority}
            inside = {max(place, prefix, key=len) for place in places if _is_within(place, prefix)}
            self.scans += (Scan(priority, place) for place in outermost(inside))
        self.scans.sort(key=lambda scan: (-scan.priority, scan.prefix))

    @property
    def fingerprint(self) -> str:
        """Of all by which it is decided which scan takes an upload; "" where there is a single one."""
        if len(self.scans) == 1:
            return ""
        facts = [(entry.name, entry.match, getattr(entry, "priority", 0)) for entry in self._entries]
        return hashlib.sha256(repr(facts).encode("utf-8", "replace")).hexdigest()[:16]

    def scan_of(self, upload: BlobInfo) -> Scan:
        """The scan that takes the upload. Where its metadata name a route whose scan does not come by it, that is the
        scan of everything."""
        if len(self.scans) == 1:
            return self.everything
        priority = self.priority(upload)
        fitting = (s for s in self.scans if s.priority == priority and upload.name.startswith(s.prefix))
        return next(fitting, self.everything)

    def arranged(self, uploads: Iterable[BlobInfo]) -> list[BlobInfo]:
        """These uploads of a page as they are to be taken: by priority, and sidecars before what they speak of."""
        return sorted(uploads, key=lambda upload: (-self.priority(upload), not sidecar_target(upload.name)))

    def priority(self, upload: BlobInfo) -> int:
        """The priority of an upload's route, as far as a listing tells: by its metadata or its name."""
        if len(self.scans) == 1:
            return 0
        name, wanted = sidecar_target(upload.name) or upload.name, upload.metadata.get("dropsight_route")
        mine = (entry for entry in self._entries if (entry.name == wanted if wanted else takes(entry, name)))
        entry = next(mine, None)
        return entry.priority if isinstance(entry, Route) else 0


def _place(pattern: str) -> str:
    """With what the names that fit a pattern begin, as far as the paths of their receipts begin so, too."""
    beginning = literal_beginning(pattern)
    return os.path.commonprefix([beginning, record_path(f"{beginning}x")])


def _is_within(place: str, prefix: str) -> bool:
    """Whether names may begin with both."""
    return place.startswith(prefix) or prefix.startswith(place)


def outermost(places: Iterable[str]) -> list[str]:
    """Beginnings of names, without those that lie within another of them."""
    kept: list[str] = []
    for place in sorted(places):
        if not kept or not place.startswith(kept[-1]):
            kept.append(place)
    return kept
