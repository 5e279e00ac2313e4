"""Exports, read back with the libraries that read them in the field."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from inference.__main__ import main
from inference.errors import CorruptMedia
from inference.predictions import Masks, Objects
from inference.results.export_options import ExportOptions
from inference.results.export_rows import Found
from inference.results.formats import FORMATS, read_folder, write
from inference.results.label_files import place_of
from inference.results.result import Cost, ModelFacts, Result, Source, StepResult
from tests.inference.properties import examples

PYCOCOTOOLS = "ignore:__array__ implementation:DeprecationWarning"  # it lags behind numpy 2
FACTS = ModelFacts("m", "1", "0" * 64, "CPUExecutionProvider")
FACES = ModelFacts("n", "1", "1" * 64, "CPUExecutionProvider")


def read_coco(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def masks() -> Masks:
    generator = np.random.default_rng(0)
    windows = np.asarray([[10, 20, 60, 50], [0, 0, 100, 80]])
    return Masks((80, 100), windows, (generator.random((30, 50)) > 0.4, generator.random((80, 100)) > 0.7))


def found(*names: str) -> list[Found]:
    """Results of pictures of these names, at places that are called so."""
    return [Found(document(name), name) for name in names or ("street/a.jpg",)]


def document(name: str = "street/a.jpg") -> dict[str, Any]:
    points = np.zeros((2, 17, 3), np.float32)
    points[:, :, 0], points[:, :, 1], points[:, :, 2] = 33.5, 44.25, 0.9
    points[1, 5:, 2] = 0.05
    face = Objects(np.asarray([[20, 21, 30, 33]], np.float32), np.asarray([0.8]), np.asarray([0]), ("face",))
    objects = Objects(
        np.asarray([[10, 20, 60, 50], [0, 0, 100, 80]], np.float32),
        np.asarray([0.9, 0.4], np.float32),
        np.asarray([0, 2]),
        ("person", "car, red"),
        masks=masks(),
        keypoints=points,
        skeleton="coco17",
        attributes=({"faces": face}, {}),
    )
    steps = (
        StepResult("objects", "keypoint-detection", FACTS, objects),
        StepResult("faces", "object-detection", FACES, Objects.empty(), on="person"),
    )
    source = Source(name=name, width=100, height=80, media_type="image/jpeg")
    loaded: dict[str, Any] = json.loads(json.dumps(Result(source, "r", steps, {}, Cost(0, 0, 0)).to_json()))
    return loaded


@pytest.mark.filterwarnings(PYCOCOTOOLS)
def test_coco_round_trip_through_pycocotools(tmp_path: Path) -> None:
    assert write(found("street/a.jpg", "b.jpg"), "coco", tmp_path / "coco.json").count == 2
    coco = read_coco(tmp_path / "coco.json")
    assert [i["file_name"] for i in coco.loadImgs(coco.getImgIds())] == ["street/a.jpg", "b.jpg"]
    names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
    assert set(names.values()) == {"person", "car, red", "face"}
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [(names[a["category_id"]], a["bbox"]) for a in annotations] == [
        ("person", [10, 20, 50, 30]), ("face", [20, 21, 10, 12]), ("car, red", [0, 0, 100, 80]),
    ]  # fmt: skip
    for annotation, number in ((annotations[0], 0), (annotations[2], 1)):
        assert np.array_equal(coco.annToMask(annotation).astype(bool), masks().full(number))
        assert annotation["area"] == masks().area(number)
    assert annotations[0]["num_keypoints"] == 17 and annotations[2]["num_keypoints"] == 5
    assert annotations[0]["keypoints"][:3] == [33.5, 44.25, 2]
    person = next(c for c in coco.loadCats(coco.getCatIds()) if c["name"] == "person")
    assert person["keypoints"][0] == "nose" and min(min(bone) for bone in person["skeleton"]) == 1


def test_the_keypoints_of_older_documents_have_their_names_too(tmp_path: Path) -> None:
    """Until release 0.2.0 each object named its skeleton, and the step had none; nothing had an id."""
    older = document()
    del older["steps"][0]["skeleton"]
    for prediction in older["steps"][0]["predictions"]:
        prediction["skeleton"] = "coco17"
        del prediction["id"]
    write([Found(older)], "coco", tmp_path / "older.json")
    write(found(), "coco", tmp_path / "coco.json")
    before, now = (json.loads((tmp_path / name).read_text("utf-8")) for name in ("older.json", "coco.json"))
    assert before["categories"] == now["categories"]
    assert [a.get("prediction_id") for a in now["annotations"]] == ["objects/0", "objects/0/faces/0", "objects/1"]
    assert not any("prediction_id" in a for a in before["annotations"] if a["category_id"] != 4)


def test_one_step_only(tmp_path: Path) -> None:
    report = write(found(), "csv", tmp_path / "a.csv", ExportOptions(step="another"))
    assert report.count == 0 and not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(("step", "labels"), [("objects", ["person", "car, red"]), ("faces", ["face"])])
def test_a_step_on_crops_is_a_step_like_any_other(step: str, labels: list[str], tmp_path: Path) -> None:
    write(found(), "csv", tmp_path / "a.csv", ExportOptions(step=step))
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == labels


def test_a_step_that_no_result_has_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/result.json").write_text(json.dumps(document()), "utf-8")
    out = tmp_path / "x.csv"
    assert main(["export", str(tmp_path), "--format", "csv", "--step", "object", "--out", str(out)]) == 2
    assert "did you mean 'objects'?" in capsys.readouterr().err and not out.exists()


def test_csv_has_a_row_a_prediction_and_survives_commas(tmp_path: Path) -> None:
    write(found(), "csv", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["label"] for r in rows] == ["person", "face", "car, red"]
    assert rows[1]["inside"] == "person" and rows[1]["step"] == "faces" and rows[1]["task"] == "object-detection"
    assert [r["id"] for r in rows] == ["objects/0", "objects/0/faces/0", "objects/1"]
    assert [float(rows[0][k]) for k in ("x1", "y1", "x2", "y2")] == [10, 20, 60, 50]


def test_jsonl_lines_are_the_documents(tmp_path: Path) -> None:
    write(found("street/a.jpg", "b.jpg"), "jsonl", tmp_path / "a.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines == [document() | {k: lines[0][k] for k in ("trace", "created")}] + lines[1:]


def test_yolo_labels_are_shares_of_the_picture(tmp_path: Path) -> None:
    write(found(), "yolo", tmp_path / "set")
    rows = [line.split() for line in (tmp_path / "set/labels/street/a.txt").read_text().splitlines()]
    assert [r[0] for r in rows] == ["0", "3", "2"]
    assert [float(v) for v in rows[0][1:]] == pytest.approx([0.35, 0.4375, 0.5, 0.375])
    assert '0: "person"' in (tmp_path / "set/data.yaml").read_text()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\x.jpg", "", "a/./b.jpg", "C:\\x.jpg"])
def test_labels_never_leave_their_folder(name: str, tmp_path: Path) -> None:
    assert (tmp_path / f"{place_of(name)}.txt").resolve().is_relative_to(tmp_path)


@given(st.text(st.sampled_from("ab./\\: é\0") | st.characters(), max_size=20))
@examples(100)
def test_whatever_a_picture_is_called_its_labels_have_a_place_inside(name: str) -> None:
    path = Path(f"{place_of(name)}.txt")
    assert path.suffix == ".txt" and not path.is_absolute() and ".." not in path.parts


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_whose_name_is_no_utf8_is_exported_like_others(form: str, tmp_path: Path) -> None:
    """As Linux unpacks archives of another system: the byte 0xE9 is half of a surrogate pair in Python."""
    assert write(found("caf\udce9.jpg"), form, tmp_path / "out").count == 1
    if form in ("coco", "jsonl"):
        read = json.loads((tmp_path / "out").read_text("utf-8"))
        name = read["images"][0]["file_name"] if form == "coco" else read["source"]["name"]
        assert name == "caf\udce9.jpg"


def test_an_export_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken() -> Iterator[Found]:
        yield Found(document())
        raise CorruptMedia("the next document is broken")

    with pytest.raises(CorruptMedia):
        write(broken(), "csv", tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_result_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/result.json").write_text('{"steps": []}')
    with pytest.raises(CorruptMedia, match="result.json"):
        list(read_folder(tmp_path))
    assert main(["export", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.filterwarnings(PYCOCOTOOLS)
def test_the_export_of_real_results_is_scored_by_pycocotools(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight photos through the command line, exported, and scored against COCO's own annotations."""
    monkeypatch.setenv("DROPSIGHT_WEIGHTS", str(shared / "models"))
    photos = sorted((shared / "media/coco/val2017").glob("*.jpg"))[:8]
    models = Path(__file__).parents[2] / "models"
    options = ["--models", str(models), "--model", "ultra-yolov8n-seg-320", "--threshold", "0.05"]
    assert main(["analyze", *map(str, photos), *options, "--out", str(tmp_path / "out")]) == 0
    assert main(["export", str(tmp_path / "out"), "--out", str(tmp_path / "coco.json")]) == 0
    truth, ours = read_coco(shared / "media/coco/instances.json"), read_coco(tmp_path / "coco.json")
    ids = {Path(i["file_name"]).name: i["id"] for i in truth.loadImgs(truth.getImgIds())}
    labels = {c["name"]: c["id"] for c in truth.loadCats(truth.getCatIds())}
    rows = [
        {
            **a,
            "image_id": ids[Path(ours.loadImgs(a["image_id"])[0]["file_name"]).name],
            "category_id": labels[ours.loadCats(a["category_id"])[0]["name"]],
        }
        for a in ours.loadAnns(ours.getAnnIds())
    ]
    scores = {kind: _score(truth, rows, kind) for kind in ("bbox", "segm")}
    assert scores["bbox"] > 0.2 and scores["segm"] > 0.15, scores


def _score(truth: COCO, rows: list[dict[str, Any]], kind: str) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(rows), kind)
        evaluation.params.imgIds = sorted({r["image_id"] for r in rows})
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])
