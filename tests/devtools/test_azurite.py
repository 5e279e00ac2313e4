"""The storage emulator that tests and `dev.py run` rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from devtools import azurite as azurite_process
from tests.processes import alive, eventually

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def test_newest_sdk_writes_and_reads(storage_account: str) -> None:
    with BlobServiceClient.from_connection_string(storage_account) as service:
        container = service.create_container("uploads")
        container.upload_blob("a/b.jpg", b"bytes")
        assert container.download_blob("a/b.jpg").readall() == b"bytes"
    with QueueClient.from_connection_string(storage_account, "segments") as queue:
        queue.create_queue()
        queue.send_message("hello")
        message = queue.receive_message()
        assert message is not None and message.content == "hello"


@pytest.mark.parametrize("_round", [1, 2])
def test_each_test_has_an_account_of_its_own(storage_account: str, _round: int) -> None:
    with BlobServiceClient.from_connection_string(storage_account) as service:
        assert list(service.list_containers()) == []
        service.create_container("uploads")


def test_default_account_is_shared_and_names_are_unique(azurite: str, storage_names: Callable[[str], str]) -> None:
    with BlobServiceClient.from_connection_string(azurite) as service:
        service.create_container(storage_names("uploads"))
        with pytest.raises(ResourceExistsError):
            service.create_container(storage_names("uploads"))


def test_data_on_disk_outlives_it(tmp_path: Path) -> None:
    for expected in ([], ["kept"]):
        with azurite_process.start(ROOT, log=tmp_path / "log", location=tmp_path / "data") as server:
            client = BlobServiceClient.from_connection_string(server.connection_string())
            assert [each.name for each in client.list_containers()] == expected
            if not expected:
                client.create_container("kept")
        assert server.process.returncode is not None


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "lost the race"])
def test_taken_ports_are_left_for_free_ones(
    seen: bool, azurite_server: azurite_process.Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not seen:
        monkeypatch.setattr(azurite_process, "is_listening", lambda port: False)
    with azurite_process.start(ROOT, log=tmp_path / "log", ports=azurite_server.ports) as server:
        assert not set(server.ports) & set(azurite_server.ports)


def test_no_free_port_is_one_plain_sentence(
    azurite_server: azurite_process.Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azurite_process, "free_ports", lambda: azurite_server.ports)
    with pytest.raises(azurite_process.AzuriteError, match="ended at once.*EADDRINUSE"):
        azurite_process.start(ROOT, log=tmp_path / "log")


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for node")
def test_one_that_does_not_begin_to_listen_is_ended_and_a_second_one_begun(tmp_path: Path) -> None:
    real = azurite_process.find_node([Path(entry) for entry in sys.path])
    node, begun = tmp_path / "node", tmp_path / "begun"
    node.write_text(f'#!/bin/sh\necho $$ >> {begun}\n[ $(wc -l < {begun}) = 1 ] && exec sleep 600\nexec {real} "$@"\n')
    node.chmod(0o755)
    with azurite_process.start(ROOT, log=tmp_path / "log", node=node, patience_s=10) as server:
        first, second = map(int, begun.read_text().split())
        assert not alive(first) and server.process.pid == second


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from devtools import azurite\n"
        f"server = azurite.start(Path({str(ROOT)!r}), log=Path({str(tmp_path / 'log')!r}))\n"
        "print(server.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    eventually(lambda: not alive(pid), "Azurite has ended")
