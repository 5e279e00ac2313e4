"""What of a folder is meant: clutter by its names, links, what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from inference.__main__ import main
from inference.clutter import is_clutter
from inference.folder_files import LeftOut, files_in, words_of

CLUTTER = [
    "@eaDir/a.jpg/SYNOFILE_THUMB_M.jpg", "nas/.@__thumb/s100a.jpg", "#recycle/a.jpg", "$RECYCLE.BIN/$RAB12C.jpg",
    "System Volume Information/x", "lost+found/#12", "__MACOSX/._a.jpg", "._a.jpg", "a/.DS_Store", ".Spotlight-V100/x",
    ".Trashes/501/a.jpg", ".Trash-1000/files/a.jpg", "Icon\r", "Icon\uf00d", "Thumbs.db", "THUMBS.DB", "ehthumbs.db",
    "ehthumbs_vista.db", "Desktop.ini", "a.jpg.filepart", "a.jpg.crdownload", "a.jpg.part", "a.jpg.PARTIAL",
    "a.jpg.download", "a.jpg.download/a.jpg", "a.tmp", "a.opdownload", "a.mp4.!ut", "a.swp", "~$a.docx", "~a.tmp",
    ".nfs000012", ".fuse_hidden0001", ".stfolder/x", ".syncthing.a.jpg.tmp", "@Recycle/a.jpg", "found.000/a.jpg",
    "Network Trash Folder/a", "TheVolumeSettingsFolder/a", ".AppleDouble/a.jpg", "a\\@eaDir\\b.jpg",
    "$$$.$$$", "street_$folder$", "street/.keep", "Thumbs.db.route.toml",
    "~snapshot/daily.0/a.jpg", ".@upload_cache/a.jpg", ".zfs/snapshot/a.jpg", "DCIM/LOST.DIR/1.jpg", "a.mp4.part-Frag3",
    "a.mp4.ytdl", "a.jpg@SynoEAStream", ".smbdeleteAAA01", ".tmp.driveupload/1",
]  # fmt: skip
NO_CLUTTER = [
    "a.jpg", "photo.of.part.jpg", "part/a.jpg", "my.part/a.jpg", "~a.jpg", "Icon.png", "recycle/a.jpg", "tmp/a.jpg",
    "thumbs/a.jpg", "thumbs.db.jpg", "#1.jpg", "$5.jpg", "@home/a.jpg", "found.1/a.jpg", ".hidden/a.jpg", "a.jpg/", "",
    "icon.jpg", "part.jpg", "photo.download.jpg", "$100.jpg", "lost.jpg", "snapshot/a.jpg", "a.jpg@home.jpg",
]  # fmt: skip


@pytest.mark.parametrize("path", CLUTTER)
def test_clutter_is_known_by_its_name(path: str) -> None:
    assert is_clutter(path)


@pytest.mark.parametrize("path", NO_CLUTTER)
def test_what_people_call_their_files_is_no_clutter(path: str) -> None:
    assert not is_clutter(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures to find, in the order of their names, and one of everything that is left out."""
    top = tmp_path / "photos"
    for name in ("a.jpg", "a/b.jpg", "b.jpg", "@eaDir/a.jpg/T.jpg", "a/Thumbs.db", ".hidden/c.jpg", "locked/d.jpg"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x")
    (tmp_path / "elsewhere.jpg").write_bytes(b"x")
    for link, target in (
        ("c.jpg", "../elsewhere.jpg"),
        ("circle", "."),
        ("dead.jpg", "none"),
        ("self.jpg", "self.jpg"),
    ):
        (top / link).symlink_to(target)
    os.mkfifo(top / "pipe.jpg")
    return top


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user who is not root."""
    real = os.scandir

    def scandir(path: Path) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("inference.folder_files.os.scandir", scandir)


pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.mark.usefixtures("locked")
def test_files_come_in_order_and_the_rest_is_told(folder: Path) -> None:
    left_out: LeftOut = {}
    found = [path.relative_to(folder).as_posix() for path, _ in files_in(folder, left_out)]
    assert found == ["a/b.jpg", "a.jpg", "b.jpg", "c.jpg"]
    assert words_of(left_out) == (
        "left out: 1 hidden entry (.hidden/), 2 pieces of clutter (@eaDir/, a/Thumbs.db), 1 linked folder (circle/), "
        "2 dead links (dead.jpg, self.jpg), 1 unreadable folder (locked/), 1 special file (pipe.jpg)"
    )
    many = dict.fromkeys(("a.tmp", "b\n.tmp", "c.tmp", "d.tmp"), "piece of clutter")
    assert words_of(many) == "left out: 4 pieces of clutter (a.tmp, b\\n.tmp, c.tmp, ...)"
    assert words_of({}) == ""


@pytest.mark.usefixtures("locked")
def test_the_command_line_says_what_it_leaves_out_of_a_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "given.tmp").write_bytes(b"x")
    assert main(["analyze", str(folder), str(tmp_path / "given.tmp"), "--model", "colors"]) == 1
    out, err = capsys.readouterr()
    names = [line.partition(": failed")[0] for line in out.splitlines()]
    assert names == [
        *(str(folder / name) for name in ("a/b.jpg", "a.jpg", "b.jpg", "c.jpg")),
        str(tmp_path / "given.tmp"),
    ]
    assert err.count("left out: ") == 1 and err.startswith(f"{folder}: left out: 1 hidden entry (.hidden/), ")


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], locked: None) -> None:
    (tmp_path / "locked").mkdir()
    assert main(["analyze", str(tmp_path / "locked"), "--model", "colors"]) == 1, "nothing of what was asked was done"
    assert capsys.readouterr().err == f"{tmp_path / 'locked'}: cannot be read (Permission denied)\n"


def test_what_cannot_be_opened_stops_no_other_and_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.stat

    def stat(path: Path, **options: Any) -> os.stat_result:
        if path.parent.name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    os.mkfifo(tmp_path / "pipe.jpg")
    named = [tmp_path / name for name in ("locked/a.jpg", "pipe.jpg", "none.jpg")]
    assert main(["analyze", *map(str, named), "--model", "colors", "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{named[0]}: failed: cannot be read (Permission denied) (UnreadableMedia)",
        f"{named[1]}: failed: no file but a folder, pipe, socket or device; save its content in a file "
        "(UnreadableMedia)",
        f"{named[2]}: failed: no such file; check the path (UnreadableMedia)",
    ]


def test_a_path_that_cannot_be_looked_at_does_not_cost_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert main(["analyze", str(tmp_path / ("n" * 300)), str(tmp_path / "a.txt")]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert "cannot be read (File name too long)" in first and "this is a text file" in second
