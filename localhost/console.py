"""What the person at the terminal sees: the host's lines, and of the app's those that Azure would show."""

from __future__ import annotations

import logging
import sys
import threading
import time

from localhost.host import Host
from localhost.worker import Worker

_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}
_LIBRARIES = ("azure", "aiohttp", "urllib3", "asyncio")


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """``[time] message``, coloured on a terminal.

    The real host drops the app's lines that belong to no running invocation: of a thread that a function started (it
    has no id unless it sets one in ``context.thread_local_storage``), or while the app is imported. They are shown
    only with ``--verbose``, and marked.
    """

    worker: Worker | None = None

    def __init__(self, verbose: bool) -> None:
        super().__init__(sys.stdout)
        self._verbose = verbose
        formatter = logging.Formatter("[%(asctime)s] %(message)s")
        formatter.converter = time.gmtime
        formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
        formatter.default_msec_format = "%s.%03dZ"
        self.setFormatter(formatter)

    def filter(self, record: logging.LogRecord) -> bool:
        return self._verbose or self._is_shown(record)

    def _is_shown(self, record: logging.LogRecord) -> bool:
        logger = record.name.partition(".")[0]
        own = logger in _LIBRARIES and threading.current_thread() is threading.main_thread()
        return logger == "localhost" or own or bool(self.worker and self.worker.has_log_line())

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._is_shown(record):
            text = f"{text} (of no invocation: Azure drops this line)"
        colour = _COLOURS.get(record.levelno) if sys.stdout.isatty() else None
        return f"{colour}{text}\x1b[0m" if colour else text


def setup(verbose: bool) -> None:
    """Logs of the host and of the app go to stdout; the SDK's one line per request does not."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[_Handler(verbose)], force=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def show_invocations(worker: Worker) -> None:
    """From now on shows the app's lines that belong to this worker's invocations."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.worker = worker


def print_functions(host: Host) -> None:
    """The list of functions with their URLs or triggers, as Core Tools prints it."""
    lines = ["", "Functions:", ""]
    for http in host.http:
        methods = f"[{','.join(sorted(http.methods))}] " if http.methods else ""
        hint = host.keys.hint(http.function.name, http.level) if host.keys else ""
        lines += [f"\t{http.function.name}: {methods}http://localhost:{host.port}/{http.path}{hint}", ""]
    for function in host.functions:
        if function.kind != "httpTrigger":
            raw = function.trigger
            what = raw.get("path") or raw.get("queueName") or raw.get("schedule")
            source = f" ({raw['source']})" if raw.get("source") else ""
            lines += [f"\t{function.name}: {function.kind} {what}{source}", ""]
    print("\n".join(lines) if host.functions else "No functions found.", flush=True)
    for error in host.errors:
        logging.getLogger("localhost").error("%s", error)
