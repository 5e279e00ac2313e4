"""A real Azurite -> outbox/: every result once, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from devtools.bridge import Bridge
from devtools.outbox import STATE, local_path
from tests.devtools.bridges import container, result


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


@pytest.mark.slow
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


@pytest.mark.slow
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
