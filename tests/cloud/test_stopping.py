"""SIGTERM, as the platform sends it to an instance that it takes away: real processes on a real Azurite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud.settings import RESULTS
from cloud.uploads.events import Outcome
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import document, drop, jpeg, names, receipt
from tests.processes import eventually

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX sends them")
ROOT = Path(__file__).resolve().parents[2]

# As the real worker: an event loop in the main thread, functions in others. "analysing" is printed by each of them.
WORKER = """
import asyncio, os, sys, time
from concurrent.futures import ThreadPoolExecutor
import function_app

def analyze(*_, **__):
    os.write(1, b"analysing\\n")  # at once: lines of two threads do not mingle
    time.sleep(60)

how, names = sys.argv[1], sys.argv[2:]
if how != "idle":
    from cloud import instance, stopping
    import inference.analysis as engine
    engine.analyze = analyze
    worker = instance.default_worker()
if how == "hangs":
    worker.ledger.store.replace = lambda *_: time.sleep(60)
if how == "stuck":  # it has given back, and goes no further
    stopping.GRACE_S, stop = 60, worker.ledger.stop
    stopping._actions[:] = [lambda: (stop(), time.sleep(60))]

async def main():
    with ThreadPoolExecutor() as pool:
        for name in names:
            pool.submit(instance.on_blob, "uploads", name, lambda: None)
        os.write(1, b"waiting\\n")
        await asyncio.sleep(60)

asyncio.run(main())
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(account: str) -> Iterator[Start]:
    children: list[subprocess.Popen[str]] = []

    def begin(how: str, *uploads: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "AzureWebJobsStorage": account, "LEASE_SECONDS": "600"}
        command = [sys.executable, "-c", WORKER, how, *uploads]
        child = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout
        lines = sorted(child.stdout.readline().strip() for _ in range(len(uploads) + 1))
        assert lines == ["analysing"] * len(uploads) + ["waiting"]
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()


def retries(worker: UploadWorker, *uploads: str) -> bool:
    return all(receipt(worker, name).state == "retry" for name in uploads)


@pytest.mark.slow
@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_stopped_instance_had_is_taken_by_another_at_once(
    start: Start, worker: UploadWorker, last: signal.Signals
) -> None:
    # GIVEN an instance with two uploads in the middle of their analysis, under a lease of ten minutes
    events = [drop(worker, name, jpeg()) for name in ("a.jpg", "b.jpg")]
    stuck = last == signal.SIGKILL
    child = start("stuck" if stuck else "works", "a.jpg", "b.jpg")
    assert [worker.handle(event).status for event in events] == ["busy", "busy"]
    # WHEN it is stopped, and again before it has ended
    child.send_signal(signal.SIGTERM)
    if stuck:
        eventually(lambda: retries(worker, "a.jpg", "b.jpg"), "both to be given back")
    child.send_signal(last)
    # THEN it ends as it would have without us, and another instance need not wait for the lease, nor misses an attempt
    assert child.wait(20) == -last
    assert retries(worker, "a.jpg", "b.jpg") and receipt(worker, "a.jpg").attempt == 0
    assert [worker.handle(event) for event in events] == [Outcome("done", 1)] * 2
    assert document(worker, RESULTS, "a.jpg/result.json")["status"] == "ok"
    assert sum(name.endswith("result.json") for name in names(worker, RESULTS)) == 2


@pytest.mark.slow
def test_it_ends_all_the_same_where_storage_does_not_answer_or_nothing_is_held(
    start: Start, worker: UploadWorker
) -> None:
    drop(worker, "a.jpg", jpeg())
    children = [start("hangs", "a.jpg"), start("idle")]
    for child in children:
        child.send_signal(signal.SIGTERM)
    assert [child.wait(20) for child in children] == [-signal.SIGTERM] * 2
    assert receipt(worker, "a.jpg").state == "working"


HANDLERS = """
import os, signal, sys, threading, time
from cloud import stopping

seen = []
before = {"own": lambda *_: seen.append("own"), "ignored": signal.SIG_IGN, "thread": signal.SIG_DFL}[sys.argv[1]]
signal.signal(signal.SIGTERM, before)
if sys.argv[1] == "thread":
    thread = threading.Thread(target=stopping.handle_sigterm)
    thread.start()
    thread.join()
else:
    stopping.handle_sigterm()
stopping.handle_sigterm()  # as when the app is imported anew
if sys.argv[1] == "thread":
    sys.exit()
stopping.at_stop(lambda: seen.append("given back"))
for number in range(2):
    os.kill(os.getpid(), signal.SIGTERM)
    while sys.argv[1] == "own" and len(seen) < 2 + number:
        time.sleep(0.01)
    time.sleep(0.6 if sys.argv[1] == "own" else 0)  # two within half a second are one
print(seen)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "printed"), [("own", "['given back', 'own', 'own']"), ("ignored", "[]"), ("thread", "")]
)
def test_whoever_handled_it_before_still_does(before: str, printed: str) -> None:
    command = [sys.executable, "-c", HANDLERS, before]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, printed, "")
