"""The bridge between folders and a real Azurite: every file once, every result once, nothing half-written."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.pipeline.transport import HttpTransport
from azure.storage.blob import BlobServiceClient, ContainerClient
from requests.adapters import HTTPAdapter

from cloud.storage.containers import Storage
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt
from devtools.blob_names import check_name
from devtools.bridge import Bridge
from devtools.console_report import ConsoleReport
from devtools.outbox import STATE, local_path
from inference.__main__ import main
from inference.errors import StorageUnavailable
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
    "name", [".DS_Store", "Thumbs.db", "~$a.docx", "a.jpg.part", "a.mp4.crdownload", ".hidden/a.jpg", "@eaDir/a.jpg"]
)
def test_clutter_is_not_uploaded(bridge: Bridge, name: str) -> None:
    drop(bridge, name, b"x")
    assert bridge.inbox.files() == {}


def test_what_is_left_out_is_said_once_and_not_while_it_comes_and_goes(
    bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(bridge, "nas/@eaDir/a.jpg/SYNOFILE_THUMB_M.jpg", b"x")
    drop(bridge, "nas/Thumbs.db", b"x")
    drop(bridge, "nas/a.jpg", b"a")
    passing = drop(bridge, "b.jpg.part", b"x")
    (bridge.inbox.folder / "circle").symlink_to(bridge.inbox.folder)
    (bridge.inbox.folder / "dead.jpg").symlink_to("nothing")
    bridge.inbox.step()
    passing.unlink()
    drop(bridge, "c.jpg.part", b"x")
    for _ in range(3):
        bridge.inbox.step()
    assert blobs(bridge) == {"nas/a.jpg": b"a"}
    first, uploaded, later = capsys.readouterr().out.splitlines()
    assert first == (
        "inbox: left out: 1 linked folder (circle/), 1 dead link (dead.jpg), "
        "2 pieces of clutter (nas/@eaDir/, nas/Thumbs.db)"
    )
    assert (uploaded, later) == ("nas/a.jpg: uploaded", "inbox: left out: 1 piece of clutter (c.jpg.part)")


@pytest.mark.skipif(os.name == "nt", reason="there it separates folders")
def test_of_two_files_of_one_name_in_storage_the_other_is_said(
    bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(bridge, "a/b.jpg", b"slash")
    drop(bridge, "a\\b.jpg", b"backslash")
    for _ in range(3):
        bridge.inbox.step()
    assert blobs(bridge) == {"a/b.jpg": b"slash"}
    assert "left out: 1 second file of the same name (a\\b.jpg)" in capsys.readouterr().out


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


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\0b.jpg", "U+0000"),
        ("a\x1fb.jpg", "U+001F"),
        ("a\ufffe.jpg", "U+FFFE"),
        ("a\uffff.jpg", "U+FFFF"),
        ("a\ud800.jpg", "not UTF-8"),
        ("n" * 1025, "1025 characters"),
        ("\U0001f600" * 513, "1026 characters"),  # storage counts them in UTF-16
        ("/".join("d" * 255), "254 folders deep"),
        ("a/b/", "ends with a slash"),
        ("a./b.jpg", "'a.' ends with a dot"),
        ("a/..", "'..' ends with a dot"),
    ],
)
def test_names_that_storage_cannot_hold_are_refused_in_words(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        check_name(name)


@pytest.mark.parametrize("name", ["n" * 1024, "/".join("d" * 254), "a\t\n\r\x7f\x85\ufffd.jpg", "..a/.b c", "e\u0301"])
def test_names_that_storage_holds_are_taken(name: str) -> None:
    check_name(name)


def test_an_inbox_that_is_gone_for_a_while_loses_nothing(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    """A network drive: its folder is there without its files, or a link that leads nowhere."""
    drop(bridge, "a.jpg", b"a")
    bridge.step()
    bridge.step()
    inbox, aside = bridge.inbox.folder, bridge.inbox.folder.with_name("aside")
    inbox.rename(aside)
    inbox.symlink_to("nowhere")
    capsys.readouterr()
    for _ in range(3):
        bridge._try("inbox", bridge._upload)
    assert (
        capsys.readouterr().out
        == f"the inbox cannot be read ({inbox}: a file or a link that leads nowhere), trying again\n"
    )
    inbox.unlink()
    aside.rename(inbox)
    drop(bridge, "b.jpg", b"b")
    for _ in range(3):
        bridge._try("inbox", bridge._upload)
    assert capsys.readouterr().out == "the inbox can be read again\nb.jpg: uploaded\n"


def test_files_in_a_folder_that_cannot_be_read_are_not_said_to_be_gone(
    bridge: Bridge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(bridge, "locked/a.jpg", b"a")
    bridge.step()
    bridge.step()
    capsys.readouterr()
    real = os.scandir

    def refuse(path: Path) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr("inference.folder_files.os.scandir", refuse)
        for _ in range(3):
            bridge.step()
    bridge.step()
    assert capsys.readouterr().out == "inbox: left out: 1 unreadable folder (locked/)\n"


def test_what_storage_refuses_for_now_holds_up_no_other_and_is_sent_again(
    bridge: Bridge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge.step()
    blob = bridge.inbox.uploads.upload_blob("a.jpg", b"held by somebody else")
    lease = blob.acquire_lease()
    drop(bridge, "a.jpg", b"a")
    drop(bridge, "b.jpg", b"b")
    for _ in range(3):
        bridge.step()
    lease.release()
    bridge.step()
    assert blobs(bridge) == {"a.jpg": b"held by somebody else", "b.jpg": b"b"}, "not sent anew every second"
    said = capsys.readouterr().out.splitlines()
    assert re.match(r"a\.jpg: storage does not take it now \(.*lease.*\), trying again", said[0])
    assert said[1:] == ["b.jpg: uploaded"]
    monkeypatch.setattr("devtools.inbox.time.monotonic", lambda: float("inf"))
    bridge.step()
    assert blobs(bridge)["a.jpg"] == b"a"


def test_a_container_that_somebody_deleted_is_made_and_filled_again(bridge: Bridge) -> None:
    drop(bridge, "a.jpg", b"a")
    bridge.step()
    bridge.step()
    bridge.inbox.uploads.delete_container()
    drop(bridge, "b.jpg", b"b")
    for _ in range(4):
        bridge._try("inbox", bridge._upload)
    assert blobs(bridge) == {"a.jpg": b"a", "b.jpg": b"b"}


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


@pytest.mark.parametrize("passing", [errno.EROFS, errno.ESTALE])
def test_an_outbox_that_cannot_be_written_is_said_once_and_complete_afterwards(
    bridge: Bridge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, passing: int
) -> None:
    results, tried = container(bridge, "results"), []
    for number in range(30):
        results.upload_blob(f"{number}.jpg/result.json", b"{}")

    def refuse(source: Path, _: Path) -> None:
        tried.append(source)
        raise OSError(passing, os.strerror(passing))

    with monkeypatch.context() as patch:
        patch.setattr("devtools.outbox.os.replace", refuse)
        bridge.step()
        bridge.step()
    folder = bridge.outbox.folder
    assert len(tried) < 2 * 30, "after a few in a row the others are not tried"
    assert capsys.readouterr().out == f"{folder} cannot be written to ({os.strerror(passing)}), trying again\n"
    assert bridge.report.looks == 0
    bridge.step()
    assert len(list(folder.glob("results/*/result.json"))) == 30
    assert capsys.readouterr().out.splitlines()[-1] == f"{folder} is complete again"


def test_a_folder_in_the_place_of_a_file_holds_up_its_result_only(
    bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    results, out = container(bridge, "results"), bridge.outbox.folder / "results"
    for name in ("a.jpg/0123/crop.jpg", "a.jpg/result.json", "b.jpg/0123/crop.jpg", "b.jpg/result.json"):
        results.upload_blob(name, b"{}")
    in_the_way = out / "a.jpg/0123/crop.jpg"
    in_the_way.mkdir(parents=True)
    bridge.step()
    bridge.step()
    assert (out / "b.jpg/result.json").exists()
    assert not (out / "a.jpg/result.json").exists(), "it would name a file that is not there"
    assert capsys.readouterr().out.count("results/a.jpg/result.json: cannot be written here yet (Is a directory)") == 1
    in_the_way.rmdir()
    bridge.step()
    assert in_the_way.read_bytes() == (out / "a.jpg/result.json").read_bytes() == b"{}"


def test_a_file_in_the_place_of_the_outbox_is_waited_for(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    container(bridge, "results").upload_blob("a.jpg/result.json", b"{}")
    folder = bridge.outbox.folder
    folder.write_bytes(b"")
    bridge.step()
    bridge.step()
    said = f"{folder} cannot be written to (a file or a link that leads nowhere is in its place), trying again\n"
    assert capsys.readouterr().out == said
    folder.unlink()
    bridge.step()
    assert (folder / "results/a.jpg/result.json").exists()


def test_a_result_that_is_gone_is_removed_once_it_can_be(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    results = container(bridge, "results")
    results.upload_blob("a.jpg/result.json", b"{}")
    bridge.step()
    results.delete_blob("a.jpg/result.json")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        bridge.step()
    bridge.step()
    assert not (bridge.outbox.folder / "results").exists()


def test_a_storage_that_begins_anew_takes_no_result_away(bridge: Bridge) -> None:
    container(bridge, "results").upload_blob("a.jpg/result.json", b"{}")
    bridge.step()
    container(bridge, "results").delete_container()
    bridge.step()
    assert (bridge.outbox.folder / "results/a.jpg/result.json").exists()


def test_of_a_few_uploads_only_their_own_is_listed(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    results, errors, out = container(bridge, "results"), container(bridge, "errors"), bridge.outbox.folder
    for name in ("a.jpg/0123/crop.jpg", "a.jpg/result.json", "old.jpg/result.json"):
        results.upload_blob(name, b"{}")
    bridge._download()
    results.delete_blob("a.jpg/0123/crop.jpg")
    results.delete_blob("old.jpg/result.json")
    results.upload_blob("b..jpg/result.json", b"{}")
    errors.upload_blob("c%2E.json", b"{}")  # of c. where it is escaped
    results.upload_blob("other.jpg/result.json", b"{}")
    monkeypatch.setattr(bridge, "_all_at", float("inf"))
    for name in ("a.jpg", "b..jpg", "c."):
        bridge.report.uploaded(name)
    bridge._download()
    found = ["errors/c%2E.json", "results/a.jpg/result.json", "results/b..jpg/result.json"]
    there = sorted(path.relative_to(out).as_posix() for path in out.glob("*/**/*") if path.is_file())
    assert there == [*found, "results/old.jpg/result.json"]
    monkeypatch.setattr(bridge, "_all_at", 0.0)
    bridge._download()
    assert (out / "results/other.jpg/result.json").exists() and not (out / "results/old.jpg").exists()


def test_what_somebody_deleted_is_fetched_again_in_a_line(
    bridge: Bridge, storage_account: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jpg/result.json", "b.jpg/result.json"):
        container(bridge, "results").upload_blob(name, json.dumps(result(cat=1)))
    bridge.outbox.step()
    assert len(capsys.readouterr().out.splitlines()) == 2
    shutil.rmtree(bridge.outbox.folder)
    bridge.outbox.step()
    assert capsys.readouterr().out == f"{bridge.outbox.folder}: 2 files that had gone, fetched again\n"
    again = Bridge(storage_account, bridge.inbox.folder, bridge.outbox.folder)
    again.outbox.step()
    assert capsys.readouterr().out == "", "the list of what is there came back too"


def test_markers_of_folders_are_not_mirrored(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    results = container(bridge, "results")
    results.upload_blob("street", b"", metadata={"Hdi_isfolder": "True"})
    results.upload_blob("street/", b"")
    results.upload_blob("street/a.jpg/result.json", b"{}")
    bridge.step()
    files = [path for path in (bridge.outbox.folder / "results").rglob("*") if path.is_file()]
    assert files == [bridge.outbox.folder / "results/street/a.jpg/result.json"]
    assert "only in storage" not in capsys.readouterr().out


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
    send, slept, cut = HTTPAdapter.send, [], [True]

    def cut_once(self: HTTPAdapter, *arguments: Any, **options: Any) -> Any:
        if cut:
            cut.clear()
            raise requests.ConnectionError("Connection aborted.")
        return send(self, *arguments, **options)

    monkeypatch.setattr(HTTPAdapter, "send", cut_once)
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
