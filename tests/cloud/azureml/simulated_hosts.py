"""Hosts that are killed and restarted, on a clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cloud.azureml.azureml_client import AzureML
from cloud.azureml.expressions import Facts
from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.slot_runner import Runner
from cloud.azureml.slot_store import SlotStore
from cloud.azureml.workspace import Run
from cloud.storage.containers import Storage

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


class Killed(BaseException):
    """The worker process dies here."""


class SimulatedStore(SlotStore):
    """Receipts whose ages follow simulated time, as storage's own clock would."""

    def __init__(self, storage: Storage, clock: Callable[[], datetime]) -> None:
        super().__init__(storage)
        self.clock = clock

    def age(self, name: str, slot: datetime) -> timedelta:
        found = self.read(name, slot)
        if found is None:
            return timedelta(0)
        written = max(found[0].sent_at, found[0].updated)  # whichever write was the last
        return self.clock() - datetime.fromisoformat(written)


class Host:
    """One host with its own runner; `die` makes it die just before or just after it has submitted."""

    def __init__(self, storage: Storage, aml: AzureML, clock: Callable[[], datetime]) -> None:
        self.aml, self.die = aml, ""
        self.receipts: SlotStore = SimulatedStore(storage, clock)
        self.runner = Runner(self.receipts, lambda: self, lambda since: Facts(storage, lambda: aml, since), clock)
        self.search, self.status = aml.search, aml.status

    def submit(self, submission: Submission) -> Run:
        if self.die == "before":
            raise Killed
        run = self.aml.submit(submission)
        if self.die == "after":
            raise Killed
        return run

    def wake(self, entry: PipelineEntry) -> None:
        try:
            self.runner.wake(entry)
        except Killed:
            pass
        finally:
            self.die = ""


class Clock:
    """Simulated time."""

    def __init__(self) -> None:
        self.now = MONDAY + timedelta(minutes=30)

    def __call__(self) -> datetime:
        return self.now
