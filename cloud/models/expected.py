"""Names of models that lie in no folder of this machine, and are to be had all the same: `dev.py doctor` asks."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.connection import by_connection_string
from cloud.models.snapshots import contents
from cloud.pipelines_file import pipelines
from cloud.settings import MODELS, current, endpoint
from cloud.storage.containers import Storage, default_storage


@dataclass(frozen=True)
class Expected:
    """there: names in the container. names: these, and those of [[model]] entries. seen: whether the container could be
    looked at."""

    names: frozenset[str] = frozenset()
    there: frozenset[str] = frozenset()
    seen: bool = True

    @property
    def doubt(self) -> str:
        """What is to be added to a sentence that misses a model."""
        return "" if self.seen else f"; the container `{MODELS}`, which may have it, could not be looked at"


def expected_models() -> Expected:
    """One quick look: a storage that does not answer is nobody's fault here."""
    delivered = frozenset(entry.serves for entry in pipelines().models)
    try:
        there = frozenset(snapshot.name for snapshot in contents(_quick_storage())[0])
    except Exception:  # noqa: BLE001 - whatever it is, it is said of the storage
        return Expected(delivered, seen=False)
    return Expected(delivered | there, there)


def _quick_storage() -> Storage:
    from azure.storage.blob import BlobServiceClient

    text = endpoint(current().storage_connection, "blob").text
    if not text:
        return default_storage()
    return Storage(by_connection_string(BlobServiceClient, text, retry_total=0, connection_timeout=5))
