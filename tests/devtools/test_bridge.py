"""The bridge between folders and a real Azurite: what it says, and how it begins and ends."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from azure.core.pipeline.transport import HttpTransport
from azure.storage.blob import BlobServiceClient

from cloud.storage.containers import Storage
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt
from devtools.bridge import Bridge
from devtools.console_report import ConsoleReport
from inference.__main__ import main
from inference.errors import StorageUnavailable
from tests.devtools.bridges import blobs, container, drop, result
from tests.processes import eventually

ROOT = Path(__file__).resolve().parents[2]


# ---- what is said


def test_a_line_says_what_was_found_and_how_long_it_took(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    drop(bridge, "cat.jpg", b"cat")
    bridge.step()
    bridge.step()
    document = {**result(cat=2, dog=1), "cost": {"wall_ms": 61.4}}
    container(bridge, "results").upload_blob("cat.jpg/result.json", json.dumps(document))
    error = {"status": "error", "error": {"class": "CorruptMedia", "message": "x.jpg: no picture"}}
    container(bridge, "errors").upload_blob("x.jpg.json", json.dumps(error))
    bridge.step()
    _, *lines = capsys.readouterr().out.splitlines()
    picture, broken = sorted(lines)  # several come at a time
    assert re.fullmatch(r"cat\.jpg: 2 cats, 1 dog \(.* after the upload, 61 ms of analysis\)", picture)
    assert broken == "x.jpg: failed: no picture (CorruptMedia)"


def test_a_picture_that_was_made_is_named_by_its_path(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    document = {**result(), "steps": [{"name": "sketch", "task": "image-to-image"}]}
    document["artifacts"] = {"sketch": "0123456789ab/sketch.jpg"}
    container(bridge, "results").upload_blob("a.jpg/result.json", json.dumps(document))
    bridge.step()
    made = bridge.outbox.folder / "results/a.jpg/0123456789ab/sketch.jpg"
    assert capsys.readouterr().out == f"a.jpg: made {made}\n"


def test_a_line_names_the_upload_and_is_one_line(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    name = "new\nline.jpg"  # in the path of its result this is new%0Aline.jpg
    bridge.report.uploaded(name)
    document = {**result(cat=1), "source": {"name": name}}
    container(bridge, "results").upload_blob("new%0Aline.jpg/result.json", json.dumps(document))
    bridge.step()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "new\\nline.jpg: uploaded" and len(lines) == 2
    assert re.fullmatch(r"new\\nline\.jpg: 1 cat \(.* after the upload\)", lines[1])


def test_a_record_that_cannot_be_read_is_named_by_its_path(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    container(bridge, "errors").upload_blob("a.jpg.json", b"no JSON")
    bridge.step()
    record = bridge.outbox.folder / "errors/a.jpg.json"
    assert capsys.readouterr().out == f"a.jpg: failed: its record cannot be read: {record}\n"


def test_the_console_and_the_command_line_say_the_same(
    bridge: Bridge, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture, broken = tmp_path / "cat.jpg", tmp_path / "broken.jpg"
    picture.write_bytes((ROOT / "samples" / "cat.jpg").read_bytes())
    broken.write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    command = ["analyze", picture.name, broken.name, "--model", "sketch", "--out", "outbox/results"]
    assert main(command) == 1
    typed = capsys.readouterr().out
    for name, record in (("cat.jpg", "result.json"), ("broken.jpg", "error.json")):
        document = json.loads((tmp_path / "outbox" / "results" / name / record).read_text("utf-8"))
        kind, blob = ("results", f"{name}/result.json") if record == "result.json" else ("errors", f"{name}.json")
        container(bridge, kind).upload_blob(blob, json.dumps(document))
    bridge.step()
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(typed.splitlines())
    assert "made outbox/results/cat.jpg/sketch.jpg" in typed and "failed: " in typed


@pytest.mark.slow
def test_a_file_that_comes_or_goes_without_a_change_is_said(
    bridge: Bridge, storage_account: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        drop(bridge, name, b"x")
    bridge.step()
    bridge.step()
    for name in ("a.jpg", "b.jpg"):
        (bridge.inbox.folder / name).unlink()
    capsys.readouterr()
    bridge.step()
    assert capsys.readouterr().out == "2 files are no longer in the inbox; their uploads and results stay\n"
    (bridge.inbox.folder / "c.jpg").unlink()
    bridge.step()
    assert capsys.readouterr().out == "c.jpg: no longer in the inbox; its upload and its result stay\n"

    # Back again, as storage knows them; and after a start, when all are there already.
    store = BlobReceipts(Storage(bridge.service))
    store.create(Receipt("a.jpg", "e", "k", "done"))
    store.create(Receipt("b.jpg", "e", "k", "failed"))
    store.create(Receipt("c.jpg", "e", "k", "done"))
    bridge.inbox.uploads.upload_blob("marker", b"", metadata={"hdi_isfolder": "true"})
    again = Bridge(storage_account, bridge.inbox.folder, bridge.outbox.folder)
    for each in (bridge, again):
        drop(bridge, "a.jpg", b"x")
        drop(bridge, "b.jpg", b"x")
        for _ in range(3):
            each.step()
        assert capsys.readouterr().out.splitlines() == [
            "a.jpg: already analysed; the file has not changed since",
            "b.jpg: could not be analysed; the file has not changed since",
        ]


def test_a_copy_over_a_file_with_its_time_is_said(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    drop(bridge, "a.jpg", b"x")
    for _ in range(2):
        bridge.step()
    BlobReceipts(Storage(bridge.service)).create(Receipt("a.jpg", "e", "k", "done"))
    first = (bridge.inbox.folder / "a.jpg").stat().st_ctime_ns

    def copied() -> bool:
        return drop(bridge, "a.jpg", b"x").stat().st_ctime_ns != first

    eventually(copied, "the clock of the disk has moved on")
    capsys.readouterr()
    for _ in range(3):
        bridge.step()
    assert capsys.readouterr().out == "a.jpg: already analysed; the file has not changed since\n"


def test_what_changes_or_goes_while_it_waits_for_its_upload_is_no_error(
    bridge: Bridge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        drop(bridge, name, b"x")
    bridge.inbox.step()
    send = bridge.inbox._send

    def slowly(name: str, path: Path, mark: str) -> str:
        if name == "a.jpg":
            drop(bridge, "b.jpg", b"half of it", mtime=2)
            (bridge.inbox.folder / "c.jpg").unlink()
        return send(name, path, mark)

    monkeypatch.setattr(bridge.inbox, "_send", slowly)
    bridge.inbox.step()
    assert (blobs(bridge), capsys.readouterr().out) == ({"a.jpg": b"x"}, "a.jpg: uploaded\n")
    drop(bridge, "b.jpg", b"all of it", mtime=3)
    for _ in range(2):
        bridge.inbox.step()
    assert blobs(bridge) == {"a.jpg": b"x", "b.jpg": b"all of it"}


def test_a_name_that_the_terminal_cannot_show_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    ConsoleReport().say("猫.jpg: ö")
    assert written.getvalue() == "\\u732b.jpg: ö".encode("cp1252") + os.linesep.encode()


# ---- the process


@pytest.mark.slow
def test_results_come_back_while_a_large_file_is_uploaded(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, hold = threading.Event(), threading.Event()

    def send(*_: object) -> str:
        sent.set()
        hold.wait(60)
        return "etag"

    monkeypatch.setattr(bridge.inbox, "_send", send)
    drop(bridge, "large.mp4", b"x")
    running = threading.Thread(target=bridge.run)
    running.start()
    try:
        assert sent.wait(60)
        container(bridge, "results").upload_blob("a.jpg/result.json", b"{}")
        eventually((bridge.outbox.folder / "results/a.jpg/result.json").exists, "the result is here")
        assert not hold.is_set()
    finally:
        hold.set()
        bridge.stop()
        running.join(60)
    assert not bridge.is_busy


def test_a_fault_of_ours_ends_the_bridge(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bridge, "_download", fail)
    with pytest.raises(ZeroDivisionError):
        bridge.run()


def test_storage_that_is_away_is_said_once(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise StorageUnavailable("nothing listens\nhere")

    for direction in ("inbox", "outbox", "inbox"):
        bridge._try(direction, fail)
    assert capsys.readouterr().out == "storage does not answer, trying again: nothing listens\n"
    for direction in ("outbox", "inbox", "inbox"):
        bridge._try(direction, lambda: None)
    assert capsys.readouterr().out == "storage answers again\n"


def test_a_connection_that_was_cut_is_made_again_after_a_second(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, slept, cut = http.client.HTTPConnection.request, [], [True]

    def cut_once(self: http.client.HTTPConnection, *arguments: Any, **options: Any) -> None:
        if cut:
            cut.clear()
            raise ConnectionResetError("Connection reset by peer")
        send(self, *arguments, **options)

    monkeypatch.setattr(http.client.HTTPConnection, "request", cut_once)
    monkeypatch.setattr(HttpTransport, "sleep", lambda _, seconds: slept.append(seconds))
    bridge.outbox.step()
    assert slept == [1.0]


@pytest.mark.slow
def test_it_runs_until_its_starter_lets_go(storage_account: str, tmp_path: Path) -> None:
    inbox, outbox = tmp_path / "inbox", tmp_path / "outbox"
    child = subprocess.Popen(
        [sys.executable, "-m", "devtools.tethered", "devtools.bridge", str(inbox), str(outbox)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "AzureWebJobsStorage": storage_account},
    )
    try:
        eventually(inbox.is_dir, "the bridge has made the inbox")
        (inbox / "a.jpg").write_bytes(b"a")
        uploads = BlobServiceClient.from_connection_string(storage_account).get_container_client("uploads")
        eventually(lambda: uploads.get_blob_client("a.jpg").exists(), "the file is uploaded")
        _, complaints = child.communicate(timeout=30)  # closes its stdin
        assert (child.returncode, complaints) == (0, b"")
    finally:
        child.kill()
        child.wait()
