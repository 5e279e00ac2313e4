"""An app on real storage and the local workspace, whose tick a test calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud import pipelines_file, tick
from cloud.azureml.azureml_client import AzureML
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.slot import Slot
from cloud.azureml.slot_runner import PipelineFailed
from cloud.azureml.slot_store import SlotStore
from cloud.azureml.workspace import SLOT_TAG, Run
from cloud.pipelines_file import Pipelines
from cloud.storage.containers import Storage
from tests.cloud.azureml.server import Service

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


FILE = """
[[pipeline]]
name = "first"
kind = "published"
id = "pipe-1"
schedule = "0 */10 * * * *"

[[pipeline]]
name = "second"
kind = "published"
id = "pipe-2"
schedule = "0 */10 * * * *"
"""


class World:
    """An app on real storage and the local workspace, with a clock of its own."""

    def __init__(self, storage: Storage, aml: AzureML, service: Service, folder: Path) -> None:
        self.storage, self.aml, self.service, self.folder = storage, aml, service, folder
        self.receipts = SlotStore(storage)
        self.now = NOON - timedelta(seconds=30)
        self.found = self.read(FILE)
        service.clock = lambda: self.now

    def read(self, text: str) -> Pipelines:
        path = self.folder / "pipelines.toml"
        path.write_text(text)
        found = pipelines_file.read(path)
        assert found.problems == ()
        return found

    def tick(self, at: timedelta = timedelta(0), **options: Any) -> str:
        """One tick so long after noon; what it raised, in words."""
        self.now = NOON + at
        try:
            tick.tick(self.found, clock=lambda: self.now, **options)
        except PipelineFailed as error:
            return str(error)
        return ""

    def slot(self, name: str, at: datetime = NOON) -> Slot:
        stored = self.receipts.read(name, at)
        assert stored is not None
        return stored[0]

    def ran(self) -> list[str]:
        return sorted(run["tags"][SLOT_TAG] for run in self.service.runs.values())


def key(name: str, at: datetime) -> str:
    return f"{name}-{at:%Y%m%dT%H%M%SZ}"


def finish(name: str) -> None:
    """Wait for the threads of ticks that are over."""
    for thread in threading.enumerate():
        if thread.name.startswith(name):
            thread.join()


def submitting(world: World, monkeypatch: pytest.MonkeyPatch, submit: Callable[[Submission], Run]) -> None:
    monkeypatch.setattr(world.aml, "submit", submit)


HOUSE = '[[model]]\nname = "shapes"\n[drift]\nschedule = "0 5 * * * *"\n[lake]\nschedule = "0 5 * * * *"\n'
