"""What becomes of uploads that have no result yet: at work, waiting, tried again, given up. Only reads storage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from azure.storage.blob import BlobServiceClient

from cloud.settings import STATE, UPLOADS
from cloud.storage.containers import Storage
from cloud.storage.paths import record_path
from cloud.uploads.receipt_blobs import PREFIX, BlobReceipts, sidecar_text, summary_of
from cloud.uploads.receipts import Receipt, ReceiptSummary
from devtools.console_report import PATIENCE_S, ConsoleReport, Ending, Pending
from inference.clutter import is_clutter
from inference.results.plurals import counted
from inference.results.words import duration
from inference.routes_file import SIDECAR, sidecar_target

if TYPE_CHECKING:
    from cloud.videos.jobs import JobProgress

# Between two looks at the receipts, or longer where one takes long; what has its result within this costs none.
LOOK_S = 2.0
LONGEST_S = 5.0
# Up to so many receipts are asked for one by one; more than these by listing all that there are.
_FEW = 8
# So many names at most are spoken of one by one.
_NAMED = 5
_OPEN = ("working", "job", "retry", "waiting")
_PAUSED = "waits, as INTAKE is paused"
# Receipts are stamped in whole seconds: one that is younger may have been replaced within the same.
_SETTLED_S = 2.0

_UNCHANGED = {
    "done": "already analysed",
    "failed": "could not be analysed",
    "working": "still at work",
    "job": "still at work",
    "waiting": "waits for the time that its route says",
    "retry": "waits, and is tried again",
    "": "waits for its turn",
}


@dataclass
class _Known:
    """What was said of an upload. since: when its work began, by time.monotonic()."""

    said: str = ""
    since: float | None = None
    finished: int | None = None  # how many looks at the results had ended when it was seen to have ended
    how: Ending = "analysed"  # it ended
    silent: bool = False  # its lease was over at the last look, as all are after a laptop's sleep
    parts: int = 0
    words: str = ""  # about its work, which is under way
    later: bool = False  # nobody can work on it now
    read: datetime | None = None  # when the receipt was written of which the reason was said
    taken_up: set[str] = field(default_factory=set)  # versions of what is said of steps whose workers died


class UploadWatch:
    """Looks at the receipts of pending uploads, all by one listing, and reads those of which something is new.

    paused: whether the app takes up none of them (`INTAKE`).
    """

    def __init__(self, service: BlobServiceClient, report: ConsoleReport, *, paused: bool = False) -> None:
        self._began = time.monotonic()
        self._paused = paused
        self._waits: dict[str, list[str]] = {}  # since when this look began, the uploads by what they wait for
        self._spoken: Counter[str] = Counter()  # how many were named with these words
        self._storage = Storage(service)
        self._receipts = BlobReceipts(self._storage)
        self._report = report
        self._known: dict[str, _Known] = {}
        self._next = 0.0
        self._left: set[str] = set()  # what an earlier run left unfinished, which was said

    def begin(self, uploads: Collection[str]) -> None:
        """What an earlier run left unfinished is pending again. `uploads`: the names of all that lie in storage."""
        paths = {record_path(name): name for name in uploads}
        known = self._listed(paths)
        left = {name: summary.etag for name, summary in known.items() if summary.state in _OPEN}
        meant = [name for name in uploads if not sidecar_target(name) and not is_clutter(name)]
        left |= {name: "" for name in meant if name not in known}  # their turn had not come
        for name, etag in left.items():
            if name not in self._report.waiting():
                self._report.waits(name, Pending(etag))
        self._left = set(left)
        goes_on = ("job",) if self._paused else ("working", "job", "")
        interrupted = [name for name in left if (known[name].state if name in known else "") in goes_on]
        if len(interrupted) > _NAMED:
            self._report.say(f"{len(interrupted)} uploads were left unfinished by an earlier run; the app goes on")
        for name in interrupted if len(interrupted) <= _NAMED else ():
            self._report.say(f"{name}: left unfinished by an earlier run; the app goes on with it by itself")

    def has_noted(self, name: str) -> bool:
        """Whether the app knows what the sidecar of an upload says. For any thread."""
        sidecar, stored = self._storage.open(UPLOADS, name + SIDECAR), self._receipts.get(name)
        return sidecar is None or sidecar_text(sidecar) == (stored.receipt.override if stored else None)

    def unchanged(self, names: list[str]) -> None:
        """Files that came into the folder again as they were, and are not analysed again: what became of them."""
        names = [name for name in names if not sidecar_target(name)]
        listed = self._listed({record_path(name): name for name in names}) if names else {}
        pending, ended = self._report.waiting(), dict[str, list[str]]()
        for name in names:
            state = listed[name].state if name in listed else ""
            if state == "waiting" and listed[name].cause:
                state = "retry"  # as far as words go
            known = state in ("done", "failed") or (name in pending and name not in self._left)
            if known and state in _UNCHANGED:
                ended.setdefault(_UNCHANGED[state], []).append(name)
        self._left -= set(names)
        for words, files in ended.items():
            for name in files if len(files) <= _NAMED else ():
                self._report.say(f"{name}: {words}; the file has not changed since")
            if len(files) > _NAMED:
                self._report.say(f"{len(files)} files: {words}; they have not changed since")

    def step(self) -> None:
        """Say what is new about the pending uploads, and how far they are."""
        now, pending = time.monotonic(), self._report.waiting()
        self._known = {name: known for name, known in self._known.items() if name in pending}
        due = [name for name, upload in pending.items() if upload.since is None or now - upload.since >= LOOK_S]
        if due and now >= self._next:
            self._look(due, pending, now)
            self._next = time.monotonic() + min(max(LOOK_S, 2 * (time.monotonic() - now)), LONGEST_S)
            pending = self._report.waiting()
        known = [self._known[name] for name in pending if name in self._known]
        work = [each for each in known if each.words]
        later = sum(each.later for each in known)
        ended = [each.how for each in known if each.finished is not None]
        # Of many that pass quickly nobody wants the names.
        named = [each for each in work if len(pending) <= _NAMED or now - (each.since or now) >= PATIENCE_S][:_NAMED]
        waiting = len(pending) - len(named) - later - len(ended)
        self._report.at_work([each.words for each in named], waiting, later, ended)

    def _look(self, due: list[str], pending: dict[str, Pending], now: float) -> None:
        listed = self._listed({record_path(name): name for name in due})
        for name in due:
            known, summary, etag = self._of(name), listed.get(name), pending[name].etag
            known.words, known.later = "", False
            if summary is None or (etag and summary.etag != etag):
                known.finished = None  # that was another version
                if self._paused:
                    self._later(name, _PAUSED)
            elif summary.state == "working" and summary.age_s < summary.lease_s:
                self._working(name, summary, now)
            else:
                self._other(name, summary, now)
        self._say_waits()

    def _say_waits(self) -> None:
        """Of many that wait for the same, one is named: a model that is missing may hold up thousands."""
        for words, names in self._waits.items():
            spoken = self._spoken[words]
            self._spoken[words] += len(names)
            if len(names) == 1 or spoken + len(names) <= _NAMED:
                for name in names:
                    self._report.say(f"{name}: {words}")
            else:
                more = "more uploads" if spoken else "uploads"
                self._report.say(f"{len(names)} {more}, such as {names[0]}: each {words}")
        self._waits.clear()

    def _listed(self, paths: dict[str, str]) -> dict[str, ReceiptSummary]:
        """The receipts by the upload's name; paths: of the receipts wanted, with their names."""
        if len(paths) <= _FEW:
            infos = [(name, self._storage.head(STATE, PREFIX + path)) for path, name in paths.items()]
            return {name: summary_of(info) for name, info in infos if info}
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

    def _later(self, name: str, words: str) -> None:
        """Nobody can work on it now. Said once the look is over, unless it is what was said last about this upload."""
        known = self._of(name)
        known.since, known.later = None, True
        if known.said != words:
            known.said = words
            self._waits.setdefault(words, []).append(name)

    def _working(self, name: str, summary: ReceiptSummary, now: float) -> None:
        def resumed() -> str:
            attempt = self._receipt(name).attempt
            return f"picked up again, attempt {attempt}" if attempt > 1 else ""

        known = self._of(name)
        known.silent, known.finished = False, None
        if known.since is None:
            known.since = now - summary.age_s
        self._once(name, "working", resumed)
        known.words = _words(name, now - known.since, summary.share)

    def _other(self, name: str, summary: ReceiptSummary, now: float) -> None:
        known = self._of(name)
        if summary.state == "job":
            self._job(name, now)
        elif summary.state == "working" and not known.silent:
            known.silent = True
        elif summary.state in ("working", "retry", "waiting") and self._paused:
            self._later(name, _PAUSED)
        elif summary.state == "working":
            known.since = None
            self._once(name, "silent", lambda: "its worker has stopped; the app goes on with it by itself")
        elif summary.state == "waiting" and not summary.cause:
            until = f"{summary.until:%Y-%m-%d %H:%M} UTC" if summary.until else "its route's next time"
            says = "said before this start" if self._is_old(summary) else "says"
            self._later(name, f"waits until {until}, as its route {says}")
        elif summary.state in ("retry", "waiting"):
            self._tried_again(name, summary)
        elif summary.state in ("dropped", "cancelled"):
            self._report.ended(name, f"{self._receipt(name).reason or summary.state}; it will have no result")
        elif known.finished is None:
            known.finished = self._report.looks  # its result comes with a look that begins from now on
            known.how = "analysed" if summary.state == "done" else "failed"
        elif self._report.looks >= known.finished + 2:
            self._report.forget(name)  # the result was there already: whatever there was to say was said

    def _tried_again(self, name: str, summary: ReceiptSummary) -> None:
        known, written = self._of(name), summary.listed_at - timedelta(seconds=summary.age_s)
        known.since, known.later = None, True
        if known.read == written:
            return
        known.read = written if summary.age_s >= _SETTLED_S else None
        reason = self._receipt(name).reason.removeprefix(f"{name}: ") or "given back"
        # What it says may be mended by now, and is looked at again soon.
        how = "is tried again; before this start it waited" if self._is_old(summary) else "waits, and is tried again"
        self._later(name, f"{how}: {reason}")

    def _is_old(self, summary: ReceiptSummary) -> bool:
        """Whether the receipt was written before this run, from what routes and models were then."""
        return summary.age_s > time.monotonic() - self._began

    def _job(self, name: str, now: float) -> None:
        """How far the job of a long video is, by the parts that are done."""
        from cloud.videos.jobs import DETECTED, RENDERED, Jobs  # lazily: it brings the decoder of videos

        known, jobs, job_id = self._of(name), Jobs(self._storage), self._receipt(name).job or ""
        known.since = known.since or now
        if not known.parts and (job := jobs.read(job_id)) and job.parts:
            known.parts = len(job.parts)
            self._once(name, f"job {job_id}", lambda: f"a long video, analysed in {counted(known.parts, 'part')}")
        progress = jobs.progress(job_id)
        self._taken_up(name, job_id, progress)
        if not known.parts:  # it waits in a queue until a video's place is free, and may have no parts at all
            known.words = _words(name, now - known.since, progress.share)
            return
        done, drawn, parts = len(progress.parts(DETECTED)), len(progress.parts(RENDERED)), known.parts
        step = f", {drawn} of {parts} parts drawn" if progress.merged else f", {done} of {parts} parts detected"
        known.words = _words(name, now - known.since, (done + drawn) / (2 * parts), step)

    def _taken_up(self, name: str, job_id: str, progress: JobProgress) -> None:
        """Steps of a job whose workers died since this run began, each death once."""
        from cloud.videos.jobs import TAKEN_UP
        from cloud.videos.messages import Message

        known, running_s = self._of(name), time.monotonic() - self._began
        for path, blob in progress.blobs.items():
            step = Message.labelled(job_id, path.removeprefix(TAKEN_UP)) if path.startswith(TAKEN_UP) else None
            if step and blob.etag not in known.taken_up and blob.age_s <= running_s:
                known.taken_up.add(blob.etag)
                silent = duration(progress.said(path, "silent"))
                again = f"{step.words(known.parts)} is taken up again"
                self._report.say(f"{name}: {again}: its worker was silent for {silent}")


def _words(name: str, seconds: float, share: float | None, step: str = "") -> str:
    percent = "" if share is None else f", {100 * share:.0f} %"
    return f"{name}: at work for {duration(seconds)}{percent}{step}"
