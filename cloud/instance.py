"""What one process of the app shares, put together from its settings; and the bodies of its triggers of uploads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from inference.media import own_process
from inference.registry import Registry

from .events import BlobEvent
from .models.serving import ServingModels
from .once import once
from .plans import app_routes
from .settings import UPLOADS, current
from .storage import default_storage
from .sweep import sweep
from .uploads import UploadWorker

if TYPE_CHECKING:
    from .videos.worker import Videos

log = logging.getLogger(__name__)


@once
def default_worker() -> UploadWorker:
    """The worker of this process, made from its settings."""
    own_process()
    settings = current()
    storage, registry = default_storage(), Registry()
    models = ServingModels(storage, registry, settings.models_seconds)
    models.refresh()  # before the routes are read: they may name models that lie only in the container
    return UploadWorker(storage, settings, app_routes(settings, registry), registry, models, lambda _: default_videos())


@once
def default_videos() -> Videos:
    """What splits long videos in this process, and works on their parts."""
    # At the first video: pictures need neither a decoder of videos nor a client of queues.
    from .videos.messages import Queues
    from .videos.worker import Videos

    worker = default_worker()
    return Videos(worker, Queues(worker.settings.storage_connection))


def on_blob(container: str, name: str) -> None:
    """The body of the blob-triggered function."""
    default_worker().handle(BlobEvent(container, name))


def on_sweep(begin_thread: Callable[[], None]) -> None:
    """The body of the function `sweep`; `begin_thread` makes the lines of a thread those of this invocation."""
    from .videos.revive import revive  # brings the decoder of videos

    worker = default_worker()
    worker.storage.ensure_containers(UPLOADS)
    log.info("sweep: %s", sweep(worker, worker.settings.sweep_seconds, begin_thread=begin_thread))
    revive(default_videos())
