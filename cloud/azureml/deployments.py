"""Which entries the deployments over a storage account have switched on: `state/deployments/<name>.json`.

Receipts of slots are shared by all deployments (an app and its staging slot, say), and an entry may be on in one and
off in another. What is taken out of a deployment's file counts as switched off from then on, or everything since would
look missed once it is put back: so it is written down by the first tick or sweep without it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from cloud.azureml.due_slots import Plan
from cloud.azureml.slot import moment_of
from cloud.azureml.slot_store import SlotStore
from cloud.settings import STATE
from cloud.storage.containers import Conflict, Storage
from cloud.storage.parsed_json import read_parsed, unchanged
from inference.errors import BadPipeline

log = logging.getLogger(__name__)

_FOLDER = "deployments/"
# A deployment that lives writes its document anew this often, and counts as gone after that long without.
_ANEW = timedelta(hours=1)
_GONE = timedelta(days=2)


@dataclass(frozen=True)
class Deployment:
    """on: its entries that are switched on. left: entries taken out of its file while slots of theirs were open.

    problem: why it cannot be read.
    """

    name: str
    on: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    at: str = ""
    problem: str = ""

    @classmethod
    def from_json(cls, name: str, document: Mapping[str, Any]) -> Deployment:
        """As it was stored; members of later versions are ignored."""
        at = moment_of(document["at"]).isoformat()
        return cls(name, frozenset(map(str, document["on"])), frozenset(map(str, document["left"])), at)

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"schema": "dropsight-deployment/1", "on": sorted(self.on), "left": sorted(self.left), "at": self.at}

    def may_run(self, entry: str) -> bool:
        """Whether it has that entry switched on, as far as can be read."""
        return entry in self.on or bool(self.problem)

    def is_alive(self, now: datetime) -> bool:
        """Whether it has given a sign of life lately."""
        return not self.at or self.age(now) < _GONE

    def age(self, now: datetime) -> timedelta:
        """How long ago that was; a sign that lies ahead was given by a clock that was wrong, and counts the same."""
        return abs(now - datetime.fromisoformat(self.at))


def note(
    store: SlotStore, here: str, on: Collection[str], off: Collection[str], broken: Collection[str], now: datetime
) -> Deployment:
    """Write down what is on in the deployment `here`, and switch off what was on and is not any more.

    off: the file's entries that are switched off. broken: those that cannot be used now, which stay what they were.
    Raises StorageUnavailable.
    """
    try:
        stored = read_parsed(store.storage, STATE, _path(here), partial(Deployment.from_json, here))
        condition = unchanged(stored)
    except BadPipeline as error:
        log.error("%s; it is written anew", error)
        stored, condition = None, {}
    before = stored[0] if stored else _as_planned(store, here)
    still_on = frozenset(on) | (before.on & frozenset(broken))
    gone = before.on - still_on
    for name in gone:
        _change(store, name, here)
    taken_out = (before.left | gone) - still_on - frozenset(off) - frozenset(broken)
    # A name with an underscore is the app's own work, which does no harm half done.
    left = frozenset(name for name in taken_out if "_" not in name and _is_open(store, name))
    changed = (before.on, before.left) != (still_on, left)
    changed |= stored is None and bool(off or broken or not condition)  # or each tick would look through all plans
    if changed or (before.at and before.age(now) >= _ANEW):
        made = Deployment(here, still_on, left, now.isoformat())
        try:
            store.storage.write_json(STATE, _path(here), made.to_json(), **condition)
        except Conflict:  # another process of this deployment, which has read the same file, or a newer one
            log.info("what is on in %s was written by another process at this moment", here)
        return made
    return before


def _as_planned(store: SlotStore, here: str) -> Deployment:
    """What was on in a deployment that has no document yet, or a broken one."""
    on = set()
    for name in store.names():
        try:
            if store.plan(name).is_on(here):
                on.add(name)
        except BadPipeline as error:
            log.error("pipeline %s: %s", name, error)
    return Deployment(here, frozenset(on))


def others(storage: Storage, here: str) -> Iterator[Deployment]:
    """The other deployments over this storage."""
    for page in storage.pages(STATE, _FOLDER):
        for blob in page.blobs:
            name = blob.name.removeprefix(_FOLDER).removesuffix(".json")
            if name == here:
                continue
            try:
                stored = read_parsed(storage, STATE, blob.name, partial(Deployment.from_json, name))
            except BadPipeline as error:
                log.error("%s", error)
                yield Deployment(name, problem=str(error))
            else:
                if stored:
                    yield stored[0]


def _path(name: str) -> str:
    return f"{_FOLDER}{name}.json"


def _change(store: SlotStore, name: str, here: str) -> None:
    def off(plan: Plan) -> Plan:
        return plan.off(here)

    try:
        store.change_plan(name, off)
    except BadPipeline as error:  # health names it as long as it is there
        log.error("pipeline %s: %s", name, error)


def _is_open(store: SlotStore, name: str) -> bool:
    try:
        return bool(store.plan(name).open)
    except BadPipeline:
        return True
