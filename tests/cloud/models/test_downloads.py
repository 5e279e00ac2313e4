"""`models download`: the folder holds exactly the files of the version, and nothing of anybody else's is wiped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloud.models.downloads import fill
from inference.errors import BadModel, StorageUnavailable
from tests.cloud.models.delivery_world import Delivery, sizes


def of(*names: str) -> Callable[[Path], None]:
    """A download of these files."""

    def fetch(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(name)

    return fetch


def test_a_download_replaces_an_earlier_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "x" / "downloaded"
    for names in (("a", "b/c"), ("a", "d")):
        assert fill(folder, of(*names)) == folder
        assert set(sizes(folder)) == set(names)
    assert {path.name for path in folder.parent.iterdir()} == {"downloaded", ".downloaded.download.json"}
    (folder / "a").unlink()
    fill(folder, of("e"))
    assert set(sizes(folder)) == {"e"}


@pytest.mark.parametrize("note", ["", "[]", '{"files": 3}', "{"])
def test_what_no_download_put_there_is_never_wiped(note: str, tmp_path: Path) -> None:
    folder = tmp_path / "downloaded"
    fill(folder, of("a"))
    if note:
        (tmp_path / ".downloaded.download.json").write_text(note)
    else:
        (folder / "a").write_text("changed by hand")
    before = sizes(folder)
    with pytest.raises(BadModel, match=r"holds a, which .*: name another folder with --to"):
        fill(folder, of("b"))
    assert sizes(folder) == before
    (folder / "a").unlink()
    fill(folder, of("b"))  # an empty folder is nobody's
    assert set(sizes(folder)) == {"b"}


def test_a_download_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    fill(tmp_path / "d", of("a"))

    def fail(folder: Path) -> None:
        of("b")(folder)
        raise StorageUnavailable("no")

    with pytest.raises(StorageUnavailable):
        fill(tmp_path / "d", fail)
    assert {path.name for path in tmp_path.iterdir()} == {"d", ".d.download.json"} and set(sizes(tmp_path / "d")) == {
        "a"
    }
    (tmp_path / "file").write_text("x")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below", Path("/")):
        with pytest.raises(BadModel, match="--to"):
            fill(wrong, of("a"))


@pytest.mark.slow
def test_the_command_fills_the_folder_with_all_files_and_says_where_the_model_is(
    delivery: Delivery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.entries()
    for version, extra in (("1", "one"), ("2", "two")):
        folder = delivery.make(version, "sketch", **{extra: "x"})
        (folder.parent / "MLmodel").write_text("x")
        delivery.put("fruit", version, folder.parent)
        assert delivery.command("download", "fruit", version, "--to", str(tmp_path / "d")) == 0
        assert sizes(tmp_path / "d") == sizes(folder.parent)
        assert capsys.readouterr().out.strip() == str(tmp_path / "d" / "sketch")
