"""What the app does for a replay: a message brings it on by a step, or changes nothing.

First the uploads that are meant are marked: their names are written down, page by page of the listing. Then they are
analysed, at most half of this process's places at a time, so that fresh uploads always find one, and one step after
the other, so that a replay never takes more than one instance. A worker that dies costs the step it was at: what it
had finished says so in its receipt (`replay`), and is not done again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from cloud.settings import UPLOADS
from cloud.storage.containers import Conflict
from cloud.storage.paths import printable
from cloud.uploads.events import BlobEvent
from cloud.uploads.intake import PAUSED, is_paused
from cloud.uploads.ledger import Stopping
from cloud.uploads.names import Names
from cloud.uploads.priority import Order, Scan
from cloud.uploads.receipts import Receipt
from cloud.uploads.replay import Selection
from cloud.uploads.replays import Here, Replay, ReplayMessage, Replays, Stored
from cloud.uploads.sweep import ReceiptCursor
from cloud.uploads.upload_worker import UploadWorker
from inference.clutter import is_clutter

log = logging.getLogger(__name__)

_SIDE_BY_SIDE = 8  # calls that a listing needs for single uploads
_LOOK_S = 3.0  # how often a step looks whether it was cancelled
_WHY = 20  # sentences that are kept
_MOST_OPEN = 1000
_OPEN = "open"
_ROUNDS = 20
_LONGEST_DELAY_S = 3600.0
# How an upload ended, by the outcome's status; of what is not here nobody has it yet.
_ENDS = {"failed": "failed", "waiting": "waiting", "job": "jobs", "dropped": "others", "ignored": "others"}


@dataclass
class Pace:
    """step_s: how long a step works. page: uploads of a page of the listing. delay_s: before what is being worked on by
    others, or could not be reached, is looked at again; another deployment's message, too."""

    step_s: float = 60.0
    page: int = 5000
    delay_s: float = 30.0


class ReplayWorker:
    """Works on the replays of an account with the routes and models of this process."""

    def __init__(self, worker: UploadWorker, replays: Replays, pace: Pace | None = None) -> None:
        self.worker = worker
        self.replays = replays
        self.pace = pace or Pace()

    def deliver(self, message: ReplayMessage, begin_thread: Callable[[], None] = lambda: None) -> Replay | None:
        """Does a step and sends what follows; the replay as it is then, None where nothing was to be done. Raises what
        may pass. begin_thread: see BlobEvent."""
        stored = self.replays.read(message.replay)
        if stored is None or stored.replay.state != "running" or stored.replay.step != message.step:
            log.info("replay %s: nothing to do for step %d", message.replay, message.step)
            return None
        replay = stored.replay
        if replay.deployment not in ("", self.worker.ledger.deployment):
            self.replays.send(replay, round(self.pace.delay_s))
            return None
        if is_paused(self.worker.settings) and not replay.dry_run:
            log.info("replay %s: %s", replay.id, PAUSED)
            return None  # the sweep sends it on
        if self.worker.ledger.stopped:
            raise Stopping(f"replay {replay.id}")
        try:
            return self._step(stored, begin_thread)
        except Conflict:
            log.info("replay %s: cancelled, or brought on by another worker meanwhile", replay.id)
            return None

    def _step(self, stored: Stored, begin_thread: Callable[[], None]) -> Replay:
        self.worker.refresh_models()
        end = time.monotonic() + self.pace.step_s
        claimed = replace(stored.replay, deployment=self.worker.ledger.deployment)
        stored = self.replays.save(stored, claimed) if claimed != stored.replay else stored
        if not stored.replay.is_marked:
            stored = self._mark(stored, end, begin_thread)
        elif self._has_work(stored.replay):
            stored = self._work(stored, end, begin_thread)
        replay = stored.replay
        over = replay.is_marked and (replay.dry_run or not self._has_work(replay))
        following = replace(replay, step=replay.step + 1, state="done" if over else "running")
        try:
            self.replays.save(stored, following)
        except Conflict:
            self.replays.note_cancelled(following)
            raise
        if over:
            log.info("replay %s: %s", replay.id, following.counts)
        else:
            self.replays.send(following, self._delay(replay.rounds))
        return following

    def _delay(self, rounds: int) -> int:
        """Seconds before what could not be taken is looked at again: storage may be away for hours."""
        return round(min(self.pace.delay_s * 2 ** (rounds - 1), _LONGEST_DELAY_S)) if rounds else 0

    @staticmethod
    def _has_work(replay: Replay) -> bool:
        return replay.batch < replay.batches or bool(replay.open)

    def _mark(self, stored: Stored, end: float, begin_thread: Callable[[], None]) -> Stored:
        """Writes down the names that are taken, until the listing or the time is over."""
        names = Names.of(self.worker.storage, stored.replay.names)
        orders = [Order(self.worker.planner.routes, place) for place in names.places]
        if (by := " ".join(order.fingerprint for order in orders).strip()) != stored.replay.order:
            # An upload may be in no scan that is left, and would be forgotten.
            stored = replace(stored, replay=stored.replay.marked_anew(by))
        replay, why = stored.replay, list(stored.replay.why)
        names.remember(replay.met)
        selection = Selection(
            self.worker, replay.filters, names, replay.id, lambda name, said: why.append(f"{name}: {said}")
        )
        with ThreadPoolExecutor(_SIDE_BY_SIDE, "dropsight-replay", begin_thread) as pool:
            for order in orders:
                for scan in order.scans:
                    while scan.key not in stored.replay.scanned:
                        stored = self._page(stored, selection, order, scan, pool)
                        stored = self.replays.save(stored, replace(stored.replay, why=tuple(why[:_WHY]), met=names.met))
                        if time.monotonic() >= end:
                            return stored
        marked = replace(stored.replay, is_marked=True, here=None, unmet=tuple(names.unmet()))
        return replace(stored, replay=marked)

    def _page(self, stored: Stored, selection: Selection, order: Order, scan: Scan, pool: ThreadPoolExecutor) -> Stored:
        """Writes down what is taken of the next page of a scan."""
        replay = stored.replay
        here = replay.here if replay.here and replay.here.scan == scan.key else Here(scan.key)
        receipts = ReceiptCursor(self.worker.ledger.store, scan.prefix, here.receipts)
        page = next(self.worker.storage.pages(UPLOADS, scan.prefix, here.uploads, self.pace.page), None)
        uploads = [u for u in (page.blobs if page else []) if not is_clutter(u.name) and order.scan_of(u) == scan]
        selection.reset()
        taken = order.arranged(selection.of_page([(u, receipts.of(u.name)) for u in uploads], pool.map))
        if taken:  # a worker that dies before the replay is saved has written a batch that the next one writes again
            self.replays.put_batch(replay, replay.batches, [upload.name for upload in taken])
        counts = replace(
            replay.counts, seen=replay.counts.seen + selection.seen, marked=replay.counts.marked + len(taken)
        )
        replay = replace(
            replay,
            counts=counts,
            batches=replay.batches + bool(taken),
            reasons=dict(Counter(replay.reasons) + selection.chosen),
            undecided=replay.undecided + selection.undecided,
        )
        if page and page.next_token:
            return replace(stored, replay=replace(replay, here=Here(scan.key, page.next_token, receipts.token)))
        return replace(stored, replay=replace(replay, here=None, scanned=(*replay.scanned, scan.key)))

    def _work(self, stored: Stored, end: float, begin_thread: Callable[[], None]) -> Stored:
        """Has the next uploads analysed until a batch or the time is over, or somebody cancels."""
        replay = stored.replay
        once_more = replay.batch >= replay.batches or len(replay.open) >= _MOST_OPEN
        names = list(replay.open) if once_more else self.replays.batch(replay, replay.batch)[replay.position :]
        run = _Run(self, stored, end)
        places = max(1, self.worker.settings.max_concurrent // 2)
        with ThreadPoolExecutor(places, "dropsight-replay", begin_thread) as pool:
            ends = list(pool.map(lambda name: run.end_of(name, begin_thread), names))
        tried = next((number for number, how in enumerate(ends) if how is None), len(ends))
        found = Counter(how for how in ends[:tried] if how)
        still = tuple(name for name, how in zip(names, ends[:tried], strict=False) if how == _OPEN)
        if once_more:
            return replace(stored, replay=_after_open(replay, still + tuple(names[tried:]), found))
        counted = _counted(replay, found)
        whole = tried == len(names)
        counted = replace(
            counted,
            open=tuple(dict.fromkeys((*replay.open, *still))),
            rounds=0,
            batch=replay.batch + whole,
            position=0 if whole else replay.position + tried,
        )
        return replace(stored, replay=counted)


def _counted(replay: Replay, found: Counter[str]) -> Replay:
    counts = {name: getattr(replay.counts, name) + number for name, number in found.items() if name != _OPEN}
    return replace(replay, counts=replace(replay.counts, **counts))


def _after_open(replay: Replay, still: tuple[str, ...], found: Counter[str]) -> Replay:
    """The replay after those were looked at that nobody could take before: given up after so many rounds in vain."""
    rounds = replay.rounds + 1 if len(still) == len(replay.open) else 0
    if rounds < _ROUNDS:
        # Of those that are left none was brought to its end: the next round waits, lest it goes round and round.
        return replace(_counted(replay, found), open=still, rounds=max(rounds, 1) if still else 0)
    log.error("%s", printable(f"replay {replay.id}: {len(still)} uploads could not be taken: {', '.join(still[:5])}"))
    return replace(_counted(replay, Counter(given_up=len(still))), open=(), rounds=0)


class _Run:
    """The uploads of a single step."""

    def __init__(self, owner: ReplayWorker, stored: Stored, end: float) -> None:
        self._worker, self._replays = owner.worker, owner.replays
        self._stored, self._end = stored, end
        self._selection = Selection(owner.worker, stored.replay.filters, None, stored.replay.id)
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._is_over = False

    def end_of(self, name: str, begin_thread: Callable[[], None]) -> str | None:
        """How an upload ended, as Counts says it; "open" where it must be looked at again, None without time for it."""
        if time.monotonic() >= self._end or self._worker.ledger.stopped or self._was_replaced():
            return None
        event = BlobEvent(UPLOADS, name, "replay", begin_thread, self._selection.again, replay=self._stored.replay.id)
        try:
            outcome = self._worker.handle(event)
            if outcome.status in _ENDS:
                return _ENDS[outcome.status]
            if outcome.status == "done":
                return "done" if outcome.attempt or self._receipt(name).replay == event.replay else "others"
            if outcome.status == "busy" and self._receipt(name).state == "job":
                return "jobs"
        except Stopping:
            return None
        except Exception as error:  # noqa: BLE001 - an upload's trouble must not end the replay of the others
            log.warning("%s", printable(f"{name}: {type(error).__name__}: {error}"))
        return _OPEN

    def _receipt(self, name: str) -> Receipt:
        """What is finished may have been finished for this replay, by a worker that died before it could say so."""
        stored = self._worker.ledger.read(name)
        return stored.receipt if stored else Receipt(name, "", "", "retry")

    def _was_replaced(self) -> bool:
        """Whether the replay was cancelled, or another worker has it; asked for every few seconds."""
        with self._lock:
            if not self._is_over and time.monotonic() - self._looked > _LOOK_S:
                self._looked = time.monotonic()
                self._is_over = self._replays.version(self._stored.replay.id) != self._stored.version
            return self._is_over
