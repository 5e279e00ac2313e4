"""What becomes of uploads that have no result yet: at work, waiting, tried again, given up. Only reads storage."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from azure.storage.blob import BlobServiceClient

from cloud.storage.containers import Storage
from cloud.storage.paths import record_path
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt, ReceiptSummary
from devtools.console_report import PATIENCE_S, ConsoleReport, Pending
from inference.results.plurals import counted
from inference.results.words import duration
from inference.routes import sidecar_target

# Between two listings of the receipts; what has its result within this costs none.
LOOK_S = 2.0
# So many names at most are spoken of one by one.
_NAMED = 5
_OPEN = ("working", "job", "retry", "waiting")

Work = tuple[str, float, float | None, str]


@dataclass
class _Known:
    """What was said of an upload. since: when its work began, by time.monotonic()."""

    said: str = ""
    since: float | None = None
    finished: bool = False
    parts: int = 0


class UploadWatch:
    """Looks at the receipts of pending uploads, all by one listing, and reads those of which something is new."""

    def __init__(self, service: BlobServiceClient, report: ConsoleReport) -> None:
        self._storage = Storage(service)
        self._receipts = BlobReceipts(self._storage)
        self._report = report
        self._known: dict[str, _Known] = {}
        self._next = 0.0
        self._queued_since: float | None = None  # from when on uploads have waited for their turn
        self._queued_said = 0

    def begin(self, uploads: Collection[str]) -> None:
        """What an earlier run left unfinished is pending again. `uploads`: the names of all that lie in storage."""
        paths = {record_path(name): name for name in uploads}
        left = {name: summary for name, summary in self._listed(paths).items() if summary.state in _OPEN}
        for name, summary in left.items():
            self._report.pending[name] = Pending(summary.etag)
        interrupted = [name for name, summary in left.items() if summary.state in ("working", "job")]
        if len(interrupted) > _NAMED:
            self._report.say(f"{len(interrupted)} uploads were left unfinished by an earlier run; the app goes on")
        for name in interrupted if len(interrupted) <= _NAMED else ():
            self._report.say(f"{name}: left unfinished by an earlier run; the app goes on with it by itself")

    def unchanged(self, names: list[str]) -> None:
        """Files that came into the folder again as they were: those whose analysis has ended are not analysed again."""
        listed = self._listed({record_path(name): name for name in names if not sidecar_target(name)}) if names else {}
        ended: dict[str, list[str]] = {"done": [], "failed": []}
        for name, summary in listed.items():
            if summary.state in ended:
                ended[summary.state].append(name)
        for state, words in (("done", "already analysed"), ("failed", "could not be analysed")):
            files = ended[state]
            for name in files if len(files) <= _NAMED else ():
                self._report.say(f"{name}: {words}; the file has not changed since")
            if len(files) > _NAMED:
                self._report.say(f"{len(files)} files: {words}; they have not changed since")

    def step(self) -> None:
        """Say what is new about the pending uploads."""
        now = time.monotonic()
        pending = self._report.pending
        self._known = {name: known for name, known in self._known.items() if name in pending}
        due = [name for name, upload in pending.items() if upload.since is None or now - upload.since >= LOOK_S]
        if not due or now < self._next:
            return
        self._next = now + LOOK_S
        listed = self._listed({record_path(name): name for name in due})
        queued, work = 0, []
        for name in due:
            summary, etag = listed.get(name), pending[name].etag
            if summary is None or (etag and summary.etag != etag):
                queued += 1
            elif summary.state == "working" and summary.age_s < summary.lease_s:
                work.append(self._working(name, summary, now))
            else:
                self._other(name, summary, now, work)
        self._say_queued(queued, now)
        self._report.at_work(work)

    def _listed(self, paths: dict[str, str]) -> dict[str, ReceiptSummary]:
        """The receipts by the upload's name; paths: of the receipts wanted, with their names."""
        summaries = (summary for page in self._receipts.pages() for summary in page.summaries)
        return {paths[summary.path]: summary for summary in summaries if summary.path in paths}

    def _receipt(self, name: str) -> Receipt:
        stored = self._receipts.get(name)
        return stored.receipt if stored else Receipt(name, "", "", "dropped", reason="its receipt is gone")

    def _of(self, name: str) -> _Known:
        return self._known.setdefault(name, _Known())

    def _once(self, name: str, what: str, words: Callable[[], str]) -> None:
        """Say it, unless it is what was said last about this upload."""
        if (known := self._of(name)).said != what:
            known.said = what
            if text := words():
                self._report.say(f"{name}: {text}")

    def _working(self, name: str, summary: ReceiptSummary, now: float) -> Work:
        def resumed() -> str:
            attempt = self._receipt(name).attempt
            return f"picked up again, attempt {attempt}" if attempt > 1 else ""

        known = self._of(name)
        if known.since is None:
            known.since = now - summary.age_s
        self._once(name, "working", resumed)
        return _work(name, now - known.since, summary.share, "")

    def _other(self, name: str, summary: ReceiptSummary, now: float, work: list[Work]) -> None:
        if summary.state == "job":
            work.append(self._job(name, now))
        elif summary.state == "working":
            self._of(name).since = None
            self._once(name, "silent", lambda: "its worker has stopped; the app goes on with it by itself")
        elif summary.state == "waiting":
            until = f"{summary.until:%Y-%m-%d %H:%M} UTC" if summary.until else "its route's next time"
            self._once(name, f"waiting {until}", lambda: f"waits until {until}, as its route says")
        elif summary.state == "retry":
            self._of(name).since = None
            reason = self._receipt(name).reason.removeprefix(f"{name}: ")
            self._once(name, f"retry {reason}", lambda: f"waits, and is tried again: {reason or 'given back'}")
        elif summary.state == "dropped":
            self._report.ended(name, f"{self._receipt(name).reason or 'dropped'}; it will have no result")
        elif self._of(name).finished:
            self._report.pending.pop(name, None)  # the result was there already: whatever there was to say was said
        else:
            self._of(name).finished = True  # its result comes with the next look at the results

    def _job(self, name: str, now: float) -> Work:
        """How far the job of a long video is, by the parts that are done."""
        from cloud.videos.jobs import DETECTED, RENDERED, Jobs  # lazily: it brings the decoder of videos

        known, jobs, job_id = self._of(name), Jobs(self._storage), self._receipt(name).job or ""
        known.since = known.since or now
        if not known.parts and (job := jobs.read(job_id)):
            known.parts = len(job.parts)
            self._once(name, f"job {job_id}", lambda: f"a long video, analysed in {counted(known.parts, 'part')}")
        progress = jobs.progress(job_id)
        done, drawn, parts = len(progress.parts(DETECTED)), len(progress.parts(RENDERED)), max(known.parts, 1)
        step = f", {drawn} of {parts} parts drawn" if progress.merged else f", {done} of {parts} parts detected"
        return _work(name, now - known.since, (done + drawn) / (2 * parts), step)

    def _say_queued(self, count: int, now: float) -> None:
        """A line for all that wait for their turn, when it takes long, and now and then while it does."""
        if not count:
            self._queued_since, self._queued_said = None, 0
            return
        self._queued_since = self._queued_since or now
        if now - self._queued_since >= PATIENCE_S and count != self._queued_said:
            # The next line about them comes no sooner than in three times as long.
            self._queued_since, self._queued_said = now + 2 * PATIENCE_S, count
            waits = "waits for its" if count == 1 else "wait for their"
            self._report.say(f"{counted(count, 'upload')} {waits} turn")


def _work(name: str, seconds: float, share: float | None, step: str) -> Work:
    percent = "" if share is None else f", {100 * share:.0f} %"
    return name, seconds, share, f"at work for {duration(seconds)}{percent}{step}"
