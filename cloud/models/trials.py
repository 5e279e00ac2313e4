"""Models that nobody of this installation has run are tried in a process of their own before this one opens them.

`state/models/trials/DIGEST.json` says that a trial has begun, before it does, and then how it ended: no worker pays
for it again, and where a trial brought a whole worker down, the next one knows. What ends without an answer twice is
refused until somebody asks for another trial, or Dropsight or onnxruntime is another version.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cloud.models.trial_record import AGAIN, RAN, REFUSED, TRYING, Record
from cloud.settings import STATE
from cloud.storage.containers import Conflict, Storage
from inference.engine.first_run import fingerprint, was_run_by_us
from inference.engine.trial import PATIENCE_S, Trial, memory_of_a_trial, trial
from inference.errors import BadModel, DropsightError, ModelUnavailable, Transient
from inference.threads import BeginThread, begin_thread

log = logging.getLogger(__name__)

TRIALS = "models/trials/"
# Who finds a trial without an answer after so long takes it for one that brought its worker down.
SILENT_S = PATIENCE_S + 60
# The first time; what does not come to its end has twice that the second time, alone.
_FIRST_S, _BYTES_A_SECOND = 30.0, 16 << 20
_LONGEST_S = SILENT_S - 30
# Callers wait for short trials, as of most models, and for so long in all: models that hang stop nobody for longer.
_WAIT_S = 10.0
_ASK_AGAIN_S = 60.0
_AT_ONCE = 2

# A record, its ETag, and for how many seconds it has been so.
_Stored = tuple[Record, str, float]


@dataclass
class _Job:
    """A trial that this process does or has done. why: empty where the model may be opened."""

    root: Path
    key: str
    done: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    refused: bool = False
    until: float = float("inf")  # when it is asked for again, by the monotonic clock


class Trials:
    """Of a process. Safe to use from many threads."""

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage, self._clock = storage, clock
        self._jobs: dict[str, _Job] = {}
        self._lock, self._seconds = threading.Lock(), threading.Lock()
        self._slots = threading.Semaphore(_AT_ONCE)
        self._wait_s = _WAIT_S

    def ask(self, root: Path) -> None:
        """Returns where the model at `root` has run on this installation. Raises ModelUnavailable while it is tried, in
        a thread of its own, and where it is refused."""
        job = self._job(root)
        if not job.done.is_set():
            began = self._clock()
            job.done.wait(self._wait_s)
            if not job.done.is_set() or job.why:
                self._wait_s = max(0.0, self._wait_s - (self._clock() - began))
        if not job.done.is_set() and not job.why:
            raise ModelUnavailable(f"{root.name} is being tried in a process of its own; its uploads wait for that")
        if job.why:
            raise ModelUnavailable(job.why)

    def require(self, root: Path) -> None:
        """As `ask`, and waits for the answer. Raises BadModel where it is refused."""
        if was_run_by_us(root):
            return
        job = self._job(root)
        job.done.wait()
        if job.why:
            raise (BadModel if job.refused else ModelUnavailable)(job.why)

    def refusal(self, folder: Path) -> str:
        """Why a model in this folder is refused; empty where none is."""
        with self._lock:
            return next((j.why for j in self._jobs.values() if j.refused and j.root.is_relative_to(folder)), "")

    def _job(self, root: Path) -> _Job:
        key = fingerprint(root)
        with self._lock:
            job = self._jobs.get(key)
            if job is None or (job.done.is_set() and self._clock() >= job.until):
                # What was known stays so until there is another answer.
                job = self._jobs[key] = replace(job, done=threading.Event()) if job else _Job(root, key)
                threading.Thread(
                    target=self._do, args=(job, begin_thread()), name="dropsight-trial", daemon=True
                ).start()
            return job

    def _do(self, job: _Job, begin: BeginThread) -> None:
        begin()
        try:
            answer = self._answered(job)
        except Exception as error:  # noqa: BLE001 - whoever waits for it is to hear of it
            log.warning("model %s could not be tried: %s", job.root.name, error, exc_info=not _is_ours(error))
            answer = Record(job.root.name, why=f"{job.root.name} could not be tried: {error}")
        job.why, job.refused = "" if answer.state == RAN else answer.why, answer.state == REFUSED
        job.until = self._clock() + _ASK_AGAIN_S if job.why else float("inf")
        job.done.set()

    def _answered(self, job: _Job) -> Record:
        """How it stands with a model: RAN, REFUSED, or TRYING where it is to be asked for again."""
        record = Record.new(job.root.name)
        with suppress(Transient):
            if known := self._known(job, self._read(job.key)):
                return known  # waits for no other model's trial
        while True:
            with self._turn(record.state == AGAIN):
                begun: Record | tuple[Record, str | None]
                try:
                    begun = self._begun(job)
                except Transient as error:  # no storage is no reason to stop a model that lies on this disk
                    log.warning("whether model %s was tried before is not known: %s", job.root.name, error)
                    begun = record, None
                if isinstance(begun, Record):
                    return begun
                record = self._tried(job, *begun)
            if record.state != AGAIN:
                return record
            log.warning("model %s is tried once more, alone: %s", job.root.name, record.why)

    def _known(self, job: _Job, stored: _Stored | None) -> Record | None:
        """What nothing is to be done about now; None where a trial is to begin."""
        if stored is None:
            return None
        known, _, age_s = stored
        if known.state == TRYING and age_s < SILENT_S:
            return replace(known, why=f"{job.root.name} is being tried by another process since {known.at}")
        return known if known.state == RAN or (known.state == REFUSED and known.binds()) else None

    def _begun(self, job: _Job) -> Record | tuple[Record, str]:
        """What is known; or (that it is being tried, its ETag), which has just been written. Raises Transient."""
        for _ in range(5):
            stored = self._read(job.key)
            if known := self._known(job, stored):
                return known
            begin = Record.new(job.root.name)
            if stored and stored[0].state == AGAIN:
                begin = replace(begin, deaths=stored[0].deaths, why=stored[0].why)
            elif stored and stored[0].state != REFUSED:
                begin = replace(begin, deaths=stored[0].deaths).died(
                    "whoever tried it ended without an answer", job.key
                )
                begin = replace(begin, state=TRYING) if begin.state == AGAIN else begin
            condition: dict[str, Any] = {"if_match": stored[1]} if stored else {"if_absent": True}
            with suppress(Conflict):
                etag = self._write(job.key, begin, condition)
                return begin if begin.state == REFUSED else (begin, etag)
        return Record(job.root.name, why=f"{job.root.name}: others change the record of its trial all the time")

    def _tried(self, job: _Job, record: Record, etag: str | None) -> Record:
        """How it ended, written down. etag: of the record; None where it is kept nowhere."""
        tried = trial(job.root, min(_LONGEST_S, _patience(job.root) * (1 + record.deaths)))
        if not job.root.exists():
            tried = Trial(f"{job.root.name} was taken away while it was tried", passing=True)
        if tried.impossible:
            log.warning("model %s is used without a trial: %s", job.root.name, tried.why)
        if tried.passing or tried.impossible:
            self._forget(job.key, etag)
            return replace(record, why=tried.why, state=RAN if tried.impossible else TRYING)
        record = _after(record, tried, job.key)
        self._note(job.key, record, etag)
        if record.state == REFUSED:
            log.error("%s", record.why)
        return record

    @contextmanager
    def _turn(self, alone: bool) -> Iterator[None]:
        """So many trials at once; one that ended without an answer before runs beside no other."""
        with ExitStack() as stack:
            if alone:
                stack.enter_context(self._seconds)
            for _ in range(_AT_ONCE if alone else 1):
                stack.enter_context(self._slots)
            yield

    def _read(self, key: str) -> _Stored | None:
        try:
            stored = self._storage.read_json(STATE, _path(key))
        except (ValueError, RecursionError):
            head = self._storage.head(STATE, _path(key))
            return (Record(""), head.etag, head.age_s) if head else None
        return (Record.from_json(stored[0]), stored[1].etag, stored[1].age_s) if stored else None

    def _write(self, key: str, record: Record, condition: Mapping[str, Any]) -> str:
        return self._storage.write_json(STATE, _path(key), asdict(record), **condition)

    def _note(self, key: str, record: Record, etag: str | None) -> None:
        try:
            if etag:
                self._write(key, record, {"if_match": etag})
        except (Transient, Conflict) as error:  # another process takes it for dead, and finds out for itself
            log.warning("how the trial of %s ended is not written down: %s", record.model, error)

    def _forget(self, key: str, etag: str | None) -> None:
        try:
            if etag:
                self._storage.delete(STATE, _path(key), etag)
        except (Transient, Conflict) as error:
            log.warning("that the trial %s was given up is not written down: %s", key, error)


def retry(storage: Storage, name: str) -> list[str]:
    """Forget how the trials of a model ended, by its name or its digest; the digests. Workers ask within a minute."""
    found = []
    for blob in [blob for page in storage.pages(STATE, TRIALS) for blob in page.blobs]:
        key = blob.name.removeprefix(TRIALS).removesuffix(".json")
        try:
            stored = storage.read_json(STATE, blob.name)
        except (ValueError, RecursionError):
            stored = None
        if key == name or (stored and Record.from_json(stored[0]).model == name):
            storage.delete(STATE, blob.name)
            found.append(key)
    return found


def _after(record: Record, tried: Trial, key: str) -> Record:
    if tried.too_large:
        return replace(record, why=tried.why, memory=memory_of_a_trial()).refused(key)
    if not tried.silent:  # also where it cannot be used: whoever opens it says why, and nothing else happens
        return replace(record, state=RAN, why=tried.why)
    return record.died(tried.why, key)


def _patience(root: Path) -> float:
    files = root.rglob("*") if root.is_dir() else [root]
    size = sum(file.stat().st_size for file in files if file.is_file())
    return _FIRST_S + size / _BYTES_A_SECOND


def _path(key: str) -> str:
    return f"{TRIALS}{key}.json"


def _is_ours(error: Exception) -> bool:
    return isinstance(error, DropsightError | OSError)
