"""What expressions in pipelines.toml may ask: counts from storage, versions from the workspace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cached_property

from cloud.azureml.client import AzureML
from cloud.drift.drift_entry import VERDICT
from cloud.settings import RESULTS, STATE
from cloud.storage.containers import Storage


class StorageFacts:
    """Facts for one slot; each is looked up at most once. `since`: when the last run was submitted."""

    def __init__(self, storage: Storage, service: Callable[[], AzureML], since: datetime | None) -> None:
        self._storage = storage
        self._service = service
        self._since = since
        self._models: dict[str, str] = {}

    def new_results(self) -> int:
        """How many results were written after `since` (ever, where nothing was submitted yet)."""
        return self._new_results

    @cached_property
    def _new_results(self) -> int:
        return sum(
            blob.name.endswith("/result.json") and (self._since is None or blob.modified > self._since)
            for page in self._storage.pages(RESULTS, size=5000)
            for blob in page.blobs
        )

    def drift(self) -> str:
        """ok, warning or alert from the newest drift report; unknown where there is none."""
        found = self._storage.read_json(STATE, VERDICT)
        return str(found[0]["status"]) if found else "unknown"

    def model_latest(self, name: str) -> str:
        """The latest version of a registered model."""
        if name not in self._models:
            self._models[name] = self._service().latest_model(name)
        return self._models[name]
