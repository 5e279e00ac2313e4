"""How the host ends: gracefully, within a bound, and at once when asked twice."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from localhost.__main__ import parser
from localhost.host_process import HostFailed, HostProcess
from tests.localhost.conftest import APPS
from tests.localhost.support import StartHost, Store, request

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX sends them")


def running(host: HostProcess, name: str) -> bool:
    printed = host.printed()
    return printed.count(f"Executing 'Functions.{name}'") > printed.count(f"Executed 'Functions.{name}'")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_running_functions_finish(start_host: StartHost, store: Store, number: signal.Signals) -> None:
    store.blobs.create_container("runs")
    host = start_host("queues", "--stop-timeout", "20")
    store.queue("work").send_message('{"sleep": 1}')
    store.queue("work").send_message('{"sleep": 1}')
    host.wait_for(lambda: running(host, "on_work"), "the first message")
    os.kill(host.pid, number)
    assert host.wait(20) == 0
    assert len(store.records("work")) == 1  # the one that ran is done, the other was not begun
    assert len(store.peek("work")) == 1


@posix
def test_a_second_signal_ends_it_at_once(start_host: StartHost, store: Store) -> None:
    host = start_host("queues", "--stop-timeout", "60")
    store.queue("work").send_message('{"sleep": 60}')
    host.wait_for(lambda: running(host, "on_work"), "the message")
    os.kill(host.pid, signal.SIGINT)
    host.wait_for(lambda: "Once more ends at once" in host.printed(), "the first signal")
    os.kill(host.pid, signal.SIGINT)
    assert host.wait(20) == 130


@posix
def test_what_a_shell_had_ignored_when_it_started(start_host: StartHost) -> None:
    """In the background of a script SIGINT is ignored, and is meant all the same; under nohup SIGHUP is, for good."""
    numbers = (signal.SIGINT, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        host = start_host("http", AzureWebJobsStorage="")
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    os.kill(host.pid, signal.SIGHUP)
    os.kill(host.pid, signal.SIGINT)
    assert host.wait(20) == 0  # a hang-up that was heard would make the interrupt the second wish: 130


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["--port", port])
    assert ended.value.code == 2 and f"'{port}' is no port" in capsys.readouterr().err


def test_what_runs_too_long_is_given_up_and_its_message_given_back(start_host: StartHost, store: Store) -> None:
    host = start_host("queues", "--stop-timeout", "0.3")
    store.queue("work").send_message('{"sleep": 60}')
    host.wait_for(lambda: running(host, "on_work"), "the message")
    assert host.stop() == 1
    assert "Still running after 0.3 s, given up: on_work" in host.printed()
    assert len(store.peek("work")) == 1  # visible now, not in ten minutes


@posix
def test_work_that_is_stopped_in_flight_is_delivered_again_at_once(start_host: StartHost, store: Store) -> None:
    store.blobs.create_container("runs")
    host = start_host("queues", "--stop-in-flight")
    store.queue("work").send_message('{"sleep": 3}')  # longer than the grace, shorter than ten minutes of lease
    host.wait_for(lambda: store.records("work"), "the second attempt")
    assert [run["count"] for run in store.records("work")] == [2]
    assert host.printed().count("Executing 'Functions.on_work'") == 2 and "Stopping in flight" in host.printed()
    assert request("GET", f"{host.url}/").status == 200  # on the same port
    assert host.stop() == 0


@posix
def test_a_handler_of_the_app_hears_the_sigterm(start_host: StartHost, store: Store, tmp_path: Path) -> None:
    source = (APPS / "queues" / "function_app.py").read_text()
    source += "\nimport signal\nsignal.signal(signal.SIGTERM, lambda *_: print('the app heard it', flush=True))\n"
    (tmp_path / "function_app.py").write_text(source)
    (tmp_path / "host.json").write_text((APPS / "queues" / "host.json").read_text())
    store.blobs.create_container("runs")
    host = start_host(tmp_path, "--stop-in-flight")
    store.queue("work").send_message("{}")
    host.wait_for(lambda: len(store.records("work")) == 2, "a run that ended in the grace, and the one after it")
    assert "the app heard it" in host.printed()
    host.wait_for(lambda: not store.peek("work") and not running(host, "on_work"), "the message to be deleted")


@posix
@pytest.mark.parametrize(("patience", "heard"), [("20", 0), ("0.3", 1)])
def test_the_app_hears_of_a_stop_only_where_its_functions_do_not_come_to_an_end(
    start_host: StartHost, store: Store, tmp_path: Path, patience: str, heard: int
) -> None:
    source = (APPS / "queues" / "function_app.py").read_text()
    # As ours does: what it must do is done, and the signal goes on to whoever had it before.
    source += (
        "\nimport signal\nbefore = signal.getsignal(signal.SIGTERM)\n"
        "signal.signal(signal.SIGTERM, lambda *a: (print('the app heard it', flush=True), before(*a)))\n"
    )
    (tmp_path / "function_app.py").write_text(source)
    (tmp_path / "host.json").write_text((APPS / "queues" / "host.json").read_text())
    store.blobs.create_container("runs")
    host = start_host(tmp_path, "--stop-timeout", patience)
    store.queue("work").send_message('{"sleep": 2}')
    host.wait_for(lambda: running(host, "on_work"), "the message")
    os.kill(host.pid, signal.SIGTERM)
    assert host.wait(20) == heard
    assert host.printed().count("Once more ends at once") == 1
    assert host.printed().count("the app heard it") == heard


def test_a_request_is_answered_before_the_end(start_host: StartHost) -> None:
    host = start_host("http", "--stop-timeout", "20", AzureWebJobsStorage="")
    answers: list[bytes] = []
    caller = threading.Thread(target=lambda: answers.append(request("GET", f"{host.url}/api/slow?s=0.7").body))
    caller.start()
    host.wait_for(lambda: running(host, "slow"), "the call")
    assert host.stop() == 0  # closes its standard input, as the end of its parent does
    caller.join()
    assert answers == [b"done"]


def test_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = HostProcess(APPS / "http", {"AzureWebJobsStorage": ""}, ["--port", str(port)])
        with pytest.raises(HostFailed, match=f"Port {port} cannot be used") as failed:
            other.start()
    assert "Traceback" not in str(failed.value)
