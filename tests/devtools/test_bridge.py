"""The bridge between folders and a real Azurite: every file once, every result once, nothing half-written."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from cloud.storage.containers import Storage
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt
from devtools.bridge import Bridge
from devtools.console_report import ConsoleReport
from devtools.inbox import is_meant
from devtools.outbox import STATE, local_path
from inference.__main__ import main
from tests.processes import eventually

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bridge(storage_account: str, tmp_path: Path) -> Bridge:
    return Bridge(storage_account, tmp_path / "inbox", tmp_path / "outbox")


def drop(bridge: Bridge, name: str, content: bytes, mtime: int = 1) -> Path:
    """A file in the inbox with a time of its own, so that no test depends on the clock's resolution."""
    path = bridge.inbox.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))
    return path


def blobs(bridge: Bridge) -> dict[str, bytes]:
    client = bridge.inbox.uploads
    return {each.name: client.download_blob(each.name).readall() for each in client.list_blobs()}


def etags(bridge: Bridge) -> dict[str, str]:
    return {each.name: each.etag for each in bridge.inbox.uploads.list_blobs()}


def container(bridge: Bridge, name: str) -> ContainerClient:
    client = bridge.service.get_container_client(name)
    if not client.exists():
        client.create_container()
    return client


def result(**objects: int) -> dict[str, Any]:
    summary = {"objects": objects, "scene": {}, "guesses": {}}
    return {"schema": "dropsight/1", "steps": [], "summary": summary}


# ---- inbox


def test_files_in_folders_are_uploaded_with_their_paths(bridge: Bridge) -> None:
    drop(bridge, "a.jpg", b"a")
    drop(bridge, "street/night/ö b.jpg", b"b")
    bridge.step()
    assert blobs(bridge) == {}, "one look cannot tell whether a file is complete"
    bridge.step()
    assert blobs(bridge) == {"a.jpg": b"a", "street/night/ö b.jpg": b"b"}
    kind = bridge.inbox.uploads.get_blob_client("a.jpg").get_blob_properties().content_settings.content_type
    assert kind == "image/jpeg"


def test_a_file_still_being_written_is_left(bridge: Bridge) -> None:
    drop(bridge, "a.jpg", b"1", mtime=1)
    bridge.step()
    drop(bridge, "a.jpg", b"12", mtime=1)
    bridge.step()
    drop(bridge, "a.jpg", b"34", mtime=2)
    bridge.step()
    assert blobs(bridge) == {}
    bridge.step()
    assert blobs(bridge) == {"a.jpg": b"34"}


def test_after_a_restart_only_what_changed_is_uploaded(bridge: Bridge, storage_account: str) -> None:
    drop(bridge, "same.jpg", b"same")
    drop(bridge, "changed.jpg", b"before")
    bridge.step()
    bridge.step()
    before = etags(bridge)
    drop(bridge, "changed.jpg", b"after!", mtime=2)
    again = Bridge(storage_account, bridge.inbox.folder, bridge.outbox.folder)
    again.step()
    again.step()
    assert blobs(again)["changed.jpg"] == b"after!"
    assert etags(again)["same.jpg"] == before["same.jpg"]


def test_a_route_goes_before_its_file(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    drop(bridge, "a.jpg", b"a")
    drop(bridge, "a.jpg.route.toml", b"")
    bridge.step()
    bridge.step()
    said = capsys.readouterr().out.splitlines()
    assert said == ["a.jpg.route.toml: uploaded", "a.jpg: uploaded"]


def test_a_file_waits_for_a_route_that_comes_a_moment_after_it(bridge: Bridge) -> None:
    """Else it would be analysed by the default route, and then again."""
    drop(bridge, "a.jpg", b"a")
    bridge.step()
    drop(bridge, "a.jpg.route.toml", b"")
    bridge.step()
    assert blobs(bridge) == {}
    bridge.step()
    assert blobs(bridge).keys() == {"a.jpg", "a.jpg.route.toml"}


@pytest.mark.parametrize(
    "name", [".DS_Store", "Thumbs.db", "~$a.docx", "a.jpg.part", "a.mp4.crdownload", ".hidden/a.jpg"]
)
def test_clutter_is_not_uploaded(bridge: Bridge, name: str) -> None:
    drop(bridge, name, b"x")
    assert bridge.inbox.files() == {}
    assert is_meant(Path("photo.of.part.jpg"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(bridge: Bridge) -> None:
    drop(bridge, "z.jpg", b"z")
    os.mkfifo(bridge.inbox.folder / "a.jpg")
    bridge.step()
    bridge.step()
    assert blobs(bridge) == {"z.jpg": b"z"}


@pytest.mark.skipif(os.name == "nt", reason="there it separates folders")
def test_a_backslash_is_what_storage_makes_of_it(bridge: Bridge, storage_account: str) -> None:
    drop(bridge, "back\\slash.jpg", b"x")
    bridge.inbox.step()
    bridge.inbox.step()
    before = etags(bridge)
    assert list(before) == ["back/slash.jpg"]
    again = Bridge(storage_account, bridge.inbox.folder, bridge.outbox.folder)
    again.inbox.step()
    again.inbox.step()
    assert etags(again) == before, "not uploaded again"


@pytest.mark.parametrize(
    "name",
    [
        "/".join(["n" * 200] * 6),
        pytest.param(os.fsdecode(b"\xff.jpg"), marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux's")),
    ],
    ids=["too long", "not text"],
)
def test_a_name_that_storage_cannot_have_is_said_once_and_the_others_go_on(
    bridge: Bridge, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    drop(bridge, name, b"x")
    drop(bridge, "z.jpg", b"z")
    for _ in range(4):
        bridge.step()
    assert blobs(bridge) == {"z.jpg": b"z"}
    assert capsys.readouterr().out.count("cannot be uploaded") == 1


def test_a_locked_file_is_tried_again_and_said_once(
    bridge: Bridge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(bridge, "a.jpg", b"a")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "used by another process")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        for _ in range(3):
            bridge.inbox.step()
    bridge.inbox.step()
    assert blobs(bridge) == {"a.jpg": b"a"}
    said = capsys.readouterr().out.splitlines()
    assert said == ["a.jpg: cannot be read yet (used by another process), trying again", "a.jpg: uploaded"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names")
def test_a_name_that_storage_cannot_list_keeps_nothing_else_back(
    bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    """Azurite takes such a blob, and from then on answers every listing of the container with a 500."""
    drop(bridge, "a\x1b[31m\x07.jpg", b"escape")
    drop(bridge, "b\ufffe.jpg", b"no character")
    drop(bridge, "c\nd\te.jpg", b"white space is listed")
    bridge.step()
    bridge.step()
    assert blobs(bridge) == {"c\nd\te.jpg": b"white space is listed"}
    said = capsys.readouterr().out
    assert "its name has characters that storage cannot list (U+0007, U+001B); rename it" in said
    assert "its name has characters that storage cannot list (U+FFFE); rename it" in said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps file names as bytes")
def test_a_name_that_is_not_utf_8_is_refused_in_words(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    drop(bridge, os.fsdecode(b"caf\xe9.jpg"), b"Latin-1")
    bridge.step()
    bridge.step()
    assert blobs(bridge) == {}
    assert "failed: cannot be uploaded: its name is not UTF-8; rename it" in capsys.readouterr().out


# ---- outbox


def test_results_and_errors_are_mirrored_and_changes_follow(bridge: Bridge) -> None:
    results, errors = container(bridge, "results"), container(bridge, "errors")
    results.upload_blob("d/a.jpg/0123456789ab/annotated.jpg", b"one")
    results.upload_blob("d/a.jpg/result.json", json.dumps(result()))
    errors.upload_blob("b.jpg.json", b"{}")
    bridge.step()
    out = bridge.outbox.folder
    assert (out / "results/d/a.jpg/0123456789ab/annotated.jpg").read_bytes() == b"one"
    assert json.loads((out / "results/d/a.jpg/result.json").read_text()) == result()
    assert (out / "errors/b.jpg.json").read_bytes() == b"{}"

    results.upload_blob("d/a.jpg/result.json", b'{"steps": []}', overwrite=True)
    results.delete_blob("d/a.jpg/0123456789ab/annotated.jpg")
    mine = out / "results/d/mine.txt"
    mine.write_text("mine")
    bridge.step()
    assert (out / "results/d/a.jpg/result.json").read_text() == '{"steps": []}'
    assert not (out / "results/d/a.jpg/0123456789ab").exists()
    assert mine.read_text() == "mine"


def test_only_new_etags_are_fetched_again(bridge: Bridge, storage_account: str) -> None:
    results = container(bridge, "results")
    results.upload_blob("a.jpg/result.json", b"{}")
    bridge.step()
    file = bridge.outbox.folder / "results/a.jpg/result.json"
    file.write_bytes(b"touched")
    again = Bridge(storage_account, bridge.inbox.folder, bridge.outbox.folder)
    again.step()
    assert file.read_bytes() == b"touched", "not fetched: its ETag is known, also after a restart"
    file.unlink()
    again.step()
    assert file.read_bytes() == b"{}"


def test_nothing_is_left_half_written(bridge: Bridge) -> None:
    container(bridge, "results").upload_blob("a.jpg/result.json", b"x" * 100_000)
    bridge.step()
    files = [path.name for path in bridge.outbox.folder.rglob("*") if path.is_file()]
    assert sorted(files) == [".etags.json", "result.json"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "a\\..\\evil", "a/", "nul\0"])
def test_no_blob_writes_outside_the_outbox(tmp_path: Path, name: str) -> None:
    path = local_path(tmp_path, f"results/{name}")
    assert path is None or tmp_path / "results" in path.parents


def test_a_blob_that_is_no_file_name_is_said_once(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    results = container(bridge, "results")
    results.upload_blob("a\\..\\b", b"x")
    results.upload_blob("n" * 300 + "/result.json", b"{}")
    results.upload_blob("z.jpg/result.json", b"{}")
    bridge.step()
    bridge.step()
    assert capsys.readouterr().out.count("only in storage") == 2
    assert (bridge.outbox.folder / "results/z.jpg/result.json").exists()


def test_a_full_disk_is_waited_for(
    bridge: Bridge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    container(bridge, "results").upload_blob("a.jpg/result.json", b"{}")
    with monkeypatch.context() as patch:
        patch.setattr("devtools.outbox.os.replace", full)
        bridge.step()
        bridge.step()
    folder = bridge.outbox.folder
    assert capsys.readouterr().out.count("is full") == 1
    assert not [path for path in (folder / "results").rglob("*") if path.is_file()], "no half file takes the room"
    bridge.step()
    assert (folder / "results/a.jpg/result.json").read_bytes() == b"{}"


def test_the_list_of_what_is_there_is_written_once_there_is_room(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    container(bridge, "results").upload_blob("a.jpg/result.json", b"{}")
    real = os.replace

    def full_for_the_list(source: Path, target: Path) -> None:
        if target.name == STATE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("devtools.outbox.os.replace", full_for_the_list)
        bridge.step()
    assert not (bridge.outbox.folder / STATE).exists()
    bridge.step()
    assert "results/a.jpg/result.json" in json.loads((bridge.outbox.folder / STATE).read_text())


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
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"cat\.jpg: 2 cats, 1 dog \(.* after the upload, 61 ms of analysis\)", lines[1])
    assert lines[2:] == ["x.jpg: failed: no picture (CorruptMedia)"]


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
    bridge: Bridge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, broken = tmp_path / "cat.jpg", tmp_path / "broken.jpg"
    picture.write_bytes((ROOT / "samples" / "cat.jpg").read_bytes())
    broken.write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    command = ["analyze", str(picture), str(broken), "--model", "sketch", "--out", str(tmp_path / "outbox" / "results")]
    assert main(command) == 1
    typed = capsys.readouterr().out
    for name, record in (("cat.jpg", "result.json"), ("broken.jpg", "error.json")):
        document = json.loads((tmp_path / "outbox" / "results" / name / record).read_text("utf-8"))
        kind, blob = ("results", f"{name}/result.json") if record == "result.json" else ("errors", f"{name}.json")
        container(bridge, kind).upload_blob(blob, json.dumps(document))
    bridge.step()
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(typed.splitlines())
    assert f"made {tmp_path / 'outbox/results/cat.jpg/sketch.jpg'}" in typed and "failed: " in typed


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


def test_a_name_that_the_terminal_cannot_show_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    ConsoleReport().say("猫.jpg: ö")
    assert written.getvalue() == "\\u732b.jpg: ö".encode("cp1252") + os.linesep.encode()


# ---- the process


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
