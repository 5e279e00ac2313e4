"""An account in memory, workers on it that can be stopped and killed at every call, and what must be true of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud.settings import CONTAINERS, UPLOADS, Settings
from cloud.uploads.audit import Audit
from cloud.uploads.audit_repair import Repairer
from cloud.uploads.audit_report import AuditReport
from cloud.uploads.events import BlobEvent, Cause
from cloud.uploads.leases import Leases
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from cloud.videos.job_worker import Videos
from cloud.videos.messages import Message, Queues, Stage
from cloud.videos.revive import revive
from inference.engine.registry import Registry
from inference.errors import CorruptMedia
from inference.results.result import Cost, Result, Source
from inference.routes import Route
from inference.routes_file import SIDECAR, parse_routes
from inference.steps import Analysis
from tests.cloud.storage.memory_storage import Account, MemoryStorage, open_gate
from tests.cloud.uploads.promises import Promises
from tests.cloud.uploads.stepped import Died, Free, Stepped

ROOT = Path(__file__).resolve().parents[3]
ROUTES = parse_routes(
    """
[[route]]
name = "other"
match = "nothing/**"
steps = [{ model = "colors" }]
[[route]]
name = "default"
match = "**"
steps = [{ model = "sketch" }]
""",
    "test routes",
)
LEASE_S = 100.0


def content(kind: str, number: int = 0) -> bytes:
    """A picture for the stub.

    kind: good; corrupt; flaky, that meets a bug once; fickle, that once seems corrupt; poison, which kills its worker;
    video, a good one, which sweeps leave to a job.
    """
    head = b"\0\0\0\x18ftypisom" if kind == "video" else b"\xff\xd8\xff"
    return head + f"|{kind} {number}".encode() + b"\xff\xd9"


class Stub(UploadWorker):
    """The real worker, with a stub in place of the engine."""

    def __init__(self, world: World, storage: MemoryStorage, settings: Settings) -> None:
        super().__init__(storage, settings, ROUTES, world.registry)
        self.world, self.client = world, storage
        self.stepped: Stepped | Free | None = None
        self.ledger.leases = self.leases = Unkept(settings.lease_seconds, self.ledger)
        self.videos = Videos(self, world.queues)
        self.leave = self.videos.leave
        self.videos.split = lambda *_: None

    def analyze(self, media: bytes | Path, route: Route, source: Source, trace: str, **_: Any) -> Analysis:
        data = media if isinstance(media, bytes) else media.read_bytes()
        if not data.endswith(b"\xff\xd9"):
            raise CorruptMedia("the picture ends in the middle")
        kind, number = data[:-2].split(b"|")[-1].decode().split()
        self.world.analysed[source.name, source.etag] += 1
        self.world.before_work(kind)
        if kind == "poison":
            assert self.stepped
            self.stepped.die()
        if kind == "corrupt" or (kind == "fickle" and self.world.analysed[source.name, source.etag] == 1):
            raise CorruptMedia("no picture")
        if kind == "flaky" and self.world.analysed[source.name, source.etag] == 1:
            raise RuntimeError("a bug")
        files = {"annotated": "annotated.jpg", "objects": f"{route.name}.csv"}
        result = Result(source, route.name, (), files, Cost(0, None, 0), trace=trace, extra={"content": number})
        return Analysis(result, dict.fromkeys(files.values(), data))


class MemoryQueues(Queues):
    """Messages that come as often, and in whatever order, as a test delivers them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, messages: list[Message], delay_s: int = 0) -> None:
        self.messages += messages

    def waiting(self, stage: Stage) -> int:
        return len(self.messages)


class Unkept(Leases):
    """Leases that are renewed when a test says so."""

    def _keep(self) -> None:
        pass

    def renew(self) -> None:
        """As its thread does at every tick."""
        for claim, _ in list(self.held.values()):
            if claim.lock.acquire(blocking=False):  # else its worker stands in the middle of a call with it
                try:
                    self._receipts.renew(claim)
                finally:
                    claim.lock.release()


@dataclass
class World:
    """The account and all who work on it; `settings` are those of its workers."""

    registry: Registry
    settings: dict[str, Any] = field(default_factory=dict)
    account: Account = field(default_factory=Account)
    analysed: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: dict[str, str] = field(default_factory=dict)  # of content, by the ETag of the upload
    before_work: Callable[[str], object] = lambda kind: None  # called in the middle of each analysis
    queues: MemoryQueues = field(default_factory=MemoryQueues)

    def __post_init__(self) -> None:
        self.storage = MemoryStorage(self.account)  # a person's, an auditor's
        self.storage.ensure_containers(*CONTAINERS)
        self.promises = Promises(self.account, self.kinds)
        self.numbers = 0

    def worker(self) -> Stub:
        """A new instance of the app."""
        settings = Settings(**{"lease_seconds": LEASE_S, "max_concurrent": 1, "max_attempts": 3, **self.settings})
        return Stub(self, MemoryStorage(self.account), settings)

    def begin(self, worker: Stub, act: Callable[[], object]) -> Stepped:
        """Something that the worker does, up to its first call."""
        worker.stepped = Stepped()
        worker.client.gate = worker.stepped.gate
        return worker.stepped.begin(act)

    def deliver(self, name: str, worker: Stub | None = None, cause: Cause = "trigger") -> Stepped:
        """An event of an upload reaches a worker."""
        mine = worker or self.worker()
        return self.begin(mine, lambda: mine.handle(BlobEvent(UPLOADS, name, cause)))

    def sweep(self, worker: Stub | None = None) -> Stepped:
        """A worker's timer comes."""
        mine = worker or self.worker()
        return self.begin(mine, lambda: revive(mine.videos, sweep(mine, 3600).handed))

    def message(self, message: Message, worker: Stub | None = None) -> Stepped:
        """A message of a job reaches a worker."""
        mine = worker or self.worker()
        return self.begin(mine, lambda: mine.videos.deliver(message, 1))

    def sweep_at_once(self) -> Free:
        """A new worker sweeps with all its threads, as they come, until it is through or dead."""
        mine, free = self.worker(), Free()
        mine.stepped, mine.client.gate = free, free.gate
        with suppress(Died):
            sweep(mine, 3600)
        return free

    def renew(self, worker: Stub) -> None:
        """The thread that renews leases comes by; all its calls arrive, wherever the worker stands."""
        gate, worker.client.gate = worker.client.gate, open_gate
        worker.leases.renew()
        worker.client.gate = gate

    def upload(self, name: str, kind: str = "good") -> str:
        """A person uploads; returns the ETag."""
        self.numbers += 1
        etag = self.storage.write(UPLOADS, name, content(kind, self.numbers))
        self.kinds[etag] = kind
        return etag

    def sidecar(self, name: str, route: str) -> None:
        """A person says by which route an upload goes; "" takes it back."""
        self.storage.write(UPLOADS, f"{name}{SIDECAR}", f'route = "{route}"'.encode() if route else b"")

    def delete(self, name: str) -> None:
        """A person deletes an upload."""
        self.storage.delete(UPLOADS, name)

    def quiesce(self, rounds: int = 12) -> None:
        """The faults are over: sweeps, with time for leases and pauses between them, until nothing is left to do."""
        for _ in range(rounds):
            self.account.pass_s(7 * 3600)
            stepped = self.sweep().to_end()
            if stepped.error and not isinstance(stepped.error, Died):  # of a poison
                raise stepped.error
            messages, self.queues.messages = self.queues.messages, []
            for message in messages:
                self.message(message).to_end()

    def audit(self, *, repair: bool = False) -> AuditReport:
        """What the auditor says, and mends; blobs are looked at as if their leases had passed meanwhile."""
        audit = Audit(
            self.storage,
            LEASE_S,
            repairer=Repairer(self.storage, BlobReceipts(self.storage), LEASE_S) if repair else None,
        )
        audit.run()
        audit.wait_for_the_young(self.account.pass_s)
        return audit.report

    def problems(self) -> list[str]:
        """Once all is quiet: what is wrong, and what was wrong on the way."""
        return [*dict.fromkeys(self.promises.broken), *self.promises.at_the_end()]
