"""The numbers of classes: from the models' lists, whichever pictures are exported."""

from __future__ import annotations

from typing import Any

import pytest

from inference.results.classes import ClassList, LabelsOf, Survey, class_list, no_labels

COCO80 = 80


def step(model: str, *seen: tuple[int, str], task: str = "object-detection") -> dict[str, Any]:
    rows = [{"label_id": number, "label": name, "box": [0, 0, 1, 1]} for number, name in seen]
    return {"name": f"step {model}", "task": task, "model": {"name": model, "sha256": model}, "predictions": rows}


def areas(model: str, *seen: tuple[int, str]) -> dict[str, Any]:
    made = step(model, *seen, task="image-segmentation")
    for row in made["predictions"]:
        del row["box"]
        row["area"] = 5
    return {**made, "map": "map.png"}


def made(*steps: dict[str, Any], labels_of: LabelsOf = no_labels, coco: bool = False) -> ClassList:
    survey = Survey()
    for each in steps:
        survey.add_step(each)
        for prediction in each["predictions"]:
            survey.add(each, prediction)
    return class_list(survey, labels_of, coco=coco)


def lists(**labels: tuple[str, ...]) -> LabelsOf:
    return lambda name, _: labels.get(name)


def number(classes: ClassList, of: dict[str, Any], place: int = 0) -> int:
    return classes.number(of, of["predictions"][place])


def test_a_class_is_its_place_in_the_models_full_list() -> None:
    known = lists(m=("cat", "dog", "hen"))
    monday, tuesday = step("m", (2, "hen")), step("m", (1, "dog"), (0, "cat"))
    for pictures in ((monday,), (tuesday,), (monday, tuesday), (step("m"),)):
        assert dict(made(*pictures, labels_of=known).names) == {0: "cat", 1: "dog", 2: "hen"}
        assert dict(made(*pictures, labels_of=known, coco=True).names) == {1: "cat", 2: "dog", 3: "hen"}
    assert number(made(monday, labels_of=known), monday) == 2
    assert number(made(monday, labels_of=known, coco=True), monday) == 3


@pytest.mark.parametrize("known", [True, False])
def test_coco_has_its_own_numbers_and_yolo_the_places(known: bool) -> None:
    from inference.label_lists import labels_in
    from inference.manifest import LABEL_SETS

    full = tuple(labels_in((LABEL_SETS / "coco80.txt").read_text("utf-8")))
    photo = step("m", (0, "person"), (11, "stop sign"), (79, "toothbrush"))
    of = lists(m=full) if known else no_labels
    yolo, coco = made(photo, labels_of=of), made(photo, labels_of=of, coco=True)
    assert [number(yolo, photo, i) for i in range(3)] == [0, 11, 79]
    assert [number(coco, photo, i) for i in range(3)] == [1, 13, 90]
    assert list(yolo.names) == list(range(COCO80)) and len(coco.names) == COCO80 and not yolo.unknown
    assert 12 not in coco.names and coco.names[13] == "stop sign"


def test_the_data_sets_numbers_with_gaps_are_known_too() -> None:
    photo = step("m", (1, "person"), (90, "toothbrush"))
    assert [number(made(photo, coco=True), photo, i) for i in range(2)] == [1, 90]
    yolo = made(photo)
    assert [number(yolo, photo, i) for i in range(2)] == [1, 90]
    assert list(yolo.names) == list(range(91)) and yolo.names[12] == "unnamed 12"


def test_without_its_list_a_model_is_numbered_by_its_ids_and_named() -> None:
    one, other = step("m", (4, "crack")), step("m", (1, "rust"), (4, "crack"))
    classes = made(one)
    assert dict(classes.names) == {0: "unnamed 0", 1: "unnamed 1", 2: "unnamed 2", 3: "unnamed 3", 4: "crack"}
    assert classes.unknown == ("m",) and number(classes, one) == number(made(other), other, 1) == 4
    assert dict(made(one, coco=True).names) == {5: "crack"}


def test_several_models_follow_each_other_and_share_labels() -> None:
    known = lists(big=("person", "car", "dog"), small=("face",), pose=("person",))
    big, small, pose = step("big", (2, "dog")), step("small", (0, "face")), step("pose", (0, "person"))
    for order in ((big, small, pose), (pose, small, big)):
        classes = made(*order, labels_of=known)
        assert dict(classes.names) == {0: "person", 1: "car", 2: "dog", 3: "face"}
        assert [number(classes, each) for each in (big, small, pose)] == [2, 3, 0]


def test_a_list_that_is_not_that_of_the_results_is_not_used() -> None:
    """The model was trained anew under the same name, with other labels."""
    photo = step("m", (1, "dog"))
    classes = made(photo, labels_of=lists(m=("bolt", "nut")))
    assert dict(classes.names) == {0: "unnamed 0", 1: "dog"} and classes.unknown == ("m",)


def test_two_classes_of_one_name_stay_two() -> None:
    """ImageNet has two cranes: the bird and the machine."""
    photo = step("m", (0, "crane"), (2, "crane"))
    for of in (lists(m=("crane", "hen", "crane")), no_labels):
        classes = made(photo, labels_of=of)
        assert [number(classes, photo, i) for i in range(2)] == [0, 2] and classes.names[2] == "crane (2)"
        coco = made(photo, labels_of=of, coco=True)
        assert len(set(coco.names.values())) == len(coco.names)


def test_maps_count_for_coco_alone_and_their_background_is_no_category() -> None:
    street = areas("street", (1, "road"))
    faces = step("faces", (0, "face"))
    known = lists(street=("background", "road", "sky"), faces=("face",))
    assert dict(made(street, faces, labels_of=known).names) == {0: "face"}
    assert dict(made(street, faces, labels_of=known, coco=True).names) == {2: "road", 3: "sky", 4: "face"}


def test_a_label_without_a_place_comes_last() -> None:
    """No id, an id that nothing could fill the gaps up to, two labels of one id."""
    photo = step("m", (0, "cat"), (2**31 - 1, "far"), (5, "x"), (5, "y"))
    photo["predictions"].append({"label": "bare", "box": [0, 0, 1, 1]})
    classes = made(photo)
    assert dict(classes.names) == {0: "cat", 1: "bare", 2: "far", 3: "x", 4: "y"}
    assert classes.loose == ("bare", "far", "x", "y")


def test_renamed_labels_are_classes_of_their_new_names_and_merged_ones_are_one() -> None:
    known = lists(m=("person", "car", "truck", "bus"))
    renamed = {"renamed": {"car": "vehicle", "truck": "vehicle", "person": "Mensch"}}
    photo = {**step("m", (1, "vehicle"), (3, "bus"), (0, "Mensch")), **renamed}
    yolo, coco = made(photo, labels_of=known), made(photo, labels_of=known, coco=True)
    assert [number(yolo, photo, i) for i in range(3)] == [1, 3, 0] and not yolo.unknown and not yolo.loose
    assert [number(coco, photo, i) for i in range(3)] == [2, 4, 1]
    assert dict(coco.names) == {1: "Mensch", 2: "vehicle", 4: "bus"}
    assert yolo.names[2] == "unnamed 2", "places stay those of the model"
    plain = step("m", (2, "truck"), (3, "bus"))  # the same model by a route that renames nothing
    both = made(photo, plain, labels_of=known, coco=True)
    assert [number(both, photo, i) for i in range(3)] == [6, 4, 5] and number(both, plain) == 3
    assert len(set(both.names.values())) == len(both.names) == 6
