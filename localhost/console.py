"""What the person at the terminal sees."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localhost.host import Host

_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}


class _Formatter(logging.Formatter):
    """``[time] message``, coloured on a terminal."""

    def __init__(self, colour: bool) -> None:
        super().__init__("[%(asctime)s] %(message)s")
        self.converter = time.gmtime
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"
        self.default_msec_format = "%s.%03dZ"
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        colour = _COLOURS.get(record.levelno) if self._colour else None
        return f"{colour}{text}\x1b[0m" if colour else text


def setup(verbose: bool) -> None:
    """Logs of the host and of the app go to stdout; the SDK's one line per request does not."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter(sys.stdout.isatty()))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for name in ("azure", "aiohttp", "urllib3", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def print_functions(host: Host) -> None:
    """The list of functions with their URLs or triggers, as Core Tools prints it."""
    lines = ["", "Functions:", ""]
    for http in sorted(host.http, key=lambda function: function.function.name):
        methods = f"[{','.join(sorted(http.methods))}] " if http.methods else ""
        lines += [
            f"\t{http.function.name}: {methods}http://localhost:{host.port}/{http.path}{host.key_hint(http)}",
            "",
        ]
    for function in sorted(host.functions, key=lambda function: function.name):
        if function.kind != "httpTrigger":
            raw = function.trigger
            what = raw.get("path") or raw.get("queueName") or raw.get("schedule")
            source = f" ({raw['source']})" if raw.get("source") else ""
            lines += [f"\t{function.name}: {function.kind} {what}{source}", ""]
    print("\n".join(lines) if host.functions else "No functions found.", flush=True)
    for error in host.errors:
        logging.getLogger("localhost").error("%s", error)
