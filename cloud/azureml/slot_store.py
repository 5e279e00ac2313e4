"""Plans and slots in `state/pipelines/`, every change conditioned on the version read before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud.azureml.due_slots import Plan
from cloud.azureml.slot import Slot
from cloud.settings import STATE
from cloud.storage.containers import Conflict, Storage
from cloud.storage.parsed_json import read_parsed, unchanged
from inference.errors import BadPipeline, ServiceBusy

log = logging.getLogger(__name__)

_REMEDY = "restore it; if you delete it while its run is open, the slot is sent again"


class SlotStore:
    """What an app remembers about its pipelines."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def names(self) -> list[str]:
        """Every entry that was ever looked at, also those that no file has any more."""
        return self.storage.folders(STATE, "pipelines/")

    def plan(self, name: str) -> Plan:
        """Where the entry stands; an empty plan for an entry that was never looked at. Raises BadPipeline."""
        return self._plan(name)[0]

    def _plan(self, name: str) -> tuple[Plan, dict[str, Any]]:
        """The plan, and the condition under which it may be written anew."""
        stored = read_parsed(self.storage, STATE, f"pipelines/{name}/plan.json", Plan.from_json)
        return stored[0] if stored else Plan(), unchanged(stored)

    def change_plan(self, name: str, change: Callable[[Plan], Plan]) -> Plan:
        """Apply `change` to the stored plan. Others may change it meanwhile: then it is applied anew."""
        for _ in range(20):
            plan, condition = self._plan(name)
            changed = change(plan)
            if changed == plan:
                return plan
            try:
                self.storage.write_json(STATE, f"pipelines/{name}/plan.json", changed.to_json(), **condition)
            except Conflict:
                continue
            return changed
        raise ServiceBusy(f"the plan of pipeline {name!r} was changed by others 20 times in a row")

    def read(self, name: str, at: datetime) -> tuple[Slot, str] | None:
        """The slot and its ETag. Raises BadPipeline for a broken document."""
        return read_parsed(self.storage, STATE, _path(name, at), Slot.from_json, remedy=_REMEDY)

    def age(self, name: str, at: datetime) -> timedelta:
        """How long the slot's receipt has lain as it is, by storage's own clock: ours may have been moved."""
        info = self.storage.head(STATE, _path(name, at))
        return timedelta(seconds=info.age_s) if info else timedelta(0)

    def written(self, name: str, at: datetime) -> datetime:
        """When the slot's receipt was written last, by storage's own clock."""
        info = self.storage.head(STATE, _path(name, at))
        return info.modified if info else datetime.max.replace(tzinfo=UTC) - timedelta(days=1)

    def create(self, slot: Slot) -> bool:
        """Write a slot's first receipt; False where it exists already."""
        try:
            self.storage.write_json(STATE, _path(slot.pipeline, slot.at), slot.to_json(), if_absent=True)
        except Conflict:
            return False
        return True

    def replace(self, slot: Slot, etag: str) -> str | None:
        """Write a slot over the version `etag`; the new ETag, or None where another version is there."""
        try:
            return self.storage.write_json(STATE, _path(slot.pipeline, slot.at), slot.to_json(), if_match=etag)
        except Conflict:
            # The SDK repeats a write whose answer was lost, and then meets its own work.
            stored = self.read(slot.pipeline, slot.at)
            return stored[1] if stored and stored[0] == slot else None

    def forget(self, name: str, at: str) -> None:
        """Delete the receipt of a slot (ISO) that is over."""
        self.storage.delete(STATE, _path(name, datetime.fromisoformat(at)))

    def history(self, name: str, most: int = 50, on_broken: Callable[[str], object] = log.error) -> Iterator[Slot]:
        """The newest slots, newest first. on_broken: is told of receipts that cannot be read, which are left out."""
        names: list[str] = []
        for page in self.storage.pages(STATE, f"pipelines/{name}/slots/", size=5000):
            names.extend(blob.name for blob in page.blobs)
        # Names sort as their slots do.
        for blob in sorted(names, reverse=True)[:most]:
            try:
                stored = read_parsed(self.storage, STATE, blob, Slot.from_json)
            except BadPipeline as error:
                on_broken(str(error))
                continue
            if stored:
                yield stored[0]


def _path(name: str, at: datetime) -> str:
    return f"pipelines/{name}/slots/{at.astimezone(UTC):%Y/%m/%Y%m%dT%H%M%SZ}.json"
