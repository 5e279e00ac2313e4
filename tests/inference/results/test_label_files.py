"""YOLO's label files: one for every picture, whatever the pictures are called."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.results.formats import write
from inference.results.label_files import LabelFiles


def document(name: str, *labels: str) -> dict[str, Any]:
    rows = [{"id": f"s/{i}", "label": label, "box": [0, 0, 4, 4]} for i, label in enumerate(labels)]
    step = {"name": "s", "task": "object-detection", "predictions": rows}
    return {"source": {"name": name, "width": 8, "height": 8, "duration_s": None}, "steps": [step]}


def exported(folder: Path, *documents: dict[str, Any]) -> dict[str, int]:
    """How many boxes each label file holds."""
    write(documents, "yolo", folder)
    files = (folder / "labels").rglob("*.txt")
    return {f.relative_to(folder / "labels").as_posix(): len(f.read_text().splitlines()) for f in files}


def test_a_picture_alone_has_its_stem(tmp_path: Path) -> None:
    assert exported(tmp_path, document("a/IMG_1.jpg", "face"), document("a/IMG_2.png")) == {
        "a/IMG_1.txt": 1, "a/IMG_2.txt": 0,
    }  # fmt: skip


def test_pictures_that_differ_in_their_suffix_keep_both_labels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = exported(
            tmp_path, document("IMG_1.jpg", "face"), document("IMG_1.png"), document("IMG_1.heic", "cat", "dog")
        )
    assert found == {"IMG_1_jpg.txt": 1, "IMG_1_png.txt": 0, "IMG_1_heic.txt": 2}
    first, second = (record.getMessage() for record in caplog.records)
    assert "IMG_1.jpg and IMG_1.png" in first
    assert second == "IMG_1.heic would share IMG_1.txt, too: its labels are in IMG_1_heic.txt"


def test_names_that_meet_elsewhere(tmp_path: Path) -> None:
    """A name without suffix, one in capitals, a Windows path, and a drive."""
    names = ("IMG_1", "IMG_1.jpg", "img_1.JPG", "a\\b.jpg", "a/b.jpg", "C:x.jpg", "C_x.jpg", "IMG_1_jpg.png")
    found = exported(tmp_path, *(document(name, *["face"] * (i + 1)) for i, name in enumerate(names)))
    assert sorted(found.values()) == list(range(1, len(names) + 1))


@given(st.lists(st.text(st.sampled_from("aA./\\:_2tx"), min_size=1, max_size=6), unique=True, max_size=8))
def test_no_two_pictures_ever_share_a_file(names: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = exported(Path(folder), *(document(name, *["face"] * (i + 1)) for i, name in enumerate(names)))
    assert sorted(found.values()) == list(range(1, len(names) + 1))


def test_labels_stay_below_the_folder(tmp_path: Path) -> None:
    files = LabelFiles(tmp_path / "labels")
    for name in ("../up.jpg", "/etc/x.jpg", "a/../../b.jpg", ".."):
        assert files.of(name).resolve().is_relative_to(tmp_path / "labels")
