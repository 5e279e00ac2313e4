"""What tests of replays share."""

from __future__ import annotations

from typing import Any

from cloud.uploads.replay_worker import Pace, ReplayWorker
from cloud.uploads.replays import Replay, ReplayMessage, Replays
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import drop, jpeg


def app(worker: UploadWorker, replays: Replays, **pace: Any) -> ReplayWorker:
    return ReplayWorker(worker, replays, Pace(**{"page": 4, "delay_s": 1.0, **pace}))


def to_the_end(at_work: ReplayWorker, replay: Replay) -> Replay:
    """Every step, whatever the queue says."""
    for _ in range(30):
        stored = at_work.replays.read(replay.id)
        assert stored
        replay = stored.replay
        if replay.state != "running":
            return replay
        at_work.deliver(ReplayMessage(replay.id, replay.step))
    raise AssertionError(f"it does not end: {replay}")


def finished(worker: UploadWorker, *uploads: str) -> None:
    for number, name in enumerate(uploads):
        drop(worker, name, jpeg(number))
    assert sweep(worker, 60).failed == 0
