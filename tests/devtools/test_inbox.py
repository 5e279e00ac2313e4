"""inbox/ -> a real Azurite: every file once, and again when it changed."""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cloud.storage.containers import Storage
from cloud.uploads.receipt_blobs import BlobReceipts
from cloud.uploads.receipts import Receipt
from devtools.blob_names import check_name
from devtools.bridge import Bridge
from tests.devtools.bridges import blobs, container, drop, etags


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


@pytest.mark.slow
def test_a_file_waits_until_the_app_knows_its_route(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trigger finds a.jpg before a.jpg.route.toml, whichever was there first: its face would be shown sharp."""
    drop(bridge, "a.jpg", b"a")
    drop(bridge, "a.jpg.route.toml", b'route = "blurred"\n')
    for _ in range(3):
        bridge.step()
    assert blobs(bridge).keys() == {"a.jpg.route.toml"}
    container(bridge, "state")
    BlobReceipts(Storage(bridge.service)).create(Receipt("a.jpg", "", "", "retry", override='route = "blurred"'))
    bridge.step()
    assert blobs(bridge).keys() == {"a.jpg", "a.jpg.route.toml"}
    drop(bridge, "a.jpg", b"b", mtime=2)
    drop(bridge, "a.jpg.route.toml", b'route = "other"\n', mtime=2)
    for _ in range(3):
        bridge.step()
    assert blobs(bridge)["a.jpg"] == b"a"
    now = time.monotonic()  # an app that does not run notes nothing
    monkeypatch.setattr("devtools.inbox.time.monotonic", lambda: now + 60.0)
    bridge.inbox.step()
    assert blobs(bridge)["a.jpg"] == b"b"


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


def test_results_that_arrive_below_the_inbox_are_no_uploads(bridge: Bridge, storage_account: str) -> None:
    inbox = bridge.inbox.folder
    nested = Bridge(storage_account, inbox, inbox / "out")
    drop(nested, "a.jpg", b"a")
    drop(nested, "out/errors/b.jpg.json", b"{}")
    drop(nested, "copied/c.jpg/annotated.jpg", b"c")
    drop(nested, "copied/c.jpg/result.json", b'{"schema":"dropsight/1"}')
    nested.step()
    nested.step()
    assert blobs(nested) == {"a.jpg": b"a"}
