"""`python -m cloud notices`: what the webhook of NOTIFY_URL did not take."""

from __future__ import annotations

import argparse

from cloud.notify.notices import DEAD, Notice, Notices
from cloud.settings import current
from cloud.storage.paths import printable


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("--again", action="store_true", help="send all of them anew, with all attempts before them")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List the dead letters, or send them anew; 1 where some lie there and stay."""
    notices = Notices(current())
    if options.again:
        print(f"{notices.send_again()} notices are sent anew")
        return 0
    count = notices.dead.waiting()
    print(f"{count} notices lie in the queue {DEAD}" + ("; --again sends them anew" if count else ""))
    for text in notices.dead.peek() if count else ():
        print(printable(_line(text)))
    return int(count > 0)


def _line(text: str) -> str:
    try:
        notice = Notice.parse(text)
    except ValueError as error:
        return f"  {error}"
    why = notice.reason or "its function ended without a word"
    return f"  {notice.event.get('time')} {notice.event['type']} {notice.event.get('subject')}: {why}"
