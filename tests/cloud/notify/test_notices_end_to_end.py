"""Notices of the whole app: each end is told at least once, by which is the newer, whoever dies in between."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from localhost.host_process import HostProcess
from tests.cloud.helpers import jpeg
from tests.cloud.notify.receiver import KEY, SECRET, Receiver
from tests.localhost.support import Store, request

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
FAST = ["--scan-interval", "0.3", "--max-polling-interval", "0.2"]
PATIENCE_S = 180


def told(receiver: Receiver) -> dict[str, dict[int, str]]:
    """By upload its ends by number, as notices tell them whose signatures are right. Asserts that who is told again is
    told the same."""
    found: dict[str, dict[int, str]] = {}
    by_id: dict[str, bytes] = {}
    for headers, body in list(receiver.got):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        right = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{right}"
        data = json.loads(body)["data"]
        end = json.dumps([data["name"], data["etag"], data["number"], data["state"]]).encode()
        assert by_id.setdefault(headers["webhook-id"], end) == end
        found.setdefault(data["name"], {})[data["number"]] = data["state"]
    return found


def test_every_end_is_told_though_the_host_is_killed_and_the_receiver_is_gone(
    storage_account: str, receiver: Receiver, tmp_path: Path
) -> None:
    store = Store(storage_account)
    environ = {
        "AzureWebJobsStorage": storage_account, "NOTIFY_URL": receiver.url, "NOTIFY_SECRET": SECRET,
        "SWEEP_SCHEDULE": "*/2 * * * * *", "LEASE_SECONDS": "8",
    }  # fmt: skip

    def host(**more: str) -> HostProcess:
        return HostProcess(ROOT, {**environ, **more}, FAST, tmp_path / "host.log")

    dropped = {f"d/{n}.jpg": jpeg(n) if n % 3 else b"broken" for n in range(12)}
    ends = {name: "failed" if content == b"broken" else "done" for name, content in dropped.items()}
    # Nobody delivers notices yet, so that the process dies with none in its hands, which would wait for ten minutes.
    with host(**{"AzureWebJobs.on_notices.Disabled": "true"}) as first:
        for name, content in dropped.items():
            store.put(f"uploads/{name}", content)
        first.wait_for(lambda: len(_ended(store)) >= 2, "the first ends", PATIENCE_S)
        first.kill()
    assert not receiver.got

    with host() as second:
        second.wait_for(lambda: last(receiver) == ends, "a notice of every end", PATIENCE_S)
        before = told(receiver)
        assert all(1 in numbers for numbers in before.values())
        receiver.got, receiver.statuses = [], [410]
        asked = json.dumps({"names": ["d/1.jpg", "d/0.jpg"], "all": True}).encode()
        assert request("POST", f"{second.url}/api/operate/replays", asked).status == 202
        again = {name: ends[name] for name in ("d/1.jpg", "d/0.jpg")}
        second.wait_for(lambda: _dead(store) >= again.keys(), "the dead letters", PATIENCE_S)
        # An end of before may be told once more, however late.
        assert last(receiver).items() >= again.items()
        assert all(max(told(receiver)[name]) > max(before[name]) for name in again)
        receiver.got, receiver.statuses = [], [204]
        assert "notices are sent anew" in _notices("--again", environ)
        second.wait_for(lambda: last(receiver).items() >= again.items(), "the dead letters again", PATIENCE_S)
        assert "0 notices" in _notices("", environ)


def last(receiver: Receiver) -> dict[str, str]:
    """By upload its state by the notice with the highest number."""
    return {name: numbers[max(numbers)] for name, numbers in told(receiver).items()}


def _dead(store: Store) -> set[str]:
    return {json.loads(message)["event"]["subject"] for message in store.peek("notices-poison")}


def _ended(store: Store) -> list[str]:
    return [*store.names("errors"), *(name for name in store.names("results") if name.endswith("/result.json"))]


def _notices(option: str, environ: Mapping[str, str]) -> str:
    command = [sys.executable, "-m", "cloud", "notices", *option.split()]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout
