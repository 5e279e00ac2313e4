"""The command line, ``python -m localhost [APP_DIR] [--port 7071]``: options, signals, and what the terminal shows."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import NoReturn

from aiohttp.http_exceptions import HttpProcessingError

from localhost.app_functions import Function
from localhost.app_index import PLANS, STORED, problems_of
from localhost.errors import HostError
from localhost.function_worker import FunctionWorker
from localhost.host import Host, RunOptions
from localhost.host_settings import load_local_settings
from localhost.printable import printable

_Handler = Callable[[int, FrameType | None], None]

_LOG = logging.getLogger("localhost")
_PATIENCE_S = 3.0
# What Azure leaves an instance that it takes away: 1 to 3 s.
_GRACE_S = 1.0

_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}
_LIBRARIES = ("azure", "aiohttp", "urllib3", "asyncio")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected a whole number from 0 to 65535")
    return int(text)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))  # what a shell makes of a pattern may be any name of a file


def parser() -> argparse.ArgumentParser:
    made = _Parser(
        prog="python -m localhost", description="Run an Azure Functions app on this machine.", allow_abbrev=False
    )
    add = made.add_argument
    add("app_dir", nargs="?", default=".", type=Path, help="folder with host.json and function_app.py")
    add("--port", type=_port, help="port to listen on; 0 finds a free one (default 7071, or LocalHttpPort)")
    add("--functions", nargs="+", metavar="NAME", help="run only these functions")
    add("--plan", choices=PLANS, help="refuse what this plan of Azure does not have")
    add("--stop-in-flight", action="store_true", help="be stopped once while a message is in work, and start again")
    add("--scan-interval", type=float, default=10.0, metavar="S", help="seconds between container scans (10)")
    add("--max-polling-interval", type=float, metavar="S", help="longest wait between looks into an empty queue")
    add("--message-lease", type=int, default=600, metavar="S", help="seconds a taken message stays invisible (600)")
    add("--stop-timeout", type=float, default=8.0, metavar="S", help="seconds running functions get to finish (8)")
    add("--enable-auth", action="store_true", help="ask for function keys, as in Azure")
    add("--no-watch", action="store_false", dest="watch", help="make no Event Grid events from new blobs")
    add("--ready-file", type=Path, metavar="FILE", help="write the port into this file once the host is ready")
    add("--stop-with-stdin", action="store_true", help="stop when standard input closes, as when the parent ends")
    add("--check", action="store_true", help="check the app as the real worker does, and stop")
    add("--verbose", action="store_true", help="show debug messages, and lines that Azure drops")
    return made


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    terminal = show_log_lines(arguments.verbose)
    try:
        arguments.app_dir = app_dir = arguments.app_dir.resolve()
        arguments.port = load_local_settings(app_dir, os.environ, arguments.port)
        if arguments.check:
            status = print_problems(problems_of(app_dir, arguments.plan))
            print(end="", flush=True)
            return status
        options = RunOptions(**{field.name: getattr(arguments, field.name) for field in fields(RunOptions)})
        clean = asyncio.run(_serve(options, arguments, terminal))
        print(end="", flush=True)
    except HostError as error:
        _LOG.error("%s", error)
        return 1
    except OSError as error:
        return _of_the_system(error)
    except KeyboardInterrupt:
        return 130
    if not clean:
        # Python would wait for the threads of functions that did not end in time.
        os._exit(1)
    # And for threads that the app started and never ends.
    watchdog = threading.Timer(_PATIENCE_S, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()
    return 0


def _of_the_system(error: OSError) -> int:
    """Says what cannot be read or written, on standard error: standard output may be what it is about."""
    output = error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE)
    where = "standard output" if output else os.fsdecode(error.filename or "this folder")
    with contextlib.suppress(OSError):
        if error.errno != errno.EPIPE:  # who read our words has read enough
            print(f"{where!r}: {error.strerror or error}. Free some space, or name another place.", file=sys.stderr)
    with contextlib.suppress(OSError, ValueError):  # what it still holds, or the interpreter's end would try again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


async def _serve(options: RunOptions, arguments: argparse.Namespace, terminal: TerminalHandler) -> bool:
    stop, in_flight = asyncio.Event(), asyncio.Event()
    handle = _on_signals(stop, in_flight)
    if arguments.stop_with_stdin:
        _on_end_of_input(stop)
    host = Host(options)
    tell_app = _from_app(handle, in_flight)
    terminal.worker = host.worker

    def note_start(function: Function) -> None:
        if function.kind in STORED:
            in_flight.set()

    if arguments.stop_in_flight:
        if os.name != "posix":
            raise HostError("--stop-in-flight needs a system that can replace a process by another (exec), as Linux.")
        host.worker.on_start = note_start
    try:
        await host.start()
        print_functions(host)
        if file := arguments.ready_file:
            partial = file.with_suffix(".partial")
            partial.write_text(str(host.port))
            partial.replace(file)
        _LOG.info("Host %s is ready on http://localhost:%d. Ctrl-C stops it.", host.id, host.port)
        ends = [asyncio.create_task(event.wait()) for event in (stop, in_flight)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await _stop_in_flight(host, tell_app)
    finally:
        clean = await host.stop()
        if not clean and tell_app():
            await asyncio.sleep(_GRACE_S)
    return clean


async def _stop_in_flight(host: Host, tell_app: Callable[[], bool]) -> None:
    """What Azure does to running work when it takes an instance away: SIGTERM, and soon the end of the process; its
    message is delivered again at once, to a process that starts anew (this one, with other contents)."""
    _LOG.warning("Stopping in flight: SIGTERM, then a new process takes the same messages.")
    await host.give_back()
    tell_app()
    await host.stop(_GRACE_S)
    again = [argument for argument in sys.orig_argv[1:] if argument != "--stop-in-flight"]
    print(end="", flush=True)
    os.execv(sys.executable, [sys.executable, *again, "--port", str(host.port)])


def _from_app(handle: _Handler, for_app: asyncio.Event) -> Callable[[], bool]:
    """Takes SIGTERM back from the app, whose functions may finish first. Returns what tells the app of it after all,
    and whether it listens."""
    handler = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, handle)

    def tell() -> bool:
        for_app.set()  # it may send the signal on to us, who had it first
        with contextlib.suppress(SystemExit):
            if callable(handler) and handler is not handle:
                handler(signal.SIGTERM, None)
        return handler is not handle

    return tell


def _on_signals(stop: asyncio.Event, in_flight: asyncio.Event) -> _Handler:
    """The first request to end stops gracefully, the second ends at once."""
    loop = asyncio.get_running_loop()
    stopping = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if in_flight.is_set():
            return  # our own SIGTERM, meant for the app
        if stopping:
            os._exit(130)
        stopping = True
        print("\nStopping: running functions may finish. Once more ends at once.", flush=True)
        loop.call_soon_threadsafe(stop.set)

    for name in ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP"):
        number = getattr(signal, name, None)
        # A terminal that closes sends SIGHUP; `nohup` has it ignored, and so it stays. SIGINT is ignored in what a
        # shell script starts in the background, and whoever sends it there still means it.
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue
        signal.signal(number, handle)
    return handle


def _on_end_of_input(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def read() -> None:
        # Not sys.stdin: at exit its lock would still be held by this thread.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read, name="stdin", daemon=True).start()


class TerminalHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """``[time] message``, coloured on a terminal.

    The real host drops the app's lines that belong to no running invocation: of a thread that a function started (it
    has no id unless it sets one in ``context.thread_local_storage``), or while the app is imported. They are shown
    only with ``--verbose``, and marked.
    """

    #: Whose invocations they are; None before the app is indexed.
    worker: FunctionWorker | None = None

    def __init__(self, verbose: bool) -> None:
        super().__init__(sys.stdout)
        self._verbose = verbose
        formatter = logging.Formatter("[%(asctime)s.%(msecs)03dZ] %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def handleError(self, record: logging.LogRecord) -> None:
        """A line that cannot be written, as on a full disk, is lost; the app goes on, without a traceback for each."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def filter(self, record: logging.LogRecord) -> bool:
        return self._verbose or self._is_shown(record)

    def _is_shown(self, record: logging.LogRecord) -> bool:
        logger = record.name.partition(".")[0]
        own = logger in _LIBRARIES and threading.current_thread() is threading.main_thread()
        return logger == "localhost" or own or bool(self.worker and self.worker.has_log_line())

    def format(self, record: logging.LogRecord) -> str:
        text = "\n".join(map(printable, super().format(record).split("\n")))
        if not self._is_shown(record):
            text = f"{text} (of no invocation: Azure drops this line)"
        colour = _COLOURS.get(record.levelno) if sys.stdout.isatty() else None
        return f"{colour}{text}\x1b[0m" if colour else text


def show_log_lines(verbose: bool) -> TerminalHandler:
    """Logs of the host and of the app go to stdout; the SDK's line for every request does not."""
    terminal = TerminalHandler(verbose)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[terminal], force=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    return terminal


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether it is no request that is none, for which whoever sent it is answered 400."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def print_functions(host: Host) -> None:
    """The list of functions with their URLs or triggers, as Core Tools prints it."""
    lines = ["", "Functions:", ""]
    for http in host.index.http:
        methods = f"[{','.join(sorted(http.methods))}] " if http.methods else ""
        hint = host.keys.hint(http.function.name, http.level) if host.keys else ""
        lines += [f"\t{http.function.name}: {methods}http://localhost:{host.port}/{http.path}{hint}", ""]
    for function in host.index.functions:
        if function.kind != "httpTrigger":
            raw = function.trigger
            what = raw.get("path") or raw.get("queueName") or raw.get("schedule")
            source = f" ({raw['source']})" if raw.get("source") else ""
            lines += [f"\t{function.name}: {function.kind} {what}{source}", ""]
    print("\n".join(lines) if host.index.functions else "No functions to run.", flush=True)
    for error in host.errors:
        logging.getLogger("localhost").error("%s", error)


def print_problems(problems_by_name: dict[str, list[str]]) -> int:
    """Prints the functions with their problems; returns the exit status: 0 when there are none."""
    for name, problems in problems_by_name.items():
        print(f"{name}: {'fine' if not problems else ''}")
        for problem in problems:
            print(f"    {problem}")
    return 1 if any(problems_by_name.values()) or not problems_by_name else 0


if __name__ == "__main__":
    sys.exit(main())
