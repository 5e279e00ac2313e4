"""What the queues of a video's job carry: which job, which step of it, which part."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from cloud import connection
from cloud.storage.blobs import translated

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

Stage = Literal["whole", "detect", "merge", "render", "join"]
QUEUES: dict[Stage, str] = {
    "whole": "segments", "detect": "segments", "merge": "merges", "render": "renders", "join": "merges",
}  # fmt: skip
JOB_ID = re.compile(r"[0-9a-f]{24}")
MOST_PARTS = 999_999_999  # as many as a name of work has digits for


@dataclass(frozen=True)
class Message:
    """`part`: the number of the segment, for the stages "detect" and "render"."""

    job: str
    stage: Stage
    part: int = 0

    @classmethod
    def parse(cls, content: bytes | str) -> Message:
        """Raises ValueError for what is no message of ours."""
        try:
            document = json.loads(content)
        except RecursionError as error:
            raise ValueError(f"{content[:200]!r} is nested too deeply") from error
        match document:
            case {
                "job": str(job),
                "stage": ("whole" | "detect" | "merge" | "render" | "join") as stage,
                "part": int(part),
            }:
                if JOB_ID.fullmatch(job) and 0 <= part <= MOST_PARTS and part is not True:
                    return cls(job, stage, int(part))
        raise ValueError(f"{content[:200]!r} is no message of a video's job")

    def text(self) -> str:
        """As a queue carries it."""
        return json.dumps(asdict(self))


class Queues:
    """The queues of the account behind a connection setting; a missing queue is made when it is sent to."""

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def send(self, messages: list[Message], delay_s: int = 0) -> None:
        """One call a message, which nobody gets before `delay_s` seconds are over. Raises StorageUnavailable."""
        for message in messages:
            queue, text = self._queue(QUEUES[message.stage]), message.text()
            with translated(f"sending to the queue {queue.queue_name}"):
                try:
                    queue.send_message(text, visibility_timeout=delay_s)
                except ResourceNotFoundError:
                    with suppress(ResourceExistsError):
                        queue.create_queue()
                    queue.send_message(text, visibility_timeout=delay_s)

    def waiting(self, stage: Stage) -> int:
        """About how many messages wait for a step, delayed ones too, or are being worked on; a single call."""
        queue = self._queue(QUEUES[stage])
        with translated(f"asking the queue {queue.queue_name}"):
            try:
                return queue.get_queue_properties().approximate_message_count or 0
            except ResourceNotFoundError:
                return 0

    def _queue(self, name: str) -> QueueClient:
        from azure.storage.queue import TextBase64DecodePolicy, TextBase64EncodePolicy

        # What the host expects unless host.json says otherwise.
        return connection.queue_service(self._setting).get_queue_client(
            name, message_encode_policy=TextBase64EncodePolicy(), message_decode_policy=TextBase64DecodePolicy()
        )
