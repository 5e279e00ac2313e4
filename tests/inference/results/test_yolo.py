"""Results as a data set of Ultralytics: one kind of labels, read as its loader reads them, beside their pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from inference.errors import CorruptMedia
from inference.predictions import Masks
from inference.results.export_options import ExportOptions, ExportReport
from inference.results.export_rows import Found
from inference.results.formats import write
from inference.results.rle import encode

SIZE = (100, 80)


def document(name: str, *steps: dict[str, Any], **source: Any) -> Found:
    base = {"name": name, "etag": "", "width": SIZE[0], "height": SIZE[1], "duration_s": None}
    return Found({"source": base | source, "steps": list(steps)}, name)


def step(*predictions: dict[str, Any], name: str = "s", task: str = "object-detection", **more: Any) -> dict[str, Any]:
    model = {"name": name, "version": "1", "sha256": name}
    return {"name": name, "task": task, "model": model, "predictions": list(predictions), **more}


def thing(label: str = "cat", box: Sequence[float] = (10, 20, 60, 50), **more: Any) -> dict[str, Any]:
    return {"label": label, "label_id": ("cat", "dog").index(label), "score": 0.9, "box": list(box), **more}


def export(out: Path, *found: Found, **options: Any) -> ExportReport:
    chosen = ExportOptions(labels_of=lambda *_: ("cat", "dog"), **options)
    return write(found, "yolo", out, chosen)


def lines(out: Path, name: str = "a") -> list[list[float]]:
    return [[float(v) for v in row.split()] for row in (out / f"labels/{name}.txt").read_text().splitlines()]


def data(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((out / "data.yaml").read_text("utf-8"))
    return loaded


def mask(x1: int, y1: int, x2: int, y2: int) -> dict[str, Any]:
    bits = np.ones((y2 - y1, x2 - x1), bool)
    return dict(encode(Masks((SIZE[1], SIZE[0]), np.asarray([[x1, y1, x2, y2]]), (bits,)), 0))


def test_boxes_are_cut_at_the_edge_of_the_picture_and_empty_ones_left_out(tmp_path: Path) -> None:
    report = export(
        tmp_path, document("a.jpg", step(thing(box=(-20, 20, 50, 60)), thing("dog", (150, 0, 200, 9)))), put="none"
    )
    assert lines(tmp_path) == [[0, 0.25, 0.5, 0.5, 0.5]]
    assert any("1 objects whose boxes have no area" in note for note in report.notes)


def test_masks_become_polygons(tmp_path: Path) -> None:
    report = export(
        tmp_path,
        document("a.jpg", step(thing("dog", mask_rle=mask(10, 20, 60, 60)), thing(mask_rle=mask(0, 0, 0, 0)))),
        put="none",
    )
    [[number, *shares]] = lines(tmp_path)
    points = np.asarray(shares).reshape(-1, 2) * SIZE
    assert number == 1 and len(points) == 4
    assert np.abs(np.sort(points[:, 0]) - [10, 10, 60, 60]).max() < 0.11
    assert np.abs(np.sort(points[:, 1]) - [20, 20, 60, 60]).max() < 0.11
    assert any("1 objects whose mask is empty" in note for note in report.notes)


def test_masks_that_are_files_become_polygons(tmp_path: Path) -> None:
    image = Image.new("L", SIZE)
    image.paste(255, (10, 20, 60, 60))
    file = io.BytesIO()
    image.save(file, "PNG")
    found = document("a.jpg", step(thing(mask="masks/s-0.png"), thing(mask="gone.png")))

    def read(place: str, name: str) -> bytes:
        if (place, name) != ("a.jpg", "masks/s-0.png"):
            raise CorruptMedia("no such file")
        return file.getvalue()

    report = export(tmp_path, found, put="none", read_file=read)
    assert [len(row) for row in lines(tmp_path)] == [9]
    assert any("1 objects whose mask is missing" in note for note in report.notes)


def test_keypoints_of_poses_and_what_is_not_seen(tmp_path: Path) -> None:
    skeleton = {"points": ["nose", "left_eye", "right_eye"], "edges": []}
    points = [[50, 40, 0.9], [20, 8, 0.2], [120, 8, 0.9]]
    found = step(thing(keypoints=points), task="keypoint-detection", skeleton=skeleton)
    export(tmp_path, document("a.jpg", found), put="none")
    assert lines(tmp_path) == [[0, 0.35, 0.4375, 0.5, 0.375, 0.5, 0.5, 2, 0, 0, 0, 0, 0, 0]]
    assert data(tmp_path)["kpt_shape"] == [3, 3] and data(tmp_path)["flip_idx"] == [0, 2, 1]


def test_oriented_boxes(tmp_path: Path) -> None:
    corners = [[10, 40], [50, 0], [90, 40], [50, 90]]
    report = export(tmp_path, document("a.jpg", step(thing(corners=corners))), put="none")
    assert lines(tmp_path) == [[0, 0.1, 0.5, 0.5, 0, 0.9, 0.5, 0.5, 1]]
    assert any("1 oriented boxes reach beyond" in note for note in report.notes)


def test_a_data_set_has_labels_of_one_kind(tmp_path: Path) -> None:
    """A trainer drops pictures whose files mix boxes and polygons."""
    found = document("a.jpg", step(thing(mask_rle=mask(10, 20, 60, 50))), step(thing("dog"), name="t"))
    report = export(tmp_path / "all", found, put="none")
    assert [len(row) for row in lines(tmp_path / "all")] == [5, 5]
    assert any("s: polygons, t: boxes" in note and "--step" in note for note in report.notes)
    export(tmp_path / "one", found, put="none", step="s")
    assert [len(row) for row in lines(tmp_path / "one")] == [9]


def test_the_file_of_a_data_set_can_be_used_from_any_folder_whatever_labels_are_called(tmp_path: Path) -> None:
    names = ("yes", "no", "1", "null", 'it\'s "a": #b', "人\u0085\u2028", "- x", "\udce9", "")
    found = document("a.jpg", step({"label": "yes", "label_id": 0, "box": [0, 0, 50, 50]}))
    write([found], "yolo", tmp_path, ExportOptions(labels_of=lambda *_: names, put="none"))
    read = data(tmp_path)
    assert "path" not in read and (tmp_path / read["train"]).is_dir() and (tmp_path / read["val"]).is_dir()
    assert [read["names"][k] for k in range(8)] == list(names[:8]) and len(read["names"]) == 9


def photo(path: Path, kind: str = "JPEG", orientation: int = 1, size: tuple[int, int] = SIZE) -> int:
    """A picture whose left half is black, upright only as `orientation` says; its bytes."""
    image = Image.new("RGB", size, "white")
    image.paste((0, 0, 0), (0, 0, size[0] // 2, size[1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, kind, exif=exif)
    return path.stat().st_size


def test_pictures_lie_where_trainers_find_the_labels(tmp_path: Path) -> None:
    names = ("cam:1/a.jpg", "b.jpg", "b.png", "scan.1", "turned.jpg", "scan.tif", "images/c.jpg")
    kinds = {"b.png": "PNG", "scan.tif": "TIFF"}
    found = []
    for name in names:
        turned = name == "turned.jpg"
        size = photo(
            tmp_path / "in" / name, kinds.get(name, "JPEG"), 6 if turned else 1, SIZE[::-1] if turned else SIZE
        )
        found.append(document(name, step(thing()), bytes=size, orientation=6 if turned else 1))
    report = export(tmp_path / "set", *found, pictures=[tmp_path / "in"])
    pictures = {p.relative_to(tmp_path / "set").as_posix() for p in (tmp_path / "set/images").rglob("*.*")}
    assert pictures == {f"images/{name}" for name in (
        "cam_1/a.jpg", "b_jpg.jpg", "b_png.png", "scan.1.jpg", "turned.jpg", "scan.png", "images_/c.jpg",
    )}  # fmt: skip
    labels = {p.relative_to(tmp_path / "set").as_posix() for p in (tmp_path / "set/labels").rglob("*.txt")}
    assert labels == {f"{p.replace('images/', 'labels/', 1).rpartition('.')[0]}.txt" for p in pictures}
    with Image.open(tmp_path / "set/images/turned.jpg") as image:
        # turned by 90 degrees clockwise: the left half is the upper half
        assert image.size == SIZE and image.getexif().get(0x0112, 1) == 1 and image.getpixel((50, 10)) == (0, 0, 0)
    assert (tmp_path / "set/images/b_jpg.jpg").read_bytes() == (tmp_path / "in/b.jpg").read_bytes()
    with (tmp_path / "set/renamed.csv").open(newline="", encoding="utf-8") as table:
        assert ["scan.1", "images/scan.1.jpg"] in list(csv.reader(table))
    said = "\n".join(report.notes)
    assert "5 pictures have another name" in said and "cam:1/a.jpg -> images/cam_1/a.jpg" in said
    assert "1 pictures are turned by their camera" in said and "1 pictures are of a kind" in said


def test_what_is_not_found_or_is_another_picture_by_now_is_said(tmp_path: Path) -> None:
    size = photo(tmp_path / "in/a.jpg")
    found = [document("a.jpg", step(thing()), bytes=size + 1, orientation=1), document("b.jpg", step(thing()))]
    report = export(tmp_path / "set", *found, pictures=[tmp_path / "in"])
    assert any("1 pictures have changed" in note and "a.jpg" in note for note in report.notes)
    assert any("1 pictures are not found" in note and "--pictures" in note and "b.jpg" in note for note in report.notes)
    assert report.count == 2 and not list((tmp_path / "set/images").iterdir())


def test_links_and_pictures_that_lie_there_already(tmp_path: Path) -> None:
    size = photo(tmp_path / "in/a.jpg")
    found = document("a.jpg", step(thing()), bytes=size, orientation=1)
    export(tmp_path / "set", found, pictures=[tmp_path / "in"], put="link")
    assert (tmp_path / "set/images/a.jpg").is_symlink() and (tmp_path / "set/images/a.jpg").stat().st_size == size
    export(tmp_path / "set", found, pictures=[tmp_path / "in"])
    assert not (tmp_path / "set/images/a.jpg").is_symlink()
    export(tmp_path / "set", found, pictures=[tmp_path / "set/images"], put="link")
    assert (tmp_path / "set/images/a.jpg").stat().st_size == size


def test_what_an_earlier_export_left_is_said(tmp_path: Path) -> None:
    export(tmp_path, document("old.jpg", step(thing())), put="none")
    report = export(tmp_path, document("a.jpg", step(thing())), put="none")
    assert any("1 files that are not of this export" in note and "labels/old.txt" in note for note in report.notes)


def test_a_picture_of_an_earlier_export_does_not_get_the_labels_of_another_in_silence(tmp_path: Path) -> None:
    kinds = {"a.jpg": "JPEG", "a.png": "PNG"}
    for name, kind in kinds.items():
        size = photo(tmp_path / "in" / name, kind)
        found = document(name, step(thing()), bytes=size, orientation=1)
        report = export(tmp_path / "set", found, pictures=[tmp_path / "in"])
    assert any("1 files that are not of this export" in note and "(images/a.jpg)" in note for note in report.notes)
    # the picture was analysed again, and is not to be had: that of the export before is another one
    report = export(tmp_path / "set", document("a.png", step(thing()), bytes=size + 1))
    assert any("2 files that are not of this export" in note for note in report.notes)
    # whoever puts the pictures there by hand hears nothing
    report = export(tmp_path / "set", document("a.png", step(thing()), bytes=size))
    assert any("1 files that are not of this export" in note and "(images/a.jpg)" in note for note in report.notes)


def test_what_trainers_noted_about_earlier_labels_is_removed(tmp_path: Path) -> None:
    """Ultralytics up to 8.3 compares the sizes of the files alone, and class 5 is as long as class 6."""
    for name in ("labels.cache", "labels/sub.cache", "labels/cam.cache/a.txt", "other.cache"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    export(tmp_path, document("a.jpg", step(thing())), put="none")
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.cache")}
    assert left == {"labels/cam.cache", "other.cache"}


def test_a_disk_that_fills_is_not_blamed_on_the_picture_and_leaves_no_data_set(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    size = photo(tmp_path / "in/a.bmp", "BMP")
    found = document("a.bmp", step(thing()), bytes=size, orientation=1)
    export(tmp_path / "set", found, put="none")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, limits[1]))
    try:
        with pytest.raises(OSError) as raised:
            export(tmp_path / "set", found, pictures=[tmp_path / "in"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(tmp_path / "set/images/a.bmp")
    assert not (tmp_path / "set/data.yaml").exists() and not list((tmp_path / "set/images").iterdir())
