"""The bodies of the functions on the queues of split videos."""

from __future__ import annotations

import logging

from cloud.instance import default_videos
from cloud.videos.messages import Message

log = logging.getLogger(__name__)


def on_message(text: str, attempt: int) -> None:
    """A message of `segments`, `merges` or `renders`. Raises what may pass."""
    if message := _parsed(text):
        default_videos().deliver(message, attempt)


def on_poison(text: str, attempt: int) -> None:
    """A message that the host gave up."""
    if message := _parsed(text):
        default_videos().poison(message)


def _parsed(text: str) -> Message | None:
    try:
        return Message.parse(text)
    except ValueError as error:
        log.error("%s: dropped", error)  # no attempt would make it another one
        return None
