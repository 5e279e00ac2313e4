"""Uploads and models may be called anything: no name forges a line of the app's log or turns a terminal over."""

from __future__ import annotations

import logging
from typing import Any


def plain_logs() -> None:
    """Makes what the app logs plain from its first record on: until then nothing is imported for it, since the host
    waits while the app is indexed."""
    before = logging.getLogRecordFactory()

    def first(*args: Any, **more: Any) -> logging.LogRecord:
        from inference.plain_text import plain_logs

        logging.setLogRecordFactory(before)
        plain_logs("cloud", "inference")
        return logging.getLogRecordFactory()(*args, **more)

    logging.setLogRecordFactory(first)
