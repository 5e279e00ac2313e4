"""What a process of the app shares, put together from its settings; and the bodies of its triggers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from cloud.comments import only_comments
from cloud.edited import Edit, FileAsRead, masks_of
from cloud.index.default import default_index, default_tables, default_writer
from cloud.models.serving_models import ServingModels
from cloud.models.trials import Trials
from cloud.notify.notices import Notice, Notices
from cloud.once import once
from cloud.places import SWITCH_S
from cloud.process_folder import delete_left, own_folder
from cloud.settings import UPLOADS, BadSettings, current, is_disabled, slips, text_of
from cloud.stopping import at_stop
from cloud.storage.containers import default_storage
from cloud.storage.paths import printable
from cloud.storage.queues import Queue
from cloud.uploads.events import BlobEvent
from cloud.uploads.forget import look_again
from cloud.uploads.given_up import note_given_up
from cloud.uploads.index_notes import IndexNotes, Truth
from cloud.uploads.index_reconcile import reconcile
from cloud.uploads.plans import APP, app_routes, routes_path, written_routes
from cloud.uploads.replay_worker import ReplayWorker
from cloud.uploads.replays import QUEUE, ReplayMessage, Replays
from cloud.uploads.retention import Retention
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from cloud.videos.messages import Message, Queues
from inference.engine.first_run import ask_before_opening
from inference.engine.registry import BUILT_IN, Registry
from inference.image.media import own_process
from inference.route_problems import problems_of

if TYPE_CHECKING:
    from cloud.videos.job_worker import Videos

log = logging.getLogger(__name__)


@once
def default_worker() -> UploadWorker:
    """The worker of this process, made from its settings."""
    own_process()
    own_folder()
    sys.setswitchinterval(SWITCH_S)
    settings = current()
    for sentence in slips().values():
        log.warning("settings: %s", sentence)
    _routes_as_read.cache_clear()  # where routes that could not be read are now read again
    _routes_as_read()
    storage, trials = default_storage(), Trials(default_storage())
    ask_before_opening(trials.ask)  # before any file of a model is opened
    registry = Registry(settle=True, run_seconds=settings.run_seconds)
    models = ServingModels(storage, registry, settings.models_seconds, trials=trials)
    models.refresh()  # before the routes are read: they may name models that lie only in the container
    for entry in registry.list():
        if entry.reason and entry.path.parent.parent != BUILT_IN:  # some of ours lack a file that `models pull` brings
            log.warning(
                "model %s %s: %s", entry.name, "is not used" if entry.unused else "cannot be used", entry.reason
            )
    worker = UploadWorker(storage, settings, app_routes(settings, registry), registry, models)
    at_stop(worker.ledger.stop)
    begin_index(worker)
    worker.split = lambda *video: default_videos().split(*video)
    worker.leave = lambda *video: default_videos().leave(*video)
    return worker


def begin_index(worker: UploadWorker) -> None:
    """Have the index say what becomes of the worker's uploads."""

    def blurs(route: str) -> bool:
        return any(entry.name == route and entry.draw.blur for entry in worker.planner.routes.routes)

    writer = default_writer()
    writer.truth = Truth(worker.storage, worker.ledger.store, blurs)
    worker.ledger.notes = IndexNotes(writer)


@once
def _routes_as_read() -> list[FileAsRead]:
    """routes.toml, or whatever ROUTES_FILE names, and the masks beside it, as `default_worker` reads them."""
    path = routes_path(current())
    names = {path: current().routes_file} | {mask: str(mask) for mask in masks_of(path)}
    return [FileAsRead(file, name, _problems_of_next_routes) for file, name in names.items()]


def _problems_of_next_routes() -> list[str]:
    registry = default_worker().registry
    try:
        routes = written_routes(current())
    except BadSettings as error:
        return [" ".join(str(error).split())]
    return [str(problem) for problem in problems_of(routes, registry)]


def edits() -> list[Edit]:
    """Which files say something else than when this process read them, once; each change is logged, too, once."""
    from cloud.pipelines_file import pipelines

    files: list[FileAsRead | None] = [pipelines().file]
    with suppress(BadSettings):  # routes that cannot be used are read again, by whoever asks for the worker
        default_worker()
        files = [*_routes_as_read(), *files]
    for file in files:
        if file:
            file.note()
    return [edit for file in files if file and (edit := file.edit())]


@once
def default_videos() -> Videos:
    """What splits long videos in this process, and works on their parts."""
    # At the first video: pictures need no decoder of videos.
    from cloud.videos.job_worker import Videos

    worker = default_worker()
    return Videos(worker, Queues(worker.settings.storage_connection))


def on_blob(container: str, name: str, begin_thread: Callable[[], None]) -> None:
    """The body of the blob-triggered function. `begin_thread`, here and below: see BlobEvent."""
    default_worker().handle(BlobEvent(container, name, begin_thread=begin_thread))


def on_message(content: bytes, attempt: int, begin_thread: Callable[[], None]) -> None:
    """The body of the functions on the queues `segments`, `merges` and `renders`. Raises what may pass."""
    if message := _message(content):
        default_videos().deliver(message, attempt, begin_thread)


def on_poison(content: bytes) -> None:
    """The body of the functions on their poison queues, which have the messages that the host gave up."""
    if message := _message(content):
        default_videos().poison(message)


@once
def default_replays() -> Replays:
    """The replays of this process's account."""
    connection = current().storage_connection
    return Replays(default_storage(), Queue(connection, QUEUE))


def on_replay(content: bytes, begin_thread: Callable[[], None]) -> None:
    """The body of the function on the queue `replays`. Raises what may pass."""
    if message := _replay_message(content):
        ReplayWorker(default_worker(), default_replays()).deliver(message, begin_thread)


def on_replay_poison(content: bytes) -> None:
    """The body of the function on its poison queue: the sweep sends the replay on."""
    if message := _replay_message(content):
        log.error("replay %s: all attempts at step %d ended without a word", message.replay, message.step)


def _replay_message(content: bytes) -> ReplayMessage | None:
    try:
        return ReplayMessage.parse(content)
    except ValueError as error:
        log.error("%s: dropped", error)  # no attempt would make it a valid message
        return None


@once
def default_notices() -> Notices:
    """What this process's settings want others to be told."""
    return Notices(current())


def on_notice(content: bytes, begin_thread: Callable[[], None]) -> None:
    """The body of the function on the queue `notices`. Raises what may pass."""
    begin_thread()
    try:
        notice = Notice.parse(content)
    except ValueError as error:
        log.error("%s: dropped", error)  # no attempt would make it a valid message
        return
    default_notices().deliver(notice)


def _message(content: bytes) -> Message | None:
    try:
        return Message.parse(content)
    except ValueError as error:
        log.error("%s: dropped", error)  # no attempt would make it a valid message
        return None


def on_sweep(begin_thread: Callable[[], None]) -> None:
    """The body of the function `sweep`."""
    from cloud.videos.revive import revive  # brings the decoder of videos

    _note_entries()  # first: pipelines do not wait for what is wrong with uploads
    worker = default_worker()
    delete_left()  # of processes that were killed: a full copy of each video that they had
    _note_edits()
    worker.storage.ensure_containers(UPLOADS)
    _take_up()  # before the sweep, which may take minutes
    report = sweep(worker, worker.settings.sweep_seconds, begin_thread=begin_thread)
    log.info("sweep: %s", report)
    revive(default_videos(), report.handed)
    _tidy(worker, report.paused)
    if not _ticks():
        from cloud.uploads.audit_nightly import quietly

        # Uploads first: one that was left has no time to lose.
        quietly(worker.storage, worker.settings, idle=report.complete or report.paused, begin_thread=begin_thread)


def _ticks() -> bool:
    """Whether the function `tick` runs in this app: it does what is done once a night."""
    return not only_comments(APP / text_of("PIPELINES_FILE")) and not is_disabled("tick")


def _tidy(worker: UploadWorker, is_paused: bool) -> None:
    """What comes after uploads: silent replays, deliveries that the host gave up, and what is to be deleted."""
    replays = [] if is_paused else [lambda: default_replays().revive(worker.ledger.deployment)]
    parts: list[Callable[[], object]] = [
        *replays,
        lambda: note_given_up(worker),
        lambda: look_again(worker.storage, worker.settings.sweep_seconds / 4, default_index()),
        lambda: _index(worker),
        lambda: Retention(worker).run(worker.settings.sweep_seconds / 4),
    ]
    for part in parts:
        try:
            part()
        except Exception as error:  # noqa: BLE001 - none of these waits for what is wrong with another
            log.warning("%s", printable(f"after the sweep: {type(error).__name__}: {error}"))


def _index(worker: UploadWorker) -> None:
    """Brings the index up to date, where there is a table."""
    if table := default_tables().table():
        report = reconcile(worker.storage, table, default_writer(), worker.settings.sweep_seconds / 4)
        if report.written or not report.complete:
            how = "all" if report.complete else "the next sweep goes on"
            log.info("index: %d of %d uploads written anew; %s", report.written, report.compared, how)


def _note_entries() -> None:
    # A file without entries has no tick that could write down that they are gone.
    try:
        from cloud.pipelines_file import pipelines
        from cloud.tick import note_entries

        note_entries(pipelines(), default_storage().date())
    except Exception as error:  # noqa: BLE001 - uploads do not wait for what is wrong with pipelines
        log.warning("which pipelines are on was not written down: %s: %s", type(error).__name__, error)


def _take_up() -> None:
    from cloud.videos.revive import take_up_silent

    try:
        take_up_silent(default_videos())
    except Exception as error:  # noqa: BLE001 - uploads do not wait for what is wrong with jobs
        log.warning("%s", printable(f"steps of jobs whose workers died are left to their messages: {error}"))


def _note_edits() -> None:
    try:
        edits()
    except Exception as error:  # noqa: BLE001 - no upload waits for these words
        log.warning("whether files of the app were edited is not known: %s: %s", type(error).__name__, error)
