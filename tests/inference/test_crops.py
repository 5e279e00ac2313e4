"""Steps on crops, crops of crops, faces turned upright, and tiles for small objects."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from inference.analysis import analyze
from inference.crops import _targets, run_on_crops
from inference.engine.catalog import load_catalog
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.errors import BadRoute
from inference.image import media
from inference.image.align import REFERENCE, aligned, similarity
from inference.image.media import Picture
from inference.image.views import merged
from inference.predictions import Objects, joined
from inference.results.export_rows import Found
from inference.results.formats import write
from inference.results.result import Cost, ModelFacts, Result, Source, StepResult
from inference.routes import Route, Step

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def registry(shared: Path) -> Registry:
    return Registry([ROOT / "tests/models", ROOT / "models"], weights=Weights([shared / "models"]))


def document(route: Route, data: bytes, registry: Registry) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(json.dumps(analyze(data, route, registry).result.to_json()))
    return result


@pytest.mark.needs_shared
def test_expressions_hang_on_the_faces_and_the_picture_is_decoded_once(
    registry: Registry, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = media._decode

    def counted(*arguments: Any) -> Picture:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(media, "_decode", counted)
    steps = (Step("face-yunet-2023mar"), Step("fer-mini-xception", "expression", on="face"), Step("classify"))
    result = document(Route("faces", steps), (shared / "media/faces/happy.jpg").read_bytes(), registry)
    assert len(calls) == 1
    faces = result["steps"][0]["predictions"]
    assert len(faces) == 1
    assert faces[0]["attributes"]["expression"][0]["label"] == "happy"
    assert result["steps"][1]["predictions"] == [] and result["steps"][1]["on"] == "face"


@pytest.mark.needs_shared
def test_a_person_with_a_pose_is_still_one_person_to_the_next_step(registry: Registry, shared: Path) -> None:
    steps = (
        Step("det-picodet-s-416", threshold=0.6),
        Step("pose-movenet-lightning", "pose", on="person"),
        Step("reid-person-0248", "look", on="person"),
    )
    result = document(Route("people", steps), (shared / "media/sports/tennis/dsc08303.jpg").read_bytes(), registry)
    (person,) = [p for p in result["steps"][0]["predictions"] if p["label"] == "person"]
    (pose,) = person["attributes"]["pose"]
    assert len(pose["keypoints"]) == 17 and person["attributes"]["look"]["dim"] == 256
    assert "look" not in pose.get("attributes", {})


@pytest.mark.needs_shared
@pytest.mark.parametrize(("label", "skeleton", "first"), [("person", "coco17", "nose"), ("dog", None, "point_0")])
def test_a_dogs_points_are_not_called_by_a_persons_names(
    shared: Path, tmp_path: Path, label: str, skeleton: str | None, first: str
) -> None:
    """The answers on crops are columns with the skeleton of the model that gave them, to the export's last name."""
    manifest = (ROOT / "tests/models/pose-movenet-lightning/model.toml").read_text("utf-8")
    (tmp_path / "pose").mkdir()
    (tmp_path / "pose/model.toml").write_text(manifest.replace('["person"]', f'["{label}"]'), "utf-8")
    model = Registry([tmp_path], weights=Weights([shared / "models"])).model("pose")
    picture = media.decode((shared / "media/sports/tennis/dsc08303.jpg").read_bytes())
    width, height = picture.size
    animal = Objects(np.asarray([[0, 0, width, height]], np.float32), np.ones(1), np.zeros(1, int), (label,))
    results = [StepResult("objects", "object-detection", ModelFacts("m", "1", "", ""), animal)]
    run_on_crops(picture, Step("pose", on=label), model, 0.0, results)
    result = results[0].predictions
    assert isinstance(result, Objects) and animal.attributes == ()
    pose = result.attributes[0]["pose"]
    assert isinstance(pose, Objects) and pose.keypoints is not None and pose.keypoints.shape == (1, 17, 3)
    assert pose.skeleton == skeleton and pose.names == (label,)
    source = Source(name="a.jpg", width=width, height=height)
    results.append(StepResult("pose", "keypoint-detection", results[0].model, Objects.empty(), on=label))
    document = json.loads(json.dumps(Result(source, "r", tuple(results), {}, Cost(0, 0, 0)).to_json()))
    (nested,) = document["steps"][0]["predictions"][0]["attributes"]["pose"]
    assert nested["id"] == "objects/0/pose/0" and "skeleton" not in document["steps"][0]
    assert document["steps"][1]["skeleton"].get("name") == skeleton
    write([Found(document)], "coco", tmp_path / "coco.json")
    (category,) = json.loads((tmp_path / "coco.json").read_text("utf-8"))["categories"]
    assert category["name"] == label and category["keypoints"][0] == first


def test_no_expression_is_named_on_a_face_that_is_small_or_uncertain() -> None:
    """The starter's manifest asks for 32 pixels and a score of 0.75."""
    boxes = np.asarray([[0, 0, 60, 60], [60, 0, 120, 31], [0, 60, 60, 120]], np.float32)
    faces = Objects(boxes, np.asarray([0.9, 0.9, 0.7]), np.zeros(3, int), ("face",) * 3)
    results = [StepResult("faces", "object-detection", ModelFacts("m", "1", "", ""), faces)]
    model = Registry([ROOT / "models"]).model("expression")
    run_on_crops(Picture.of(np.zeros((120, 120, 3), np.uint8)), Step("expression", on="face"), model, 0.0, results)
    result = results[0].predictions
    assert isinstance(result, Objects)
    assert ["expression" in attributes for attributes in result.attributes] == [True, False, False]


def test_no_pose_is_looked_for_where_a_person_fills_the_picture() -> None:
    """The pack's pose model takes people of up to 0.8 of the picture: of a face alone it would make up a body."""
    wanted = load_catalog().named("mp-pose-2023mar").full_manifest().preprocess
    for side, places in ((89, 1), (90, 0)):  # 0.79 and 0.81 of 100 x 100
        person = Objects(
            np.asarray([[0, 0, side, side]], np.float32), np.ones(1), np.zeros(1, int), ("person",), attributes=({},)
        )
        assert len(list(_targets(person, "person", wanted, (100, 100)))) == places


@pytest.mark.needs_shared
def test_attributes_nest_as_deep_as_the_steps_go(registry: Registry, shared: Path) -> None:
    steps = (
        Step("det-yolox-nano", "objects"),
        Step("face-yunet-2023mar", "faces", on="person"),
        Step("fer-mini-xception", "expression", on="face"),
        Step("reid-person-0248", "who", on="person"),
    )
    result = document(Route("people", steps), (shared / "media/faces/happy.jpg").read_bytes(), registry)
    people = [p for p in result["steps"][0]["predictions"] if p["label"] == "person"]
    assert people
    face = people[0]["attributes"]["faces"][0]
    assert face["attributes"]["expression"][0]["label"] == "happy"
    left, top, right, bottom = people[0]["box"]
    assert left - 1 <= face["box"][0] and face["box"][2] <= right + 1  # in the picture's pixels, not the crop's
    assert top - 1 <= face["box"][1] and face["box"][3] <= bottom + 1
    who = people[0]["attributes"]["who"]
    assert who["dim"] == 256 and np.linalg.norm(who["vector"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.needs_shared
def test_a_crop_step_without_a_detector_says_what_to_add(registry: Registry, shared: Path) -> None:
    route = Route("r", (Step("classify"), Step("fer-mini-xception", on="face")))
    with pytest.raises(BadRoute, match="add a detector"):
        analyze((shared / "media/faces/happy.jpg").read_bytes(), route, registry)


def test_a_similarity_is_found_exactly() -> None:
    target = np.asarray(REFERENCE)
    turn = 1.7 * np.exp(0.4j)
    z = (target[:, 0] + 1j * target[:, 1] - (30 + 12j)) / turn
    a, b = similarity(np.stack([z.real, z.imag], axis=1), target)
    assert a == pytest.approx(turn) and b == pytest.approx(30 + 12j)


def test_an_aligned_face_has_its_landmarks_where_networks_want_them() -> None:
    """A drawn face, turned by 35 degrees and enlarged: eyes red, nose green, mouth blue."""
    turn, shift = 3.1 * np.exp(0.61j), 220 + 60j
    points = [turn * complex(*p) + shift for p in REFERENCE]
    image = Pillow.new("RGB", (600, 600), "white")
    pen = ImageDraw.Draw(image)
    for point, shade in zip(points, ("red", "red", "lime", "blue", "blue"), strict=True):
        pen.ellipse((point.real - 12, point.imag - 12, point.real + 12, point.imag + 12), fill=shade)
    face = aligned(Picture(image, image.size), np.asarray([[p.real, p.imag] for p in points], np.float32))
    for (x, y), shade in zip(REFERENCE, ("red", "red", "lime", "blue", "blue"), strict=True):
        expected = np.asarray(Pillow.new("RGB", (1, 1), shade))[0, 0]
        assert np.abs(face.pixels[round(y), round(x)].astype(int) - expected).max() < 40


def objects(*rows: tuple[float, float, float, float, float, int]) -> Objects:
    array = np.asarray(rows, np.float32).reshape(-1, 6)
    ids = array[:, 5].astype(np.int64)
    return Objects(array[:, :4], array[:, 4], ids, tuple(f"c{i}" for i in ids))


def test_one_object_in_two_tiles_is_one_and_halves_become_whole() -> None:
    whole = (0.0, 0.0, 1000.0, 400.0)
    left, right = (0.0, 0.0, 600.0, 400.0), (400.0, 0.0, 1000.0, 400.0)
    views = [
        objects(),
        objects((450, 100, 550, 200, 0.9, 0), (300, 250, 600, 350, 0.8, 1)),
        objects((452, 101, 549, 201, 0.7, 0), (400, 250, 700, 350, 0.6, 1), (800, 10, 900, 90, 0.5, 0)),
    ]
    merged_views = merged(views, [whole, left, right], (1000, 400), 100)
    assert merged_views.scores.tolist() == pytest.approx([0.9, 0.8, 0.5])
    assert merged_views.boxes[1].tolist() == [300, 250, 700, 350]  # both halves
    assert merged_views.names == ("c0", "c1", "c0")


def test_neighbours_in_one_tile_stay_two_and_a_whole_sight_beats_a_half() -> None:
    view, tile = (0.0, 0.0, 1000.0, 400.0), (0.0, 0.0, 500.0, 400.0)
    views = [
        objects((200, 100, 800, 300, 0.4, 0)),
        objects((200, 100, 500, 300, 0.9, 0), (10, 10, 60, 60, 0.8, 0), (20, 10, 70, 60, 0.8, 0)),
    ]
    merged_views = merged(views, [view, tile], (1000, 400), 100)
    assert sorted(merged_views.boxes[:, 2].tolist()) == [60, 70, 800]


def test_joining_keeps_every_column() -> None:
    part = objects((0, 0, 1, 1, 0.5, 3))
    part = Objects(
        part.boxes, part.scores, part.label_ids, part.names, keypoints=np.ones((1, 5, 3), np.float32), skeleton="face5"
    )
    both = joined([part, objects(), part])
    assert len(both) == 2 and both.keypoints is not None and both.keypoints.shape == (2, 5, 3)
    assert both.skeleton == "face5" and both.attributes == ()
    with_mood = Objects(part.boxes, part.scores, part.label_ids, part.names, attributes=({"mood": "good"},))
    assert joined([objects((0, 0, 2, 2, 0.5, 3)), with_mood]).attributes == ({}, {"mood": "good"})


def collage(shared: Path) -> tuple[bytes, int]:
    """Twelve photos of the collection, small, on a sheet; and how many large people they show."""
    sheet, people = Pillow.new("RGB", (1920, 1080), (128, 128, 128)), 0
    notes = json.loads((shared / "media/coco/instances.json").read_text())
    names = {c["id"]: c["name"] for c in notes["categories"]}
    pictures = sorted(notes["images"], key=lambda i: i["file_name"])[:48]
    for k, info in enumerate(pictures):
        tile = Pillow.open(shared / "media/coco/val2017" / info["file_name"]).convert("RGB")
        ratio = min(240 / tile.width, 180 / tile.height)
        tile = tile.resize((round(tile.width * ratio), round(tile.height * ratio)))
        sheet.paste(tile, (k % 8 * 240, k // 8 * 180))
        mine = [a for a in notes["annotations"] if a["image_id"] == info["id"] and not a["iscrowd"]]
        people += sum(names[a["category_id"]] == "person" and a["area"] * ratio**2 > 600 for a in mine)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue(), people


@pytest.mark.slow
@pytest.mark.needs_shared
def test_tiles_find_small_people_that_one_look_misses(registry: Registry, shared: Path) -> None:
    data, people = collage(shared)
    people_by_tile = {}
    for tile in (0, 640):
        step = Step("det-yolox-nano", tile=tile, overlap=0.2, threshold=0.4)
        steps = document(Route("r", (step,)), data, registry)["steps"]
        people_by_tile[tile] = sum(p["label"] == "person" for p in steps[0]["predictions"])
    assert people_by_tile[640] >= 2 * people_by_tile[0], f"{people} people are there, detected {people_by_tile}"
    assert people_by_tile[640] <= 1.3 * people


@pytest.mark.needs_shared
def test_tiles_are_refused_where_they_make_no_sense(registry: Registry, shared: Path) -> None:
    data = (shared / "media/faces/group_19_onnx_1.jpg").read_bytes()
    with pytest.raises(BadRoute, match="detect objects"):
        analyze(data, Route("r", (Step("classify", tile=64),)), registry)
    with pytest.raises(BadRoute, match="tiles of 32"):
        analyze(data, Route("r", (Step("det-yolox-nano", tile=32),)), registry)
