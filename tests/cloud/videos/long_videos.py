"""Small clips that count as long, a detector that needs no weights, and queues whose messages are dealt by hand."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from azure.storage.queue import TextBase64DecodePolicy

from cloud import connection
from cloud.settings import CONTAINERS, RESULTS, STATE, UPLOADS, Settings
from cloud.storage.containers import Storage
from cloud.uploads.events import BlobEvent
from cloud.uploads.upload_worker import UploadWorker
from cloud.videos.job_worker import Videos
from cloud.videos.messages import QUEUES, Message, Queues
from inference.engine.registry import Registry
from inference.routes_file import parse_routes
from inference.video.write import VideoWriter
from tests.inference.video.blobs import blob_detector, scene
from tests.inference.video.clips import make

NAME = "street/long clip.mp4"
ROUTES = """
[[route]]
name = "followed"
match = "followed/**"
steps = [{ model = "fields" }]
video = { follow = {} }
[[route]]
name = "drawn"
match = "drawn/**"
steps = [{ model = "fields" }, { model = "sketch" }]
draw = { crops = "field" }
video = { fps = 4.0 }
[[route]]
name = "street"
match = "**"
steps = [{ model = "fields" }]
video = { fps = 9.0, thumbnails = 4, zones = [{ name = "line", points = [[0.5, 0], [0.5, 1]] }] }
"""


def long_clip(folder: Path, frames: int = 90) -> Path:
    """3.6 seconds with sound, a keyframe every 0.6 s."""
    sound = make(folder / "sound.mp4", [i / 25 for i in range(frames)], sound=True)
    path = folder / "clip.mp4"
    with VideoWriter(path, fps=7.5, preset="ultrafast", crf=12, sound=sound) as writer:
        for i in range(frames):
            writer.write(scene(i), i / 25 + (0.007 if i % 3 == 1 else 0.0))
    return path


def make_models(folder: Path) -> Path:
    """A folder with the detector `fields`, and the model `sketch`."""
    blob_detector(folder / "fields")
    shutil.copytree(Path(__file__).resolve().parents[3] / "models/sketch", folder / "sketch")
    return folder


def make_videos(models: Path, **settings: Any) -> Videos:
    """Videos of a new worker on the account in the environment: everything over half a second is split."""
    storage = Storage(connection.blob_service("AzureWebJobsStorage"))
    storage.ensure_containers(*CONTAINERS)
    low = {"lease_seconds": 2.0, "video_split_above_seconds": 0.5, "video_segment_seconds": 1e-6}
    routes = parse_routes(ROUTES, "test routes")
    chosen = Settings(**{**low, **settings})
    worker = UploadWorker(storage, chosen, routes, Registry([models]))
    videos = Videos(worker, Queues("AzureWebJobsStorage"))
    worker.split = videos.split
    return videos


def drop(videos: Videos, clip: Path | bytes, name: str = NAME) -> str:
    """Uploads a clip and lets the blob function handle it; returns the id of its job."""
    videos.storage.write(UPLOADS, name, clip)
    outcome = videos.worker.handle(BlobEvent(UPLOADS, name))
    assert outcome.status == "job"
    return job_of(videos, name)


def job_of(videos: Videos, name: str = NAME) -> str:
    stored = videos.ledger.read(name)
    assert stored and stored.receipt.job
    return stored.receipt.job


def taken() -> list[Message]:
    """All messages that wait, out of their queues."""
    service, found = connection.queue_service("AzureWebJobsStorage"), []
    there = {queue.name for queue in service.list_queues()}
    for name in there & set(QUEUES.values()):
        queue = service.get_queue_client(name, message_decode_policy=TextBase64DecodePolicy())
        for message in queue.receive_messages(messages_per_page=32):
            found.append(Message.parse(message.content))
            queue.delete_message(message)
    return found


def deal(videos: Sequence[Videos], chance: random.Random, copies: int = 2) -> int:
    """Delivers every message `copies` times, in any order, to any worker, until none comes any more."""
    count = 0
    while messages := taken() * copies:
        chance.shuffle(messages)
        for message in messages:
            chance.choice(videos).deliver(message, 1)
        count += len(messages)
    return count


def document(videos: Videos, name: str = NAME) -> Any:
    found = videos.storage.read_json(RESULTS, f"{name}/result.json")
    return found[0] if found else None


def names(videos: Videos, container: str = STATE, prefix: str = "jobs/") -> list[str]:
    return [blob.name for page in videos.storage.pages(container, prefix) for blob in page.blobs]


def lines_of(videos: Videos, relative: str, name: str = NAME) -> list[Any]:
    found = videos.storage.read(RESULTS, f"{name}/{relative}")
    assert found
    return [json.loads(line) for line in found[0].splitlines()]


def wait_for_silence(videos: Videos, job_id: str) -> None:
    deadline = time.monotonic() + 30
    while videos.jobs.progress(job_id).quiet_s < videos.settings.lease_seconds:
        assert time.monotonic() < deadline
        time.sleep(0.2)
