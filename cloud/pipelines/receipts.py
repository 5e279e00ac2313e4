"""Plans and slot receipts in `state/pipelines/`, every change conditioned on the version read before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud.pipelines.slots import Plan
from cloud.settings import STATE
from cloud.storage import Conflict, Storage
from inference.errors import ServiceBusy

FINAL = ("done", "failed", "canceled", "skipped")
Receipt = dict[str, Any]


class Receipts:
    """What one app remembers about its pipelines."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def plan(self, name: str) -> Plan:
        """Where the entry stands; an empty plan for one that was never looked at."""
        found = self.storage.read_json(STATE, _plan(name))
        return Plan.from_json(found[0]) if found else Plan()

    def change_plan(self, name: str, change: Callable[[Plan], Plan]) -> Plan:
        """Apply `change` to the stored plan. Others may change it meanwhile: then it is applied anew."""
        for _ in range(20):
            found = self.storage.read_json(STATE, _plan(name))
            plan = Plan.from_json(found[0]) if found else Plan()
            changed = change(plan)
            if changed == plan:
                return plan
            condition: dict[str, Any] = {"if_match": found[1].etag} if found else {"if_absent": True}
            try:
                self.storage.write_json(STATE, _plan(name), changed.to_json(), **condition)
            except Conflict:
                continue
            return changed
        raise ServiceBusy(f"the plan of pipeline {name!r} was changed by others 20 times in a row")

    def read(self, name: str, slot: datetime) -> tuple[Receipt, str] | None:
        """The slot's receipt and its ETag."""
        found = self.storage.read_json(STATE, _path(name, slot))
        return (found[0], found[1].etag) if found else None

    def age(self, name: str, slot: datetime) -> timedelta:
        """How long the slot's receipt has lain as it is, by storage's own clock: ours may have been moved."""
        info = self.storage.head(STATE, _path(name, slot))
        return timedelta(seconds=info.age_s) if info else timedelta(0)

    def create(self, name: str, slot: datetime, receipt: Receipt) -> bool:
        """Write a slot's first receipt; False where there is one already."""
        try:
            self.storage.write_json(STATE, _path(name, slot), receipt, if_absent=True)
        except Conflict:
            return False
        return True

    def replace(self, name: str, slot: datetime, receipt: Receipt, etag: str) -> str | None:
        """Write a receipt over the version `etag`; the new ETag, or None where another version is there."""
        try:
            return self.storage.write_json(STATE, _path(name, slot), receipt, if_match=etag)
        except Conflict:
            # The SDK repeats a write whose answer was lost, and then meets its own work.
            found = self.read(name, slot)
            return found[1] if found and found[0] == receipt else None

    def history(self, name: str, most: int = 50) -> Iterator[Receipt]:
        """The newest receipts, newest first."""
        names: list[str] = []
        for page in self.storage.pages(STATE, f"pipelines/{name}/slots/", size=5000):
            names.extend(blob.name for blob in page.blobs)
        # Names sort as their slots do.
        for blob in sorted(names, reverse=True)[:most]:
            found = self.storage.read_json(STATE, blob)
            if found:
                yield found[0]


def new_receipt(name: str, kind: str, slot: datetime, state: str, **more: Any) -> Receipt:
    """A receipt as it begins."""
    return {
        "schema": "dropsight-slot/1",
        "pipeline": name,
        "kind": kind,
        "slot": slot.astimezone(UTC).isoformat(),
        "state": state,
        "attempts": 0,
        **more,
    }


def _plan(name: str) -> str:
    return f"pipelines/{name}/plan.json"


def _path(name: str, slot: datetime) -> str:
    return f"pipelines/{name}/slots/{slot.astimezone(UTC):%Y/%m/%Y%m%dT%H%M%SZ}.json"
