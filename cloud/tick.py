"""The timer of everything on a schedule: pipelines, deliveries of models, the drift check, the lake.

A tick decides nothing by itself: the plan of an entry says which slots are due and which runs are open, so that a tick
that comes late, twice, or on two hosts does what any other would. Entries are worked on side by side; an entry that
fails or hangs stops none of the others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from cloud.azureml import deployments, pipeline_runs
from cloud.azureml.deployments import Deployment
from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.slot_health import trouble
from cloud.azureml.slot_runner import PipelineFailed, Runner
from cloud.azureml.slot_steps import in_words
from cloud.azureml.v1_kinds import PublishedPipeline
from cloud.azureml.workspace import Workspace
from cloud.drift.drift_entry import DriftEntry
from cloud.pipelines_file import Pipelines, pipelines
from cloud.schedule import Schedule, check_ncrontab
from cloud.settings import current, deployment, is_disabled, text_of
from cloud.storage.containers import Storage, default_storage
from cloud.tasks import Here, Task
from inference.errors import BadPipeline, DropsightError, Transient

log = logging.getLogger(__name__)

# After this long no further call of an entry begins; what was begun may go on until the end of the tick.
BEGIN_S = 60.0
# The host would end an invocation (functionTimeout), and with it the whole worker, later than this.
END_S = 240.0
# As many entries at the same time.
WIDTH = 8
# Clocks of a cloud differ by less; a slot may begin so much early or late.
_SKEW = timedelta(minutes=2)
DELIVER = "0 */10 * * * *"
_TAKEN_OUT = PublishedPipeline(id="of an entry that is not in the file any more")
# Entries for which the last tick of this process had no place: they come first, or those that hang would starve them.
_WAITING: set[str] = set()


def on_timer(begin_thread: Callable[[], None]) -> None:
    """The body of the function `tick`. Raises PipelineFailed, once, with all that failed."""
    try:
        tick(pipelines(), begin_thread=begin_thread, clock=clock_set_right(default_storage()))
    finally:
        from cloud.uploads.audit_nightly import quietly

        quietly(default_storage(), current(), idle=True, begin_thread=begin_thread)


def clock_set_right(storage: Storage) -> Callable[[], datetime]:
    """This machine's clock; where it differs from storage's by minutes, with that difference taken off."""
    try:
        wrong = datetime.now(UTC) - storage.date()
    except Transient as error:
        log.warning("this machine's clock is not compared with storage's: %s", error)
        wrong = timedelta(0)
    if abs(wrong) < _SKEW:
        return lambda: datetime.now(UTC)
    log.error("this machine's clock is %s off (%s): storage's date is used", wrong, datetime.now(UTC).isoformat())
    return lambda: datetime.now(UTC) - wrong


def note_entries(config: Pipelines, now: datetime) -> Deployment:
    """Write down which entries are on in this deployment: the tick does so, and the sweep, where no entry is left."""
    here, store = deployment(), pipeline_runs.slot_store()
    if not config.readable:  # a mistake in the file is no wish
        return Deployment(here)
    entries = list(scheduled(config))
    on = {entry.name for entry in entries if _is_on(entry)}
    return deployments.note(store, here, on, {entry.name for entry in entries} - on, config.broken, now)


def scheduled(config: Pipelines) -> Iterator[PipelineEntry]:
    """Everything that has a schedule: the pipelines, and what the app does itself."""
    yield from config.entries
    # Names that no pipeline can have. What they need is imported when it is due: a lake that cannot be
    # imported stops nothing else.
    if config.models:
        yield _task("deliver_models", _deliver, DELIVER)
    if config.drift:
        yield _task("check_drift", partial(_drift, config), config.drift.schedule)
    if config.lake:
        yield _task("fill_lake", _lake, config.lake.schedule)


def _task(name: str, work: Callable[[], object], cron: str) -> PipelineEntry:
    return PipelineEntry(name=name, target=Task(work), schedule=Schedule(cron=check_ncrontab(cron)), keeps=False)


def _taken_out(name: str) -> PipelineEntry:
    """An entry that is not in the file any more: what it has sent is followed to its end, as its receipts say."""
    return PipelineEntry(name=name, target=_TAKEN_OUT, schedule=Schedule(cron="0 0 0 1 1 *"), enabled=False)


def _deliver() -> None:
    from cloud.models.deliveries import deliver_all

    deliver_all()


def _drift(config: Pipelines) -> None:
    from cloud.drift.drift_check import check
    from cloud.index.results import default_results

    assert config.drift is not None
    storage = default_storage()
    verdict = check(storage, config.drift, storage.date(), pipeline_runs.submit_now, default_results())
    log.info("drift: %s (%s)", verdict.status, verdict.why)


def _lake() -> None:
    from cloud.drift.lake import fill
    from cloud.index.results import default_results

    storage = default_storage()
    fill(storage, storage.date(), default_results())  # no hour before it is over by the clock that dates the results


def tick(
    config: Pipelines,
    *,
    begin_thread: Callable[[], None] = lambda: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    seconds: Callable[[], float] = time.monotonic,
    end_s: float = END_S,
) -> None:
    """Decide the due slots of every entry and move its open ones on.

    begin_thread: called first in every thread. clock, seconds: the time of day, and a clock to measure by. Raises
    PipelineFailed with all that failed.
    """
    began = seconds()
    failures: list[str] = []
    try:
        left = note_entries(config, clock()).left
    except Transient as error:
        log.warning("which entries are on was not written down: %s", error)
        left = frozenset()
    entries = [*scheduled(config), *map(_taken_out, sorted(left))]

    def may_begin() -> bool:
        return seconds() - began < BEGIN_S

    def work(entry: PipelineEntry) -> None:
        failures.extend(_wake(entry, begin_thread, clock, may_begin))
        free.release()

    free = threading.Semaphore(WIDTH)
    threads: dict[str, threading.Thread] = {}
    for entry in sorted(entries, key=lambda entry: entry.name not in _WAITING):
        if not free.acquire(timeout=max(0.0, BEGIN_S - (seconds() - began))) or not may_begin():
            log.warning("%s waits for the next tick: this tick has worked for %.0f s", entry.name, BEGIN_S)
            _WAITING.add(entry.name)
            continue
        _WAITING.discard(entry.name)
        # A daemon: what hangs in a call must not keep the process from ending.
        threads[entry.name] = threading.Thread(target=work, args=(entry,), name=f"tick-{entry.name}", daemon=True)
        threads[entry.name].start()
    for name, thread in threads.items():
        thread.join(max(0.0, end_s - (seconds() - began)))
        if thread.is_alive():
            log.warning("%s is still at work; the next tick goes on without waiting for it", name)
    if failures:
        raise PipelineFailed("; ".join(failures))


def _wake(
    entry: PipelineEntry,
    begin_thread: Callable[[], None],
    clock: Callable[[], datetime],
    may_begin: Callable[[], bool],
) -> list[str]:
    """Move an entry on, in a thread of its own; what failed."""
    try:
        begin_thread()
        runner = _runner(entry, clock, may_begin)
        if entry.target is _TAKEN_OUT:
            runner.follow(entry)
        else:
            runner.wake(entry, on=_is_on(entry))
    except DropsightError as error:
        return [str(error)]
    except Exception as error:
        log.exception("%s", entry.name)
        return [f"{entry.name}: {in_words(error)}"]
    return []


def _runner(entry: PipelineEntry, clock: Callable[[], datetime], may_begin: Callable[[], bool]) -> Runner:
    options: dict[str, Any] = {
        "clock": clock,
        "may_begin": may_begin,
        "tick": text_of("TICK_SCHEDULE"),
        "deployment": deployment(),
        "alone": _is_alone,
    }
    if isinstance(entry.target, Task):
        return pipeline_runs.runner(service=Here, **options)
    return pipeline_runs.runner(**options)


def _stale(storage: Storage, drift: DriftEntry, now: datetime) -> str:
    from cloud.drift.freshness import stale

    try:
        return stale(storage, drift, now)
    except BadPipeline as error:
        return str(error)


def _is_alone(name: str) -> bool:
    """Whether no other deployment over this storage has an entry of that name switched on."""
    return not any(other.may_run(name) for other in deployments.others(default_storage(), deployment()))


def _is_on(entry: PipelineEntry) -> bool:
    """Whether its due slots run: not where the file, or the app setting of its name, switches it off."""
    name = entry.name if isinstance(entry.target, Task) else f"pipeline_{entry.name.replace('-', '_')}"
    return entry.enabled and not is_disabled(name)


def health(config: Pipelines, clock: Callable[[], datetime] | None = None) -> list[str]:
    """What a person should look at: wrong entries, unknown slots, the last failures, refused models."""
    wrong = list(config.problems)
    if config.entries or config.models:
        try:
            Workspace.parse(current().azureml_workspace, current().azureml_region)
        except BadPipeline as error:
            wrong.append(str(error))
    if config.models:
        from cloud.models.deliveries import refused

        wrong += refused(config.models)
    store = pipeline_runs.slot_store()
    now = (clock or clock_set_right(store.storage))()
    if config.drift and (old := _stale(store.storage, config.drift, now)):
        wrong.append(old)
    elsewhere = list(deployments.others(store.storage, deployment()))
    return [*wrong, *trouble(store, scheduled(config), deployment(), elsewhere, now)]
