"""The command line: ``python -m localhost [APP_DIR] [--port 7071]``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from dataclasses import fields
from pathlib import Path

from localhost import console, settings
from localhost.errors import HostError
from localhost.host import PLANS, Host, Options

_LOG = logging.getLogger("localhost")
_PATIENCE_S = 3.0
# What Azure leaves an instance that it takes away: 1 to 3 s.
_GRACE_S = 1.0


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected a whole number from 0 to 65535")
    return int(text)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m localhost", description=(__doc__ or "").split(":")[0] + ".", allow_abbrev=False
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
    console.setup(arguments.verbose)
    app_dir = arguments.app_dir.resolve()
    try:
        host_settings = settings.load_local_settings(app_dir, os.environ, arguments.port)
        if arguments.check:
            from localhost.check import check_app

            return check_app(app_dir, arguments.plan)
        if arguments.port is None:
            arguments.port = int(host_settings.get("LocalHttpPort", 7071))
        arguments.app_dir = app_dir
        options = Options(**{field.name: getattr(arguments, field.name) for field in fields(Options)})
        clean = asyncio.run(_serve(options, arguments))
    except HostError as error:
        _LOG.error("%s", error)
        return 1
    except OSError as error:
        _LOG.error("Port %s cannot be used: %s. Choose another with --port.", arguments.port, error.strerror)
        return 1
    sys.stdout.flush()
    if not clean:
        # Python would wait for the threads of functions that did not end in time.
        os._exit(1)
    # And for threads that the app started and never ends.
    watchdog = threading.Timer(_PATIENCE_S, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()
    return 0


async def _serve(options: Options, arguments: argparse.Namespace) -> bool:
    if options.stop_in_flight and os.name != "posix":
        raise HostError("--stop-in-flight needs a system that can replace a process by another (exec), as Linux can.")
    host = Host(options)
    stop = asyncio.Event()
    _on_signals(stop, host.in_flight)
    if arguments.stop_with_stdin:
        _on_end_of_input(stop)
    console.show_invocations(host.worker)
    try:
        host.index()
        await host.start()
        console.print_functions(host)
        if file := arguments.ready_file:
            partial = file.with_suffix(".partial")
            partial.write_text(str(host.port))
            partial.replace(file)
        _LOG.info("Host %s is ready on http://localhost:%d. Ctrl-C stops it.", host.id, host.port)
        ends = [asyncio.create_task(event.wait()) for event in (stop, host.in_flight)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await _stop_in_flight(host)
    finally:
        clean = await host.stop()
    return clean


async def _stop_in_flight(host: Host) -> None:
    """What Azure does to running work when it takes an instance away: SIGTERM, and soon the end of the process; its
    message is delivered again at once, to a process that starts anew (this one, with other contents)."""
    _LOG.warning("Stopping in flight: SIGTERM, then a new process takes the same messages.")
    await host.give_back()
    with contextlib.suppress(SystemExit):  # what a handler of the app may raise
        signal.raise_signal(signal.SIGTERM)
    await host.stop(_GRACE_S)
    again = [argument for argument in sys.orig_argv[1:] if argument != "--stop-in-flight"]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *again, "--port", str(host.port)])


def _on_signals(stop: asyncio.Event, in_flight: asyncio.Event) -> None:
    """The first request to end stops gracefully, the second ends at once."""
    loop = asyncio.get_running_loop()
    asked = False

    def handle(number: int, frame: object) -> None:
        nonlocal asked
        if in_flight.is_set():
            return  # our own SIGTERM, meant for the app
        if asked:
            os._exit(130)
        asked = True
        print("\nStopping: running functions may finish. Once more ends at once.", flush=True)
        loop.call_soon_threadsafe(stop.set)

    for name in ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP"):
        number = getattr(signal, name, None)
        # A terminal that closes sends SIGHUP; `nohup` has it ignored, and so it stays. SIGINT is ignored in what a
        # shell script starts in the background, and whoever sends it there still means it.
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue
        signal.signal(number, handle)


def _on_end_of_input(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def read() -> None:
        # Not sys.stdin: at exit its lock would still be held by this thread.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read, name="stdin", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
