"""What files are called in results: as they lie below the folder that was named, however that was typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.__main__ import main
from inference.cli.analysed_folders import analysed_folders, note_folders
from inference.cli.sources import items_of, names_of, typed
from inference.errors import BadRoute
from inference.folder_files import RESULTS_NOTE


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("in/c.jpg", "in/cam1/a.jpg", "in/cam2/a.jpg", "beside/z.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link").symlink_to("in")
    monkeypatch.chdir(tmp_path / "in")
    return tmp_path


def called(*given: Path | str) -> list[str]:
    return list(names_of(items_of(typed([str(each) for each in given])), keep_apart=False).values())


def test_the_way_a_folder_is_typed_changes_no_name(photos: Path) -> None:
    expected = ["c.jpg", "cam1/a.jpg", "cam2/a.jpg"]
    for way in (photos / "in", ".", "./", "../in", "../in/", "../link", "../in/cam1/..", photos / "link"):
        assert called(way) == expected, way
    assert called("cam1/a.jpg") == called("../in/cam1/a.jpg") == called(photos / "in/cam1/a.jpg") == ["a.jpg"]


def test_a_folder_beside_this_one_is_not_below_it(photos: Path) -> None:
    """Every relative path seems to be below `.`: the result of ../beside/z.jpg would lie outside of --out."""
    assert called(".", "../beside") == ["c.jpg", "cam1/a.jpg", "cam2/a.jpg", "z.jpg"]


def test_two_files_of_one_name_are_refused_or_kept_apart(photos: Path) -> None:
    with pytest.raises(BadRoute, match=r"cam1.a\.jpg and cam2.a\.jpg would both"):
        called("cam1", "cam2")
    assert list(names_of(items_of(typed(["cam1", "cam2"])), keep_apart=True).values()) == ["cam1/a.jpg", "cam2/a.jpg"]


def test_results_remember_the_folders_of_their_pictures(photos: Path) -> None:
    out = photos / "out"
    (out / "cam1").mkdir(parents=True)
    above = analysed_folders(photos)  # of whoever wrote results into the folder for temporary files
    assert analysed_folders(out) == above
    note_folders(out, [Path("../beside/z.jpg")])
    note_folders(out, [Path("."), Path("../link")])
    assert analysed_folders(out) == [photos / "in", photos / "link", photos / "beside"]
    assert analysed_folders(out / "cam1") == analysed_folders(out)
    for odd in ("[1", "[]", '{"folders": 3}', '{"folders": [1, null]}'):
        (out / RESULTS_NOTE).write_text(odd)
        assert analysed_folders(out) == above


def test_results_below_the_analysed_folder_are_no_pictures_of_it(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Annotated pictures and maps would be analysed by the second run, and labelled in exports."""
    out = photos / "in/cam1/results"
    (out / "a.jpg").mkdir(parents=True)
    (out / "a.jpg/annotated.jpg").write_bytes(b"")
    note_folders(out, [photos / "in"])
    assert called(photos / "in") == ["c.jpg", "cam1/a.jpg", "cam2/a.jpg"]
    assert "left out: 1 folder of results (cam1/results/)" in capsys.readouterr().err
    assert called(out) == ["a.jpg/annotated.jpg"]
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_an_export_finds_the_pictures_by_itself(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = Path(__file__).parents[3] / "samples/astronaut.jpg"
    for name in ("c.jpg", "cam1/a.jpg", "cam2/a.jpg"):
        (photos / "in" / name).write_bytes(sample.read_bytes())
    out = photos / "out"
    assert main(["analyze", "../link", "--model", "faces", "--out", str(out)]) == 0
    assert json.loads((out / "cam1/a.jpg/result.json").read_text())["source"]["name"] == "cam1/a.jpg"
    assert main(["export", str(out), "--format", "yolo", "--out", str(photos / "set")]) == 0
    for kind, suffix in (("images", "jpg"), ("labels", "txt")):
        files = (photos / "set" / kind).rglob("*.*")
        assert sorted(f.relative_to(photos / "set" / kind).as_posix() for f in files) == [
            f"c.{suffix}", f"cam1/a.{suffix}", f"cam2/a.{suffix}",
        ]  # fmt: skip
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_data_set_below_the_analysed_folder_is_no_picture_of_it(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its copies would be analysed a second time; pictures that lie in it, since it was made around them, stay."""
    sample = Path(__file__).parents[3] / "samples/astronaut.jpg"
    for name in ("in/c.jpg", "set/images/d.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(sample.read_bytes())
    for each in ("in/c.jpg", "set/images"):
        out = photos / f"out-{Path(each).name}"
        assert main(["analyze", str(photos / each), "--model", "faces", "--out", str(out)]) == 0
        place = photos / ("in/set" if each == "in/c.jpg" else "set")
        assert main(["export", str(out), "--format", "yolo", "--out", str(place)]) == 0
    assert (photos / "in/set/images/c.jpg").exists()
    assert called(photos / "in") == ["c.jpg", "cam1/a.jpg", "cam2/a.jpg"]
    assert "images/d.jpg" in called(photos / "set")
    (photos / "out-c.jpg/c.jpg/result.json").unlink()
    capsys.readouterr()
    assert main(["export", str(photos / "out-c.jpg"), "--format", "yolo", "--out", str(photos / "in/set")]) == 1
    assert "is not written; what is there is of an earlier export" in capsys.readouterr().err
