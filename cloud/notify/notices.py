"""Notices on their way: at least once, in any order, numbered by upload.

An end is told after the receipt says so, and before its row is written in the index, so that whoever restores a row
tells again what may not have been told. A webhook is sent by a queue's function, so that no upload waits for a
receiver: what cannot be delivered is tried again for about a day and a half, then it lies in the queue of dead letters.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cloud.index.entry import Entry
from cloud.notify import webhook
from cloud.notify.event import TYPES, event_of
from cloud.settings import BadSettings, Settings, app_identity
from cloud.storage.paths import printable
from cloud.storage.queues import Queue
from inference.errors import ServiceBusy

log = logging.getLogger(__name__)

QUEUE = "notices"
DEAD = f"{QUEUE}-poison"  # where the host puts what its function raised on, too
# Seconds until the next attempt, after each that failed.
PAUSES_S = (10, 30, 120, 600, 3600, 6 * 3600, 24 * 3600)


@dataclass(frozen=True)
class Notice:
    """An event for the webhook. attempts: how many have failed; reason: how the last one did."""

    event: dict[str, Any]
    attempts: int = 0
    reason: str = ""

    @classmethod
    def parse(cls, content: bytes | str) -> Notice:
        """Raises ValueError for what is no message of ours."""
        try:
            document = json.loads(content)
        except RecursionError as error:
            raise ValueError(f"{content[:200]!r} is nested too deeply") from error
        match document:
            case {"event": {"id": str(), "type": str()} as event, "attempts": int(attempts), "reason": str(reason)}:
                return cls(event, attempts, reason)
        raise ValueError(f"{content[:200]!r} is no notice of a result")

    def text(self) -> str:
        """As a queue carries it."""
        return json.dumps(asdict(self), ensure_ascii=False)


class Notices:
    """What the settings want to be told, and where. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._url, self._secret = settings.notify_url, settings.notify_secret
        connection = settings.storage_connection
        self.waiting, self.dead = Queue(connection, QUEUE), Queue(connection, DEAD)
        self._told = Queue(connection, settings.notify_queue) if settings.notify_queue else None

    @property
    def wanted(self) -> bool:
        """Whether anybody wants to be told."""
        return bool(self._url or self._told)

    def health(self) -> str:
        """Who is told; two calls where somebody is. Raises BadSettings, ValueError where dead letters lie."""
        if self._url:
            webhook.checked_url(self._url)
            webhook.key_of(self._secret)
            if dead := self.dead.waiting():
                raise ValueError(
                    f"{dead} notices could not be delivered and lie in the queue {DEAD}: `python -m cloud notices` "
                    "lists them, with --again it sends them anew"
                )
        told = ["a webhook"] if self._url else []
        told += [f"the queue {self._told.name}"] if self._told else []
        return " and ".join(told) or "nobody"

    def tell(self, entry: Entry, number: int, path: str) -> None:
        """Sends the event of an end on its way; a call for each of queue and webhook. Nothing for other states.

        number, path: see `event_of`. Raises StorageUnavailable.
        """
        if not self.wanted or entry.state not in TYPES:
            return
        event = event_of(entry, number, app_identity(), path=path)
        if self._told:
            self._told.send(json.dumps(event, ensure_ascii=False))
        if self._url:
            self.waiting.send(Notice(event).text())

    def deliver(self, notice: Notice) -> None:
        """Posts an event, or has it tried again later, or lays it with the dead. Raises StorageUnavailable."""
        body = json.dumps(notice.event, ensure_ascii=False).encode("utf-8", "replace")
        try:
            url, key = webhook.checked_url(self._url), webhook.key_of(self._secret)
            webhook.send(url, key, str(notice.event["id"]), body)
        except (webhook.Refused, BadSettings) as error:
            self._bury(Notice(notice.event, notice.attempts + 1, str(error)))
        except ServiceBusy as error:
            self._again(Notice(notice.event, notice.attempts + 1, str(error)))

    def send_again(self) -> int:
        """Has dead letters delivered from the first attempt on; how many. Raises StorageUnavailable."""
        return self.dead.move(self.waiting, _from_the_first)

    def _again(self, notice: Notice) -> None:
        if notice.attempts > len(PAUSES_S):
            self._bury(notice)
            return
        pause = PAUSES_S[notice.attempts - 1]
        log.warning("%s", printable(f"notice of {_subject(notice.event)}: {notice.reason}; again in {pause} s"))
        self.waiting.send(notice.text(), pause)

    def _bury(self, notice: Notice) -> None:
        what = (
            f"notice of {_subject(notice.event)}: {notice.reason}; after {notice.attempts} attempts it lies in {DEAD}"
        )
        log.error("%s", printable(what))
        self.dead.send(notice.text())


def _from_the_first(text: str) -> str:
    try:
        return Notice(Notice.parse(text).event).text()
    except ValueError:
        return text  # the function drops it, and says so


def _subject(event: Mapping[str, Any]) -> str:
    return str(event.get("subject", event.get("id", "")))[:200]
