"""The files of a YOLO data set: one of labels for every picture, where trainers look for it."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.results.label_files import is_renamed, place_of, places
from tests.inference.properties import examples


def label_path(picture: str) -> str:
    """As Ultralytics finds the labels of a picture (img2label_paths)."""
    return "/labels/".join(picture.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a/IMG_1.jpg", "a/IMG_1"),
        ("2024-05-01T12:30:00.jpg", "2024-05-01T12_30_00"),
        ("cam:1/a.jpg", "cam_1/a"),
        ("scan.1", "scan.1"),
        ("page.txt", "page.txt"),
        ("photo.JPEG", "photo"),
        ("con.jpg", "con_"),
        ("AUX", "AUX_"),
        ("nul.1.png", "nul_.1"),
        ("console.png", "console"),
        ("trip. /a.png", "trip__/a"),
        ("x.jpg/result", "x.jpg_/result"),
        ("x.txt/a.jpg", "x.txt_/a"),
        (".hidden.jpg", "_hidden"),
        ("set/images/a.jpg", "set/images_/a"),
        ("/etc/x.jpg", "etc/x"),
        ("a/../../b.jpg", "a/b"),
        ("C:\\x.jpg", "C_/x"),
        ("..", "picture"),
        ("caf\udce9.jpg", "caf_"),
        ("Größe 寸.jpg", "Größe 寸"),
    ],
)
def test_a_picture_alone_has_its_own_name_where_every_system_can_hold_it(name: str, place: str) -> None:
    assert place_of(name) == place


def test_pictures_that_differ_in_their_suffix_both_get_it_into_their_names() -> None:
    assert places(["IMG_1.jpg", "b.jpg", "IMG_1.png", "IMG_1.heic"]) == ["IMG_1_jpg", "b", "IMG_1_png", "IMG_1_heic"]


def test_pictures_whose_names_one_system_or_another_takes_for_the_same() -> None:
    composed, apart = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    assert places([composed, apart]) == [composed.replace(".", "_"), apart.replace(".", "_") + "_2"]
    assert places(["A.jpg", "a.jpg"]) == ["A_jpg", "a_jpg_2"]
    assert places(["a:b.jpg", "a_b.jpg"]) == ["a_b_jpg", "a_b_jpg_2"]
    assert places(["scan.1", "scan.2"]) == ["scan.1", "scan.2"]
    assert places(["a.jpg", "a.png", "a_jpg.png"]) == ["a_jpg_2", "a_png", "a_jpg"]


def test_long_names_are_cut_and_stay_apart() -> None:
    assert place_of(f"{'ü' * 125}.jpg") == "ü" * 125
    names = [f"{'ü' * 126}{end}.jpg" for end in "ab"] + [f"{'ü' * 125}.{suffix}" for suffix in ("jpg", "png")]
    long = places([*names, f"{'folder/' * 500}a.jpg"])
    assert len(set(long)) == 5 and all(len(part.encode()) <= 250 for place in long for part in place.split("/"))
    assert max(len(place.encode()) for place in long) < 1200


def test_a_name_that_trainers_do_not_find_is_said() -> None:
    assert not is_renamed("a/b.jpg", "a/b")
    assert is_renamed("a/b.jpg", "a/b_jpg") and is_renamed("scan.1", "scan.1") and is_renamed("a:b.jpg", "a_b")


_LETTERS = st.sampled_from("aAéE\u0301./\\:_2tx ") | st.sampled_from(["con", ".jpg", ".png", ".txt", "images"])
_NAMES = st.lists(_LETTERS | st.characters(), min_size=1, max_size=8).map("".join)


@pytest.mark.slow
@given(st.lists(_NAMES, unique=True, max_size=8))
@examples(80)
def test_no_two_pictures_share_a_file_and_trainers_find_each(names: list[str]) -> None:
    found = places(names)
    keys = {unicodedata.normalize("NFC", unicodedata.normalize("NFD", place).casefold()) for place in found}
    assert len(keys) == len(names)
    for place in found:
        assert label_path(f"/set/images/{place}.jpg") == f"/set/labels/{place}.txt"
        parts = PurePosixPath(place).parts
        assert ".." not in parts and not any(part.startswith(".") or part[-1] in " ." for part in parts[:-1])
        # no file is called as a folder: pictures and labels have suffixes that folders never have
        assert not any(part.lower().endswith((".txt", ".jpg", ".png")) for part in parts[:-1])
        assert not place.startswith("/") and place.encode() and not any(c in place for c in ':<>"|?*\\')
