"""The trackers, by the names that routes and the command line know them by."""

from __future__ import annotations

from inference.tracking.bytetrack import ByteTracker
from inference.tracking.sort import SortTracker
from inference.tracking.tracker import Tracker

TRACKERS: dict[str, type[Tracker]] = {"sort": SortTracker, "bytetrack": ByteTracker}
