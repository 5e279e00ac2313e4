"""What is left where an upload is forgotten: files of many uploads, copies that the account keeps, names elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from cloud.drift.drift_entry import LAKE
from cloud.settings import RESULTS, STATE
from cloud.storage.containers import Storage
from cloud.uploads.given_up import QUEUE
from cloud.uploads.pieces import Piece
from cloud.uploads.publish import RESULT

_STATISTICS = "modelDataCollector/dropsight/"
# Below which of our own files names or pictures of uploads may lie for a while.
_OURS = {
    "replays/": "may name uploads; each replay is forgotten a week after its end",
    "audit/": "may name uploads that were at fault; the next nightly audit replaces it",
    "drift/reports/": "may show pictures of uploads (contact.jpg): delete the reports that were made since they came",
}


class Rests:
    """What an account has of uploads that cannot be deleted for a single one of them."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._routes: list[str] | None = None  # that have statistics in the lake

    def of_piece(self, piece: Piece) -> Iterator[str]:
        """The files of the lake that have rows of a result, and cannot be rewritten here; a call each."""
        if piece.container != RESULTS or not piece.blob.name.endswith(f"/{RESULT}"):
            return
        if self._routes is None:
            self._routes = self.storage.folders(LAKE, _STATISTICS)
        written = piece.blob.modified
        paths = [f"results/date={written:%Y-%m-%d}/{written:%H}.parquet"]
        for route in self._routes:
            for kind in ("model_inputs", "model_outputs"):
                paths.append(f"{_STATISTICS}{route}/{kind}/{written:%Y/%m/%d/%H}/dropsight.jsonl")
        yield from (f"{LAKE}/{path} may have rows of it" for path in paths if self.storage.head(LAKE, path))

    def notes(self) -> list[str]:
        """What holds for all uploads, a sentence each."""
        said = []
        days = self.storage.soft_delete_days()
        if days:
            said.append(f"the account keeps deleted blobs for {days} days (soft delete) before they are gone for good")
        elif days is None:
            said.append("the account does not say whether it keeps deleted blobs for a while (soft delete)")
        said += [f"{STATE}/{place} {what}" for place, what in _OURS.items() if self._has(STATE, place)]
        if self._has(LAKE, "results/"):
            said.append(
                f"{LAKE}/ may have rows of earlier results: SELECT DISTINCT filename FROM "
                "read_parquet('results/**/*.parquet', filename = true) WHERE name = 'NAME' finds them"
            )
        said.append(f"the names lie in {STATE}/forgotten/ for a day, so that the app's sweep can look once more")
        said.append(f"logs, exported files and the host's queue {QUEUE} name uploads as long as they are kept")
        return said

    def _has(self, container: str, prefix: str) -> bool:
        return any(page.blobs for page in self.storage.pages(container, prefix, size=1))
