"""Replays as they are stored: what was asked for, and how far the app has come with it.

`state/replays/<id>/replay.json` is replaced only in the version that was read before, `<number>.json` beside it are the
names that are taken, in batches. Whoever asks for a replay writes the first, and sends a message that names it.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from cloud.settings import STATE
from cloud.storage.containers import Conflict, Storage
from cloud.storage.queues import Queue
from cloud.uploads.replay import Filters
from inference.errors import BadManifest, LimitExceeded, StorageUnavailable
from inference.tables import build

log = logging.getLogger(__name__)

QUEUE = "replays"
PREFIX = "replays/"
FILE = "replay.json"
ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
State = Literal["running", "done", "cancelled"]
# How long GET /api/v1/replays/<id> can say how a replay ended.
REMEMBERED_S = 7 * 86400.0
# Without a sign of life a replay is sent again: at once where its queue is empty, else after so long.
QUIET_S, SILENT_S = 60.0, 1200.0
MOST_NAMES = 1000  # that one request names
_MOST_BYTES = 64 * 1024 * 1024
_ROUNDS = 20


@dataclass(frozen=True)
class Here:
    """Where the lists go on: the scan (see `priority`), and the pages of both lists."""

    scan: str
    uploads: str | None = None
    receipts: str | None = None


@dataclass(frozen=True)
class Counts:
    """seen: uploads that were looked at; marked: those that are taken, by `reasons`. Of these: done, failed, waiting
    (for the installation), jobs (long videos, handed over), others (finished or deleted by others meanwhile), given_up
    (nobody could be got to take them; the sweep goes on with those that have no result)."""

    seen: int = 0
    marked: int = 0
    done: int = 0
    failed: int = 0
    waiting: int = 0
    jobs: int = 0
    others: int = 0
    given_up: int = 0

    @property
    def left(self) -> int:
        """How many that are marked have not been brought to an end."""
        return self.marked - (self.done + self.failed + self.waiting + self.jobs + self.others + self.given_up)


@dataclass(frozen=True)
class Replay:
    """names, filters, dry_run: what was asked for. deployment: whose routes and models answer; "": whoever comes first.

    step: of the message that brings it on. scanned, here: which scans are through, and where the current one is; order:
    by what uploads are divided among them (see `Order.fingerprint`).
    batches: how many there are; batch, position: up to where they were taken; open: names to be taken once more, in
    `rounds` without progress. why: the first uploads that cannot be analysed as routes and models are.
    """

    id: str
    created: str
    filters: Filters = field(default_factory=Filters)
    names: tuple[str, ...] = ()
    dry_run: bool = False
    deployment: str = ""
    state: State = "running"
    step: int = 0
    is_marked: bool = False
    order: str = ""
    scanned: tuple[str, ...] = ()
    here: Here | None = None
    batches: int = 0
    batch: int = 0
    position: int = 0
    open: tuple[str, ...] = ()
    rounds: int = 0
    counts: Counts = field(default_factory=Counts)
    reasons: dict[str, int] = field(default_factory=dict)
    undecided: int = 0
    why: tuple[str, ...] = ()
    met: tuple[str, ...] = ()  # what of `names` has named an upload
    unmet: tuple[str, ...] = ()  # a sentence for each name that is no upload's

    def marked_anew(self, order: str) -> Replay:
        """The replay before the first page is marked."""
        return Replay(
            self.id, self.created, self.filters, self.names, self.dry_run, self.deployment, step=self.step, order=order
        )

    def described(self) -> dict[str, Any]:
        """For people: what it takes, and how far it is."""
        said = {"id": self.id, "state": self.state, "created": self.created, "dry_run": self.dry_run}
        said |= {"names": list(self.names), "filters": {k: v for k, v in asdict(self.filters).items() if v}}
        said |= {"deployment": self.deployment, "is_marked": self.is_marked, **asdict(self.counts)}
        left = 0 if self.dry_run else self.counts.left
        said |= {"left": left, "reasons": self.reasons, "undecided": self.undecided, "why": list(self.why)}
        return said | {"unmet": list(self.unmet)}


@dataclass(frozen=True)
class Stored:
    """A replay as it is kept. quiet_s: since it was written, by the storage's own clock."""

    replay: Replay
    version: str
    quiet_s: float = 0.0


@dataclass(frozen=True)
class ReplayMessage:
    """Brings a replay on by a step; of another step than the replay's it is an old one."""

    replay: str
    step: int

    @classmethod
    def parse(cls, content: bytes | str) -> ReplayMessage:
        """Raises ValueError for what is no message of ours."""
        try:
            match json.loads(content):
                case {"replay": str(replay_id), "step": int(step)} if ID.fullmatch(replay_id):
                    return cls(replay_id, step)
        except RecursionError:
            pass
        raise ValueError(f"{content[:200]!r} is no message of a replay")

    def text(self) -> str:
        """As a queue carries it."""
        return json.dumps(asdict(self))


class Replays:
    """The replays of a storage account. queue: None where the process that asks does the work itself."""

    def __init__(self, storage: Storage, queue: Queue | None) -> None:
        self.storage = storage
        self.queue = queue

    def begin(
        self, filters: Filters, names: tuple[str, ...] = (), *, dry_run: bool = False, deployment: str = ""
    ) -> Replay:
        """Marks a replay, and sends the message that begins it. Raises StorageUnavailable."""
        now = self.storage.date()
        replay_id = f"{now:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
        replay = Replay(replay_id, now.isoformat(), filters.as_meant, names, dry_run, deployment)
        self.storage.write_json(
            STATE, _path(replay_id), asdict(replay), if_absent=True, metadata={"state": replay.state}
        )
        try:
            self.send(replay)
        except StorageUnavailable:  # or whoever asks again would have two of them
            with suppress(StorageUnavailable):
                self.clear(replay_id)
            raise
        return replay

    def send(self, replay: Replay, delay_s: int = 0) -> None:
        """Sends the message of the replay's current step."""
        if self.queue:
            self.queue.send(ReplayMessage(replay.id, replay.step).text(), delay_s)

    def read(self, replay_id: str) -> Stored | None:
        """A replay, or None where there is none; one call. Raises StorageUnavailable for one that cannot be read."""
        reading = self.storage.open(STATE, _path(replay_id)) if ID.fullmatch(replay_id) else None
        if reading is None:
            return None
        info = reading.info
        try:
            document = json.loads(reading.read(_MOST_BYTES))
            known = {key: value for key, value in document.items() if key in Replay.__dataclass_fields__}
            replay = build(Replay, known, f"{STATE}/{info.name}")
            if replay.id != replay_id:
                raise ValueError(f"it is that of replay {replay.id[:50]!r}")
        except (ValueError, AttributeError, RecursionError, BadManifest, LimitExceeded) as error:
            what = f"{STATE}/{info.name} is no replay ({str(error)[:300]}): delete it, then ask for the replay again"
            raise StorageUnavailable(what) from error
        return Stored(replay, info.etag, info.age_s)

    def version(self, replay_id: str) -> str | None:
        """Of a replay, as of now; a single call."""
        info = self.storage.head(STATE, _path(replay_id))
        return info.etag if info else None

    def save(self, stored: Stored, replay: Replay) -> Stored:
        """Puts a replay in the place of the one that was read. Raises Conflict where somebody else did."""
        path, metadata = _path(replay.id), {"state": replay.state}
        version = self.storage.write_json(STATE, path, asdict(replay), if_match=stored.version, metadata=metadata)
        return Stored(replay, version)

    def cancel(self, replay_id: str) -> Replay | None:
        """Ends a running replay; what was begun is finished. None where there is no such replay."""
        for _ in range(_ROUNDS):
            stored = self.read(replay_id)
            if stored is None or stored.replay.state != "running":
                return stored.replay if stored else None
            try:
                return self.save(stored, replace(stored.replay, state="cancelled")).replay
            except Conflict:
                continue
        raise StorageUnavailable(f"replay {replay_id} changed {_ROUNDS} times while it was being cancelled")

    def note_cancelled(self, done: Replay) -> None:
        """Counts what a step had done when somebody cancelled in the middle of it. done: as if nobody had."""
        stored = self.read(done.id)
        if stored and (stored.replay.state, stored.replay.step) == ("cancelled", done.step - 1):
            with suppress(Conflict):
                self.save(stored, replace(done, state="cancelled"))

    def put_batch(self, replay: Replay, number: int, names: list[str]) -> None:
        """Writes a batch of names."""
        self.storage.write_json(STATE, _batch_path(replay.id, number), names)

    def batch(self, replay: Replay, number: int) -> list[str]:
        """The names of a batch. Raises StorageUnavailable where it is gone or cannot be read."""
        path = _batch_path(replay.id, number)
        try:
            stored = self.storage.read_json(STATE, path)
        except (ValueError, RecursionError) as error:
            raise StorageUnavailable(f"{STATE}/{path} is no list of names: cancel the replay, and ask again") from error
        if stored is None or not isinstance(stored[0], list):
            raise StorageUnavailable(f"{STATE}/{path} is gone: cancel the replay, and ask again")
        return [name for name in stored[0] if isinstance(name, str)]

    def listed(self) -> Iterator[tuple[str, str, float]]:
        """(id, state, seconds since it was written) of all replays, the oldest first; a call a page."""
        for page in self.storage.pages(STATE, PREFIX, size=5000):
            for blob in page.blobs:
                replay_id, _, file = blob.name.removeprefix(PREFIX).partition("/")
                if file == FILE and ID.fullmatch(replay_id):
                    yield replay_id, blob.metadata.get("state", "running"), blob.age_s

    def revive(self, deployment: str) -> None:
        """Sends on what is running and silent, since a message was lost or given up, and what is not another
        deployment's; forgets what ended long ago."""
        for replay_id, state, quiet_s in list(self.listed()):
            if state not in get_args(State) or state == "running":
                self._send_again(replay_id, quiet_s, deployment)
            elif quiet_s > REMEMBERED_S:
                self.clear(replay_id)

    def _send_again(self, replay_id: str, quiet_s: float, deployment: str) -> None:
        if quiet_s < QUIET_S or (quiet_s < SILENT_S and self.queue and self.queue.waiting()):
            return
        try:
            stored = self.read(replay_id)
        except StorageUnavailable as error:
            log.error("%s", error)
            return
        if stored and stored.replay.state == "running" and stored.replay.deployment in ("", deployment):
            log.warning("replay %s: silent for %.0f s, sent again", replay_id, quiet_s)
            self.send(stored.replay)

    def clear(self, replay_id: str) -> None:
        """Forgets a replay."""
        for page in self.storage.pages(STATE, f"{PREFIX}{replay_id}/"):
            for blob in sorted(page.blobs, key=lambda blob: blob.name.endswith(FILE)):
                self.storage.delete(STATE, blob.name)


def _path(replay_id: str) -> str:
    return f"{PREFIX}{replay_id}/{FILE}"


def _batch_path(replay_id: str, number: int) -> str:
    return f"{PREFIX}{replay_id}/{number:06}.json"
