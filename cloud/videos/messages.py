"""What the queues of a video's job carry: which job, which step of it, which part."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Literal, cast

from cloud.storage.queues import Queue

Stage = Literal["whole", "detect", "merge", "render", "join"]
QUEUES: dict[Stage, str] = {
    "whole": "segments", "detect": "segments", "merge": "merges", "render": "renders", "join": "merges",
}  # fmt: skip
_LABEL = re.compile(r"([a-z]+)-([0-9]{4,9})")
JOB_ID = re.compile(r"[0-9a-f]{24}")
MOST_PARTS = 999_999_999  # as many as a name of work has digits for


@dataclass(frozen=True)
class Message:
    """`part`: the number of the segment, for the stages "detect" and "render". `attempts`: those that ended before the
    message was sent anew, which a queue does not know."""

    job: str
    stage: Stage
    part: int = 0
    attempts: int = field(default=0, compare=False)

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
                    attempts = document.get("attempts", 0)
                    known = type(attempts) is int and 0 <= attempts <= MOST_PARTS
                    return cls(job, stage, int(part), attempts if known else 0)
        raise ValueError(f"{content[:200]!r} is no message of a video's job")

    def text(self) -> str:
        """As a queue carries it."""
        return json.dumps(asdict(self))

    @property
    def label(self) -> str:
        """Which step of the job, in the names of its blobs."""
        return f"{self.stage}-{self.part:04}"

    @classmethod
    def labelled(cls, job: str, label: str) -> Message | None:
        """The way back; None for what is no label."""
        found = _LABEL.fullmatch(label)
        return cls(job, cast(Stage, found[1]), int(found[2])) if found and found[1] in QUEUES else None

    def words(self, parts: int) -> str:
        """For people, of a job of so many parts: "part 4 of 9"."""
        if self.stage in ("detect", "render"):
            drawn = "the drawing of " if self.stage == "render" else ""
            return f"{drawn}part {self.part + 1} of {parts}"
        return {"whole": "the analysis", "merge": "the merging of the parts"}.get(
            self.stage, "the joining of the parts"
        )


class Queues:
    """The queues of the account behind a connection setting; a missing queue is made when it is sent to."""

    def __init__(self, setting: str) -> None:
        self._queues = {name: Queue(setting, name) for name in QUEUES.values()}

    def send(self, messages: list[Message], delay_s: int = 0) -> None:
        """One call a message, which nobody gets before `delay_s` seconds are over. Raises StorageUnavailable."""
        for message in messages:
            self._queues[QUEUES[message.stage]].send(message.text(), delay_s)

    def waiting(self, stage: Stage) -> int:
        """About how many messages wait for a step, delayed ones too, or are being worked on; a single call."""
        return self._queues[QUEUES[stage]].waiting()
